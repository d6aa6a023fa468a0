"""The ledger's file: an SQLite database of completions and of what calls cost, and the values that go in and out."""

import contextlib
import math
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from editctl.errors import EditctlError, InputError, UsageError
from editctl.files import OutputError
from editctl.interfaces import Completion
from editctl.jsonl import dumps, loads

T = TypeVar("T")
APPLICATION = 0x65646C67
"""SQLite's application_id of a ledger."""
LAYOUT = 1
"""SQLite's user_version: which tables there are."""
BUSY_SECONDS = 60.0
"""How long another process may hold the file."""
NANO = 10**9
_MOST = 10**15
"""Largest figure of one bill; sums of them stay exact in 64 bits."""
_TABLES = (
    # `made`, `began` and `touched` are seconds since 1970. Rows are appended; only the index of keys is random.
    """CREATE TABLE completion (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, model TEXT NOT NULL, step TEXT NOT NULL,
        run TEXT NOT NULL, made INTEGER NOT NULL, tokens INTEGER NOT NULL, nanousd INTEGER,
        failed INTEGER NOT NULL, value TEXT NOT NULL)""",
    """CREATE TABLE run (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, began INTEGER NOT NULL,
        touched INTEGER NOT NULL, tokens INTEGER NOT NULL DEFAULT 0, nanousd INTEGER NOT NULL DEFAULT 0,
        unpriced INTEGER NOT NULL DEFAULT 0)""",
    # AUTOINCREMENT: a number that was pruned must not come back while a process still holds it.
    """CREATE TABLE charge (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, key BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'settled', 'lost')), made INTEGER NOT NULL,
        tokens INTEGER NOT NULL, nanousd INTEGER)""",
    # A run's totals follow its charges in the file itself, whoever changes them.
    """CREATE TRIGGER charge_added AFTER INSERT ON charge BEGIN
        UPDATE run SET tokens = tokens + NEW.tokens, nanousd = nanousd + coalesce(NEW.nanousd, 0),
            unpriced = unpriced + (NEW.nanousd IS NULL), touched = max(touched, NEW.made) WHERE id = NEW.run; END""",
    """CREATE TRIGGER charge_gone AFTER DELETE ON charge BEGIN
        UPDATE run SET tokens = tokens - OLD.tokens, nanousd = nanousd - coalesce(OLD.nanousd, 0),
            unpriced = unpriced - (OLD.nanousd IS NULL) WHERE id = OLD.run; END""",
    """CREATE TRIGGER charge_changed AFTER UPDATE ON charge BEGIN
        UPDATE run SET tokens = tokens + NEW.tokens - OLD.tokens,
            nanousd = nanousd + coalesce(NEW.nanousd, 0) - coalesce(OLD.nanousd, 0),
            unpriced = unpriced + (NEW.nanousd IS NULL) - (OLD.nanousd IS NULL),
            touched = max(touched, NEW.made) WHERE id = NEW.run; END""",
    # `identifier` is the provider's; null while it is not known whether the provider has the batch at all.
    "CREATE TABLE batch (label TEXT PRIMARY KEY, run TEXT NOT NULL, identifier TEXT, made INTEGER NOT NULL)",
    """CREATE TABLE batch_call (
        label TEXT NOT NULL, name TEXT NOT NULL, key BLOB NOT NULL, step TEXT NOT NULL, charge INTEGER NOT NULL,
        tokens INTEGER NOT NULL, nanousd INTEGER, PRIMARY KEY (label, name)) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {LAYOUT}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one call ended with."""

    key: bytes
    """Hash of everything the answer depends on."""
    model: str
    step: str
    completion: Completion | None
    failure: tuple[str, str] | None = None
    """Reason and detail of the provider's last word, where that was no completion."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a call costs, or may cost. Figures come from providers: below 0 they count as 0, beyond 10**15 as that."""

    tokens: int
    nanousd: int | None
    """Billionths of a USD, so that sums are exact; None where the price is unknown."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", min(max(self.tokens, 0), _MOST))
        if self.nanousd is not None:
            object.__setattr__(self, "nanousd", min(max(self.nanousd, 0), _MOST))


@dataclass(frozen=True, slots=True)
class Cap:
    """The most a run may cost; None is no limit."""

    tokens: int | None = None
    nanousd: int | None = None

    def allows(self, spent: Bill, bill: Bill) -> bool:
        """True where a bill fits on top of what is spent. What has no known price fits under no cap in USD."""
        if self.tokens is not None and spent.tokens + bill.tokens > self.tokens:
            return False
        if self.nanousd is None:
            return True
        if spent.nanousd is None or bill.nanousd is None:
            return False
        return spent.nanousd + bill.nanousd <= self.nanousd


def to_nanousd(usd: float) -> int:
    """Billionths of a USD, rounded up; what is no finite number is the largest bill there is."""
    if not math.isfinite(usd):
        return _MOST
    # By way of the decimal figures a person sees: 0.1 is 100,000,000 and not one more.
    return int((Decimal(repr(float(usd))) * NANO).to_integral_value(ROUND_CEILING))


def from_nanousd(nanousd: int | None) -> float | None:
    """USD, or None for an unknown price."""
    return None if nanousd is None else nanousd / NANO


def bill_of(tokens: int, nanousd: int, unpriced: int) -> Bill:
    """A sum: unknown in USD as soon as one part is."""
    return Bill(tokens, None if unpriced else nanousd)


class file_errors:
    """Turn what SQLite and the system say about a file into one clear line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise fault(self.path, error) from error
        if isinstance(error, OSError):
            raise UsageError(f"{self.path}: can't be opened: {error.strerror}; name another ledger") from error


def fault(path: Path, error: sqlite3.Error) -> EditctlError:
    """What a failure of SQLite means for a user."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    cause = f"{error} ({getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')})"
    if code == sqlite3.SQLITE_NOTADB:
        return InputError("is no ledger of editctl (no SQLite file); name another file", file=str(path))
    if code == sqlite3.SQLITE_CORRUPT:
        return InputError(f"is damaged: {cause}; put a copy in its place, or move it away", file=str(path))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return UsageError(f"{path}: can't be written: {cause}; name another ledger")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return OutputError(f"{path}: another process held it for too long: {cause}; wait for that and run again")
    return OutputError(f"{path}: can't be read or written: {cause}; free some space and run again")


def connect(path: Path, query: str) -> sqlite3.Connection:
    """A connection in autocommit, usable from any thread; `query` is that of an SQLite address (mode=rwc)."""
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: is no plain file; name another ledger")
    address = f"{path.absolute().as_uri()}?{query}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open a ledger to write in it, or make it.

    Raises:
        InputError: a file that is no ledger, or of a newer layout, or damaged.
        UsageError: a folder, or a place that can't be written.
        OutputError: a full disk, or a file that another process does not let go.
    """
    with file_errors(path):
        connection = connect(path, "mode=rwc")
        try:
            _patiently(lambda: _prepare(connection, path))
            # Every commit reaches the disk before anybody hears of it.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {1 << 26}")
        except BaseException:
            connection.close()
            raise
        return connection


def _patiently(action: Callable[[], T]) -> T:
    """Do again what SQLite gives up at once, in spite of its time limit, while a file is being made."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    is_new(connection, path)
    with transaction(connection):
        if is_new(connection, path):
            for statement in _TABLES:
                connection.execute(statement)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()


class transaction:
    """Everything inside stands in the file afterwards, durably, or nothing does."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")


def is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """True for an empty file, False for a ledger. Raises InputError for anything else."""
    looks = not connection.in_transaction
    if looks:
        connection.execute("BEGIN")  # another process may be making the file: one state of it for all three questions
    try:
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((layout,),) = connection.execute("PRAGMA user_version").fetchall()
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    finally:
        if looks and connection.in_transaction:
            connection.execute("ROLLBACK")
    if application == APPLICATION and layout > LAYOUT:
        raise InputError(
            f"was written by a newer editctl (layout {layout}, this one knows {LAYOUT}); update editctl", file=str(path)
        )
    if application != APPLICATION and (application or tables):
        raise InputError("is an SQLite file, but no ledger of editctl; name another file", file=str(path))
    return bool(application != APPLICATION)


def encoded(entry: Entry) -> str:
    """An entry's value as JSON."""
    completion = entry.completion
    if completion is not None and completion.usd is not None and not math.isfinite(completion.usd):
        completion = replace(completion, usd=None)
    failure = None if entry.failure is None else list(entry.failure)
    return dumps({"completion": None if completion is None else asdict(completion), "failure": failure})


def decoded(key: bytes, row: tuple[str, str, str], path: Path) -> Entry:
    """An entry from its row (model, step, value). Raises InputError for a value that can't be read."""
    model, step, text = row
    try:
        value: dict[str, Any] = loads(text)
        completion = None if value["completion"] is None else Completion(**value["completion"])
        failure = None if value["failure"] is None else (str(value["failure"][0]), str(value["failure"][1]))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"is damaged: the value of {key.hex()} can't be read; move it away", file=str(path)) from error
    return Entry(key=key, model=model, step=step, completion=completion, failure=failure)


def plain(text: str) -> str:
    """A text that SQLite can hold: half of a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
