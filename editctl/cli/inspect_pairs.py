"""Right and wrong chains with their key steps, and rejects, as rows come: nothing is held but what sorting needs."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from editctl.cli.inspect_rows import Filters, Record, Shown, aligner, converter
from editctl.cli.session import Session
from editctl.errors import UsageError, near_misses
from editctl.files import STDIO
from editctl.records import Reject

if TYPE_CHECKING:
    from editctl.align.stage import Figures
    from editctl.progress import Talk

SORTS = ("file", "key-ratio", "similarity")
_MANY = 500
"""Rows whose reading is worth a progress bar, where nothing is shown meanwhile."""
_NOT_OF_REJECTS = ("mistake", "min_key_ratio", "max_key_ratio", "sort", "unit", "tokenizer", "match")


@dataclass(slots=True)
class Tally:
    """Counts of what was read and selected."""

    figures: "Figures"
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    read: int = 0
    selected: int = 0
    shown: int = 0

    def add(self, record: Shown) -> None:
        """Count what passed the filters."""
        self.selected += 1
        if isinstance(record, Reject):
            self.rejects[record.step, record.reason] += 1
        else:
            self.figures.add(record)

    def render(self) -> dict[str, Any]:
        """All figures."""
        from editctl.report.pair_tables import histogram

        rejects = [
            {"step": step, "reason": reason, "rows": rows} for (step, reason), rows in self.rejects.most_common()
        ]
        counts = {"read": self.read, "selected": self.selected, "shown": self.shown}
        bins = histogram(self.figures.largest_key_ratio)
        return {**counts, **self.figures.render(), "rejects": rejects, "largest_key_ratio": bins}


def show_pairs(talk: "Talk", values: dict[str, Any], given: set[str]) -> None:
    """Print each chosen pair or reject, then the figures of all that were chosen."""
    from editctl.align.stage import Figures
    from editctl.cli.pager import paged
    from editctl.progress import stdout_console

    _check(values, given)
    filters, align = Filters(values), aligner(values["unit"], values["tokenizer"], values["match"])
    again = any(values[name] is not None for name in ("unit", "tokenizer", "match"))
    convert = converter(tuple(values["map"] or ()), again=again, rejects=values["rejects"])
    place = _place(values)
    if _none_rejected(values, place):
        talk.say(f"{place}: no question was rejected")
        return
    tally = Tally(Figures())
    console = stdout_console(color=not values["no_color"])
    with Session("inspect", values, talk, allow_partial=values["allow_partial"]) as session:
        from editctl.jsonl import read_records

        records: Iterator[Record] = read_records(session.open_input(place), convert)
        silent = values["limit"] == 0 or values["sort"] != SORTS[0]  # nothing is shown before the last row is read
        selected = _selected(
            _tracked(talk, records) if silent else records, filters, align, tally, _MANY if silent else 1
        )
        with paged(console, values["pager"]):  # --json does not write into the console
            _show(values, console, filters, tally, selected)
    _say_end(talk, values, filters, tally)


def _check(values: dict[str, Any], given: set[str]) -> None:
    if values["sort"] not in SORTS:
        raise UsageError(f"unknown --sort {values['sort']!r}; {near_misses(values['sort'], SORTS)}")
    unfit = [name for name in _NOT_OF_REJECTS if name in given]
    if values["rejects"] and unfit:
        raise UsageError(
            f"--{unfit[0].replace('_', '-')} is for pairs, and --rejects shows none; leave out one of them"
        )


def _place(values: dict[str, Any]) -> str | None:
    """The file to read: with --rejects the one beside it, where that is there."""
    from editctl.manifest import beside

    named: str | None = values["file"]
    if not values["rejects"] or named in (None, STDIO):
        return named
    other = beside(Path(str(named)), "rejects", ".jsonl")
    return str(other) if other.exists() else named


def _none_rejected(values: dict[str, Any], place: str | None) -> bool:
    """Whether a file of rejects is empty, which is no fault."""
    if not values["rejects"] or place in (None, STDIO):
        return False
    path = Path(str(place))
    return path.is_file() and not path.stat().st_size


def _tracked(talk: "Talk", records: Iterator[Record]) -> Iterator[Record]:
    """The same records; a bar goes with them where they are many."""
    few = list(islice(records, _MANY))
    yield from few
    if len(few) == _MANY:
        yield from talk.track(records, "read")


def _selected(
    records: Iterable[Record],
    filters: Filters,
    align: Callable[[Sequence[Record]], list[Shown]],
    tally: Tally,
    together: int,
) -> Iterator[Shown]:
    """What passes the filters, aligned and counted. `together`: how many are aligned at once, which is faster."""
    asked_for = _asked_for(records, filters, tally)
    while some := list(islice(asked_for, together)):
        for record in align(some):
            if filters.within(record):
                tally.add(record)
                yield record


def _asked_for(records: Iterable[Record], filters: Filters, tally: Tally) -> Iterator[Record]:
    for record in records:
        tally.read += 1
        if filters.ask_for(record):
            yield record


def _show(values: dict[str, Any], console: Any, filters: Filters, tally: Tally, selected: Iterator[Shown]) -> None:
    from editctl.align.stage import outcome_of
    from editctl.report.pair_lines import PairLines
    from editctl.report.pair_screen import PairScreen
    from editctl.report.pair_tables import pair_tables

    lines, screen = PairLines(typer.echo), PairScreen(console, everything=values["verbose"])
    view = lines if values["json"] else screen
    for record in _chosen(selected, values["sort"], values["limit"]):
        tally.shown += 1
        if isinstance(record, Reject):
            view.reject(record)
        else:
            view.pair(record, outcome_of(record))
    stopped = _stopped(values, tally)
    if not stopped:
        filters.check()
    if values["json"]:
        lines.summary({"stopped_at_limit": stopped, **tally.render()})
    elif not stopped and (tally.selected > 1 or values["limit"] == 0):
        screen.figures(pair_tables(tally.render(), everything=values["verbose"]))


def _chosen(selected: Iterator[Shown], sort: str, limit: int | None) -> Iterable[Shown]:
    """The records to show, in the order asked for; with limit 0 all are only counted."""
    if limit == 0:
        return [record for record in selected if False]
    if sort == SORTS[0]:
        return islice(selected, limit)
    return sorted(selected, key=_rank(sort)) if limit is None else heapq.nsmallest(limit, selected, key=_rank(sort))


def _rank(sort: str) -> Callable[[Shown], float]:
    """Most key steps first, or most alike first; what has no alignment comes last."""

    def rank(record: Shown) -> float:
        edits = None if isinstance(record, Reject) else record.edits
        if edits is None:
            return 1.0
        return -(max(edits.key_ratio) if sort == "key-ratio" else edits.similarity)

    return rank


def _stopped(values: dict[str, Any], tally: Tally) -> bool:
    """Whether --limit ended the reading, so that figures would be those of a beginning."""
    return bool(values["limit"]) and tally.shown == values["limit"] and values["sort"] == SORTS[0]


def _say_end(talk: "Talk", values: dict[str, Any], filters: Filters, tally: Tally) -> None:
    if not tally.selected:
        talk.say(f"nothing is left: none of {tally.read} rows passes {' and '.join(filters.said)}")
    elif _stopped(values, tally) and not values["json"]:
        talk.say(f"stopped at --limit {values['limit']}; --limit 0 prints the figures of all")
