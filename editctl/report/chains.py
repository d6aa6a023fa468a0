"""Chains of thought as rich texts: key steps in colour, or in marks that survive copying.

With colour a key step is bold and underlined, green in the right chain and red in the wrong one. Without, it stands in
`⟦ ⟧`; where the text itself holds one of these marks, the text's is written as its escape.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from rich.text import Text

from editctl.pieces import pieces
from editctl.progress import clean
from editctl.records import Span

Side = Literal["right", "wrong"]
OPEN, CLOSE = "⟦", "⟧"
SPACE, LINE_END, TAB = "␣", "↵", "⇥"
LEGEND = f"{OPEN} {CLOSE} key steps: where right and wrong part; {SPACE} {LINE_END} {TAB} space, line end, tab"
STYLES: dict[Side, str] = {"right": "bold underline green", "wrong": "bold underline red"}
_ESCAPES = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in (OPEN, CLOSE)})


def legend(marked: bool) -> Text:
    """One line that says how to read the key steps."""
    if marked:
        return Text(LEGEND)
    return Text.assemble(
        "key steps, where the two part: ",
        ("of the right chain", STYLES["right"]),
        ", ",
        ("of the wrong chain", STYLES["wrong"]),
        f"; {SPACE} {LINE_END} {TAB} space, line end, tab",
    )


def visible(text: str, *, marked: bool) -> str:
    """One line of a text, safe to print and with its tabs shown."""
    safe = clean(text.replace("\t", TAB))
    return safe.translate(_ESCAPES) if marked else safe


def plain_lines(text: str, style: str = "", *, marked: bool = False) -> list[Text]:
    """A text that has no key steps, line by line."""
    return [Text(visible(line, marked=marked), style=style) for line in text.replace("\r\n", "\n").split("\n")]


def chain_lines(text: str, spans: Iterable[Span], side: Side, *, marked: bool) -> list[Text]:
    """A chain, line by line; a key step that goes on over a line end is closed there and opened again."""
    lines = [Text()]
    for part, key, ends in _runs(text, spans):
        if key:
            shown = _key(part, marked=marked) + (LINE_END if ends else "")
            lines[-1].append(f"{OPEN}{shown}{CLOSE}" if marked else shown, style="" if marked else STYLES[side])
        else:
            lines[-1].append(visible(part, marked=marked))
        if ends:
            lines.append(Text())
    return lines


def _runs(text: str, spans: Iterable[Span]) -> Iterator[tuple[str, bool, bool]]:
    """Parts of lines: the text, whether it is key, and whether the line ends behind it."""
    for part, key in pieces(text, spans):
        *whole, last = part.split("\n")
        yield from ((line.removesuffix("\r"), key, True) for line in whole)
        if last:
            yield last, key, False


def _key(part: str, *, marked: bool) -> str:
    """A key step inside one line: white space alone would not be seen."""
    shown = visible(part, marked=marked)
    return shown.replace(" ", SPACE) if not part.strip(" \t") else shown
