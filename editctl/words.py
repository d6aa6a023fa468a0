"""Words as units of a text: what alignments compare and recipes count. Pure."""

from collections.abc import Sequence

import regex

from editctl.records import Span

_WORD = regex.compile(
    r"""
    \p{N}+(?:[.,:/]\p{N}+)*                                          # 3.5, 1,234, 3/4: one number, one unit
    | [\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]\p{M}*                # scripts without spaces: by character
    | (?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}])[\p{L}\p{N}_]\p{M}*)+(?:['’]\p{L}+)*
    | \X                                                             # anything else: one visible character
    """,
    regex.VERBOSE,
)
_ALONE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]")
_ONE = regex.compile(r"\X")
_NUMBER = regex.compile(r"\p{N}+(?:[.,:/]\p{N}+)*")


def word_spans(text: str) -> tuple[Span, ...]:
    """Where words, numbers and single punctuation marks stand; white space separates and is no unit."""
    return tuple(match.span() for match in _WORD.finditer(text) if not match.group().isspace())


def is_number(word: str) -> bool:
    """Whether a word is a number: digits, with separators between digits (`3.5`, `1,234`, `3/4`)."""
    return _NUMBER.fullmatch(word) is not None


def is_word_alone(character: str) -> bool:
    """Whether a character is of a script without spaces, where each is a unit."""
    return _ALONE.match(character) is not None


def is_joining(character: str) -> bool:
    """Whether a character may be one unit with a neighbour that is no letter: combining marks, flags, skin tones."""
    return any(_ONE.fullmatch(pair) for pair in (f"({character}", f"{character}(", f"☝{character}", character * 2))


def touching(units: Sequence[Span], spans: Sequence[Span]) -> tuple[Span, ...]:
    """The units that share a character with a span. Both are in order and do not overlap among themselves."""
    found, place = [], 0
    for start, end in units:
        while place < len(spans) and spans[place][1] <= start:
            place += 1
        if place < len(spans) and spans[place][0] < end:
            found.append((start, end))
    return tuple(found)


def joined(units: Sequence[Span]) -> tuple[Span, ...]:
    """The same characters as few spans: neighbours that touch are one."""
    spans: list[Span] = []
    for start, end in units:
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return tuple(spans)
