"""The tables of docs/key-steps.md, made of the figures."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]
PLAIN, SLIP, ALL = "none", "slip", "slip and consequences"
_MATCHES = ("units", "steps")
_MARK = re.compile(r"<!-- table: (?P<name>[\w ]+) -->\n.*?<!-- end of table -->", re.DOTALL)


def render(result: Figures) -> dict[str, str]:
    """Every table by name; those of real pairs only where there are figures."""
    made: dict[str, Callable[[Figures], str]] = {
        "run": _run,
        "units": _units,
        "patterns": _patterns,
        "sides": _sides,
        "controls": _controls,
        "disturbances": _disturbances,
        "precision": _precision,
        "disturbances by task": _by_task,
        "key ratio": lambda found: _bands(found["key_ratio"], "key ratio"),
        "similarity": lambda found: _bands(found["similarity"], "similarity"),
        "limits": _limits,
    }
    if result["real"]:
        made |= {"real distributions": _real_distributions, "real differences": _real_differences}
    return {name: table(result) for name, table in made.items()}


def replace(page: str, made: Mapping[str, str]) -> str:
    """The page with every table that was made in its place; the others stay.

    Raises:
        SystemExit: a table has no place, or a place has a name that no table has.
    """
    places = {match["name"] for match in _MARK.finditer(page)}
    known = set(made) | {"real distributions", "real differences"}
    if set(made) - places or places - known:
        raise SystemExit(f"no place for {sorted(set(made) - places)}; no table for {sorted(places - known)}")

    def written(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- table: {name} -->\n{made[name]}\n<!-- end of table -->" if name in made else match[0]

    return _MARK.sub(written, page)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int = 1) -> str:
    """A Markdown table, figures to the right."""
    rule = ["---" if at < numbers_from else "--:" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def share(values: Sequence[float]) -> str:
    """`0.84 [0.82, 0.86]`."""
    return f"{values[0]:.2f} [{values[1]:.2f}, {values[2]:.2f}]"


_FULL = ("slip: precision", "recall", "F1", "with consequences: precision", "recall", "F1")


def _full(one: Figures) -> list[str]:
    return [share(one[truth][metric]) for truth in (SLIP, ALL) for metric in ("precision", "recall", "f1")]


def _run(result: Figures) -> str:
    return (
        f"{result['questions_a_task']} questions a task (seed {result['seed']}, split test), "
        f"{result['chains']:,} wrong chains, each told in {len(result['disturbances']['all, word'])} ways; in "
        f"{result['without_trace'] / result['chains']:.0%} of them the slip is a step left out."
    )


def _units(result: Figures) -> str:
    found = result["patterns"]["all, all"]
    return table(["unit, match", *_FULL], [[name, *_full(one["both"])] for name, one in found.items()])


def _patterns(result: Figures) -> str:
    units = [name.removesuffix(", units") for name in result["patterns"]["all, all"] if name.endswith(", units")]
    rows = [
        [name, *(share(found[f"{unit}, units"]["both"][truth]["f1"]) for truth in (SLIP, ALL) for unit in units)]
        for name, found in result["patterns"].items()
    ]
    heads = [f"{unit}s, {truth}" for truth in ("slip", "with consequences") for unit in units]
    return table(["task, mistake pattern", *heads], rows)


def _sides(result: Figures) -> str:
    rows = []
    for name, found in result["patterns"].items():
        one = found["word, units"]
        shown = [share(one[side][SLIP][metric]) for side in ("right", "wrong") for metric in ("precision", "recall")]
        rows.append([name, *shown, *(share(one[side][ALL]["f1"]) for side in ("right", "wrong"))])
    head = ["task, mistake pattern", "right: precision (slip)", "recall (slip)", "wrong: precision (slip)",
            "recall (slip)", "right: F1 (with consequences)", "wrong: F1 (with consequences)"]  # fmt: skip
    return table(head, rows)


def _controls(result: Figures) -> str:
    chosen = {"key words": result["patterns"]["all, all"]["word, units"], **result["controls"]}
    return table(["units", *_FULL], [[name, *_full(one["both"])] for name, one in chosen.items()])


def _disturbances(result: Figures) -> str:
    rows = []
    for name, found in result["disturbances"].items():
        if not name.startswith("all, "):
            continue
        for disturbance, one in found.items():
            rows.append([name.removeprefix("all, "), *_compared(disturbance, one)])
    return table(["unit", *_COMPARED], rows, 2)


def _precision(result: Figures) -> str:
    rows = []
    for name, one in result["disturbances"]["all, word"].items():
        rows.append([name, *(share(one[match][truth]["precision"]) for truth in (SLIP, ALL) for match in _MATCHES)])
    head = ["told differently", "slip: precision, units", "precision, steps", "with consequences: precision, units",
            "precision, steps"]  # fmt: skip
    return table(head, rows)


def _by_task(result: Figures) -> str:
    rows = []
    for name, found in result["disturbances"].items():
        task, unit = name.split(", ")
        if unit == "word" and task != "all":
            rows += [[task, *_compared(disturbance, one)] for disturbance, one in found.items()]
    return table(["task", *_COMPARED], rows, 2)


_COMPARED = (
    "told differently", "slip: F1, units", "F1, steps", "gain", "with consequences: F1, units", "F1, steps", "gain",
)  # fmt: skip


def _compared(disturbance: str, one: Figures) -> list[str]:
    shown = [disturbance]
    for truth in (SLIP, ALL):
        gain = one["gain"][truth]
        shown += [f"{one[match][truth]['f1'][0]:.3f}" for match in _MATCHES]
        shown.append(f"{gain[0]:+.3f} [{gain[1]:+.3f}, {gain[2]:+.3f}]")
    return shown


def _bands(found: Figures, title: str) -> str:
    rows = []
    for name, band in found.items():
        for match, one in band.items():
            counts = [f"{one[PLAIN]:,}", f"{one['told differently']:,}"]
            shown = [share(one[SLIP]["f1"]), share(one[ALL]["precision"]), share(one[ALL]["f1"])]
            rows.append([name, match, *counts, *(shown if one[PLAIN] + one["told differently"] else ["-"] * 3)])
    head = [title, "match", "pairs as they are", "told differently", "slip: F1", "with consequences: precision", "F1"]
    return table(head, rows, 2)


def _limits(result: Figures) -> str:
    rows = []
    names: list[str] = []
    for limit, found in result["limits"].items():
        for match, one in found.items():
            names = list(one["kept"])
            kept = [f"{one['kept'][name]:.0%}" for name in names]
            rows.append([limit, match, *kept, share(one[ALL]["precision"]), share(one[ALL]["f1"])])
    heads = ["as they are" if name == PLAIN else name for name in names]
    return table(["max-key-ratio", "match", *heads, "precision of what is kept", "F1"], rows, 2)


def _real_distributions(result: Figures) -> str:
    rows = []
    for name, found in result["real"]["distributions"].items():
        rows.append([name, *map(_distribution, found.values())])
    return table(["unit, match", *next(iter(result["real"]["distributions"].values()))], rows)


def _distribution(one: Figures | None) -> str:
    """Median, the middle 80 %, mean."""
    if one is None:
        return "-"
    return f"{one['median']:.2f} ({one['p10']:.2f} - {one['p90']:.2f}; {one['mean']:.2f})"


def _real_differences(result: Figures) -> str:
    found = result["real"]["differences"]
    total = found["steps"]["steps"]
    rows = [
        [name, f"{one['steps']} ({one['steps'] / total:.0%})", f"{one['pairs']} of {result['real']['pairs']}"]
        for name, one in found.items()
    ]
    return table(["steps of the right chains", "steps", "pairs with at least one"], rows)
