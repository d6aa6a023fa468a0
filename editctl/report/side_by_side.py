"""Two chains broken in parallel, so that steps which say the same stand beside each other. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, zip_longest

from editctl.records import Span
from editctl.steps import step_spans
from editctl.words import word_spans

Row = tuple[Span | None, Span | None]
"""Parts of the right and of the wrong chain that share a row."""
_ALIKE = 0.4
"""Share of common words from which two steps are taken for versions of one."""
_MOST_COMPARED = 40_000
"""Pairs of steps that are worth comparing; beyond, steps are set beside each other as they come."""


def rows(right: str, wrong: str) -> list[Row]:
    """The rows of a table of two columns; each side's spans together are its whole text.

    Steps end at sentence and line ends. Steps are matched in order so that they share the most words; between two
    matches, what is left of both sides is set beside each other as it comes.
    """
    ours, theirs = steps(right), steps(wrong)
    found = _matches([_words(right, step) for step in ours], [_words(wrong, step) for step in theirs])
    table: list[Row] = []
    first = second = 0
    for one, other in [*found, (len(ours), len(theirs))]:
        table += zip_longest(ours[first:one], theirs[second:other])
        if one < len(ours):
            table.append((ours[one], theirs[other]))
        first, second = one + 1, other + 1
    return table


def steps(text: str) -> list[Span]:
    """Sentences and lines, with the white space around them; together they are the text."""
    starts = [start for start, _ in step_spans(text)][1:]
    cuts = [0, *(_line_start(text, start) for start in starts), len(text)]
    return [(start, end) for start, end in pairwise(cuts) if start < end]


def _line_start(text: str, start: int) -> int:
    """Where a step's line begins, when only its indentation stands before the step; else where the step begins."""
    line = text.rfind("\n", 0, start) + 1
    return start if text[line:start].strip() else line


def _words(text: str, step: Span) -> Counter[str]:
    inside = text[slice(*step)]
    return Counter(inside[slice(*word)] for word in word_spans(inside))


def _matches(ours: Sequence[Counter[str]], theirs: Sequence[Counter[str]]) -> list[tuple[int, int]]:
    """Numbers of matching steps, ascending on both sides: the choice of the largest sum of likeness."""
    if len(ours) * len(theirs) > _MOST_COMPARED:
        return []
    best = [[0.0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    likeness = [[_likeness(one, other) for other in theirs] for one in ours]
    for one in reversed(range(len(ours))):
        for other in reversed(range(len(theirs))):
            both = best[one + 1][other + 1] + likeness[one][other]
            best[one][other] = max(both, best[one + 1][other], best[one][other + 1])
    return _walked(best, likeness)


def _walked(best: list[list[float]], likeness: list[list[float]]) -> list[tuple[int, int]]:
    found, one, other = [], 0, 0
    while one < len(likeness) and other < len(likeness[one]):
        if likeness[one][other] and best[one][other] == best[one + 1][other + 1] + likeness[one][other]:
            found.append((one, other))
            one, other = one + 1, other + 1
        elif best[one][other] == best[one + 1][other]:
            one += 1
        else:
            other += 1
    return found


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """Share of common words; 0 where it is too small to mean anything."""
    share = 2 * (one & other).total() / max(one.total() + other.total(), 1)
    return share if share >= _ALIKE else 0.0
