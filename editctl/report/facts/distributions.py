"""Similarity and key ratios by file, task and mistake pattern. Values are counted, not kept: memory stays flat."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from editctl.records import Alignment
from editctl.report.page.model import Distribution

BINS = 20
ALL = "all"
"""Task and mistake of a distribution over all groups of a file."""
MEASURES = ("similarity", "key ratio (right)", "key ratio (wrong)")
_DIGITS = 4
"""As alignments round: so at most 10,001 values can be told apart."""
_UNIT = 10_000

Group = tuple[str, str]
"""Task and mistake pattern, as `align` groups them."""


@dataclass(slots=True)
class Shares:
    """How often each value between 0 and 1 was seen, in ten-thousandths."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        """Count one value; what lies outside of 0 to 1 counts as the nearer end."""
        self.counts[min(max(round(value * _UNIT), 0), _UNIT)] += 1

    def over(self) -> "Ordered":
        """The values in order, to take figures of."""
        return Ordered(sorted(self.counts.items()))


class Ordered:
    """Counted values in ascending order."""

    def __init__(self, items: list[tuple[int, int]]) -> None:
        self.items = items
        self.n = sum(count for _, count in items)

    def mean(self) -> float:
        """The arithmetic mean."""
        return round(sum(value * count for value, count in self.items) / self.n / _UNIT, _DIGITS)

    def point(self, tenths: int) -> float:
        """A quantile between the lowest and the highest value, as `statistics.quantiles` has it (inclusive)."""
        place, part = divmod(tenths * (self.n - 1), 10)
        low, high = self._at(place), self._at(min(place + 1, self.n - 1))
        return round((low * (10 - part) + high * part) / 10 / _UNIT, _DIGITS)

    def _at(self, place: int) -> int:
        for value, count in self.items:
            if place < count:
                return value
            place -= count
        raise IndexError(place)

    def bins(self) -> tuple[int, ...]:
        """Counts of equal bins from 0 to 1; 1 itself lies in the last."""
        found = [0] * BINS
        for value, count in self.items:
            found[min(value * BINS // _UNIT, BINS - 1)] += count
        return tuple(found)


@dataclass(slots=True)
class Distributions:
    """All distributions of a report, counted file by file."""

    shares: dict[str, dict[Group, tuple[Shares, ...]]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, file: str, alignment: Alignment) -> None:
        """Count one alignment; one without edits counts nowhere."""
        dual, edits = alignment.dual, alignment.edits
        if edits is None or dual.wrong is None:
            return
        group = (dual.question.task or "-", dual.wrong.mistake or dual.wrong.origin)
        cells = self.shares[file].setdefault(group, tuple(Shares() for _ in MEASURES))
        for cell, value in zip(cells, (edits.similarity, *edits.key_ratio), strict=True):
            cell.add(value)

    def records(self) -> tuple[Distribution, ...]:
        """By file and measure: all groups together where there are several, then each by itself."""
        return tuple(self._records())

    def _records(self) -> Iterator[Distribution]:
        for file, groups in self.shares.items():
            for number, measure in enumerate(MEASURES):
                cells = {group: cells[number] for group, cells in sorted(groups.items())}
                if len(cells) > 1:
                    whole = sum((cell.counts for cell in cells.values()), Counter[int]())
                    yield _record(measure, file, (ALL, ALL), Shares(whole))
                yield from (_record(measure, file, group, cell) for group, cell in cells.items())


def _record(measure: str, file: str, group: Group, shares: Shares) -> Distribution:
    ordered = shares.over()
    return Distribution(
        measure=measure,
        file=file,
        task=group[0],
        mistake=group[1],
        n=ordered.n,
        mean=ordered.mean(),
        p10=ordered.point(1),
        median=ordered.point(5),
        p90=ordered.point(9),
        bins=ordered.bins(),
    )
