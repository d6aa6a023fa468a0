"""Words of many texts at once, exactly as `words.word_spans` cuts them one by one.

What the regular expression there says is said here with arrays over all characters of all texts, several times as
fast. Nothing may depend on which of the two cut a text (tests/test_many_words.py holds them equal). A character beyond
ASCII is read as an ASCII one of its kind; texts with characters that join others (combining marks, emoji sequences)
are left to the regular expression.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from string import digits
from typing import Any

import numpy as np

from editctl.records import Span
from editctl.words import is_joining, is_word_alone

_PACKED = 8
"""Characters that one 64-bit value holds; longer words are numbered."""
_PLACE_BITS = 16
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Times this, values have their differences in the high bits, too (2**64 by the golden ratio)."""
_FIRST_PLACE = 0x10000
_NUMBERS = 0xD800
"""Characters below those that are no text; places begin far above them."""
_KEPT = np.array([(1 << 8 * length) - 1 for length in range(_PACKED)] + [(1 << 64) - 1], dtype=np.uint64)
_APOSTROPHE = ord("'")
_LETTERS = re.compile(rb"[A-Za-z]*")
_UNDECIDED = {*digits, "_", "\x0e"}
_SEPARATORS = np.array([chr(code) in ".,:/" for code in range(128)])
_LETTER, _DIGIT, _SIGN, _SPACE = "a0( "
_ALONE = "\x0e"
"""A sign that hardly any text holds. An apostrophe in front of such a letter is for the regular expression."""
_MARKS = {"\u2019": "'"}


class _Kinds(dict[int, int | None]):
    """Character code -> an ASCII character's code of the same kind; None for what joins other characters.

    Scripts without spaces, of which each character is a word, count as signs of their own.
    """

    def __missing__(self, code: int) -> int | None:
        kind = _kind(chr(code))
        self[code] = found = None if kind is None else ord(kind)
        return found


def _kind(character: str) -> str | None:
    category = unicodedata.category(character)
    if character.isspace():
        return _SPACE
    alone = is_word_alone(character)
    if category[0] in "MC" or is_joining(character) or (alone and category[0] == "N"):
        return None
    if character in _MARKS:
        return _MARKS[character]
    if category[0] == "N":
        return _DIGIT
    if alone:
        return _ALONE
    return _LETTER if category[0] == "L" else _SIGN


_KINDS = _Kinds()


@dataclass(frozen=True, slots=True)
class _Odd:
    """A text that holds more than ASCII."""

    at: int
    text: str
    beyond: Any
    """(B,) places of the characters beyond ASCII, ascending."""
    plain: str | None
    """The text with an ASCII character of its kind for each of them; None where one joins others."""

    def words_beyond(self, offset: int, starts: Any, ends: Any) -> dict[int, str]:
        """The words that hold one of these characters, by their places among all; this text begins at `offset`."""
        beyond = self.beyond + offset
        words = np.searchsorted(starts, beyond, side="right") - 1
        beyond, words = beyond[words >= 0], words[words >= 0]
        words = words[beyond < ends[words]]
        spans = zip((starts[words] - offset).tolist(), (ends[words] - offset).tolist(), strict=True)
        return {word: self.text[start:end] for word, (start, end) in zip(words.tolist(), spans, strict=True)}


def _odd(at: int, text: str) -> _Odd:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    beyond = np.flatnonzero(codes > 127)
    kinds: Any = [_KINDS[code] for code in codes[beyond].tolist()]
    if None in kinds:
        return _Odd(at, text, beyond, None)
    plain = codes.astype(np.uint8)
    plain[beyond] = kinds
    return _Odd(at, text, beyond, plain.tobytes().decode("ascii"))


@dataclass(frozen=True, slots=True)
class WordTable:
    """Words of T texts, one after the other; N words in all."""

    values: str
    """(N,) a character for each word: two words are equal where their characters are."""
    starts: Any
    """(N,) where each word begins, counted as `offsets` are."""
    ends: Any
    """(N,) where each word ends."""
    offsets: Any
    """(T + 1,) where each text begins, and where one more would."""
    bounds: list[int]
    """(T + 1,) place of each text's first word, and N."""
    unsure: frozenset[int]
    """Texts whose words this table may have wrong; cut them one by one."""

    def span(self, text: int, word: int) -> Span:
        """Where a text's word stands in that text."""
        at, offset = self.bounds[text] + word, int(self.offsets[text])
        return int(self.starts[at]) - offset, int(self.ends[at]) - offset


@dataclass(frozen=True, slots=True)
class _Marks:
    """What each character of the blob is. Arrays of (C,) truth values, but for the codes."""

    codes: Any
    letter: Any
    digit: Any
    run: Any
    """Letters, digits and low lines."""
    space: Any

    @property
    def before(self) -> Any:
        """Whether the character before is of a run; the blob begins with a line end."""
        return _shifted(self.run)


def cut_many(texts: Sequence[str]) -> WordTable:
    """Cut texts; those in `unsure` have to be cut one by one."""
    odd = [_odd(at, text) for at, text in enumerate(texts) if not text.isascii()]
    plain = list(texts)
    for one in odd:
        plain[one.at] = one.plain or ""
    blob = ("\n" + "\n".join(plain) + "\n").encode("ascii")
    lengths = np.fromiter(map(len, plain), dtype=np.int64, count=len(plain))
    offsets = np.concatenate(([1], 1 + np.cumsum(lengths + 1)))
    marks = _marks(np.frombuffer(blob, dtype=np.uint8))
    starting, doubtful = _starts(marks)
    starts = np.flatnonzero(starting)
    ends = np.flatnonzero(~marks.space & _ahead(marks.space | starting)) + 1
    bounds = np.searchsorted(starts, offsets).tolist()
    spelt: dict[int, str] = {}
    for one in odd:
        if one.plain is not None:
            spelt |= one.words_beyond(int(offsets[one.at]), starts, ends)
    values = _values(blob, starts, ends, spelt)
    if values is None:
        return WordTable("\0" * len(starts), starts, ends, offsets, bounds, frozenset(range(len(texts))))
    unsure = np.searchsorted(offsets, doubtful, side="right") - 1
    joining = [one.at for one in odd if one.plain is None]
    return WordTable(values, starts, ends, offsets, bounds, frozenset([*unsure.tolist(), *joining]))


def _marks(codes: Any) -> _Marks:
    letter = ((codes | 32) - np.uint8(97)) < 26
    digit = (codes - np.uint8(48)) < 10
    space = (codes == 32) | ((codes - np.uint8(9)) < 5) | ((codes - np.uint8(28)) < 4)
    return _Marks(codes, letter, digit, letter | digit | (codes == ord("_")), space)


def _starts(marks: _Marks) -> tuple[Any, Any]:
    """Where words begin, as (C,) truth values, and the places whose neighbourhood this does not decide."""
    starting = ~marks.space & ~(marks.run & marks.before)
    digits = np.flatnonzero(marks.digit)
    first = digits[~marks.digit[digits - 1]]
    plain = ~marks.run[first - 1]
    """Whether each block of digits is a number, not the end of a word such as `x2`."""

    def of_number(places: Any) -> Any:
        """Whether the digit at each place belongs to a number."""
        return plain[np.searchsorted(first, places, side="right") - 1]

    last = digits[~marks.digit[digits + 1]]
    number = of_number(last)
    turns = last[number & marks.run[last + 1]] + 1
    starting[turns] = True
    after = last[number] + 1
    separators = after[_SEPARATORS[marks.codes[after]]]
    _join(starting, separators[marks.digit[separators + 1]])
    quotes = np.flatnonzero((marks.codes == _APOSTROPHE) & marks.before)
    quotes = quotes[marks.letter[quotes + 1] | (marks.codes[quotes + 1] == ord(_ALONE))]
    inside = ~marks.digit[quotes - 1]
    if not inside.all():
        inside[~inside] = ~of_number(quotes[~inside] - 1)
    quotes = quotes[inside]
    _join(starting, quotes)
    return starting, _doubtful(marks, quotes)


def _join(starting: Any, places: Any) -> None:
    """Neither the sign at a place nor what follows it begins a word."""
    starting[places] = False
    starting[places + 1] = False


def _doubtful(marks: _Marks, quotes: Any) -> Any:
    """Apostrophes inside a word behind which not only ASCII's letters follow, as in `don't_1`."""
    blob = marks.codes.tobytes()
    ends = (_LETTERS.match(blob, quote + 1).end() for quote in quotes.tolist())  # type: ignore[union-attr]
    return quotes[np.array([chr(blob[end]) in _UNDECIDED for end in ends], dtype=bool)]


def _shifted(marks: Any) -> Any:
    """The mark of the character before each."""
    shifted = np.empty_like(marks)
    shifted[0] = False
    shifted[1:] = marks[:-1]
    return shifted


def _ahead(marks: Any) -> Any:
    """The mark of the character behind each."""
    ahead = np.empty_like(marks)
    ahead[-1] = False
    ahead[:-1] = marks[1:]
    return ahead


def _values(blob: bytes, starts: Any, ends: Any, spelt: Mapping[int, str]) -> str | None:
    """A character for each word of a blob; None where there are too many words to tell apart.

    Characters, because edit distance is several times as fast on them as on large numbers. Most words take one by
    where a table holds them; those that another word took the place of are numbered, and so are long ones.
    `spelt` has the words, by their places, that hold more than ASCII.
    """
    padded = blob + bytes(_PACKED)
    windows: Any = np.ndarray((len(blob),), dtype="<u8", buffer=padded, strides=(1,))
    lengths = ends - starts
    packed = windows.take(starts) & _KEPT.take(np.minimum(lengths, _PACKED))
    places = (packed * _SPREAD) >> np.uint64(64 - _PLACE_BITS)
    held = np.empty(1 << _PLACE_BITS, dtype=np.uint64)  # only what is written now is read
    held[places] = packed
    characters = (places + np.uint64(_FIRST_PLACE)).astype("<u4")
    others = np.flatnonzero((held[places] != packed) | (lengths > _PACKED))
    spellings = [blob[start:end] for start, end in zip(starts[others].tolist(), ends[others].tolist(), strict=True)]
    every: dict[bytes | str, None] = dict.fromkeys(chain(spellings, spelt.values()))
    if len(every) > _NUMBERS:
        return None
    numbers = {spelling: number for number, spelling in enumerate(every)}
    characters[others] = list(map(numbers.__getitem__, spellings))
    characters[list(spelt)] = list(map(numbers.__getitem__, spelt.values()))
    return str(characters.tobytes(), "utf-32-le")
