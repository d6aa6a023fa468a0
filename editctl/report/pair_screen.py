"""Pairs and their key steps on a console: two columns on a wide terminal, under each other elsewhere."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from rich.console import Console
from rich.text import Text

from editctl.pieces import joined_over_spaces
from editctl.progress import print_table
from editctl.records import Alignment, Reject, Span
from editctl.report import pair_heads, side_by_side
from editctl.report.chains import Side, chain_lines, legend, plain_lines
from editctl.report.folding import folded, print_lines
from editctl.report.tables import Table

WIDE = 100
"""Columns of a terminal from which the chains stand beside each other."""
_INDENT = "  "
_BETWEEN = " │ "
_QUESTION_LINES = 8
_READABLE = 120
"""Widest line of a text that has the terminal for itself."""


class PairScreen:
    """Prints pair after pair, then the figures."""

    def __init__(self, console: Console, *, everything: bool = False) -> None:
        """`everything`: long questions whole, and what else a record holds."""
        self.console = console
        self.marked = console.no_color or console.color_system is None
        self.beside = console.is_terminal and console.width >= WIDE
        self.everything = everything
        self._begun = False

    def pair(self, alignment: Alignment, outcome: str) -> None:
        """One pair, or what there is of it."""
        dual = alignment.dual
        self._head(pair_heads.heading(dual.question, outcome), pair_heads.pair_facts(alignment))
        self._question(dual.question.question)
        for title, text in pair_heads.more(dual) if self.everything else ():
            self._text(f"{title}:", plain_lines(text, "dim", marked=self.marked))
        if self.beside and dual.right is not None and dual.wrong is not None:
            self._two_columns(alignment)
        else:
            self._chain(alignment, "right")
            self._chain(alignment, "wrong")

    def reject(self, reject: Reject) -> None:
        """A question that ended without a right chain."""
        self._head(pair_heads.heading(reject.question, "reject"), pair_heads.reject_facts(reject))
        self._question(reject.question.question)
        if reject.completion is None:
            self._print([Text("no completion was received", style="yellow")], _INDENT)
        else:
            self._text("last completion:", plain_lines(reject.completion, marked=self.marked))

    def figures(self, tables: Iterable[Table]) -> None:
        """Tables over all that was selected."""
        for title, columns, rows, note in tables:
            if self._begun:
                self._print([Text()])
            self._begun = True
            print_table(self.console, title, columns, rows)
            if note:
                self._print([Text(note)])

    def _head(self, heading: Text, facts: Iterable[Text]) -> None:
        if not self._begun:
            self._print([legend(self.marked)])
            self._begun = True
        self._print([Text(), heading])
        self._print(facts, _INDENT)

    def _question(self, question: str) -> None:
        lines = folded(self.console, plain_lines(question, "dim", marked=self.marked), self._room())
        left = 0 if self.everything or not self.console.is_terminal else len(lines) - _QUESTION_LINES
        if left > 1:
            lines = [*lines[:_QUESTION_LINES], Text(f"({left} more lines; -v shows them)", style="dim")]
        self._text("question:", lines)

    def _chain(self, alignment: Alignment, side: Side) -> None:
        text, spans = _side(alignment, side)
        lines = chain_lines(text, _joined(alignment, text, spans), side, marked=self.marked) if text else []
        self._text(pair_heads.chain_head(alignment.dual, side), lines)

    def _text(self, title: str | Text, lines: Sequence[Text]) -> None:
        self._print([Text(title) if isinstance(title, str) else title], _INDENT)
        self._print(folded(self.console, lines, self._room()), _INDENT * 2)

    def _room(self) -> int:
        return min(self.console.width - 2 * len(_INDENT), _READABLE)

    def _two_columns(self, alignment: Alignment) -> None:
        sides: tuple[Side, Side] = ("right", "wrong")
        width = (self.console.width - len(_INDENT) - len(_BETWEEN)) // 2
        (right, _), (wrong, _) = _side(alignment, "right"), _side(alignment, "wrong")
        self._row([[pair_heads.chain_head(alignment.dual, side)] for side in sides], width)
        for row in side_by_side.rows(right, wrong):
            self._row([self._cell(alignment, side, part) for side, part in zip(sides, row, strict=True)], width)

    def _cell(self, alignment: Alignment, side: Side, part: Span | None) -> list[Text]:
        if part is None:
            return []
        text, spans = _side(alignment, side)
        inside = text[slice(*part)]
        lines = chain_lines(inside, _joined(alignment, inside, _clipped(spans, part)), side, marked=self.marked)
        return lines[:-1] if inside.endswith("\n") else lines

    def _row(self, cells: Sequence[Sequence[Text]], width: int) -> None:
        for left, right in zip_longest(*(folded(self.console, cell, width) for cell in cells), fillvalue=Text()):
            left.rstrip()
            gap = " " * (width - left.cell_len)
            self._print([Text.assemble(_INDENT, left, gap, (_BETWEEN, "dim"), right)])

    def _print(self, lines: Iterable[Text], indent: str = "") -> None:
        print_lines(self.console, lines, indent)


def _side(alignment: Alignment, side: Side) -> tuple[str, tuple[Span, ...]]:
    """Text and key spans of a chain; nothing where there is none."""
    chain = alignment.dual.right if side == "right" else alignment.dual.wrong
    edits = alignment.edits
    if chain is None or edits is None:
        return (chain.text if chain is not None else ""), ()
    return chain.text, edits.right if side == "right" else edits.wrong


def _joined(alignment: Alignment, text: str, spans: Sequence[Span]) -> Sequence[Span]:
    """Spans as they are shown: units that leave white space out stand together where they are neighbours."""
    return spans if alignment.edits is None or alignment.edits.unit == "token" else joined_over_spaces(text, spans)


def _clipped(spans: Iterable[Span], part: Span) -> list[Span]:
    """What of the spans lies in a part of the text, counted from its beginning."""
    inside = [(max(start, part[0]), min(end, part[1])) for start, end in spans]
    return [(start - part[0], end - part[0]) for start, end in inside if start < end]
