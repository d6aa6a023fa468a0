"""Dual chains in, alignments out, and the figures of the whole file."""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any

from editctl.align.aligner import Aligner
from editctl.answers.conclusion import find_conclusion
from editctl.keysteps import same_reason
from editctl.records import Alignment, DualChain, Edits, Span

TOGETHER = 128
"""Pairs that are aligned at once."""
KEY_RATIO_LIMITS = (0.2, 0.3, 0.5)
SIMILARITY_LIMITS = (0.5, 0.7, 0.8)
"""Limits that are tried on every pair, so that a recipe's `max-key-ratio` and `min-similarity` can be chosen."""

Values = Counter[float]
"""How often each value occurs. Values have four digits, so this stays small for any number of pairs."""
Group = tuple[str, str]
"""Task and mistake pattern."""


def align(duals: Iterable[DualChain], aligner: Aligner) -> Iterator[Alignment]:
    """One alignment for each dual chain, in order; without edits where a side is missing."""
    rest = iter(duals)
    while some := list(islice(rest, TOGETHER)):
        yield from align_together(some, aligner)


def align_together(duals: Sequence[DualChain], aligner: Aligner) -> list[Alignment]:
    """As `align`, all at once."""
    pairs = [(dual.right.text, dual.wrong.text) for dual in duals if dual.right and dual.wrong]
    found = iter(aligner.many(pairs))
    return [Alignment(dual=dual, edits=next(found) if dual.right and dual.wrong else None) for dual in duals]


@dataclass(slots=True)
class Figures:
    """Distributions of what was aligned, by task and mistake pattern. Its size does not grow with the pairs."""

    outcomes: Counter[str] = field(default_factory=Counter)
    similarity: dict[Group, Values] = field(default_factory=lambda: defaultdict(Counter))
    key_ratio: dict[Group, Values] = field(default_factory=lambda: defaultdict(Counter))
    """Of the right chains."""
    key_ratio_wrong: dict[Group, Values] = field(default_factory=lambda: defaultdict(Counter))
    largest_key_ratio: Values = field(default_factory=Counter)
    """Of either side: what `max-key-ratio` is held against."""
    in_conclusion: int = 0
    """Key characters of the right chains that lie in the conclusion sentence."""
    key_characters: int = 0

    def add(self, alignment: Alignment) -> None:
        """Count one alignment."""
        dual, edits = alignment.dual, alignment.edits
        self.outcomes[outcome_of(alignment)] += 1
        if edits is None or dual.wrong is None or dual.right is None:
            return
        group = (dual.question.task or "-", dual.wrong.mistake or dual.wrong.origin)
        right, wrong = edits.key_ratio
        for values, value in (
            (self.similarity[group], edits.similarity),
            (self.key_ratio[group], right),
            (self.key_ratio_wrong[group], wrong),
            (self.largest_key_ratio, max(right, wrong)),
        ):
            values[value] = values.get(value, 0) + 1  # a counter asks Python for each value it does not hold
        self._conclusion(dual.right.text, edits)

    def _conclusion(self, text: str, edits: Edits) -> None:
        conclusion = find_conclusion(text) if edits.right else None
        self.key_characters += sum([end - start for start, end in edits.right])
        if conclusion is not None:
            self.in_conclusion += _overlap(edits.right, conclusion.start, conclusion.end)

    def merge(self, other: "Figures") -> None:
        """Add what was counted elsewhere."""
        self.outcomes += other.outcomes
        for mine, theirs in (
            (self.similarity, other.similarity),
            (self.key_ratio, other.key_ratio),
            (self.key_ratio_wrong, other.key_ratio_wrong),
        ):
            for group, values in theirs.items():
                mine[group].update(values)
        self.largest_key_ratio.update(other.largest_key_ratio)
        self.in_conclusion += other.in_conclusion
        self.key_characters += other.key_characters

    def render(self) -> dict[str, Any]:
        """All figures, for the manifest."""
        similarity = _all(self.similarity)
        return {
            "counts": dict(self.outcomes),
            "similarity": quantiles(similarity),
            "key_ratio": quantiles(_all(self.key_ratio)),
            "key_ratio_wrong": quantiles(_all(self.key_ratio_wrong)),
            "limits": {
                "over_max_key_ratio": _beyond(self.largest_key_ratio, KEY_RATIO_LIMITS, above=True),
                "under_min_similarity": _beyond(similarity, SIMILARITY_LIMITS, above=False),
            },
            "key_share_in_conclusion": round(self.in_conclusion / self.key_characters, 4)
            if self.key_characters
            else None,
            "groups": [
                {
                    "task": group[0],
                    "mistake": group[1],
                    "similarity": quantiles(values),
                    "key_ratio": quantiles(self.key_ratio[group]),
                    "key_ratio_wrong": quantiles(self.key_ratio_wrong[group]),
                }
                for group, values in sorted(self.similarity.items())
            ],
        }


def outcome_of(alignment: Alignment) -> str:
    """pair, no-wrong-chain, no-right-chain, or why the pair shows no difference."""
    dual = alignment.dual
    if dual.right is None:
        return "no-right-chain"
    if dual.wrong is None:
        return "no-wrong-chain"
    return dual.reason or (same_reason(dual) if alignment.edits and not alignment.edits.distance else "pair")


def _overlap(spans: Sequence[Span], start: int, end: int) -> int:
    """Characters of the spans that lie between two places. The spans are in order."""
    found = 0
    for first, last in reversed(spans):  # conclusions stand at the end
        if last <= start:
            break
        found += max(0, min(last, end) - max(first, start))
    return found


def _all(groups: Mapping[Group, Values]) -> Values:
    return sum(groups.values(), Counter())


def _beyond(values: Values, limits: Sequence[float], *, above: bool) -> dict[str, int]:
    """How many values lie beyond each limit."""
    return {
        f"{limit:g}": sum(count for value, count in values.items() if (value > limit if above else value < limit))
        for limit in limits
    }


def quantiles(values: Values) -> dict[str, float] | None:
    """n, mean and the 10, 50 and 90 per cent points, with straight lines between the values."""
    if not values:
        return None
    ordered = sorted(values.items())
    up_to = list(accumulate(count for _, count in ordered))
    total = up_to[-1]

    def at(share: float) -> float:
        place, rest = divmod(share * (total - 1), 1)
        low, high = (_nth(ordered, up_to, min(int(place) + step, total - 1)) for step in (0, 1))
        return low + (high - low) * rest

    mean = math.fsum(value * count for value, count in ordered) / total
    points = {"mean": mean, "p10": at(0.1), "median": at(0.5), "p90": at(0.9)}
    return {"n": total, **{name: round(value, 4) for name, value in points.items()}}


def _nth(ordered: Sequence[tuple[float, int]], up_to: Sequence[int], place: int) -> float:
    """The value at a place of all values in order."""
    return ordered[bisect_right(up_to, place)][0]
