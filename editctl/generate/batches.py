"""Calls through a provider's batch service: collected, handed in together, fetched when they are done.

What is handed in is noted in the ledger before it leaves, so that a run that dies in between finds its batches again
and pays for nothing twice.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from editctl.errors import EditctlError
from editctl.generate.ledger import Bill, Entry, Ledger
from editctl.generate.ledger_batches import ReservedCall
from editctl.interfaces import Batching, BatchState, CallFailed, Completion, Request, TryAgain

FIRST_LOOK, LONGEST_LOOK = 2.0, 60.0
"""Seconds between two looks at a batch: at first, and at most."""

T = TypeVar("T")
Result = Completion | CallFailed | TryAgain
Book = Callable[[ReservedCall, Completion | CallFailed], tuple[Entry, Bill]]
"""What an answer is recorded as, and what it cost."""


@dataclass(slots=True)
class Batches:
    """Collects the calls of a run into batches."""

    teacher: Batching
    ledger: Ledger
    book: Book
    tell: Callable[[str], None]
    patience: float = 600.0
    """Seconds to go on while the provider can't be reached."""
    collected_for: float = 1.0
    """Seconds without a new call after which what was collected is handed in."""
    _waiting: dict[bytes, asyncio.Future[Entry]] = field(default_factory=dict)
    """By key: calls the provider has, or is about to get."""
    _pool: dict[str, tuple[ReservedCall, Request]] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None
    _work: set[asyncio.Task[None]] = field(default_factory=set)

    def resume(self) -> None:
        """Take up what an earlier run handed in. To be called once, inside the event loop."""
        for label, (identifier, calls) in self.ledger.batches().items():
            for call in calls.values():
                self._expect(call.key)
            self._start(self._take_up(label, identifier, calls))

    def has(self, key: bytes) -> bool:
        """True for a call that the provider has already: it needs no reservation of its own."""
        return key in self._waiting

    async def answer(self, call: ReservedCall | None, key: bytes, request: Request) -> Entry:
        """What a call ended with, recorded, once its batch has come back.

        `call` is None for a call that the provider has already.

        Raises:
            TryAgain: the batch ended without an answer to it.
            CallFailed: the provider can't answer it.
            EditctlError: what stops the whole run.
        """
        if call is not None:
            self._expect(key)
            self._pool[name_of(key)] = (call, request)
            self._set_timer()
        try:
            return await asyncio.shield(self._waiting[key])
        except asyncio.CancelledError:
            if self._pool.pop(name_of(key), None) is not None and call is not None:
                self.ledger.release(call.charge)  # it never left
            raise
        finally:
            self._waiting.pop(key, None)

    def _expect(self, key: bytes) -> None:
        self._waiting[key] = asyncio.get_running_loop().create_future()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if len(self._pool) >= self.teacher.batch_limit:
            self._hand_in()
        else:
            self._timer = asyncio.get_running_loop().call_later(self.collected_for, self._hand_in)

    def _hand_in(self) -> None:
        pool, self._pool = self._pool, {}
        if pool:
            self._start(self._send(pool))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _send(self, pool: Mapping[str, tuple[ReservedCall, Request]]) -> None:
        label = uuid.uuid4().hex
        calls = {name: call for name, (call, _) in pool.items()}
        requests = {name: request for name, (_, request) in pool.items()}
        async with _told(self, calls):
            self.tell(f"handing in a batch of {len(pool):,} calls")
            await self.ledger.begin_batch(label, calls)
            identifier = await self._handed_in(requests, label)
            await self.ledger.name_batch(label, identifier)
            self.tell(f"batch {identifier}: {len(pool):,} calls handed in")
            await self._follow(label, identifier, calls)

    async def _handed_in(self, requests: Mapping[str, Request], label: str) -> str:
        """The provider's id. An earlier try may have handed it in, and its answer may be what was lost."""
        tried = False

        async def send() -> str:
            nonlocal tried
            known = await self.teacher.find_batch(label) if tried else None
            tried = True
            return known or await self.teacher.send_batch(requests, label)

        return await self._patiently(send)

    async def _take_up(self, label: str, identifier: str | None, calls: Mapping[str, ReservedCall]) -> None:
        async with _told(self, calls):
            identifier = identifier or await self._patiently(lambda: self.teacher.find_batch(label))
            if identifier is None:
                # The earlier run died before the provider had it.
                await self._end(label, calls, BatchState(ended=True, status="never handed in"))
                return
            self.tell(f"batch {identifier}: {len(calls):,} calls of an earlier run are taken up")
            await self._follow(label, identifier, calls)

    async def _follow(self, label: str, identifier: str, calls: Mapping[str, ReservedCall]) -> None:
        """Look at a batch now and then until it has ended."""
        pause, said = FIRST_LOOK, ""
        while True:
            state = await self._patiently(lambda: self.teacher.look_at_batch(identifier))
            line = f"batch {identifier}: {state.status}, {state.done:,} of {len(calls):,} done"
            if line != said:
                self.tell(line)
            said = line
            if state.ended:
                await self._end(label, calls, state)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK)

    async def _end(self, label: str, calls: Mapping[str, ReservedCall], state: BatchState) -> None:
        """Record every answer, whether this run asks for it or an earlier one did; then hand all out."""
        missing = TryAgain("server", f"the batch ended ({state.status}) without an answer to this call")
        results: dict[str, Result] = {name: state.results.get(name, missing) for name in calls}
        entries = await asyncio.gather(*(self._record(calls[name], result) for name, result in results.items()))
        await self.ledger.end_batch(label)
        for call, result, entry in zip(calls.values(), results.values(), entries, strict=True):
            future = self._waiting.get(call.key)
            if future is None or future.done():
                continue
            if entry is not None:
                future.set_result(entry)
            elif not isinstance(result, Completion):
                future.set_exception(result)

    async def _record(self, call: ReservedCall, result: Result) -> Entry | None:
        """The recorded entry; None for a call that got no answer, and cost nothing."""
        if isinstance(result, TryAgain) or (isinstance(result, CallFailed) and not result.answered):
            self.ledger.release(call.charge)
            return None
        return await self.ledger.record(call.charge, *self.book(call, result))

    async def _patiently(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do again what may succeed a little later."""
        waited, pause = 0.0, 1.0
        while True:
            try:
                return await action()
            except TryAgain as fault:
                pause = max(pause, fault.wait or 0.0)
                if waited + pause > self.patience:
                    raise EditctlError(f"stopped: the batch service can't be reached: {fault}") from fault
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, LONGEST_LOOK)

    def fail(self, calls: Mapping[str, ReservedCall], error: EditctlError) -> None:
        """Let everybody who waits for these calls hear why they never come."""
        for call in calls.values():
            future = self._waiting.get(call.key)
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()


class _told:
    """Whatever goes wrong inside is told to all who wait: nobody may wait for ever."""

    def __init__(self, batches: Batches, calls: Mapping[str, ReservedCall]) -> None:
        self.batches = batches
        self.calls = calls

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, EditctlError):
            self.batches.fail(self.calls, error)
            return True
        return False


def name_of(key: bytes) -> str:
    """What a call is called inside a batch."""
    return key.hex()[:32]
