"""What a ledger holds, for people, and how it is made smaller."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from editctl.errors import InputError, UsageError
from editctl.files import OutputError
from editctl.generate.ledger_file import connect, file_errors, from_nanousd, is_new, plain, transaction

OPEN_MEANING = (
    "An open reservation is the worst case of a call that is under way, or was when its process was killed; "
    "it counts as spent."
)
_FIGURES = "count(*), sum(tokens), sum(nanousd), sum(nanousd IS NULL)"


@dataclass(frozen=True, slots=True)
class Amount:
    """What some calls cost."""

    calls: int
    tokens: int
    usd: float | None
    """Those calls whose price is known; None where there are calls and no price is known."""
    unpriced: int
    """Calls whose price is unknown."""


@dataclass(frozen=True, slots=True)
class Group:
    """Completions of one model for one step."""

    model: str
    step: str
    amount: Amount
    failures: int
    """Of these, calls that the provider refused for good."""
    first: str
    """Day of the oldest."""
    last: str


@dataclass(frozen=True, slots=True)
class Run:
    """What was spent under one cap."""

    name: str
    settled: Amount
    open: Amount
    lost: Amount
    """Calls that may have been billed, though no answer came."""
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A ledger at a glance."""

    path: str
    size: int
    """Bytes, with the log beside the file."""
    completions: tuple[Group, ...]
    runs: tuple[Run, ...]

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "open_means": OPEN_MEANING}


@dataclass(frozen=True, slots=True)
class Choice:
    """What to prune. `before` (seconds since 1970) and `model` narrow the completions; `before` also the rest."""

    before: float | None = None
    """Completions recorded, and runs last used, before this moment."""
    model: str | None = None
    reservations: bool = False
    """Open reservations of processes that are dead."""
    everything: bool = False

    def parts(self) -> Iterator[tuple[str, str, tuple[object, ...]]]:
        """What goes: a name for people, table and condition, parameters. Raises UsageError where nothing is chosen."""
        if self.everything:
            if self != Choice(everything=True):
                raise UsageError("--all removes everything; leave --older-than, --model and --open out")
            yield from (("completion", "completion", ()), ("charge", "charge", ()), ("run", "run", ()))
            return
        if self == Choice():
            raise UsageError("say what to remove: --older-than 30d, --model NAME, --open or --all (see also --dry-run)")
        yield from self._completions()
        if self.reservations:
            late = "" if self.before is None else " AND made < ?"
            yield "open reservation", f"charge WHERE state = 'open'{late}", self._moment()
        if self.before is not None and self.model is None and not self.reservations:
            yield "charge", "charge WHERE run IN (SELECT id FROM run WHERE touched < ?)", self._moment()
            yield "run", "run WHERE touched < ?", self._moment()

    def _completions(self) -> Iterator[tuple[str, str, tuple[object, ...]]]:
        model = () if self.model is None else (plain(self.model),)
        if model and self.before is not None:
            yield "completion", "completion WHERE made < ? AND model = ?", (*self._moment(), *model)
        elif model:
            yield "completion", "completion WHERE model = ?", model
        elif self.before is not None and not self.reservations:
            yield "completion", "completion WHERE made < ?", self._moment()

    def _moment(self) -> tuple[object, ...]:
        return () if self.before is None else (self.before,)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed."""

    rows: dict[str, int]
    """Counts by what it was: completion, charge, run, open reservation."""
    freed: int
    """Bytes; 0 for a trial. Perhaps fewer than there could be while another process works on the file."""


def summarise(path: Path) -> Summary:
    """Look into a ledger without changing it.

    Raises:
        EditctlError: a file that is missing, no ledger, of a newer layout or damaged.
    """
    with _opened(path, for_reading=True) as connection:
        connection.execute("BEGIN")  # one state of the file for all that is read
        groups = connection.execute(
            f"SELECT model, step, {_FIGURES}, sum(failed), min(made), max(made)"
            " FROM completion GROUP BY model, step ORDER BY model, step"
        ).fetchall()
        runs = connection.execute("SELECT id, name, began, touched FROM run ORDER BY began, id").fetchall()
        charges = connection.execute(f"SELECT run, state, {_FIGURES} FROM charge GROUP BY run, state").fetchall()
    spent = {(run, state): _amount(*figures) for run, state, *figures in charges}
    return Summary(
        path=str(path),
        size=_size(path),
        completions=tuple(
            Group(model, step, _amount(*figures), failures, _day(first), _day(last))
            for model, step, *figures, failures, first, last in groups
        ),
        runs=tuple(_run(spent, *row) for row in runs),
    )


def _run(spent: dict[tuple[int, str], Amount], number: int, name: str, began: int, touched: int) -> Run:
    none = _amount(0, 0, 0, 0)
    settled, unsettled, lost = (spent.get((number, state), none) for state in ("settled", "open", "lost"))
    return Run(name=name, settled=settled, open=unsettled, lost=lost, first=_day(began), last=_day(touched))


def prune(path: Path, choice: Choice, *, trial: bool = False) -> Pruned:
    """Remove rows and give the space back; with `trial` only count them.

    Raises:
        UsageError: nothing is chosen.
        EditctlError: as summarise; also a ledger that can't be written.
    """
    parts = list(choice.parts())
    with _opened(path, for_reading=trial) as connection:
        before = _size(path)
        if trial:
            return Pruned({name: _count(connection, rows, given) for name, rows, given in parts}, 0)
        if choice.everything or choice.reservations:
            _be_alone(connection, path)
        with transaction(connection):
            removed = {name: connection.execute(f"DELETE FROM {rows}", given).rowcount for name, rows, given in parts}
        ((free,),) = connection.execute("PRAGMA freelist_count").fetchall()
        if free or any(removed.values()):
            _shrink(connection, path)
    return Pruned(removed, max(before - _size(path), 0))


def _be_alone(connection: sqlite3.Connection, path: Path) -> None:
    """Raises UsageError where another process has the ledger open: its calls under way, and its cap, would be lost."""
    connection.execute("PRAGMA busy_timeout = 1000")
    try:
        # SQLite leaves the mode of the log only for somebody who is alone with the file.
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        raise UsageError(f"{path}: a run is at work on it; wait for its end, then prune") from error
    connection.execute("PRAGMA journal_mode = WAL").fetchall()


def _count(connection: sqlite3.Connection, rows: str, given: tuple[object, ...]) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {rows}", given).fetchall()
    return int(count)


def _shrink(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        raise OutputError(
            f"{path}: the rows are removed, but the file could not be made smaller: {error}; "
            "prune again once there is some space and no other process uses it"
        ) from error


@contextmanager
def _opened(path: Path, *, for_reading: bool) -> Iterator[sqlite3.Connection]:
    with file_errors(path):
        if not path.exists():
            raise InputError("no such ledger; name one, or set EDITCTL_LEDGER", file=str(path))
        connection = connect(path, "mode=rw")
        try:
            try:
                empty = is_new(connection, path)
            except sqlite3.OperationalError as error:
                connection.close()
                connection = _read_only(path, error, for_reading)
                empty = is_new(connection, path)
            if empty:
                raise InputError("is no ledger of editctl (it is empty); name another file", file=str(path))
            if for_reading:
                connection.execute("PRAGMA query_only = 1")
            yield connection
        finally:
            connection.close()


def _read_only(path: Path, error: sqlite3.OperationalError, for_reading: bool) -> sqlite3.Connection:
    """A ledger in a place that can't be written is read as it stands, unless a log with news lies beside it."""
    log = path.with_name(f"{path.name}-wal")
    if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or not for_reading:
        raise error
    if log.exists() and log.stat().st_size:
        raise error
    return connect(path, "mode=ro&immutable=1")


def _amount(calls: int, tokens: int, nanousd: int | None, unpriced: int) -> Amount:
    return Amount(calls, tokens, None if calls and unpriced == calls else from_nanousd(nanousd or 0), unpriced)


def _size(path: Path) -> int:
    parts = (path, path.with_name(f"{path.name}-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
