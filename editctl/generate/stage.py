"""Questions in, dual chains and rejects out, in the order of the questions whatever the concurrency."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator

from editctl.generate.maker import Maker
from editctl.records import DualChain, Question, Reject

Outcome = DualChain | Reject
Task = asyncio.Task[Outcome]
WINDOW = 8
"""Questions under way per concurrent call: one slow question must not hold up the others."""
MOST_AT_ONCE = 256


def make_dual_chains(questions: Iterable[Question], maker: Maker) -> Iterator[Outcome]:
    """One outcome for each question, as soon as it and all before it are known.

    Raises:
        EditctlError: what stops the whole run (a wrong key, a broken template).
    """
    maker.begin()
    with asyncio.Runner() as runner:
        stream = _in_order(iter(questions), maker)
        try:
            while outcomes := runner.run(_next(stream)):
                yield from outcomes
        finally:
            runner.run(_close(stream, maker))


async def _next(stream: AsyncGenerator[list[Outcome], None]) -> list[Outcome]:
    return await anext(stream, [])


async def _close(stream: AsyncGenerator[list[Outcome], None], maker: Maker) -> None:
    # A signal can stop the loop in the middle of `_next`, which then still holds the stream.
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    try:
        await stream.aclose()
    finally:
        await maker.teacher.close()


async def _in_order(questions: Iterator[Question], maker: Maker) -> AsyncGenerator[list[Outcome], None]:
    """Lists of outcomes, each as long as what is ready."""
    window: deque[Task] = deque()
    numbered = enumerate(questions)
    broken: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
    try:
        while True:
            _fill(window, numbered, maker, broken)
            if not window:
                return
            await asyncio.wait((window[0], broken), return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                broken.result().result()
            ready = [window.popleft().result()]
            while window and _is_ready(window[0]) and len(ready) < MOST_AT_ONCE:
                ready.append(window.popleft().result())
            yield ready
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


def _fill(
    window: deque[Task], numbered: Iterator[tuple[int, Question]], maker: Maker, broken: asyncio.Future[Task]
) -> None:
    """Begin as many questions as there is room for; `broken` gets the first that stops the run, wherever it stands."""

    def note(task: Task) -> None:
        if not task.cancelled() and task.exception() is not None and not broken.done():
            broken.set_result(task)

    room = maker.settings.concurrency * WINDOW - len(window)
    for _, (number, question) in zip(range(room), numbered, strict=False):
        task = asyncio.ensure_future(maker.make(number, question))
        task.add_done_callback(note)
        window.append(task)


def _is_ready(task: Task) -> bool:
    return task.done() and task.exception() is None
