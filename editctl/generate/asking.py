"""Asks a teacher that costs time and money: through the ledger, under a budget, at a pace, again where that helps."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from editctl.errors import BudgetReached, EditctlError
from editctl.generate.batches import Batches
from editctl.generate.budget import Budget
from editctl.generate.costs import Costs, in_usd
from editctl.generate.keys import key_of
from editctl.generate.ledger import Entry
from editctl.generate.ledger_batches import ReservedCall
from editctl.generate.throttle import Result, Throttle
from editctl.interfaces import CallFailed, Completion, Price, Request, Teacher, TeacherError, TryAgain
from editctl.prices import likely_tokens

LONGEST_PAUSE = 30.0
"""Seconds between two tries of a call, at most, where the provider names no time."""
TOLD_FROM = 5.0
"""Seconds of silence from which on it is announced."""
TOLD_AGAIN = 60.0
"""Seconds after which a further one is."""
LOOKED_BACK = 20
"""Calls that tell whether the provider works: when more than half of so many in a row fail, the run stops, ..."""
STILL_FEW, LONG_ENOUGH = 0.1, 1000
"""... unless failures are few beside all answers of the run, recorded ones included, counted up to so many: a few
questions that can't be answered may be all that is left to ask."""


class Stopped(EditctlError):
    """The provider answers next to nothing: going on would only cost time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How patient and how thrifty a run is."""

    retries: int = 4
    """Further tries of a call after server errors, timeouts and lost connections."""
    patience: float = 600.0
    """Seconds to go on while the provider says nothing but `too many requests`."""
    grace: float = 0.0
    """Seconds that a run which is stopped waits for calls under way: their answers are paid."""
    keep_going: bool = False
    """True to go on although most calls fail."""
    first_pause: float = 0.5
    """Seconds before the second try, at most; doubled for each further one."""


@dataclass(slots=True)
class Asker:
    """Turns requests into completions, whatever the provider does meanwhile."""

    teacher: Teacher
    throttle: Throttle
    budget: Budget | None = None
    """None for offline teachers, whose answers cost nothing and can always be had again: they need no ledger."""
    manners: Manners = field(default_factory=Manners)
    batches: Batches | None = None
    """Where calls go through the provider's batch service."""
    tell: Callable[[str], None] = field(default=lambda line: None)
    """Called with what a person who watches should know."""
    closing: bool = False
    """True once nothing new may be asked."""
    finished: int = 0
    """Questions that need no further call."""
    costs: Costs = field(default_factory=Costs)
    failed_calls: int = 0
    """Calls that the provider could not answer."""
    last_failure: str | None = None
    """What the provider said to the last of them."""
    _flights: dict[bytes, asyncio.Future[Entry]] = field(default_factory=dict)
    _ended: deque[bool] = field(default_factory=lambda: deque(maxlen=LOOKED_BACK))
    _refused_since: float | None = None
    """When the first 429 came after the last answer."""
    _answers: int = 0
    """Recorded ones included."""
    _under_way: int = 0
    """Requests that are with the provider, or whose answers are being recorded."""
    _landed: bool = False
    _reached: bool = False
    _told_until: float = 0.0

    async def ask(self, request: Request) -> Completion:
        """The completion of a request: the recorded one where there is one.

        Raises:
            CallFailed: the provider can't answer this call.
            BudgetReached: the call could pass the cap.
            EditctlError: what stops the whole run.
        """
        if self.budget is None:
            return (await self._send(b"", request)).completion or Completion(text="")
        key = key_of(self.teacher, request)
        flight = self._flights.get(key)
        if flight is not None:
            # Two questions of the same wording: one call serves both.
            return self._use(await asyncio.shield(flight), request, reused=True)
        entry = self.budget.ledger.find(key)
        if entry is not None:
            return self._use(entry, request, reused=True)
        return self._use(await self._fly(key, request), request, reused=False)

    async def begin(self) -> None:
        """Get ready, inside the event loop of the run."""
        if self.budget is not None:
            await self.budget.begin()
        if self.batches is not None:
            self.batches.resume()

    async def land(self) -> None:
        """Begin nothing new and wait, within the grace, until the calls under way are answered and recorded."""
        self.closing = True
        if self._landed or not self._under_way:
            return
        self._landed = True
        if self.manners.grace >= TOLD_FROM:
            why = "" if self._is_free else ", whose answers are paid"
            self.tell(f"waiting for {self._under_way} calls under way{why}; Ctrl-C leaves them")
        end = time.monotonic() + self.manners.grace
        while self._under_way and time.monotonic() < end:
            await asyncio.sleep(0.02)

    @property
    def _is_free(self) -> bool:
        return self.budget is not None and self.budget.price == Price(input=0.0, output=0.0)

    async def close(self) -> None:
        """Give back the teacher's connections and the ledger."""
        try:
            await self.teacher.close()
        finally:
            if self.budget is not None:
                await self.budget.ledger.aclose()

    def status(self, total: int | None) -> str:
        """What a run has come to so far, for the progress line: money, calls, what it waits for."""
        whole = self.costs.total()
        usd = whole.known(whole.usd)
        spent = f"{whole.prompt_tokens + whole.completion_tokens:,} tokens"
        if usd is not None:
            spent = in_usd(usd)
            if usd and total and self.finished:
                spent = f"{spent.removesuffix(' USD')} of ~{in_usd(usd / self.finished * total)}"
        held = 0 if self.budget is None else self.budget.waiting
        parts = [spent, f"{self._under_way} calls"]
        parts += [f"{held} wait for budget"] if held else []
        parts += [f"{self.failed_calls} failed"] if self.failed_calls else []
        return ", ".join(parts)

    def _use(self, entry: Entry, request: Request, *, reused: bool) -> Completion:
        self._answers += 1
        if entry.completion is None:
            raise CallFailed(*(entry.failure or ("provider-error", "")), answered=True)
        assert self.budget is not None
        self.costs.add(request.step, self.budget.priced(entry.completion), reused=reused)
        return entry.completion

    async def _fly(self, key: bytes, request: Request) -> Entry:
        """Ask, and let whoever asks the same meanwhile wait for this answer."""
        flight: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        try:
            entry = await self._send(key, request)
            flight.set_result(entry)
        except EditctlError as error:
            # What ends the run ends it here: until its loop hears of it, others would go on sending.
            self.closing = self.closing or not isinstance(error, CallFailed | BudgetReached)
            flight.set_exception(error)
            flight.exception()  # looked at, so that nobody remarks on it when nobody else waits
            raise
        finally:
            del self._flights[key]
            if not flight.done():
                flight.cancel()
        return entry

    async def _send(self, key: bytes, request: Request) -> Entry:
        """Try until there is an answer, or no sense in trying."""
        faults = 0
        while True:
            try:
                entry = await self._once(key, request)
            except TryAgain as fault:
                faults += fault.fault != "rate-limit"
                await self._before_next_try(fault, faults)
            except CallFailed as failure:
                self._reached = True
                if failure.answered:
                    raise
                raise self._failed(failure) from failure
            else:
                self._refused_since, self._reached = None, True
                self._ended.append(True)
                return entry

    async def _before_next_try(self, fault: TryAgain, faults: int) -> None:
        """Wait as long as is polite; where it is of no use, raise what the call or the run ends with."""
        wait = fault.wait or 0.0
        self._reached = self._reached or fault.fault != "unreachable"
        if fault.fault == "rate-limit" and self._refused_since is None:
            self._refused_since = time.monotonic()
        silent = time.monotonic() - (self._refused_since or time.monotonic())
        if wait > self.manners.patience or (fault.fault == "rate-limit" and silent + wait > self.manners.patience):
            asks = f"asks to wait {wait:.0f} s" if wait else "says nothing but `too many requests`"
            since = f", after {silent:.0f} s without an answer" if silent >= 1 else ""
            raise Stopped(
                f"stopped: teacher {self.teacher.name} {asks}{since}; "
                f"run the same command again later, or raise --patience: {fault}"
            )
        self._tell_pause(fault, wait)
        if fault.fault == "rate-limit":
            return  # the throttle waits, for all calls together
        if faults > self.manners.retries:
            if not self._reached:
                raise Stopped(f"teacher {self.teacher.name}: {fault}; check that the server runs, and --api-base")
            raise self._failed(CallFailed("provider-error", str(fault)))
        grown = min(self.manners.first_pause * 2 ** (faults - 1), LONGEST_PAUSE)
        await asyncio.sleep(max(wait, grown * random.uniform(0.2, 1.0)))

    def _tell_pause(self, fault: TryAgain, wait: float) -> None:
        """A silence that the provider asks for is announced, once for all calls it holds up."""
        now = time.monotonic()
        if wait >= TOLD_FROM and now >= self._told_until:
            self._told_until = now + max(wait, TOLD_AGAIN)
            self.tell(f"teacher {self.teacher.name} asks to wait {wait:.0f} s: {fault}")

    def _failed(self, failure: CallFailed) -> EditctlError:
        """Note a call that could not be made; the error to raise is the run's where most calls fail."""
        self.failed_calls += 1
        self.last_failure = str(failure)
        self._ended.append(False)
        failed = self._ended.count(False)
        few = self.failed_calls <= STILL_FEW * min(self._answers, LONG_ENOUGH)
        if failed * 2 <= LOOKED_BACK or few or self.manners.keep_going:
            return failure
        return Stopped(
            f"stopped: {failed} of the last {len(self._ended)} calls failed, the last one with: {failure}; "
            "mend the cause and run the same command again, or say --keep-going"
        )

    async def _once(self, key: bytes, request: Request) -> Entry:
        """One call, at its turn."""
        # Questions that were begun are finished first: what a cut-off run paid for is then in its output.
        begins = request.step == "explain" and request.attempt == 1
        place = await self.throttle.enter(likely_tokens(request.messages) if self.budget else 0, rank=int(begins))
        result: Result = "cancelled"
        wait: float | None = None
        tokens: int | None = None
        try:
            entry = await self._call(key, request)
            result = "answered"
            if entry.completion is not None and entry.completion.prompt_tokens is not None:
                tokens = entry.completion.prompt_tokens + (entry.completion.completion_tokens or 0)
        except TryAgain as fault:
            result, wait = _RESULTS.get(fault.fault, "server"), fault.wait
            tokens = None if fault.may_cost else 0
            raise
        except CallFailed:
            result = "answered"
            raise
        finally:
            self.throttle.leave(place, result, wait=wait, tokens=tokens)
        return entry

    async def _call(self, key: bytes, request: Request) -> Entry:
        """Reserve, ask, record. A call that is cancelled leaves its reservation open: it may have been answered."""
        if self.budget is None:
            completion = await self.teacher.complete(request)
            return Entry(key=key, model=self.teacher.name, step=request.step, completion=completion)
        if self.closing:
            await _until_cancelled()
        if self.batches is not None and self.batches.has(key):
            return await self.batches.answer(None, key, request)
        call = await self.budget.reserve(key, request, durably=self.batches is not None)
        try:
            if self.batches is not None:
                return await self.batches.answer(call, key, request)
            if self.closing:  # since: it waited for room under the cap
                self.budget.ledger.release(call.charge)
                await _until_cancelled()
            self._under_way += 1
            try:
                return await self._direct(call, request, self.budget)
            finally:
                self._under_way -= 1
        finally:
            self.budget.settle()

    async def _direct(self, call: ReservedCall, request: Request, budget: Budget) -> Entry:
        """One request to the provider, recorded before anybody uses its answer."""
        said: Completion | CallFailed
        try:
            said = await self.teacher.complete(request)
        except TryAgain as fault:
            if fault.may_cost:
                budget.ledger.keep(call.charge)
            else:
                budget.ledger.release(call.charge)
            raise
        except (CallFailed, TeacherError) as failure:
            if not isinstance(failure, CallFailed) or not failure.answered:
                budget.ledger.release(call.charge)
                raise
            said = failure
        return await budget.ledger.record(call.charge, *budget.book(call, said))


async def _until_cancelled() -> None:
    """A call that is not to be made any more waits for the end of its run."""
    await asyncio.Event().wait()


_RESULTS: dict[str, Result] = {"rate-limit": "rate-limit", "timeout": "timeout"}
