"""Flagged units against truly key ones: counts, precision, recall, F1 and their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from key_steps_truth import TRUTHS, Marked, Truth

from editctl.align.edits import key_units
from editctl.align.steps import key_units_by_steps
from editctl.align.units import Cutter, Units
from editctl.keysteps import Control, in_first_step, outside_conclusion, side_weighing
from editctl.words import joined, touching, word_spans

PARTS = ("outside the conclusion", "first changed step")
RESAMPLES = 2000
SEED = 20_240_607
SIDES = ("right", "wrong")
METRICS = ("precision", "recall", "f1")
Counts = Any
"""Units by side, truth, and whether they are flagged and truly key, flagged only, truly key only: a 2 x 2 x 3 array."""


@dataclass(frozen=True, slots=True)
class Flagged:
    """What an alignment flags in a pair."""

    units: tuple[Units, Units]
    keys: tuple[Sequence[int], Sequence[int]]
    similarity: float

    @property
    def key_ratio(self) -> float:
        """The larger share of key units of the two sides, which `max-key-ratio` looks at."""
        return max(len(keys) / max(1, len(units.values)) for keys, units in zip(self.keys, self.units, strict=True))


def flag(texts: tuple[str, str], cut: Cutter, match: str) -> Flagged:
    """Align two texts in the units of `cut`, all at once (`units`) or steps first (`steps`)."""
    sides = cut(texts[0]), cut(texts[1])
    if match == "steps":
        edits, *keys = key_units_by_steps(texts, sides)
    else:
        edits, *keys = key_units(sides[0].values, sides[1].values)
    longest = max(len(side.values) for side in sides)
    return Flagged(sides, (keys[0], keys[1]), 1 - edits / longest if longest else 1.0)


def counts_of(flagged: Flagged, truth: Truth) -> Counts:
    """How the flagged units of both sides meet both truths; a unit is truly key when a true span touches it."""
    return np.array(
        [
            [_met({units.spans[key] for key in keys}, units.spans, side, marks) for marks in TRUTHS.values()]
            for units, keys, side in zip(flagged.units, flagged.keys, (truth.right, truth.wrong), strict=True)
        ]
    )


def control_counts(flagged: Flagged, truth: Truth, control: Control, seed: str) -> Counts:
    """The same for a control in the place of the flagged units, which are words."""
    found = []
    for units, keys, side in zip(flagged.units, flagged.keys, (truth.right, truth.wrong), strict=True):
        spans = joined([units.spans[key] for key in keys])
        weighing = side_weighing(side.text, spans, control, seed=seed)
        words = word_spans(side.text)
        chosen = set(touching(words, weighing.spans)) if weighing else set()
        found.append([_met(chosen, words, side, marks) for marks in TRUTHS.values()])
    return np.array(found)


def narrowed_counts(flagged: Flagged, truth: Truth, part: str) -> Counts:
    """The same for some of the flagged words: `outside the conclusion`, or of the `first changed step` of each side."""
    found = []
    for units, keys, side in zip(flagged.units, flagged.keys, (truth.right, truth.wrong), strict=True):
        spans = tuple(units.spans[key] for key in keys)
        narrow = in_first_step if part == "first changed step" else outside_conclusion
        chosen = set(touching(spans, narrow(side.text, spans)))
        found.append([_met(chosen, units.spans, side, marks) for marks in TRUTHS.values()])
    return np.array(found)


def _met(flagged: set[tuple[int, int]], units: Sequence[tuple[int, int]], side: Marked, marks: str) -> list[int]:
    true = set(touching(units, side.spans(marks)))
    return [len(flagged & true), len(flagged - true), len(true - flagged)]


def metrics(counts: Any) -> Any:
    """Precision, recall and F1 of pooled counts (..., 3): of nothing flagged, or nothing to find, 0 where it matters.

    Precision is that of all flagged units together, not a mean over questions; a side on which there is nothing to
    find (a step left out) counts its flagged units as wrong ones.
    """
    both, flagged_only, true_only = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = both / (both + flagged_only), both / (both + true_only)
        f1 = 2 * both / (2 * both + flagged_only + true_only)
    return np.nan_to_num(np.stack([precision, recall, f1], axis=-1))


@cache
def _weights(questions: int) -> Any:
    """How often each question is drawn, RESAMPLES times: the same for all figures of as many questions."""
    generator = np.random.default_rng(SEED)
    return generator.multinomial(questions, [1 / questions] * questions, size=RESAMPLES).astype(float)


def resampled(counts_Q: Any) -> Any:
    """Pooled counts of resampled questions: (RESAMPLES, ...) of (questions, ...)."""
    counts_Q = np.asarray(counts_Q, dtype=float)
    flat = counts_Q.reshape(len(counts_Q), -1)
    return (_weights(len(counts_Q)) @ flat).reshape(RESAMPLES, *counts_Q.shape[1:])


def figures(counts_Q: Any) -> dict[str, Any]:
    """All figures of questions' counts (questions, side, truth, 3), each with its 95 % interval.

    By side (`both`: of the two together) and truth; each figure is `[value, low, high]`.
    """
    counts_Q = np.asarray(counts_Q)
    points, draws = _sided(counts_Q.sum(axis=0)), _sided(resampled(counts_Q))
    lows, highs = np.quantile(draws, [0.025, 0.975], axis=0)
    return {
        side: {
            truth: {
                name: [round(float(values[s, t, m]), 4) for values in (points, lows, highs)]
                for m, name in enumerate(METRICS)
            }
            for t, truth in enumerate(TRUTHS)
        }
        for s, side in enumerate((*SIDES, "both"))
    }


def difference(counts_Q: Any, others_Q: Any) -> dict[str, list[float]]:
    """F1 of both sides less that of others on the same questions, by truth, with its paired 95 % interval."""
    point = _f1(np.asarray(counts_Q).sum(axis=0)) - _f1(np.asarray(others_Q).sum(axis=0))
    draws = _f1(resampled(counts_Q)) - _f1(resampled(others_Q))
    lows, highs = np.quantile(draws, [0.025, 0.975], axis=0)
    return {truth: [round(float(values[at]), 4) for values in (point, lows, highs)] for at, truth in enumerate(TRUTHS)}


def _f1(counts: Any) -> Any:
    return metrics(counts.sum(axis=-3))[..., 2]


def _sided(counts: Any) -> Any:
    """Metrics by side, with both together as the third."""
    return metrics(np.concatenate([counts, counts.sum(axis=-3, keepdims=True)], axis=-3))
