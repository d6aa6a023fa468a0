"""Text of models and files made harmless for a page: what is not to be seen, or turns the direction, gets a sign.

Everything that a report shows passes here before it is escaped, in the mark-up, in the plots and in the data that the
page's script reads; so what the script finds is what stands on the page.
"""

import re
from typing import Any

_TURNS = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates of the bidirectional algorithm. An unmatched one ends the isolation that the page
puts around a text, so isolation alone is no protection."""
_UNSEEN = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_TURNS}\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_SHORTENED = "…"


def visible(text: object) -> str:
    """The text with a sign in place of what could not be seen.

    Controls below U+0020 become their pictures (tab and line feed stay, CR LF becomes LF), all others, marks that turn
    the direction of text, lone surrogates and noncharacters become `[U+202E]`. Other text stays as it is.
    """
    return _UNSEEN.sub(_sign, str(text).replace("\r\n", "\n"))


def _sign(match: re.Match[str]) -> str:
    point = ord(match[0])
    if point < 0x20:
        return chr(0x2400 + point)
    return "␡" if point == 0x7F else f"[U+{point:04X}]"


def deep(value: Any) -> Any:
    """The same for every text of nested tuples, lists and dicts (their values)."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {key: deep(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [deep(one) for one in value]
    return value


def line(text: object, most: int = 0) -> str:
    """One line of visible text, of at most `most` characters (0: all of them), with a sign where some are missing."""
    whole = " ".join(visible(text).split())
    return whole if not most or len(whole) <= most else whole[: most - 1].rstrip() + _SHORTENED


def middle(text: object, most: int) -> str:
    """One line whose middle is left out where it is too long: names of tasks often differ in their ends alone."""
    whole = line(text)
    begin = (most - 1) // 2
    return whole if len(whole) <= most else whole[:begin].rstrip() + _SHORTENED + whole[begin + 1 - most :].lstrip()


def tail(text: object, most: int) -> str:
    """One line of visible text whose beginning is left out where it is too long: the end of a path tells more."""
    whole = line(text)
    return whole if len(whole) <= most else _SHORTENED + whole[1 - most :].lstrip()
