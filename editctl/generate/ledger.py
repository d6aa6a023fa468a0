"""The ledger: every completion is on disk before it is used, and every call's worst price before it is made.

Calls come from the event loop; one thread writes. It takes all that waits and commits it in one transaction, so that
hundreds of calls a second share a few writes to the disk.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from editctl.errors import EditctlError
from editctl.files import OutputError
from editctl.generate import ledger_batches
from editctl.generate import ledger_rows as rows
from editctl.generate.ledger_batches import Calls
from editctl.generate.ledger_file import (
    NANO,
    Bill,
    Cap,
    Entry,
    connect,
    decoded,
    encoded,
    fault,
    file_errors,
    from_nanousd,
    open_ledger,
    plain,
    to_nanousd,
    transaction,
)

__all__ = ["NANO", "Bill", "Cap", "Entry", "Ledger", "from_nanousd", "to_nanousd"]
TOGETHER = 512
"""Most operations in one transaction."""


@dataclass(frozen=True, slots=True)
class _Job:
    """One operation, and who waits for it."""

    action: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any] | None = None
    unheard: Callable[[Any], None] | None = None
    """What to do with the result when whoever waited for it is gone."""


class Ledger:
    """Completions by key, and what the calls of a run cost. Processes may share one, on one machine.

    To be used from one event loop. Once a write has failed, every caller hears of it and nothing is written any more.
    """

    def __init__(self, path: Path, run: str) -> None:
        """Open a ledger, or make it. Caps count what calls of the same `run` cost, in whichever process.

        Raises:
            InputError: a file that is no ledger, or of a newer layout, or damaged.
            UsageError: a folder, or a place that can't be written.
            OutputError: a full disk, or a file that another process does not let go.
        """
        self.path = path
        self.run = plain(run)
        self._connection = open_ledger(path)
        try:
            with file_errors(path):
                self._reader = connect(path, "mode=ro")
        except EditctlError:
            self._connection.close()
            raise
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._writer = _Writer(path, self._connection, self._jobs)
        self._last: Bill | None = None
        self._handles = count(-1, -1)
        self._noted: dict[int, int] = {}
        """Numbers in the file by what `note` returned, which is below 0."""
        self._writer.start()

    @property
    def entries(self) -> int:
        """How many completions there are; counted when asked for."""
        with file_errors(self.path):
            ((entries,),) = self._reader.execute("SELECT count(*) FROM completion").fetchall()
        return int(entries)

    def find(self, key: bytes) -> Entry | None:
        """What was recorded under a key. Raises InputError or OutputError for a file that can't be read."""
        with file_errors(self.path):
            found = self._reader.execute(rows.ENTRY, (key,)).fetchall()
        if not found:
            return None
        return decoded(key, found[0], self.path)

    async def reserve(self, key: bytes, bill: Bill, cap: Cap) -> int | None:
        """Note, durably, that a call may cost this much; returns the charge, or None where the cap does not allow it.

        Raises:
            EditctlError: the ledger can't be written.
        """
        action = partial(rows.reserve, run=self.run, key=key, bill=bill, cap=cap)
        charge: int | None = await self._do(action, self._give_back)
        return charge

    def note(self, key: bytes, bill: Bill) -> int:
        """As `reserve` where there is no cap, but soon: nobody waits for the disk before the call is made.

        Raises:
            EditctlError: the ledger can't be written: the call would be paid and lost.
        """
        self._writer.check()
        charge = next(self._handles)
        self._put(_Job(partial(self._note, charge=charge, key=key, bill=bill)))
        return charge

    def _note(self, connection: sqlite3.Connection, charge: int, key: bytes, bill: Bill) -> None:
        found = rows.reserve(connection, run=self.run, key=key, bill=bill, cap=Cap())
        assert found is not None
        self._noted[charge] = found

    def _row(self, charge: int) -> int:
        """The number a charge has in the file. In the writer's thread, where what was noted before it has one."""
        return self._noted.pop(charge, charge)

    async def record(self, charge: int, entry: Entry, bill: Bill) -> Entry:
        """Store, durably, what a call ended with and settle its charge; returns the entry that counts.

        That is the earlier one where another process was faster.

        Raises:
            EditctlError: the ledger can't be written.
        """
        row = (plain(entry.model), plain(entry.step), encoded(entry))
        failed = entry.completion is None

        def action(connection: sqlite3.Connection) -> rows.Row | None:
            return rows.record(connection, self.run, self._row(charge), entry.key, row, failed, bill)

        former: rows.Row | None = await self._do(action)
        return entry if former is None else decoded(entry.key, former, self.path)

    def release(self, charge: int) -> None:
        """Nothing was billed: the reservation goes away, soon."""
        self._put(_Job(lambda connection: rows.release(connection, self._row(charge))))

    def keep(self, charge: int) -> None:
        """Something may have been billed: the reservation counts for good, as lost."""
        self._put(_Job(lambda connection: rows.keep(connection, self._row(charge))))

    def batches(self) -> dict[str, tuple[str | None, Calls]]:
        """What this run handed in to a provider and has not got back: by label, the provider's name and the calls."""
        with file_errors(self.path):
            return ledger_batches.pending(self._reader, self.run)

    async def begin_batch(self, label: str, calls: Calls) -> None:
        """Note, durably, what is about to be handed in."""
        await self._do(partial(ledger_batches.begin, run=self.run, label=label, calls=calls))

    async def name_batch(self, label: str, identifier: str) -> None:
        """Note, durably, what the provider calls it."""
        await self._do(partial(ledger_batches.name, label=label, identifier=plain(identifier)))

    async def end_batch(self, label: str) -> None:
        """Forget, durably, a batch whose answers are all recorded."""
        await self._do(partial(ledger_batches.end, label=label))

    async def price(self, nanousd_a_token: float) -> None:
        """Count calls of this run that were made when no price was known at this price: an upper bound."""
        await self._do(partial(rows.price, run=self.run, nanousd_a_token=nanousd_a_token))

    def spent(self) -> Bill:
        """What this run came to in all processes, now and before: settled, open and lost charges."""
        if self._last is not None:
            return self._last
        with file_errors(self.path):
            return rows.spent(self._reader, self.run)

    def held(self) -> tuple[int, Bill]:
        """Calls of this run that are reserved and neither answered nor given back, and what they may cost."""
        with file_errors(self.path):
            return rows.held(self._reader, self.run)

    async def aclose(self) -> None:
        """Write what waits, and close."""
        if not self._writer.is_alive():  # the interpreter is ending, and has ended it
            return
        with contextlib.suppress(EditctlError):  # whoever had something to lose has heard of it
            await self._do(lambda connection: None)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """As aclose, from where no event loop runs."""
        if not self._writer.open:
            return
        self._writer.open = False
        self._jobs.put(None)
        self._writer.join()
        with contextlib.suppress(EditctlError):
            self._last = self.spent()
        # The writer's connection goes last: it alone can move the log into the file.
        self._reader.close()
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    async def _do(
        self, action: Callable[[sqlite3.Connection], Any], unheard: Callable[[Any], None] | None = None
    ) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._writer.check()
        self._jobs.put(_Job(action, future, unheard))
        try:
            return await future
        except asyncio.CancelledError:
            # The task may be cancelled between the answer and its next step.
            answered = future.done() and not future.cancelled() and future.exception() is None
            if answered and unheard is not None:
                unheard(future.result())
            raise

    def _put(self, job: _Job) -> None:
        """Queue what nobody waits for; a ledger that is closed or can't be written leaves the charge as it is."""
        if self._writer.open and self._writer.failure is None:
            self._jobs.put(job)

    def _give_back(self, charge: int | None) -> None:
        if charge is not None:
            self.release(charge)


class _Writer(threading.Thread):
    """Commits what is queued, many operations at a time, and tells who waits."""

    def __init__(self, path: Path, connection: sqlite3.Connection, jobs: "SimpleQueue[_Job | None]") -> None:
        super().__init__(name=f"ledger {path.name}", daemon=True)
        self.path = path
        self.connection = connection
        self.jobs = jobs
        self.open = True
        self.failure: str | None = None

    def check(self) -> None:
        """Raises EditctlError where nothing can be written any more."""
        if self.failure is not None:
            raise OutputError(self.failure)
        if not self.open:
            raise OutputError(f"{self.path}: is closed")

    def run(self) -> None:
        """Until the queue holds None."""
        going = True
        while going:
            jobs, going = self._next()
            results = self._commit(jobs)
            self._tell([job for job in jobs if job.future is not None], results)

    def _next(self) -> tuple[list[_Job], bool]:
        """What waits now, but at least one operation; False when it is the last."""
        found = [self.jobs.get()]
        with contextlib.suppress(Empty):
            while found[-1] is not None and len(found) < TOGETHER:
                found.append(self.jobs.get_nowait())
        return [job for job in found if job is not None], found[-1] is not None

    def _commit(self, jobs: list[_Job]) -> dict[int, Any]:
        """Results by the identity of their job; none at all where the transaction failed."""
        if self.failure is not None or not jobs:
            return {}
        try:
            with transaction(self.connection):
                return {id(job): job.action(self.connection) for job in jobs}
        except sqlite3.Error as error:
            self.failure = str(fault(self.path, error))
        except BaseException as error:  # a fault of ours: nobody may wait for ever
            self.failure = f"{self.path}: can't be written: {error}"
            self._tell([job for job in jobs if job.future is not None], {})
            raise
        return {}

    def _tell(self, jobs: list[_Job], results: dict[int, Any]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        for job in jobs:
            if job.future is not None:
                loops.setdefault(job.future.get_loop(), []).append(job)
        for loop, waiting in loops.items():
            try:
                loop.call_soon_threadsafe(self._deliver, waiting, results)
            except RuntimeError:  # the loop is closed
                self._deliver(waiting, results)

    def _deliver(self, jobs: list[_Job], results: dict[int, Any]) -> None:
        """In the event loop's thread."""
        for job in jobs:
            assert job.future is not None
            answered = id(job) in results
            if job.future.get_loop().is_closed() or job.future.done():
                if answered and job.unheard is not None:
                    job.unheard(results[id(job)])
            elif answered:
                job.future.set_result(results[id(job)])
            else:
                job.future.set_exception(OutputError(self.failure or f"{self.path}: can't be written"))
