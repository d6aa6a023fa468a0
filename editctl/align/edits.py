"""Minimum edit distance between two chains, as character spans. Pure.

Unit-cost Levenshtein over the responses only (EDIT, ACL 2025, section 3.3): no prompt, no padding, no end token. A unit
of the right chain is key where it is replaced or deleted on the way to the wrong chain, one of the wrong chain where
it is replaced or inserted. Both sides come from the same alignment.

Among the minimal alignments the choice is fixed: the common beginning and the common end are matched first, the rest
is rapidfuzz's choice, made on the two sides in a fixed order (fewer units first; of equally many, the side whose first
unit that differs comes first in Python's spelling), so that swapping the chains swaps the spans. It depends on nothing
but which units are equal: not on hash seeds, and not on how units are numbered.
"""

from collections.abc import Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

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
    lengths = len(sides[0].values), len(sides[1].values)
    spans = _spans(sides[0], keys[1]), _spans(sides[1], keys[2])
    return make_edits(keys, lengths, spans, unit=unit, tokenizer=tokenizer, match=match)


def make_edits(
    keys: Keys,
    lengths: tuple[int, int],
    spans: tuple[tuple[Span, ...], tuple[Span, ...]],
    *,
    unit: str,
    tokenizer: str | None,
    match: Match = "units",
) -> Edits:
    """The record of an alignment. `lengths` are the units of each side, `spans` its key spans."""
    distance, key_right, key_wrong = keys
    longest = max(lengths)
    return Edits(
        unit=unit,
        tokenizer=tokenizer,
        right=spans[0],
        wrong=spans[1],
        distance=distance,
        similarity=round(1 - distance / longest, 4) if longest else 1.0,
        key_ratio=(_ratio(key_right, lengths[0]), _ratio(key_wrong, lengths[1])),
        match=match,
    )


def key_units(right: Sequence[object], wrong: Sequence[object]) -> Keys:
    """Distance, and the positions of the key units of each side, ascending."""
    # rapidfuzz compares hashes of what is no character or small number: numbers make that exact.
    numbers: dict[object, int] = {}
    first = [numbers.setdefault(value, len(numbers)) for value in right]
    second = [numbers.setdefault(value, len(numbers)) for value in wrong]
    return key_places(first, second, swapped=comes_first(wrong, right))


def key_places(right: Any, wrong: Any, *, swapped: bool) -> Keys:
    """As `key_units`, of units that are numbers already. `swapped`: the wrong side comes first."""
    sides = (wrong, right) if swapped else (right, wrong)
    steps: Any = Levenshtein.editops(*sides).as_list()
    first = [source for tag, source, _ in steps if tag != "insert"]
    second = [target for tag, _, target in steps if tag != "delete"]
    return (len(steps), second, first) if swapped else (len(steps), first, second)


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


def _ratio(keys: Sequence[int], length: int) -> float:
    return round(len(keys) / length, 4) if length else 0.0
