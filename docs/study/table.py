"""The study's figures: accuracies with intervals, paired tests with Holm's correction, as JSON and as Markdown."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cells import check_fair, read_cell
from methods import METHODS, START, comparisons

DOMAINS = ("in domain", "out of domain")
CERTAIN = 0.05
Cells = dict[tuple[str, str, int], dict[str, Any]]
"""What is kept of each cell, by task, method and seed."""


def holm(chances: Sequence[float]) -> list[float]:
    """p values corrected for their number, in their order (S. Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected, least = [0.0] * len(chances), 0.0
    for done, place in enumerate(order):
        least = max(least, min(1.0, (len(chances) - done) * chances[place]))
        corrected[place] = least
    return corrected


def collect(root: Path) -> Cells:
    """All cells that are done below a folder. Raises Refused where they can't be compared."""
    kept = [read_cell(path.parent) for path in sorted(root.glob("*/seed-*/*/cell.json"))]
    done = [cell for cell in kept if cell is not None]
    check_fair(done)
    return {(cell["task"], cell["method"], cell["seed"]): cell for cell in done}


def figures(root: Path) -> dict[str, Any]:
    """Everything the tables say, from what lies in a folder.

    Raises:
        Refused: what was kept would make the comparison unfair.
    """
    cells = collect(root)
    tasks = sorted({task for task, _, _ in cells})
    methods = tuple(name for name in (START, *METHODS) if any(name == method for _, method, _ in cells))
    predictions = _Predictions(root, cells)
    tests = [
        test
        for one, other in comparisons(tuple(name for name in methods if name != START))
        for domain in DOMAINS
        if (test := _test(predictions, tasks, one, other, domain)) is not None
    ]
    decide(tests)
    return {
        "tasks": tasks,
        "size": next(iter(cells.values()))["size"] if cells else None,
        "cells": [{key: cell[key] for key in cell if key not in ("pairs", "size", "start")} for cell in cells.values()],
        "rows": [
            _row(predictions, cells, task, name) for task in tasks for name in methods if _seeds(cells, task, name)
        ],
        "tests": tests,
    }


def decide(tests: Sequence[dict[str, Any]]) -> None:
    """Put the corrected p to each test, and whether it shows a difference: p is small and the interval without 0."""
    for test, corrected in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = float(f"{corrected:.4g}")
        low, high = test["interval"]
        test["differs"] = corrected < CERTAIN and not low <= 0 <= high


def _seeds(cells: Cells, task: str, method: str) -> list[int]:
    return sorted(seed for one, name, seed in cells if (one, name) == (task, method))


class _Predictions:
    """Reads the predictions of cells, each file once."""

    def __init__(self, root: Path, cells: Cells) -> None:
        self.root = root
        self.cells = cells
        self._read: dict[tuple[str, str, int], dict[str, list[Any]]] = {}

    def of(self, tasks: Iterable[str], method: str, seed: int, domain: str) -> Any:
        """One run's predictions, brought together."""
        from editctl.evaluate.figures.tally import gather

        found = [one for task in tasks for one in self._file(task, method, seed)[domain]]
        return gather(found, f"{method}, seed {seed}")

    def _file(self, task: str, method: str, seed: int) -> dict[str, list[Any]]:
        from editctl.files import InputFile
        from editctl.jsonl import read_records
        from editctl.rows import prediction_from_row

        key = (task, method, seed)
        if key not in self._read:
            folder = self.root / task / f"seed-{seed}" / method.replace(" ", "-")
            by_domain: dict[str, list[Any]] = defaultdict(list)
            for one in read_records(InputFile(str(folder / "predictions.jsonl")), prediction_from_row):
                by_domain[DOMAINS[str(one.question.task).endswith("-ood")]].append(one)
            self._read[key] = by_domain
        return self._read[key]


def _row(predictions: _Predictions, cells: Cells, task: str, method: str) -> dict[str, Any]:
    from editctl.evaluate.figures.score import score_tallies

    seeds = _seeds(cells, task, method)
    row: dict[str, Any] = {"task": task, "method": method, "seeds": seeds}
    row["updates"] = cells[task, method, seeds[0]]["updates"]
    for domain in DOMAINS:
        scores = score_tallies([predictions.of([task], method, seed, domain) for seed in seeds])
        row[domain] = {
            "accuracy": scores["accuracy"]["micro"],
            "interval": scores["interval"],
            "by_seed": [_accuracy(predictions.of([task], method, seed, domain)) for seed in seeds],
            "unanswered": scores["unanswered"],
        }
    return row


def _accuracy(tally: Any) -> float:
    shares = [asked.share() or 0.0 for asked in tally.own.values()]
    return round(sum(shares) / len(shares), 4)


def _test(predictions: _Predictions, tasks: Sequence[str], one: str, other: str, domain: str) -> dict[str, Any] | None:
    """Two methods on the same questions, all tasks together, over the seeds that both have in every task."""
    from editctl.evaluate.figures.compare import compare_tallies

    cells = predictions.cells
    both = [set(_seeds(cells, task, one)) & set(_seeds(cells, task, other)) for task in tasks]
    seeds = sorted(set.intersection(*both)) if both else []
    if not seeds:
        return None
    sides = [[predictions.of(tasks, name, seed, domain) for seed in seeds] for name in (one, other)]
    found = compare_tallies(*sides)
    ahead = [_accuracy(ours) - _accuracy(theirs) for ours, theirs in zip(*sides, strict=True)]
    return {
        "method": one,
        "against": other,
        "domain": domain,
        "seeds": seeds,
        "questions": found["n"],
        "difference": found["difference"]["micro"],
        "interval": found["interval"],
        "test": found["test"],
        "p": found["p"],
        "seeds_ahead": sum(difference > 0 for difference in ahead),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The tables as they are published."""
    if not found["rows"]:
        return "No cell is done yet.\n"
    size = found["size"]
    head = (
        f"{size['questions']:,} training questions a task and seed, {size['updates']} updates of {size['batch']} "
        f"questions, {size['asked']} questions asked in domain and {size['asked']} out of domain."
    )
    parts = [head, *(_task_table(found, task) for task in found["tasks"]), _test_table(found)]
    return "\n\n".join(parts) + "\n"


def _task_table(found: Mapping[str, Any], task: str) -> str:
    lines = [
        f"**{task}**: right answers in %, with 95 % intervals over seeds and questions",
        "",
        "| method | updates | seeds | in domain | by seed | out of domain | by seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        if row["task"] == task:
            cells = [text for domain in DOMAINS for text in _accuracies(row[domain])]
            lines.append("| " + " | ".join([row["method"], str(row["updates"]), str(len(row["seeds"])), *cells]) + " |")
    return "\n".join(lines)


def _accuracies(figure: Mapping[str, Any]) -> tuple[str, str]:
    low, high = figure["interval"]
    by_seed = ", ".join(_percent(share) for share in figure["by_seed"])
    return f"**{_percent(figure['accuracy'])}** ({_percent(low)} to {_percent(high)})", by_seed


def _test_table(found: Mapping[str, Any]) -> str:
    count = len(found["tests"])
    lines = [
        f"**Paired tests**, all tasks together; p corrected for the {count} tests of this table (Holm)",
        "",
        "| | against | | difference in points | 95 % | p | corrected | seeds ahead | a difference? |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for test in found["tests"]:
        low, high = (_points(value) for value in test["interval"])
        cells = [test["method"], test["against"], test["domain"], _points(test["difference"]), f"{low} to {high}"]
        cells += [_chance(test["p"]), _chance(test["p_holm"]), f"{test['seeds_ahead']} of {len(test['seeds'])}"]
        lines.append("| " + " | ".join([*cells, "yes" if test["differs"] else "no"]) + " |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _chance(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
