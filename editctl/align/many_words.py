"""Words of many texts at once, exactly as `words.word_spans` cuts them one by one.

What the regular expression there says is said here with arrays over all characters of all texts, several times as
fast. Nothing may depend on which of the two cut a text (tests/test_many_words.py holds them equal). A character beyond
ASCII is read as an ASCII one of its kind; texts with characters that join others (combining marks, emoji sequences)
are left to the regular expression.
"""

import re
import unicodedata
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import digits
from typing import Any

import numpy as np

from editctl.words import is_joining, is_word_alone

_PACKED = 8
"""Characters that one 64-bit value holds; longer words are numbered."""
_NUMBERED = 1 << 63
"""ASCII characters leave the highest bit free: it marks a number."""
_KEPT = np.array([(1 << 8 * length) - 1 for length in range(_PACKED)] + [(1 << 64) - 1], dtype=np.uint64)
_APOSTROPHE = ord("'")
_LETTERS = re.compile(rb"[A-Za-z]*")
_UNDECIDED = {*digits, "_", "\x0e"}
_SEPARATORS = np.array([chr(code) in ".,:/" for code in range(128)])
_LETTER, _DIGIT, _SIGN, _SPACE = "a0( "
_ALONE = "\x0e"
"""A sign that hardly any text holds. An apostrophe in front of such a letter is for the regular expression."""
_MARKS = {"\u2019": "'"}


class _Kinds(dict[int, str | None]):
    """Character code -> an ASCII character of the same kind; None for what joins other characters.

    Scripts without spaces, of which each character is a word, count as signs of their own.
    """

    def __missing__(self, code: int) -> str | None:
        self[code] = kind = chr(code) if code < 128 else _kind(chr(code))
        return kind


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
class WordTable:
    """Words of T texts, one after the other; N words in all."""

    values: "array[int]"
    """(N,) 64-bit values: two words are equal where their values are."""
    starts: Any
    """(N,) where each word begins, counted from the beginning of its own text."""
    ends: Any
    """(N,) where each word ends."""
    bounds: list[int]
    """(T + 1,) place of each text's first word, and N."""
    unsure: frozenset[int]
    """Texts whose words this table may have wrong; cut them one by one."""


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
    plain = list(texts)
    odd = [at for at, text in enumerate(texts) if not text.isascii()]
    joining = []
    for at in odd:
        plain[at] = texts[at].translate(_KINDS)
        if len(plain[at]) != len(texts[at]):
            plain[at] = ""
            joining.append(at)
    blob = ("\n" + "\n".join(plain) + "\n").encode("ascii")
    lengths = np.fromiter(map(len, plain), dtype=np.int64, count=len(plain))
    offsets = np.concatenate(([1], 1 + np.cumsum(lengths + 1)))
    marks = _marks(np.frombuffer(blob, dtype=np.uint8))
    starting, doubtful = _starts(marks)
    starts = np.flatnonzero(starting)
    ends = np.flatnonzero(~marks.space & _ahead(marks.space | starting)) + 1
    bounds = np.searchsorted(starts, offsets)
    own = np.repeat(offsets[:-1], np.diff(bounds))
    unsure = np.searchsorted(offsets, doubtful, side="right") - 1
    spelt = {
        word: texts[at][starts[word] - offsets[at] : ends[word] - offsets[at]]
        for at in odd
        if plain[at]
        for word in _beyond_ascii(texts[at], int(offsets[at]), starts, ends)
    }
    values = _values(blob, starts, ends, spelt)
    return WordTable(values, starts - own, ends - own, bounds.tolist(), frozenset([*unsure.tolist(), *joining]))


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


def _values(blob: bytes, starts: Any, ends: Any, spelt: Mapping[int, str]) -> "array[int]":
    """Values of the words of a blob; `spelt` has the words, by their places, that hold more than ASCII."""
    padded = blob + bytes(_PACKED)
    windows: Any = np.ndarray((len(blob),), dtype="<u8", buffer=padded, strides=(1,))
    lengths = ends - starts
    values = windows.take(starts) & _KEPT.take(np.minimum(lengths, _PACKED))
    numbers: dict[bytes | str, int] = {}
    long = np.flatnonzero(lengths > _PACKED)
    values[long] = [
        numbers.setdefault(blob[start:end], _NUMBERED + len(numbers))
        for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True)
    ]
    for word, text in spelt.items():
        values[word] = numbers.setdefault(text, _NUMBERED + len(numbers))
    found = array("Q")
    found.frombytes(values.tobytes())
    return found


def _beyond_ascii(text: str, offset: int, starts: Any, ends: Any) -> list[int]:
    """Places of the words of a text that hold a character beyond ASCII; the text begins at `offset`."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    beyond = np.flatnonzero(codes > 127) + offset
    words = np.searchsorted(starts, beyond, side="right") - 1
    beyond, words = beyond[words >= 0], words[words >= 0]
    found: list[int] = words[beyond < ends[words]].tolist()
    return found
