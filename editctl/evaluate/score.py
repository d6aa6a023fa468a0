"""Predictions -> scores. Pure: no model, no files. A question without an answer is never right, and is counted."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from editctl.records import Prediction

LEVEL = 0.95


@dataclass(slots=True)
class Cell:
    """Counts of one task."""

    n: int = 0
    correct: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Unanswered questions by reason."""
    tokens: int = 0

    def add(self, prediction: Prediction) -> None:
        """Count one prediction."""
        self.n += 1
        self.correct += prediction.verdict == "right"
        self.tokens += prediction.tokens or 0
        if prediction.verdict == "none":
            self.reasons[prediction.reason or "unread"] += 1

    @property
    def accuracy(self) -> float:
        """Share of right answers among all questions."""
        return self.correct / self.n

    @property
    def unanswered(self) -> int:
        """Questions without an answer that can be read."""
        return sum(self.reasons.values())


def score(predictions: Iterable[Prediction]) -> dict[str, Any]:
    """All figures, as `--json` prints them.

    `interval` is the 95 % Wilson interval of the micro accuracy; `macro_interval` is the normal interval of the mean
    over tasks, each task a stratum.
    """
    cells: dict[str, Cell] = defaultdict(Cell)
    for prediction in predictions:
        cells[prediction.question.task or "-"].add(prediction)
    total = _sum(cells.values())
    figures = _figures(total)
    figures["accuracy"]["macro"] = _round(sum(cell.accuracy for cell in cells.values()) / len(cells))
    figures["macro_interval"] = _macro_interval(list(cells.values()))
    figures["interval_kind"] = "Wilson 95 % (micro and by task); stratified normal 95 % (macro)"
    figures["tasks"] = {task: _figures(cell) for task, cell in sorted(cells.items())}
    return figures


def _sum(cells: Iterable[Cell]) -> Cell:
    total = Cell()
    for cell in cells:
        total.n += cell.n
        total.correct += cell.correct
        total.tokens += cell.tokens
        total.reasons.update(cell.reasons)
    return total


def _figures(cell: Cell) -> dict[str, Any]:
    return {
        "n": cell.n,
        "correct": cell.correct,
        "unanswered": cell.unanswered,
        "accuracy": {"micro": _round(cell.accuracy), "macro": _round(cell.accuracy)},
        "interval": wilson(cell.correct, cell.n),
        "reasons": dict(cell.reasons.most_common()),
        "tokens_per_question": round(cell.tokens / cell.n, 1),
    }


def wilson(correct: int, n: int) -> list[float]:
    """95 % Wilson score interval of a share."""
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return [_round(interval.low), _round(interval.high)]


def _macro_interval(cells: list[Cell]) -> list[float]:
    from scipy.stats import norm

    mean = sum(cell.accuracy for cell in cells) / len(cells)
    # Shares are pulled towards one half (Agresti and Coull), so that a task at 0 or 100 % keeps some width.
    adjusted = [((cell.correct + 2) / (cell.n + 4), cell.n + 4) for cell in cells]
    variance = sum(share * (1 - share) / n for share, n in adjusted) / len(cells) ** 2
    half = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt(variance)
    return [_round(max(0.0, mean - half)), _round(min(1.0, mean + half))]


def _round(value: float) -> float:
    return round(float(value), 4)
