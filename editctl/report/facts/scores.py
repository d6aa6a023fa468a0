"""Figures of scores and comparisons, as `score --json` has them, turned into rows. Works out nothing of its own."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from editctl.report.page.model import Comparison, ScoreRow

MICRO, MACRO = "all (micro)", "all (macro)"
ALL_PAIRS = 4
"""Most methods of which each is compared with each."""


def score_rows(method: str, figures: Mapping[str, Any]) -> tuple[ScoreRow, ...]:
    """A method's totals, then its tasks. Of several runs the interval is the one over questions and runs."""
    tasks = figures["tasks"]
    interval = (figures.get("runs") or figures)["interval"]
    return (
        _row(method, MICRO, figures, "micro", interval),
        _row(method, MACRO, figures, "macro", figures["macro_interval"]),
        *(_row(method, task, own, "micro", own["interval"]) for task, own in tasks.items()),
    )


def _row(method: str, task: str, figures: Mapping[str, Any], mean: str, interval: Sequence[float] | None) -> ScoreRow:
    low, high = interval or (None, None)
    return ScoreRow(
        method=method,
        task=task,
        n=figures["n"],
        correct=figures["correct"],
        accuracy=figures["accuracy"][mean],
        low=low,
        high=high,
        unanswered=figures["unanswered"],
        failed=figures["failed"],
        tokens=figures["tokens_per_question"],
    )


def comparison(method: str, baseline: str, figures: Mapping[str, Any]) -> Comparison:
    """Two methods."""
    low, high = figures["interval"]
    return Comparison(
        method=method,
        baseline=baseline,
        n=figures["n"],
        difference=figures["difference"]["micro"],
        low=low,
        high=high,
        p=figures["p"],
        won=figures["won"],
        lost=figures["lost"],
        summary=f"{method}, beside {baseline}: {figures['summary']}",
    )


def compared(count: int, baseline: int | None) -> list[tuple[int, int]]:
    """Which methods are compared, as method and baseline.

    Without a baseline of the user's: of few methods each with each one before it, of many each with the first.
    """
    if baseline is None and count <= ALL_PAIRS:
        return [(later, first) for first, later in combinations(range(count), 2)]
    first = baseline or 0
    return [(number, first) for number in range(count) if number != first]
