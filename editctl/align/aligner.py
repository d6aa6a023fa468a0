"""Aligns pairs of texts by one unit and one way of matching: a pair at a time, or many at once, which is faster.

Both ways give the same records. Knows no question and no row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from editctl.align.edits import edits_of_keys, key_units
from editctl.align.many_edits import Texts, word_edits
from editctl.align.steps import key_units_by_steps, steps
from editctl.align.units import Cutter, Units, token_cutter, tokens_of_texts, words
from editctl.errors import UsageError, near_misses
from editctl.records import Edits, Match

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
            return [edits or self.one(*pair) for pair, edits in zip(pairs, word_edits(pairs), strict=True)]
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
