"""What the ledger knows of batches handed in to a provider: one function for each thing done to their rows."""

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from editctl.generate.ledger_file import Bill


@dataclass(frozen=True, slots=True)
class ReservedCall:
    """A call whose reservation stands in the ledger."""

    key: bytes
    step: str
    charge: int
    """Its reservation."""
    worst: Bill
    """The most it can cost."""
    overshoot: float = 1.0
    """What that was multiplied by, after bills that went beyond it."""


Calls = Mapping[str, ReservedCall]


def begin(connection: sqlite3.Connection, run: str, label: str, calls: Calls) -> None:
    """Note what is about to be handed in."""
    connection.execute("INSERT INTO batch (label, run, made) VALUES (?, ?, ?)", (label, run, int(time.time())))
    connection.executemany(
        "INSERT INTO batch_call VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (label, name, call.key, call.step, call.charge, call.worst.tokens, call.worst.nanousd)
            for name, call in calls.items()
        ),
    )


def name(connection: sqlite3.Connection, label: str, identifier: str) -> None:
    """Note what the provider calls it."""
    connection.execute("UPDATE batch SET identifier = ? WHERE label = ?", (identifier, label))


def end(connection: sqlite3.Connection, label: str) -> None:
    """Forget a batch whose answers are all recorded."""
    connection.execute("DELETE FROM batch_call WHERE label = ?", (label,))
    connection.execute("DELETE FROM batch WHERE label = ?", (label,))


def pending(connection: sqlite3.Connection, run: str) -> dict[str, tuple[str | None, Calls]]:
    """The batches of a run that have not ended, by label: the provider's name and the calls."""
    found: dict[str, tuple[str | None, Calls]] = {}
    rows = connection.execute("SELECT label, identifier FROM batch WHERE run = ? ORDER BY made", (run,)).fetchall()
    for label, identifier in rows:
        calls = connection.execute(
            "SELECT name, key, step, charge, tokens, nanousd FROM batch_call WHERE label = ?", (label,)
        ).fetchall()
        found[label] = (
            identifier,
            {one: ReservedCall(key, step, charge, Bill(tokens, usd)) for one, key, step, charge, tokens, usd in calls},
        )
    return found
