"""Lines of pairs in, lines of alignments out, some at a time: what this process does itself, and what workers do."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from editctl.align.aligner import Aligner
from editctl.align.pairs import PairReader
from editctl.align.stage import TOGETHER, Figures, align_together
from editctl.errors import InputError
from editctl.jsonl import Row, dumps_read, locate, parse_row
from editctl.records import Alignment, DualChain
from editctl.rows import alignment_for_json

Line = tuple[int, str]
"""Number and text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of some lines."""

    data: bytes
    """The rows, each with its line end."""
    rows: int
    ids: tuple[tuple[int, str], ...] = ()
    """Line number and id of each row, where they are not claimed yet."""
    figures: Figures
    again: bool = False
    """Whether rows had been aligned before, as far as the process that did these has seen."""


def gathered(groups: Iterable[Sequence[Line]], limit: int | None = None) -> Iterator[Sequence[Line]]:
    """Groups of lines without the blank ones, none larger than are aligned at once; `limit` lines in all."""
    left = limit
    for group in groups:
        some = [line for line in group if not line[1].isspace()][:left]
        yield from (some[begin : begin + TOGETHER] for begin in range(0, len(some), TOGETHER))
        if left is not None:
            left -= len(some)
            if not left:
                return


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
        return align_together(self._duals(lines, self.reader.convert), self.aligner)

    def rows(self, lines: Sequence[Line]) -> Done:
        """As `records`, as rows."""
        return replace(_done(self.records(lines)), again=self.reader.has_seen_alignments)

    def apart(self, lines: Sequence[Line]) -> Done | None:
        """As `rows`, where other processes work on other lines: who brings them together claims the ids.

        None where that process has to do these lines itself: where there is a fault to be told, and for rows without
        an id, because which one they are given depends on the lines before.
        """
        try:
            duals = self._duals(lines, self.reader.read)
        except InputError:
            return None
        if self.reader.has_made_ids:
            return None
        ids = tuple((number, dual.question.id) for (number, _), dual in zip(lines, duals, strict=True))
        done = _done(align_together(duals, self.aligner))
        return replace(done, ids=ids, again=self.reader.has_seen_alignments)

    def claim(self, done: Done) -> None:
        """Take the ids of what was done apart. Raises InputError where an earlier line has one of them."""
        for number, identifier in done.ids:
            with locate(self.name, number):
                self.reader.claim(identifier)

    def _duals(self, lines: Sequence[Line], convert: Callable[[Row], DualChain]) -> list[DualChain]:
        duals = []
        place = locate(self.name, None)
        with place:
            for place.line, text in lines:
                duals.append(convert(parse_row(text, self.name, place.line)))
        return duals


def _done(alignments: Sequence[Alignment]) -> Done:
    figures = Figures()
    for alignment in alignments:
        figures.add(alignment)
    rows = [dumps_read(alignment_for_json(alignment)) for alignment in alignments]
    return Done(data=b"\n".join([*rows, b""]), rows=len(rows), figures=figures)
