"""Lines of pairs in, lines of alignments out, some at a time: what this process does itself, and what workers do."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from editctl.align.aligner import Aligner
from editctl.align.pairs import PairReader
from editctl.align.stage import TOGETHER, Figures, align_together
from editctl.errors import InputError
from editctl.jsonl import dumps_read, locate, parse_row
from editctl.records import Alignment, DualChain
from editctl.rows import alignment_to_row

PATIENCE = 0.2
"""Seconds that a group of lines may take to come, so that the next one is larger."""
Line = tuple[int, str]
"""Number and text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of some lines."""

    data: bytes
    """The rows, each with its line end."""
    ids: tuple[tuple[int, str], ...]
    """Line number and id of each row."""
    figures: Figures


def gathered(lines: Iterable[Line], limit: int | None = None) -> Iterator[list[Line]]:
    """Lines that are not blank, in groups. Where lines take their time, each is a group: nothing is kept waiting."""
    rest = islice((line for line in lines if not line[1].isspace()), limit)
    size = 1
    begun = time.monotonic()
    while some := list(islice(rest, size)):
        quick = time.monotonic() - begun < PATIENCE
        yield some
        size = min(2 * size, TOGETHER) if quick else 1
        begun = time.monotonic()


class LineAligner:
    """Aligns lines of one file in this process."""

    def __init__(self, name: str, mapping: tuple[str, ...], aligner: Aligner) -> None:
        """`name` is the file's, for errors; `mapping` as `--map` has it."""
        self.name = name
        self.aligner = aligner
        self.reader = PairReader(mapping)

    def records(self, lines: Sequence[Line]) -> list[Alignment]:
        """The alignments of some lines.

        Raises:
            InputError: a line that is no pair, or whose id an earlier one had.
        """
        return align_together([self._read(line, claim=True) for line in lines], self.aligner)

    def rows(self, lines: Sequence[Line]) -> Done:
        """As `records`, as rows."""
        return self._done(lines, self.records(lines))

    def apart(self, lines: Sequence[Line]) -> Done | None:
        """As `rows`, where other processes work on other lines: who brings them together claims the ids.

        None where that process has to do these lines itself: where there is a fault to be told, and for rows without
        an id, because which one they are given depends on the lines before.
        """
        try:
            duals = [self._read(line, claim=False) for line in lines]
        except InputError:
            return None
        return None if self.reader.has_made_ids else self._done(lines, align_together(duals, self.aligner))

    def claim(self, done: Done) -> None:
        """Take the ids of what was done apart. Raises InputError where an earlier line has one of them."""
        for number, identifier in done.ids:
            with locate(self.name, number):
                self.reader.claim(identifier)

    def _read(self, line: Line, *, claim: bool) -> DualChain:
        number, text = line
        row = parse_row(text, self.name, number)
        with locate(self.name, number):
            return self.reader.convert(row) if claim else self.reader.read(row)

    def _done(self, lines: Sequence[Line], alignments: Sequence[Alignment]) -> Done:
        figures = Figures()
        for alignment in alignments:
            figures.add(alignment)
        data = b"".join(dumps_read(alignment_to_row(alignment)) + b"\n" for alignment in alignments)
        ids = tuple((line[0], one.dual.question.id) for line, one in zip(lines, alignments, strict=True))
        return Done(data=data, ids=ids, figures=figures)
