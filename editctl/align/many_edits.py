"""Edits by words of many pairs at once, exactly as `edits.align_texts` finds them one pair at a time, but faster.

Python sees a few blocks of each pair; what is done for every word is done by arrays over the words of all pairs
(tests/test_aligner.py holds both ways equal).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any

import numpy as np
from rapidfuzz.distance import MatchingBlock, Prefix

from editctl.align.edits import make_edits, matching_blocks
from editctl.align.many_words import WordTable, cut_many
from editctl.records import Edits, Span

Texts = tuple[str, str]
"""A right and a wrong chain."""


@dataclass(frozen=True, slots=True)
class _Matched:
    """What two sides have in common."""

    distance: int
    blocks: list[MatchingBlock]
    swapped: bool
    """Whether the blocks' first side is the wrong chain."""


def word_edits(pairs: Sequence[Texts]) -> list[Edits | None]:
    """The edits of each pair, in order; None for pairs that have to be cut one by one."""
    table = cut_many(list(chain.from_iterable(pairs)))
    unsure = {side // 2 for side in table.unsure}
    every = [_matched(table, at, texts) for at, texts in enumerate(pairs)]
    keys = _key_words(table, every)
    borders = np.searchsorted(keys, table.bounds)
    spans = _spans(table, keys, borders)
    lengths, counts = _by_pair(np.diff(table.bounds)), _by_pair(np.diff(borders))
    return [
        None
        if at in unsure
        else make_edits(matched.distance, count, length, (right, wrong), unit="word", tokenizer=None)
        for at, (matched, count, length, right, wrong) in enumerate(
            zip(every, counts, lengths, spans, spans, strict=True)
        )
    ]


def _matched(table: WordTable, place: int, texts: Texts) -> _Matched:
    begin, middle, end = table.bounds[2 * place : 2 * place + 3]
    right, wrong = table.values[begin:middle], table.values[middle:end]
    if _wrong_is_first(table, place, (right, wrong), texts):
        return _Matched(*matching_blocks(wrong, right), swapped=True)
    return _Matched(*matching_blocks(right, wrong), swapped=False)


def _wrong_is_first(table: WordTable, place: int, sides: tuple[str, str], texts: Texts) -> bool:
    """As `edits.comes_first` of the wrong and the right side, without making a text of each word."""
    right, wrong = sides
    if len(right) != len(wrong):
        return len(wrong) < len(right)
    same = Prefix.similarity(right, wrong)
    if same == len(right):
        return False
    first, second = (texts[side][slice(*table.span(2 * place + side, same))] for side in (0, 1))
    return repr(second) < repr(first)


def _key_words(table: WordTable, every: Sequence[_Matched]) -> Any:
    """(K,) places, ascending, of the words that lie in no block."""
    blocks = list(chain.from_iterable(one.blocks for one in every))
    first, second, sizes = (
        np.fromiter(map(attrgetter(name), blocks), dtype=np.int64, count=len(blocks)) for name in ("a", "b", "size")
    )
    counts = [len(one.blocks) for one in every]
    swapped = np.repeat(np.array([one.swapped for one in every], dtype=bool), counts)
    begins = np.array(table.bounds)
    right = np.where(swapped, second, first) + np.repeat(begins[:-1:2], counts)
    wrong = np.where(swapped, first, second) + np.repeat(begins[1::2], counts)
    full = sizes > 0  # an empty one stands where the next side's first may begin
    starts = np.concatenate((right[full], wrong[full]))
    turns = np.zeros(len(table.values) + 1, dtype=np.int8)
    turns[starts] += 1
    turns[starts + np.tile(sizes[full], 2)] -= 1
    return np.flatnonzero(np.cumsum(turns[:-1], dtype=np.int8) == 0)


def _spans(table: WordTable, keys: Any, borders: Any) -> Iterator[tuple[Span, ...]]:
    """Spans of the right and the wrong side of each pair in turn. As `words.joined`, of all key words at once."""
    starts, ends = table.starts[keys], table.ends[keys]
    apart = np.ones(len(keys) + 1, dtype=bool)
    apart[1:-1] = starts[1:] > ends[:-1]
    apart[borders] = True
    offsets = np.repeat(table.offsets[:-1], np.diff(borders))
    starts, ends = (starts - offsets)[apart[:-1]], (ends - offsets)[apart[1:]]
    spans = list(zip(starts.tolist(), ends.tolist(), strict=True))
    before = np.concatenate(([0], np.cumsum(apart)))[borders].tolist()
    return (tuple(spans[begin:end]) for begin, end in pairwise(before))


def _by_pair(of_sides: Any) -> list[tuple[int, int]]:
    """Numbers of the right and the wrong side of each pair, from those of all sides in order."""
    numbers = of_sides.tolist()
    return list(zip(numbers[::2], numbers[1::2], strict=True))
