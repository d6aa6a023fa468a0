"""Edits by words of many pairs at once: the records that `edits.align_texts` makes of each alone, and much faster.

What is done for each pair in Python is one call of rapidfuzz; the rest is done with arrays over all pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein

from editctl.align.edits import make_edits
from editctl.align.many_words import WordTable, cut_many
from editctl.records import Edits, Match, Span

Texts = tuple[str, str]
"""A right and a wrong chain."""
_HOW: tuple[str, None, Match] = ("word", None, "units")


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Runs of words that are no pairs of equal ones: K runs of P pairs, in order."""

    runs: Any
    """(K, 4) first and last place, counted in the table, on the right and on the wrong side."""
    counts: Any
    """(P,) runs of each pair."""


def word_edits(pairs: Sequence[Texts], alone: Callable[[str, str], Edits]) -> list[Edits]:
    """Edits by words of each pair. `alone` is asked for the pairs that can't be done together."""
    if not pairs:
        return []
    table = cut_many(list(chain.from_iterable(pairs)))
    sure = [at for at in range(len(pairs)) if not {2 * at, 2 * at + 1} & table.unsure] if table.unsure else None
    places = range(len(pairs)) if sure is None else sure
    found = _edits(table, places, _blocks(table, pairs, places))
    if sure is None:
        return found
    together = dict(zip(sure, found, strict=True))
    return [together.get(at) or alone(*pair) for at, pair in enumerate(pairs)]


def _blocks(table: WordTable, pairs: Sequence[Texts], places: Sequence[int]) -> _Blocks:
    """Where the pairs at these places differ, by the fewest edits; ties as in `edits.key_units`."""
    flat: list[int] = []
    counts, swapped, origins = [], [], []
    for at in places:
        begin, middle, end = table.bounds[2 * at : 2 * at + 3]
        right, wrong = table.values[begin:middle], table.values[middle:end]
        swap = _wrong_is_first(table, at, pairs[at])
        codes: Any = (Levenshtein.opcodes(wrong, right) if swap else Levenshtein.opcodes(right, wrong)).as_list()
        before = len(flat)
        for tag, *run in codes:
            if tag != "equal":
                flat += run
        counts.append((len(flat) - before) // 4)
        swapped.append(swap)
        origins.append((begin, begin, middle, middle))
    runs = np.array(flat, dtype=np.int64).reshape(-1, 4)
    turned = np.repeat(np.array(swapped, dtype=bool), counts)
    runs[turned] = runs[turned][:, [2, 3, 0, 1]]
    first = np.repeat(np.array(origins, dtype=np.int64).reshape(-1, 4), counts, axis=0)
    return _Blocks(runs + first, np.array(counts, dtype=np.int64))


def _edits(table: WordTable, places: Sequence[int], blocks: _Blocks) -> list[Edits]:
    right, wrong = (_side(table, blocks, column) for column in (0, 2))
    widths = blocks.runs[:, 1::2] - blocks.runs[:, ::2]
    distances = _sums(widths.max(axis=1, initial=0), blocks.counts).tolist()
    bounds = table.bounds
    return [
        make_edits(
            distance,
            (keys_right, keys_wrong),
            (bounds[2 * at + 1] - bounds[2 * at], bounds[2 * at + 2] - bounds[2 * at + 1]),
            (spans_right, spans_wrong),
            _HOW,
        )
        for at, distance, (keys_right, spans_right), (keys_wrong, spans_wrong) in zip(
            places, distances, right, wrong, strict=True
        )
    ]


def _side(table: WordTable, blocks: _Blocks, column: int) -> list[tuple[int, tuple[Span, ...]]]:
    """Key words of one side, and their character spans, of each pair. Spans of words that touch are one."""
    first, last = blocks.runs[:, column], blocks.runs[:, column + 1]
    widths = last - first
    keys = np.arange(widths.sum()) + np.repeat(first - np.cumsum(widths) + widths, widths)
    counts = _sums(widths, blocks.counts)
    borders = np.concatenate(([0], np.cumsum(counts)))
    starts, ends = table.starts[keys], table.ends[keys]
    apart = np.ones(len(keys) + 1, dtype=bool)
    apart[1:-1] = starts[1:] > ends[:-1]
    apart[borders] = True
    spans = list(zip(starts[apart[:-1]].tolist(), ends[apart[1:]].tolist(), strict=True))
    before = np.concatenate(([0], np.cumsum(apart)))[borders].tolist()
    every = [tuple(spans[begin:end]) for begin, end in pairwise(before)]
    return list(zip(counts.tolist(), every, strict=True))


def _sums(values: Any, counts: Any) -> Any:
    """Sums of the values of each pair."""
    up_to = np.concatenate(([0], np.cumsum(values)))
    ends = np.cumsum(counts)
    return up_to[ends] - up_to[ends - counts]


def _wrong_is_first(table: WordTable, at: int, texts: Texts) -> bool:
    """As `edits.comes_first`, without making a text of each word."""
    begin, middle, end = table.bounds[2 * at : 2 * at + 3]
    if middle - begin != end - middle:
        return end - middle < middle - begin
    right, wrong = table.values[begin:middle], table.values[middle:end]
    differing = next((at for at, (one, other) in enumerate(zip(right, wrong, strict=True)) if one != other), None)
    if differing is None:
        return False
    first, second = texts[0][_word(table, begin + differing)], texts[1][_word(table, middle + differing)]
    return repr(second) < repr(first)


def _word(table: WordTable, at: int) -> slice:
    return slice(table.starts[at], table.ends[at])
