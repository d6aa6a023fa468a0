"""Aligns pairs of texts by one unit and one way of matching: a pair at a time, or many at once, which is faster.

Both ways give the same records. Knows no question and no row.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from rapidfuzz.distance import Prefix

from editctl.align.edits import Keys, edits_of_keys, key_places, key_units, make_edits
from editctl.align.many_words import WordTable, cut_many
from editctl.align.steps import key_units_by_steps, steps
from editctl.align.units import Cutter, Units, token_cutter, tokens_of_texts, words
from editctl.errors import UsageError, near_misses
from editctl.records import Edits, Match, Span

Texts = tuple[str, str]
"""A right and a wrong chain."""
UNITS = ("word", "token", "step")
MATCHES: tuple[Match, ...] = ("units", "steps")


@dataclass(frozen=True, slots=True)
class Aligner:
    """How chains are compared."""

    unit: str
    cut: Cutter
    cut_many: Callable[[Sequence[str]], list[Units]] | None = None
    """Cuts many texts at once as `cut` would one by one, where that is faster."""
    tokenizer: str | None = None
    match: Match = "units"

    def one(self, right: str, wrong: str) -> Edits:
        """Where two texts part."""
        return self._edits((right, wrong), (self.cut(right), self.cut(wrong)))

    def many(self, pairs: Sequence[Texts]) -> list[Edits]:
        """The edits of each pair, in order."""
        if self.unit == "word" and self.match == "units":
            return _words_of_many(self, pairs)
        if self.cut_many is None:
            return [self.one(*pair) for pair in pairs]
        units = self.cut_many(list(chain.from_iterable(pairs)))
        return [self._edits(pair, (units[2 * at], units[2 * at + 1])) for at, pair in enumerate(pairs)]

    def _edits(self, texts: Texts, sides: tuple[Units, Units]) -> Edits:
        right, wrong = sides
        by_steps = self.match == "steps"
        keys = key_units_by_steps(texts, sides) if by_steps else key_units(right.values, wrong.values)
        return edits_of_keys(sides, keys, self.unit, self.tokenizer, self.match)


def aligner_for(unit: str, tokenizer: str | None = None, match: Match = "units") -> Aligner:
    """The aligner of a unit. `tokenizer` is a folder or hub id, for tokens.

    Raises:
        UsageError: units that are unknown, or do not go with the tokenizer or the way of matching.
    """
    check_choice(unit, tokenizer, match)
    if unit == "token" and tokenizer:
        from editctl.models import load_tokenizer

        return token_aligner(load_tokenizer(tokenizer), tokenizer, match)
    return Aligner(unit, steps if unit == "step" else words, match=match)


def check_choice(unit: str, tokenizer: str | None, match: str) -> None:
    """Raises UsageError for a unit, a tokenizer and a way of matching that don't go together."""
    if unit not in UNITS:
        raise UsageError(f"--unit: unknown unit {unit!r}; {near_misses(unit, UNITS)}")
    if match not in MATCHES:
        raise UsageError(f"--match: unknown way {match!r}; {near_misses(match, MATCHES)}")
    if unit == "token" and not tokenizer:
        raise UsageError("--unit token needs --tokenizer MODEL")
    if unit != "token" and tokenizer:
        raise UsageError(f"--unit {unit} takes no --tokenizer")


def token_aligner(tokenizer: Any, name: str, match: Match = "units") -> Aligner:
    """Compares tokens of a fast Hugging Face tokenizer, which `name` is written down for."""
    many = tokens_of_texts(tokenizer)
    return Aligner("token", token_cutter(tokenizer), many, name, match)


def _words_of_many(aligner: Aligner, pairs: Sequence[Texts]) -> list[Edits]:
    """Edits by words. Pairs that can't be cut together are cut one by one."""
    table = cut_many(list(chain.from_iterable(pairs)))
    doubtful = {side // 2 for side in table.unsure}
    sure = [at for at in range(len(pairs)) if at not in doubtful]
    every = [_keys(table, at, pairs[at]) for at in sure]
    spans = _spans_of_many(table, sure, every)
    found = {
        at: make_edits(keys, _lengths(table, at), (next(spans), next(spans)), unit="word", tokenizer=None)
        for at, keys in zip(sure, every, strict=True)
    }
    return [found.get(at) or aligner.one(*pair) for at, pair in enumerate(pairs)]


def _spans_of_many(table: WordTable, places: Sequence[int], every: Sequence[Keys]) -> Iterator[tuple[Span, ...]]:
    """Spans of the right and the wrong side of each pair in turn. As `joined_spans`, over all key words at once."""
    sides = [side for keys in every for side in keys[1:]]
    counts = np.array([len(side) for side in sides], dtype=np.int64)
    firsts = np.array([table.bounds[2 * at + side] for at in places for side in (0, 1)], dtype=np.int64)
    keys = np.array(list(chain.from_iterable(sides)), dtype=np.int64) + np.repeat(firsts, counts)
    starts, ends = table.starts[keys], table.ends[keys]
    apart = np.ones(len(keys) + 1, dtype=bool)
    apart[1:-1] = starts[1:] > ends[:-1]
    borders = np.concatenate(([0], np.cumsum(counts)))
    apart[borders] = True
    spans = list(zip(starts[apart[:-1]].tolist(), ends[apart[1:]].tolist(), strict=True))
    before = np.concatenate(([0], np.cumsum(apart)))[borders].tolist()
    return (tuple(spans[begin:end]) for begin, end in pairwise(before))


def _lengths(table: WordTable, place: int) -> tuple[int, int]:
    begin, middle, end = table.bounds[2 * place : 2 * place + 3]
    return middle - begin, end - middle


def _keys(table: WordTable, place: int, texts: Texts) -> Keys:
    begin, middle, end = table.bounds[2 * place : 2 * place + 3]
    right, wrong = table.values[begin:middle], table.values[middle:end]
    return key_places(right, wrong, swapped=_wrong_is_first(table, (begin, middle, end), texts))


def _wrong_is_first(table: WordTable, bounds: tuple[int, int, int], texts: Texts) -> bool:
    """As `edits.comes_first`, without making a text of each word."""
    begin, middle, end = bounds
    if middle - begin != end - middle:
        return end - middle < middle - begin
    differing = Prefix.similarity(table.values[begin:middle], table.values[middle:end])
    if differing == middle - begin:
        return False
    first, second = (texts[side][slice(*_span(table, at + differing))] for side, at in ((0, begin), (1, middle)))
    return repr(second) < repr(first)


def _span(table: WordTable, at: int) -> Span:
    return int(table.starts[at]), int(table.ends[at])
