"""The worked solution of a generated question: its right chain, and wrong ones on demand, in every format it has."""

import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from editctl.errors import UsageError
from editctl.formats import COT, FORMATS
from editctl.records import Question, Span

CONCLUSION = "Therefore, the answer is "


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongChain:
    """A wrong chain and where exactly it leaves the right one, as character spans of either text."""

    text: str
    answer: str
    pattern: str
    pieces: tuple[str, ...]
    """The wrong chain as the task gives it."""
    right: tuple[str, ...]
    """The right chain's pieces."""

    @property
    def spans_right(self) -> tuple[Span, ...]:
        """What is not so in the wrong chain: first the slip, then its consequences."""
        return _differences(self.right, self.pieces)[0]

    @property
    def spans_wrong(self) -> tuple[Span, ...]:
        """The same places in the wrong chain."""
        return _differences(self.right, self.pieces)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """A generated question with its right chain, and wrong chains on demand."""

    question: Question
    right: str
    """Text of the right chain, conclusion included."""
    answer: str
    patterns: tuple[str, ...]
    """Mistake patterns the task can write."""
    pieces: tuple[str, ...]
    """The right chain as the task gives it."""
    slip: Callable[[str, random.Random], tuple[str, ...] | None]
    formats: tuple[str, ...] = ()
    """Chain formats, besides cot, that the task can write."""
    sections: Callable[[str, str | None, random.Random], Mapping[str, str] | None] | None = None
    """From a format and a pattern (None: the right chain) to the chain's sections."""

    def wrong(self, pattern: str, salt: int | str = 0) -> WrongChain | None:
        """A wrong chain of this pattern, the same for the same question id, pattern and salt.

        A pattern that the task can't write (`any` among them) stands for all of its own, beginning with one
        chosen by the id. None where the pattern doesn't fit this question.
        """
        if pattern in self.patterns:
            return self._wrong(pattern, salt)
        return next((chain for own in self._order() if (chain := self._wrong(own, salt))), None)

    def _order(self) -> tuple[str, ...]:
        """The task's patterns, beginning with one chosen by the id."""
        start = zlib.crc32(self.question.id.encode()) % len(self.patterns)
        return self.patterns[start:] + self.patterns[:start]

    def _chance(self, pattern: str, salt: int | str) -> random.Random:
        """What decides where a wrong chain of a pattern slips."""
        return random.Random(f"{self.question.id} {pattern} {salt}")

    def _wrong(self, pattern: str, salt: int | str) -> WrongChain | None:
        pieces = self.slip(pattern, self._chance(pattern, salt))
        if pieces is None:
            return None
        if len(pieces) != len(self.pieces):
            raise ValueError(f"a wrong chain of {self.question.id} has {len(pieces)} pieces, not {len(self.pieces)}")
        text = "".join(pieces)
        answer = text.rpartition(CONCLUSION)[2].removesuffix(".")
        if answer == self.answer:
            return None
        return WrongChain(text=text, answer=answer, pattern=pattern, pieces=pieces, right=self.pieces)

    def right_in(self, format: str) -> str:
        """The right chain in a format. Raises UsageError where the task can't write it."""
        text = self.right if format == COT else self._written(format, None, 0)
        if text is None:
            raise UsageError(f"the task of {self.question.id} writes no right chain in format {format}")
        return text

    def wrong_in(self, format: str, pattern: str, salt: int | str = 0) -> str | None:
        """The text of `wrong` in a format; None also where the format does not allow the pattern's mistakes.

        A pattern that the task can't write stands for all of its own that the format allows. Raises UsageError where
        the task can't write the format.
        """
        if format == COT:
            wrong = self.wrong(pattern, salt)
            return wrong.text if wrong else None
        patterns = (pattern,) if pattern in self.patterns else self._order()
        return next((text for own in patterns if (text := self._written(format, own, salt))), None)

    def _written(self, format: str, pattern: str | None, salt: int | str) -> str | None:
        if self.sections is None or format not in self.formats:
            raise UsageError(f"the task of {self.question.id} writes no chains in format {format}")
        sections = self.sections(format, pattern, self._chance(pattern or "", salt))
        return None if sections is None else FORMATS[format].render(sections)


def _differences(right: Sequence[str], wrong: Sequence[str]) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Spans of the pieces that differ, in either text. Raises ValueError for unequal numbers of pieces."""
    spans: tuple[list[Span], list[Span]] = ([], [])
    at_right = at_wrong = 0
    for old, new in zip(right, wrong, strict=True):
        if old != new:
            spans[0].append((at_right, at_right + len(old)))
            spans[1].append((at_wrong, at_wrong + len(new)))
        at_right += len(old)
        at_wrong += len(new)
    return tuple(spans[0]), tuple(spans[1])
