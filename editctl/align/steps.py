"""Step-first alignment: steps are matched, then units are compared inside the matched steps that changed. Pure.

Two steps are matched by how alike their words are: in order, or in any order where that gains more than it crosses,
so that a step that only stands elsewhere is no difference. Numbering at the beginning of matched steps is not compared,
and white space is never. A step without a counterpart is key as a whole.

Comparing each step with each takes time and memory for every pair of them. Where that is more than `MOST_CELLS`, equal
steps are matched first, in order, and only what stands between two of them is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rapidfuzz.distance import Indel, Levenshtein
from rapidfuzz.process import cdist

from editctl.align.edits import key_units
from editctl.align.units import Units
from editctl.records import Span
from editctl.steps import label_span, step_spans
from editctl.words import word_spans

LEAST_ALIKE = 0.3
"""Similarity below which two steps are not the same step told differently."""
CROSSING = 0.2
"""What two matches that cross cost, in similarity: more than steps of one form resemble each other by chance."""
MOVED_ALIKE = 0.7
"""Similarity that both of two matches that cross have. What is less alike rather is a mistake than a step moved: `This
statement is ironic` said of the other statement."""
MOST_CELLS = 1_000_000
"""Pairs of steps (steps of one side times those of the other) that are compared at once. Of more steps without an equal
one among them none is matched."""
_EQUAL = 1e-9

Match = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Side:
    """One text, by its steps."""

    bodies: tuple[str, ...]
    """Each step without numbering, white space made single spaces."""
    values: tuple[str, ...]
    """The characters of each unit; those of a step's first and last one without the white space around them."""
    whole: tuple[list[int], ...]
    """Positions of each step's units."""
    inside: tuple[list[int], ...]
    """The same without those of the numbering."""


def steps(text: str) -> Units:
    """Each step of a text as a unit."""
    spans = step_spans(text)
    return Units(tuple(text[start:end] for start, end in spans), spans)


def key_units_by_steps(texts: tuple[str, str], sides: tuple[Units, Units]) -> tuple[int, list[int], list[int]]:
    """Edits made, and the positions of the key units of the right and of the wrong side, ascending.

    Units are compared by the characters they cover; white space at the borders of a step counts for nothing, so that a
    token is the same at the beginning of the text and after a space. Edits are as many as it takes to put the key
    units of one side in place of the other's. Swapping the sides swaps the result.
    """
    right, wrong = (_side(text, units) for text, units in zip(texts, sides, strict=True))
    key_right, key_wrong = _compared(right, wrong, _matched_both_ways(right.bodies, wrong.bodies))
    return max(len(key_right), len(key_wrong)), key_right, key_wrong


def matched_steps(right: str, wrong: str) -> list[tuple[Span, Span]]:
    """Where the steps stand that are the same step, told the same or differently, in the order of the right text."""
    spans = step_spans(right), step_spans(wrong)
    bodies = [
        _bodies(text, own, [label_span(text, span) for span in own])
        for text, own in zip((right, wrong), spans, strict=True)
    ]
    return [(spans[0][one], spans[1][other]) for one, other in _matched_both_ways(bodies[0], bodies[1])]


def _side(text: str, units: Units) -> _Side:
    spans = step_spans(text)
    labels = [label_span(text, span) for span in spans]
    whole: tuple[list[int], ...] = tuple([] for _ in spans)
    inside: tuple[list[int], ...] = tuple([] for _ in spans)
    values = [text[start:end] for start, end in units.spans]
    at = 0
    for position, (start, end) in enumerate(units.spans):
        shown = values[position].lstrip()
        if not shown:
            continue
        seen = end - len(shown)
        while seen >= spans[at][1]:
            at += 1
        whole[at].append(position)
        if start >= labels[at][1] or seen + len(shown.rstrip()) > labels[at][1]:
            inside[at].append(position)
    for border in {position for step in inside if step for position in (step[0], step[-1])}:
        values[border] = values[border].strip()
    return _Side(_bodies(text, spans, labels), tuple(values), whole, inside)


def _bodies(text: str, spans: Sequence[Span], labels: Sequence[Span]) -> tuple[str, ...]:
    return tuple(" ".join(text[label[1] : span[1]].split()) for span, label in zip(spans, labels, strict=True))


def _compared(right: _Side, wrong: _Side, matches: Sequence[Match]) -> tuple[list[int], list[int]]:
    """Positions of the key units of both sides."""
    left_right, left_wrong = set(range(len(right.bodies))), set(range(len(wrong.bodies)))
    key_right: list[int] = []
    key_wrong: list[int] = []
    for one, other in matches:
        left_right.discard(one)
        left_wrong.discard(other)
        if right.bodies[one] == wrong.bodies[other]:
            continue
        units_right, units_wrong = right.inside[one], wrong.inside[other]
        _, found_right, found_wrong = key_units(
            [right.values[unit] for unit in units_right], [wrong.values[unit] for unit in units_wrong]
        )
        key_right += [units_right[place] for place in found_right]
        key_wrong += [units_wrong[place] for place in found_wrong]
    key_right += [unit for step in left_right for unit in right.whole[step]]
    key_wrong += [unit for step in left_wrong for unit in wrong.whole[step]]
    return sorted(key_right), sorted(key_wrong)


def _matched_both_ways(right: tuple[str, ...], wrong: tuple[str, ...]) -> list[Match]:
    """Which step is which, by their places; the same from either side."""
    if wrong < right:
        return sorted((two, one) for one, two in _matched(wrong, right))
    return sorted(_matched(right, wrong))


def _matched(first: Sequence[str], second: Sequence[str]) -> list[Match]:
    """Common beginning, common end, and what goes best together in between. Not symmetric where several do equally."""
    shorter = min(len(first), len(second))
    head = next((at for at in range(shorter) if first[at] != second[at]), shorter)
    tail = next((at for at in range(shorter - head) if first[-1 - at] != second[-1 - at]), shorter - head)
    ends = len(first) - tail, len(second) - tail
    matches = [(at, at) for at in range(head)]
    matches += [(head + one, head + other) for one, other in _assigned(first[head : ends[0]], second[head : ends[1]])]
    return matches + [(ends[0] + at, ends[1] + at) for at in range(tail)]


def _assigned(first: Sequence[str], second: Sequence[str]) -> list[Match]:
    """What goes best together; by equal steps first where there are too many to compare each with each."""
    if not first or not second:
        return []
    if len(first) == len(second) == 1:
        return [(0, 0)]
    return _best(first, second) if len(first) * len(second) <= MOST_CELLS else _around_equal(first, second)


def _around_equal(first: Sequence[str], second: Sequence[str]) -> list[Match]:
    """Equal steps in order, and what goes best together between each two of them where that is few enough."""
    numbers: dict[str, int] = {}
    cut = [[numbers.setdefault(step, len(numbers)) for step in side] for side in (first, second)]
    matches: list[Match] = []
    one = other = 0
    for start, other_start, size in Levenshtein.opcodes(*cut).as_matching_blocks():  # the last one is the end, empty
        between = first[one:start], second[other:other_start]
        if len(between[0]) * len(between[1]) <= MOST_CELLS:
            matches += [(one + left, other + right) for left, right in _assigned(*between)]
        matches += [(start + at, other_start + at) for at in range(size)]
        one, other = start + size, other_start + size
    return matches


def _best(first: Sequence[str], second: Sequence[str]) -> list[Match]:
    """The better of two: matches in order, and matches in any order at a price for each two that cross."""
    from scipy.optimize import linear_sum_assignment  # takes a third of a second to load

    alike = _similarities(first, second)
    worth = np.where(alike >= LEAST_ALIKE, alike, 0.0)
    crossing = zip(*linear_sum_assignment(worth, maximize=True), strict=True)
    free = [(int(one), int(other)) for one, other in crossing if worth[one, other]]
    straight = _in_order(worth)
    return free if _value(free, worth) > _value(straight, worth) + _EQUAL else straight


def _in_order(worth: Any) -> list[Match]:
    """Matches that do not cross and are worth most together, by dynamic programming."""
    best = np.zeros((worth.shape[0] + 1, worth.shape[1] + 1))
    for row, values in enumerate(worth):
        np.maximum.accumulate(np.maximum(best[row, 1:], best[row, :-1] + values), out=best[row + 1, 1:])
    one, other = worth.shape
    matches: list[Match] = []
    while one and other:
        value = worth[one - 1, other - 1]
        if value and best[one, other] == best[one - 1, other - 1] + value:
            one, other = one - 1, other - 1
            matches.append((one, other))
        elif best[one, other] == best[one - 1, other]:
            one -= 1
        else:
            other -= 1
    return matches[::-1]


def _value(matches: Sequence[Match], worth: Any) -> float:
    """What the matches are worth less what they cross; below any other where two that cross are not nearly the same."""
    alike = np.array([worth[match] for match in matches])
    others = np.array([other for _, other in matches], dtype=int)
    crossed = np.triu(others[:, None] > others[None, :])
    if np.any(crossed & (np.minimum(alike[:, None], alike[None, :]) < MOVED_ALIKE)):
        return -1.0
    return float(alike.sum() - CROSSING * crossed.sum())


def _similarities(first: Sequence[str], second: Sequence[str]) -> Any:
    """How alike the words of each pair are: twice the longest common subsequence over all words."""
    # rapidfuzz compares hashes of what is no character or small number: numbers make that exact.
    numbers: dict[str, int] = {}
    cut = [
        [[numbers.setdefault(text[start:end], len(numbers)) for start, end in word_spans(text)] for text in side]
        for side in (first, second)
    ]
    return cdist(*cut, scorer=Indel.normalized_similarity, dtype=float)
