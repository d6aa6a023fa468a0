"""What is done to a ledger's rows, one function for each; all inside the caller's transaction."""

import sqlite3
import time

from editctl.generate.ledger_file import Bill, Cap, bill_of

ENTRY = "SELECT model, step, value FROM completion WHERE key = ?"
_CHARGE = "INSERT INTO charge (run, key, state, made, tokens, nanousd) SELECT id, ?, ?, ?, ?, ? FROM run WHERE name = ?"
Row = tuple[str, str, str]
"""Model, step and value."""


def spent(connection: sqlite3.Connection, run: str) -> Bill:
    """What a run came to: settled, open and lost charges."""
    # fetchall: a cursor that is not read to its end holds a snapshot, and the log behind it could only grow.
    rows = connection.execute("SELECT tokens, nanousd, unpriced FROM run WHERE name = ?", (run,)).fetchall()
    return bill_of(*rows[0]) if rows else Bill(0, 0)


def held(connection: sqlite3.Connection, run: str) -> tuple[int, Bill]:
    """Calls of a run whose reservations are open, and what they may cost."""
    rows = connection.execute(
        "SELECT count(*), coalesce(sum(charge.tokens), 0), coalesce(sum(charge.nanousd), 0),"
        " coalesce(sum(charge.nanousd IS NULL), 0) FROM charge JOIN run ON run.id = charge.run"
        " WHERE run.name = ? AND state = 'open'",
        (run,),
    ).fetchall()
    calls, tokens, nanousd, unpriced = rows[0]
    return calls, bill_of(tokens, nanousd, unpriced)


def reserve(connection: sqlite3.Connection, run: str, key: bytes, bill: Bill, cap: Cap) -> int | None:
    """Note that a call may cost this much; None where that does not fit under the cap."""
    if cap != Cap() and not cap.allows(spent(connection, run), bill):
        return None
    return _charge(connection, run, key, "open", bill)


def _charge(connection: sqlite3.Connection, run: str, key: bytes, state: str, bill: Bill) -> int:
    now = int(time.time())
    values = (key, state, now, bill.tokens, bill.nanousd, run)
    # As few statements as can be: after each the writer has to wait for the interpreter again.
    done = connection.execute(_CHARGE, values)
    if not done.rowcount:
        connection.execute("INSERT INTO run (name, began, touched) VALUES (?, ?, ?)", (run, now, now))
        done = connection.execute(_CHARGE, values)
    assert done.lastrowid is not None
    return done.lastrowid


def record(
    connection: sqlite3.Connection, run: str, charge: int, key: bytes, row: Row, failed: bool, bill: Bill
) -> Row | None:
    """Add a completion and settle its charge; returns the row that was there before, which stays."""
    now = int(time.time())
    added = connection.execute(
        "INSERT INTO completion (key, model, step, value, run, made, tokens, nanousd, failed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (key, *row, run, now, bill.tokens, bill.nanousd, failed),
    )
    former = [] if added.rowcount else connection.execute(ENTRY, (key,)).fetchall()
    settled = connection.execute(
        "UPDATE charge SET state = 'settled', made = ?, tokens = ?, nanousd = ? WHERE id = ?",
        (now, bill.tokens, bill.nanousd, charge),
    )
    if not settled.rowcount:
        # Somebody pruned the reservation meanwhile; what was paid counts all the same.
        _charge(connection, run, key, "settled", bill)
    return former[0] if former else None


def price(connection: sqlite3.Connection, run: str, nanousd_a_token: float) -> None:
    """Put a price on calls that were made when none was known: what their tokens cost at most."""
    connection.execute(
        "UPDATE charge SET nanousd = CAST(tokens * ? + 1 AS INTEGER)"
        " WHERE nanousd IS NULL AND run = (SELECT id FROM run WHERE name = ?)",
        (nanousd_a_token, run),
    )


def release(connection: sqlite3.Connection, charge: int) -> None:
    """Drop a reservation."""
    connection.execute("DELETE FROM charge WHERE id = ? AND state = 'open'", (charge,))


def keep(connection: sqlite3.Connection, charge: int) -> None:
    """Count a reservation for good."""
    connection.execute("UPDATE charge SET state = 'lost' WHERE id = ? AND state = 'open'", (charge,))
