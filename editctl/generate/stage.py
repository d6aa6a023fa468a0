"""Questions in, dual chains and rejects out, in the order of the questions whatever the concurrency."""

import asyncio
import contextlib
import signal
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from editctl.errors import BudgetReached, Terminated
from editctl.formats import format_of
from editctl.generate.asking import Asker
from editctl.generate.maker import Maker, Outcome
from editctl.generate.rounds import Answer, Asking, Round
from editctl.interfaces import CallFailed, Completion, Immediate, Request
from editctl.records import Question

In = TypeVar("In")
"""What is asked about: a question, or a row that is to be labelled."""
Out = TypeVar("Out")
"""What it comes to."""
Make = Callable[[int, In], Asking[Out]]
MOST_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of the questions; `index` counts from 0."""

    index: int = 0
    count: int = 1

    def size(self, total: int | None) -> int | None:
        """How many of `total` questions are in the part."""
        return None if total is None else len(range(self.index, total, self.count))

    def of(self, items: Iterable[In]) -> Iterator[tuple[int, In]]:
        """What is in the part, with its numbers in the whole: those decide which mistake is asked for."""
        return ((number, one) for number, one in enumerate(items) if number % self.count == self.index)


def make_dual_chains(
    questions: Iterable[Question], maker: Maker, asker: Asker, *, window: int = 128, shard: Shard | None = None
) -> Generator[Outcome, None, None]:
    """One outcome for each question, as soon as it and all before it are known.

    `window` is the most questions under way: more than calls under way, so that a slow one doesn't hold up the others.

    Raises:
        BudgetReached: after the last outcome that could be finished; questions without one are left out.
        EditctlError: what stops the whole run (a wrong key, a broken template).
    """
    apart = format_of(maker.settings.format).runner is not None
    return in_order(questions, maker.make, asker, window=window, shard=shard, apart=apart)


def in_order(
    items: Iterable[In],
    make: Make[In, Out],
    asker: Asker,
    *,
    window: int = 128,
    shard: Shard | None = None,
    apart: bool = False,
) -> Generator[Out, None, None]:
    """As `make_dual_chains`, of anything that `make` knows how to ask about.

    `apart`: what `make` does with an answer may take seconds (it runs programs), and is done off the event loop.
    """
    numbered = (shard or Shard()).of(items)
    teacher = asker.teacher
    if teacher.offline and isinstance(teacher, Immediate):
        yield from _at_once(numbered, make, asker, teacher.complete_now)
        return
    run = _Run(numbered, make, asker, window, apart)
    with asyncio.Runner() as runner, _Terminable(runner.get_loop()) as terminable:
        stream = run.in_order()
        try:
            while outcomes := runner.run(_next(stream, terminable)):
                yield from outcomes
        finally:
            runner.run(_close(stream, asker))
    if run.reached is not None:
        raise run.reached


def _at_once(
    numbered: Iterator[tuple[int, In]],
    make: Make[In, Out],
    asker: Asker,
    answer: Callable[[Request], Completion],
) -> Iterator[Out]:
    """One question after the other, without an event loop."""
    rendered = set()

    def answer_of(request: Request) -> Completion:
        if request.template not in rendered:
            # Nobody looks at the prompts here; a broken template is to be found all the same.
            rendered.add(request.template)
            len(request.messages)
        return answer(request)

    try:
        for number, item in numbered:
            yield finish(make(number, item), answer_of)
    finally:
        asyncio.run(asker.teacher.close())


def finish(asking: Asking[Out], answer: Callable[[Request], Completion]) -> Out:
    """What becomes of one question when a function answers all it asks, one call after the other."""

    def said(request: Request) -> Answer:
        try:
            return answer(request)
        except CallFailed as failure:
            return failure

    try:
        calls = next(asking)
        while True:
            calls = asking.send([said(request) for request in calls])
    except StopIteration as end:
        outcome: Out = end.value
        return outcome


class _Terminable:
    """SIGTERM ends what the loop waits for, as SIGINT does. Raised anywhere else it would land in any task at all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.arrived = False
        self.waits: asyncio.Task[Any] | None = None
        """What is cancelled."""
        self.former: Any = None

    def __enter__(self) -> "_Terminable":
        if threading.current_thread() is threading.main_thread():
            self.former = signal.getsignal(signal.SIGTERM)
            with contextlib.suppress(NotImplementedError):  # loops of some systems know no signals
                self.loop.add_signal_handler(signal.SIGTERM, self._stop)
        return self

    def _stop(self) -> None:
        self.arrived = True
        if self.waits is not None:
            self.waits.cancel()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.former is not None:
            signal.signal(signal.SIGTERM, self.former)
        if self.arrived and isinstance(error, asyncio.CancelledError):
            raise Terminated(Terminated.exit_code) from None


async def _next(stream: AsyncGenerator[list[Out], None], terminable: _Terminable) -> list[Out]:
    terminable.waits = asyncio.current_task()
    if terminable.arrived:  # as the task before was ending, which could no longer be cancelled
        raise asyncio.CancelledError
    return await anext(stream, [])


async def _close(stream: AsyncGenerator[list[Out], None], asker: Asker) -> None:
    await asker.land()
    # A signal can stop the loop in the middle of `_next`, which then still holds the stream.
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    try:
        await stream.aclose()
    finally:
        await asker.close()


@dataclass(slots=True)
class _Run(Generic[In, Out]):
    """The questions under way."""

    numbered: Iterator[tuple[int, In]]
    make: Make[In, Out]
    asker: Asker
    most: int
    apart: bool = False
    reached: BudgetReached | None = None
    """Set once a call could pass the cap: nothing new is begun, what needs no further call is finished."""
    window: "deque[asyncio.Task[Out | None]]" = field(default_factory=deque)
    broken: asyncio.Event = field(default_factory=asyncio.Event)

    async def in_order(self) -> AsyncGenerator[list[Out], None]:
        """Lists of outcomes, each as long as what is ready."""
        await self.asker.begin()
        watch = asyncio.ensure_future(self.broken.wait())
        try:
            while True:
                self._fill()
                if not self.window:
                    return
                await asyncio.wait((self.window[0], watch), return_when=asyncio.FIRST_COMPLETED)
                self._raise_what_broke()
                if ready := self._ready():
                    yield ready
        finally:
            await self.asker.land()
            watch.cancel()
            for task in self.window:
                task.cancel()
            await asyncio.gather(watch, *self.window, return_exceptions=True)

    def _fill(self) -> None:
        if self.reached is not None:
            return
        for _, (number, item) in zip(range(self.most - len(self.window)), self.numbered, strict=False):
            task = asyncio.ensure_future(self._outcome(number, item))
            task.add_done_callback(self._note)
            self.window.append(task)

    async def _outcome(self, number: int, item: In) -> Out | None:
        """None where the budget ended before the question did."""
        try:
            outcome = await self._made(self.make(number, item))
            self.asker.finished += 1
            return outcome
        except BudgetReached as reached:
            self.reached = reached
            return None

    async def _made(self, asking: Asking[Out]) -> Out:
        calls = _step(asking, None)
        while not isinstance(calls, _Ended):
            answers = await self._answers(calls)
            calls = await asyncio.to_thread(_step, asking, answers) if self.apart else _step(asking, answers)
        return calls.outcome

    async def _answers(self, calls: Round) -> list[Answer]:
        if len(calls) == 1:
            said = [await self._said(calls[0])]
        else:
            said = await asyncio.gather(*map(self._said, calls))
        for one in said:
            if isinstance(one, BudgetReached):
                raise one
        return [one for one in said if not isinstance(one, BudgetReached)]

    async def _said(self, request: Request) -> Answer | BudgetReached:
        """A cap that is reached is told at the end of the round: the other calls of it are being paid."""
        try:
            return await self.asker.ask(request)
        except (CallFailed, BudgetReached) as failure:
            return failure

    def _note(self, task: "asyncio.Task[Out | None]") -> None:
        """What stops one question stops the run, wherever in the window it stands."""
        if not task.cancelled() and task.exception() is not None:
            self.broken.set()

    def _raise_what_broke(self) -> None:
        for task in self.window if self.broken.is_set() else ():
            if task.done() and not task.cancelled():
                task.result()

    def _ready(self) -> list[Out]:
        ready: list[Out] = []
        while self.window and _is_whole(self.window[0]) and len(ready) < MOST_AT_ONCE:
            outcome = self.window.popleft().result()
            if outcome is not None:
                ready.append(outcome)
        return ready


@dataclass(frozen=True, slots=True)
class _Ended(Generic[Out]):
    """What a generator returned. StopIteration itself can't leave a thread."""

    outcome: Out


def _step(asking: Asking[Out], answers: list[Answer] | None) -> "Round | _Ended[Out]":
    try:
        return next(asking) if answers is None else asking.send(answers)
    except StopIteration as end:
        return _Ended(end.value)


def _is_whole(task: asyncio.Task[Any]) -> bool:
    return task.done() and task.exception() is None
