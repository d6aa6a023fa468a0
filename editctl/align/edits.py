"""Minimum edit distance between two chains, as character spans. Pure.

Unit-cost Levenshtein over the responses only (EDIT, ACL 2025, section 3.3): no prompt, no padding, no end token. A unit
of the right chain is key where it is replaced or deleted on the way to the wrong chain, one of the wrong chain where
it is replaced or inserted. Both sides come from the same alignment.

Among the minimal alignments the choice is fixed: the common beginning and the common end are matched first, the rest
is rapidfuzz's choice, made on the two sides in a fixed order (fewer units first; of equally many, the side whose first
unit that differs comes first in Python's spelling), so that swapping the chains swaps the spans. It depends on nothing
but which units are equal: not on hash seeds, and not on how units are numbered.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein, MatchingBlock

from editctl.align.units import Cutter, Units
from editctl.records import Edits, Match, Span
from editctl.words import joined

Keys = tuple[int, list[int], list[int]]
"""Edits made, and the places of the key units of the right and of the wrong side, ascending."""


def align_texts(right: str, wrong: str, cut: Cutter, unit: str, tokenizer: str | None) -> Edits:
    """Where two texts part, by the fewest edits of all their units."""
    sides = cut(right), cut(wrong)
    return edits_of_keys(sides, key_units(sides[0].values, sides[1].values), unit, tokenizer)


def edits_of_keys(
    sides: tuple[Units, Units], keys: Keys, unit: str, tokenizer: str | None, match: Match = "units"
) -> Edits:
    """The record of an alignment, from the places of the key units of both sides."""
    distance, key_right, key_wrong = keys
    lengths = len(sides[0].values), len(sides[1].values)
    counts = len(key_right), len(key_wrong)
    spans = _spans(sides[0], key_right), _spans(sides[1], key_wrong)
    return make_edits(distance, counts, lengths, spans, unit=unit, tokenizer=tokenizer, match=match)


def make_edits(
    distance: int,
    counts: tuple[int, int],
    lengths: tuple[int, int],
    spans: tuple[tuple[Span, ...], tuple[Span, ...]],
    *,
    unit: str,
    tokenizer: str | None,
    match: Match = "units",
) -> Edits:
    """The record of an alignment. `counts` are the key units of each side, `lengths` all its units."""
    longest = max(lengths)
    return Edits(
        unit=unit,
        tokenizer=tokenizer,
        right=spans[0],
        wrong=spans[1],
        distance=distance,
        similarity=round(1 - distance / longest, 4) if longest else 1.0,
        key_ratio=(_ratio(counts[0], lengths[0]), _ratio(counts[1], lengths[1])),
        match=match,
    )


def key_units(right: Sequence[object], wrong: Sequence[object]) -> Keys:
    """Distance, and the positions of the key units of each side, ascending."""
    # rapidfuzz compares hashes of what is no character or small number: numbers make that exact.
    numbers: dict[object, int] = {}
    first = [numbers.setdefault(value, len(numbers)) for value in right]
    second = [numbers.setdefault(value, len(numbers)) for value in wrong]
    swapped = comes_first(wrong, right)
    distance, blocks = matching_blocks(second, first) if swapped else matching_blocks(first, second)
    one, other = (
        _outside((block.a, block.size) for block in blocks),
        _outside((block.b, block.size) for block in blocks),
    )
    return (distance, other, one) if swapped else (distance, one, other)


def matching_blocks(first: Any, second: Any) -> tuple[int, list[MatchingBlock]]:
    """The fewest edits from one side to the other, and the blocks of units that they leave alone, in order.

    The last block is empty and stands at both ends. Units are small numbers or characters.
    """
    edits = Levenshtein.editops(first, second)
    return len(edits), edits.as_matching_blocks()


def comes_first(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether the first of two sides stands before the second in the fixed order."""
    if len(one) != len(other):
        return len(one) < len(other)
    differing = ((left, right) for left, right in zip(one, other, strict=True) if left != right)
    left, right = next(differing, (None, None))
    return repr(left) < repr(right)


def _spans(units: Units, keys: Sequence[int]) -> tuple[Span, ...]:
    """Character spans of the key units; those of neighbours that touch are one."""
    return joined([units.spans[key] for key in keys])


def _outside(blocks: Iterable[tuple[int, int]]) -> list[int]:
    """The places before and between blocks, which are given by where they begin and how long they are."""
    places: list[int] = []
    last = 0
    for start, size in blocks:
        places.extend(range(last, start))
        last = start + size
    return places


def _ratio(count: int, length: int) -> float:
    return round(count / length, 4) if length else 0.0
