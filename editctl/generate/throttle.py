"""How many calls may be under way: as many as the provider takes, and no more than the user allows.

The limit grows while calls are answered, shrinks by a factor when the provider refuses one or one times out, and
everybody pauses for as long as the provider asks.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Literal

BURST_SECONDS = 3.0
"""What a minute's budget may run ahead by: this many seconds' worth, or one call where that is more."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds, before jitter: the first pause after a refusal without Retry-After, and where its doubling ends."""

JITTER = 0.25
"""Such a pause is longer or shorter by at most this share, so that several processes don't come back together."""

HOLD = 16
"""Rounds of answers for which the limit stays just below the one that last was too many: every try beyond costs a
refusal and a pause."""

Result = Literal["answered", "rate-limit", "server", "timeout", "cancelled"]
"""How a call ended, as far as the limit is concerned."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """The right to have one call under way; given back with `Throttle.leave`, once."""

    tokens: int
    """What the call was expected to take."""
    era: int
    """How often the limit had shrunk when the call was let in."""


class _Bucket:
    """A budget that refills steadily, kept as the moment at which it will be full again.

    It holds what refills in BURST_SECONDS. A call that needs more goes when it is full, and overdraws it.
    """

    def __init__(self, per_minute: float) -> None:
        """`per_minute` is above 0."""
        self._cost = 60 / per_minute
        self._full_at = float("-inf")

    def ready_at(self, amount: float) -> float:
        """The earliest moment at which `amount` may be taken."""
        return self._full_at - max(0.0, BURST_SECONDS - amount * self._cost)

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, also where it is not there; a negative one is given back."""
        self._full_at = max(self._full_at, now) + amount * self._cost


class Throttle:
    """Lets calls in, first come, first served within a rank. For one event loop; needs no closing."""

    def __init__(
        self,
        *,
        start: int,
        most: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], Random] = Random,
    ) -> None:
        """Begin with `start` calls at once and never allow more than `most`; `clock` and `sleep` are in seconds."""
        self._limit = min(start, most)
        self._most = most
        self._threshold = most
        self._too_many = 0
        self._answers = 0
        self._era = 0
        self._next_pause = FIRST_PAUSE
        self._resume_at = float("-inf")
        self._requests = None if requests_per_minute is None else _Bucket(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else _Bucket(tokens_per_minute)
        self._clock = clock
        self._sleep = sleep
        self._random = random()
        self._passes: set[Pass] = set()
        self._numbers = count()
        self._queue: list[tuple[tuple[int, int], asyncio.Future[Pass], int]] = []
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    @property
    def limit(self) -> int:
        """How many calls may be under way now."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return len(self._passes)

    @property
    def waiting(self) -> int:
        """How many calls wait to be let in."""
        return sum(not turn.done() for _, turn, _ in self._queue)

    @property
    def paused(self) -> float:
        """Seconds until calls are let in again; 0 where there is no pause."""
        return max(0.0, self._resume_at - self._clock())

    async def enter(self, tokens: int, rank: int = 0) -> Pass:
        """Wait for a place, for the end of a pause and for the minute's budget, in the order of the calls.

        `tokens` is the most that the call is expected to take; lower ranks go first. May be cancelled at any moment.
        """
        if not self._queue and len(self._passes) < self._limit:
            now = self._clock()
            if self._ready_at(tokens) <= now:
                return self._let_in(tokens, now)
        order = (rank, next(self._numbers))
        while True:
            place = await self._turn(order, tokens)
            if self._resume_at <= self._clock():
                return place
            self._take_back(place)  # A pause began between being let in and noticing.

    def leave(self, place: Pass, result: Result, *, wait: float | None = None, tokens: int | None = None) -> None:
        """Give a place back and say how the call ended.

        Args:
            place: what `enter` returned.
            result: `rate-limit` and `timeout` shrink the limit, once for all calls that were under way together.
            wait: seconds the provider asks to wait (Retry-After): nobody is let in before they are over.
            tokens: what the call really took; None leaves the expected number counted.

        Raises:
            KeyError: the place was given back before.
        """
        self._passes.remove(place)
        if tokens is not None and self._tokens is not None:
            self._tokens.take(tokens - place.tokens, self._clock())
        if result == "answered":
            self._grow(place)
        elif result != "cancelled":
            self._slow_down(place, result, wait)
        self._admit()

    def _ready_at(self, tokens: int) -> float:
        """The earliest moment at which a call of so many tokens may be sent, places aside."""
        ready = self._resume_at
        if self._requests is not None:
            ready = max(ready, self._requests.ready_at(1))
        if self._tokens is not None:
            ready = max(ready, self._tokens.ready_at(tokens))
        return ready

    def _let_in(self, tokens: int, now: float) -> Pass:
        self._charge(1, tokens, now)
        place = Pass(tokens, self._era)
        self._passes.add(place)
        return place

    def _charge(self, requests: int, tokens: int, now: float) -> None:
        if self._requests is not None:
            self._requests.take(requests, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    async def _turn(self, order: tuple[int, int], tokens: int) -> Pass:
        turn: asyncio.Future[Pass] = asyncio.get_running_loop().create_future()
        heappush(self._queue, (order, turn, tokens))
        self._admit()
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # Let in, but cancelled before noticing.
                self._take_back(turn.result())
            self._admit()
            raise

    def _take_back(self, place: Pass) -> None:
        """The call was not sent."""
        self._passes.remove(place)
        self._charge(-1, -place.tokens, self._clock())

    def _admit(self) -> None:
        """Let in whoever may go now; where only time is missing, come back when it has passed."""
        while self._queue and len(self._passes) < self._limit:
            _, turn, tokens = self._queue[0]
            if not turn.done():
                now = self._clock()
                ready = self._ready_at(tokens)
                if ready > now:
                    self._set_alarm(ready, now)
                    return
                turn.set_result(self._let_in(tokens, now))
            heappop(self._queue)
        if self._alarm is not None and not self._queue:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, moment: float, now: float) -> None:
        if self._alarm is not None:
            if self._alarm_at <= moment:
                return
            self._alarm.cancel()
        self._alarm_at = moment
        self._alarm = asyncio.get_running_loop().create_task(self._ring(moment - now))

    async def _ring(self, seconds: float) -> None:
        await self._sleep(seconds)
        self._alarm = None
        self._admit()

    def _grow(self, place: Pass) -> None:
        """Up to the threshold one more for each answer, beyond it one more for each round of answers."""
        if place.era != self._era:
            return  # The answer to a call from before the shrink says nothing about what the provider takes now.
        self._next_pause = FIRST_PAUSE
        if self._limit >= self._most or self._resume_at > self._clock():
            return  # Growing in a pause would let everybody loose at its end.
        self._answers += 1
        rounds = HOLD if self._limit == self._too_many - 1 else 1
        if self._limit < self._threshold or self._answers >= rounds * self._limit:
            self._limit += 1
            self._answers = 0

    def _slow_down(self, place: Pass, result: Result, wait: float | None) -> None:
        """Shrink, pause or both; calls that were sent before the last shrink can only lengthen the pause."""
        fresh = place.era == self._era
        pause = max(0.0, wait or 0.0)
        if not pause and fresh and result == "rate-limit":
            pause = self._own_pause()
        if fresh and result != "server":
            self._era += 1
            self._too_many = self._limit
            self._limit = self._threshold = max(1, self._limit * 7 // 10)
            self._answers = 0
        if pause:
            self._resume_at = max(self._resume_at, self._clock() + pause)
            self._limit = min(self._limit, max(1, self._threshold // 4))

    def _own_pause(self) -> float:
        pause = self._next_pause * self._random.uniform(1 - JITTER, 1 + JITTER)
        self._next_pause = min(2 * self._next_pause, LONGEST_PAUSE)
        return pause
