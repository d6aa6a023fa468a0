"""Minimum edit distance between two chains, as character spans. Pure.

Unit-cost Levenshtein over the responses only (EDIT, ACL 2025, section 3.3): no prompt, no padding, no end token. A unit
of the right chain is key where it is replaced or deleted on the way to the wrong chain, one of the wrong chain where
it is replaced or inserted. Both sides come from the same alignment.

Among the minimal alignments the choice is fixed: the common beginning and the common end are matched first, the rest
is rapidfuzz's choice, made on the two sides in a fixed order, so that swapping the chains swaps the spans.
"""

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from editctl.align.units import Cutter, Units
from editctl.records import Edits, Span


def align_texts(right: str, wrong: str, cut: Cutter, unit: str, tokenizer: str | None) -> Edits:
    """Where two texts part."""
    sides = cut(right), cut(wrong)
    distance, key_right, key_wrong = key_units(sides[0].values, sides[1].values)
    longest = max(len(sides[0].values), len(sides[1].values))
    return Edits(
        unit=unit,
        tokenizer=tokenizer,
        right=_spans(sides[0], key_right),
        wrong=_spans(sides[1], key_wrong),
        distance=distance,
        similarity=round(1 - distance / longest, 4) if longest else 1.0,
        key_ratio=(_ratio(key_right, sides[0]), _ratio(key_wrong, sides[1])),
    )


def key_units(right: Sequence[object], wrong: Sequence[object]) -> tuple[int, list[int], list[int]]:
    """Distance, and the positions of the key units of each side, ascending."""
    numbers: dict[object, int] = {}
    first = [numbers.setdefault(value, len(numbers)) for value in right]
    second = [numbers.setdefault(value, len(numbers)) for value in wrong]
    swapped = _order(wrong) < _order(right)
    if swapped:
        first, second = second, first
    steps = Levenshtein.editops(first, second)
    key_first = [step.src_pos for step in steps if step.tag != "insert"]
    key_second = [step.dest_pos for step in steps if step.tag != "delete"]
    return (len(steps), key_second, key_first) if swapped else (len(steps), key_first, key_second)


def _order(values: Sequence[object]) -> tuple[int, list[str]]:
    return len(values), [repr(value) for value in values]


def _spans(units: Units, keys: Sequence[int]) -> tuple[Span, ...]:
    """Character spans of the key units; those of neighbours that touch are one."""
    spans: list[Span] = []
    for start, end in (units.spans[key] for key in keys):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans)


def _ratio(keys: Sequence[int], units: Units) -> float:
    return round(len(keys) / len(units.values), 4) if units.values else 0.0
