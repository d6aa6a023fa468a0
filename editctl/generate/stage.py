"""Questions in, dual chains and rejects out, in the order of the questions whatever the concurrency."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator

from editctl.generate.maker import Maker
from editctl.records import DualChain, Question, Reject

Outcome = DualChain | Reject
WINDOW = 8
"""Questions under way per concurrent call: one slow question must not hold up the others."""
MOST_AT_ONCE = 256


def make_dual_chains(questions: Iterable[Question], maker: Maker) -> Iterator[Outcome]:
    """One outcome for each question, as soon as it and all before it are known.

    Raises:
        EditctlError: what stops the whole run (a wrong key, a broken template).
    """
    with asyncio.Runner() as runner:
        stream = _in_order(iter(questions), maker)
        try:
            while outcomes := runner.run(_next(stream)):
                yield from outcomes
        finally:
            runner.run(_close(stream, maker))


async def _next(stream: AsyncIterator[list[Outcome]]) -> list[Outcome]:
    return await anext(stream, [])


async def _close(stream: AsyncIterator[list[Outcome]], maker: Maker) -> None:
    await stream.aclose()  # type: ignore[attr-defined]
    await maker.teacher.close()


async def _in_order(questions: Iterator[Question], maker: Maker) -> AsyncIterator[list[Outcome]]:
    """Lists of outcomes, each as long as what is ready."""
    window: deque[asyncio.Task[Outcome]] = deque()
    numbered = enumerate(questions)
    try:
        while True:
            _fill(window, numbered, maker)
            if not window:
                return
            ready = [await window.popleft()]
            while window and window[0].done() and len(ready) < MOST_AT_ONCE:
                ready.append(window.popleft().result())
            yield ready
    finally:
        for task in window:
            task.cancel()
        await asyncio.gather(*window, return_exceptions=True)


def _fill(window: deque[asyncio.Task[Outcome]], numbered: Iterator[tuple[int, Question]], maker: Maker) -> None:
    room = maker.settings.concurrency * WINDOW - len(window)
    for _, (number, question) in zip(range(room), numbered, strict=False):
        window.append(asyncio.ensure_future(maker.make(number, question)))
