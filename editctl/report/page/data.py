"""Pairs and outcomes as the data that the page's script reads, and the page's first figures."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from editctl.report.page.model import ChainView, Funnel, Outcome, Page, PairView, ScoreRow
from editctl.report.page.visible import deep, visible
from editctl.report.page.wording import count, percent

FIRST = 20
"""Pairs and outcomes that stand in the page itself, for readers without a script."""
LONG = 700
"""Characters of an answer's text from which it scrolls in a box of its own."""
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the few figures at the top."""

    name: str
    value: str
    detail: str


def embedded(rows: list[dict[str, Any]]) -> str:
    """Rows as JSON that can stand inside a `script` element: nothing in it can end the element. NaN becomes null."""
    return orjson.dumps(deep(rows)).decode().translate(_ESCAPES)


def pair_rows(page: Page) -> list[dict[str, Any]]:
    """One flat row for each pair; `ratio` is the larger key ratio of its two sides."""
    links = _links([(pair.id, pair.file) for pair in page.pairs])
    return [
        {
            "id": pair.id, "file": pair.file, "link": link, "task": pair.task, "mistake": pair.mistake,
            "outcome": pair.outcome, "question": pair.question, "answer": pair.answer, "unit": pair.unit,
            "similarity": pair.similarity, "alike": _share(pair.similarity), "ratio": _ratio(pair),
            "right": _chain(pair.right), "wrong": _chain(pair.wrong),
        }
        for pair, link in zip(page.pairs, links, strict=True)
    ]  # fmt: skip


def outcome_rows(page: Page) -> list[dict[str, Any]]:
    """One row for each test question."""
    links = _links([(outcome.id, outcome.task) for outcome in page.outcomes])
    return [_outcome(outcome, link) for outcome, link in zip(page.outcomes, links, strict=True)]


def _outcome(outcome: Outcome, link: str) -> dict[str, Any]:
    return {
        "id": outcome.id, "link": link, "task": outcome.task, "question": outcome.question, "answer": outcome.answer,
        "answered": [
            {
                "method": one.method, "verdict": one.verdict, "prediction": one.prediction, "reason": one.reason,
                "text": one.text, "long": len(one.text) > LONG or one.text.count("\n") > LONG // 60,
            }
            for one in outcome.answered
        ],
    }  # fmt: skip


def _chain(chain: ChainView | None) -> dict[str, Any] | None:
    if chain is None:
        return None
    pieces = [[piece.text, piece.key + 2 * piece.begins] for piece in chain.pieces if piece.text]
    return {"pieces": pieces, "answer": chain.answer, "origin": chain.origin, "share": _share(chain.key_ratio)}


def _share(share: float | None) -> str | None:
    """Written here, as the script would round differently."""
    return None if share is None or not math.isfinite(share) else percent(share)


def _ratio(pair: PairView) -> float | None:
    found = [chain.key_ratio for chain in (pair.right, pair.wrong) if chain is not None and chain.key_ratio is not None]
    return max((one for one in found if math.isfinite(one)), default=None)


def _links(names: list[tuple[str, str]]) -> list[str]:
    """What stands behind `#pair=`: the id, and the file or task where ids are not unique, and a number at last."""
    times = Counter(one for one, _ in names)
    seen: dict[str, int] = {}
    found = []
    for one, place in names:
        link = quote(visible(one), safe="") + (f"&in={quote(visible(place), safe='')}" if times[one] > 1 else "")
        seen[link] = seen.get(link, 0) + 1
        found.append(link if seen[link] == 1 else f"{link}&n={seen[link]}")
    return found


def figures(page: Page) -> list[Figure]:
    """The few figures a reader wants first: questions, pairs, accuracies."""
    found = [
        Figure(name=funnel.steps[0].label, value=count(funnel.steps[0].count), detail=_asked_of(page, funnel))
        for funnel in page.funnels[:1]
        if funnel.steps
    ]
    if page.pairs_total or page.pairs:
        found.append(Figure(name="pairs", value=count(_aligned(page)), detail=_pairs_detail(page)))
    totals = [row for row in page.scores if row.task == "all (micro)"] or list(page.scores)
    for row in totals[:8]:
        where = row.task if len(totals) > len({one.method for one in totals}) else "accuracy"
        detail = f"{where}, 95 % from {percent(row.low)} to {percent(row.high)}" if row.low is not None else where
        found.append(Figure(name=row.method, value=percent(row.accuracy), detail=detail))
    return found


def score_rows(page: Page) -> list[ScoreRow]:
    """The scores, methods of one task together; tasks in the order in which they come first."""
    tasks = {task: place for place, task in enumerate(dict.fromkeys(row.task for row in page.scores))}
    return sorted(page.scores, key=lambda row: tasks[row.task])


def _asked_of(page: Page, funnel: Funnel) -> str:
    """What a funnel ends in; nothing where another one begins with the same questions."""
    return funnel.name if [one.steps[:1] for one in page.funnels].count(funnel.steps[:1]) == 1 else ""


def _aligned(page: Page) -> int:
    """Pairs that differ by the funnel, all pairs where it does not know that, or those of the section below."""
    counts = {step.label: step.count for funnel in page.funnels[:1] for step in funnel.steps}
    found = counts.get("aligned pairs that differ", counts.get("pairs"))
    return (page.pairs_total or len(page.pairs)) if found is None else found


def _pairs_detail(page: Page) -> str:
    if len(page.pairs) < page.pairs_total:
        return f"{count(len(page.pairs))} shown here"
    differ = any(step.label == "aligned pairs that differ" for funnel in page.funnels[:1] for step in funnel.steps)
    return "right and wrong chains that differ" if differ else "right and wrong chains"
