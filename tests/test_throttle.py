"""The throttle against simulated providers, on a virtual clock: no test waits."""

import asyncio
import selectors
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.generate.throttle import BURST_SECONDS, HOLD, JITTER, Pass, Result, Throttle


class Jump(selectors.DefaultSelector):
    """Where a loop would wait, its clock jumps instead. Waiting for nothing is a waiter somebody forgot."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits and nothing is due")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose seconds pass at once."""

    def __init__(self) -> None:
        self.jump = Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.now


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on the virtual clock; it must leave no task behind."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())
        assert not asyncio.all_tasks(runner.get_loop())


def now() -> float:
    return asyncio.get_running_loop().time()


def throttle(
    start: int = 4, most: int = 256, *, requests: float | None = None, tokens: float | None = None
) -> Throttle:
    return Throttle(
        start=start,
        most=most,
        requests_per_minute=requests,
        tokens_per_minute=tokens,
        clock=asyncio.get_running_loop().time,
        random=lambda: Random(7),
    )


class Woken:
    """Counts how often a coroutine runs until it waits or ends."""

    def __init__(self, inner: Coroutine[Any, Any, Pass]) -> None:
        self.inner = inner
        self.steps = 1

    async def run(self) -> Pass:
        return await self

    def __await__(self) -> Generator[Any, None, Pass]:
        inner = self.inner.__await__()
        while True:
            try:
                waited_for = next(inner)
            except StopIteration as end:
                place: Pass = end.value
                return place
            yield waited_for
            self.steps += 1


async def settle() -> None:
    """Let everybody run who can, without letting time pass."""
    for _ in range(5):
        await asyncio.sleep(0)


async def fill(gate: Throttle, count: int) -> list[Pass]:
    return [await gate.enter(1) for _ in range(count)]


async def answered(gate: Throttle, count: int) -> None:
    """So many calls, one after the other, all answered."""
    for _ in range(count):
        gate.leave(await gate.enter(1), "answered")


async def stop(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_never_more_than_the_limit_first_come_first_served() -> None:
    async def test() -> None:
        gate = throttle(3, 3)
        served: list[int] = []
        most = 0

        async def call(number: int) -> None:
            nonlocal most
            place = await gate.enter(1)
            served.append(number)
            most = max(most, gate.in_flight)
            await asyncio.sleep(1 + number % 3)
            gate.leave(place, "answered")

        tasks = [asyncio.create_task(call(number)) for number in range(50)]
        await settle()
        assert (gate.in_flight, gate.waiting, gate.limit) == (3, 47, 3)
        await asyncio.gather(*tasks)
        assert served == list(range(50))
        assert (most, gate.in_flight, gate.waiting) == (3, 0, 0)

    run(test)


def test_a_place_wakes_one_waiter() -> None:
    async def test() -> None:
        gate = throttle(1, 1)
        place = await gate.enter(1)
        calls = [Woken(gate.enter(1)) for _ in range(20)]
        tasks = [asyncio.create_task(call.run()) for call in calls]
        await settle()
        assert [call.steps for call in calls] == [1] * 20
        gate.leave(place, "answered")
        await settle()
        assert [task.done() for task in tasks] == [True] + [False] * 19
        assert [call.steps for call in calls] == [2] + [1] * 19
        await stop(tasks[1:])

    run(test)


def test_a_place_given_back_twice_is_an_error() -> None:
    async def test() -> None:
        gate = throttle()
        place = await gate.enter(1)
        gate.leave(place, "answered")
        with pytest.raises(KeyError):
            gate.leave(place, "answered")
        assert gate.in_flight == 0

    run(test)


def test_growth_doubles_then_goes_one_a_round_and_ends_at_the_most() -> None:
    async def test() -> None:
        gate = throttle(4, 100)
        for expected in (8, 16, 32, 64):
            for place in await fill(gate, gate.limit):
                gate.leave(place, "answered")
            assert gate.limit == expected
        gate.leave(await gate.enter(1), "timeout")
        assert gate.limit == 44, "0.7 of 64"
        for limit in range(44, 63):
            await answered(gate, limit - 1)
            assert gate.limit == limit
            await answered(gate, 1)
            assert gate.limit == limit + 1
        await answered(gate, HOLD * 63 - 1)
        assert gate.limit == 63, "just below what was too much it stays for a while"
        await answered(gate, 1 + 64 + 65)
        assert gate.limit == 66
        await answered(gate, 100 * 100)
        assert gate.limit == 100
        assert throttle(300, 20).limit == 20

    run(test)


def test_answers_before_a_shrink_do_not_count_towards_the_next_place() -> None:
    async def test() -> None:
        gate = throttle(100)
        gate.leave(await gate.enter(1), "timeout")
        await answered(gate, 69)
        gate.leave(await gate.enter(1), "timeout")
        await answered(gate, 48)
        assert gate.limit == 49
        await answered(gate, 1)
        assert gate.limit == 50

    run(test)


def test_after_a_pause_it_restarts_at_a_quarter_and_climbs_to_the_threshold() -> None:
    async def test() -> None:
        gate = throttle(100)
        gate.leave(await gate.enter(1), "rate-limit", wait=9)
        assert (gate.limit, gate.paused) == (17, 9), "0.7 * 100 // 4"
        await answered(gate, 70 - 17)
        assert gate.limit == 70
        await answered(gate, 69)
        assert gate.limit == 70
        await answered(gate, 1)
        assert (gate.limit, gate.paused) == (71, 0)

    run(test)


def test_it_never_falls_below_one() -> None:
    async def test() -> None:
        gate = throttle(3)
        results: list[Result] = ["timeout", "rate-limit", "timeout", "rate-limit"]
        for result in results:
            gate.leave(await gate.enter(1), result)
            assert gate.limit >= 1
        assert gate.limit == 1

    run(test)


@pytest.mark.parametrize(
    ("result", "limit", "paused"),
    [
        ("answered", 101, False),
        ("rate-limit", 17, True),
        ("timeout", 70, False),
        ("server", 100, False),
        ("cancelled", 100, False),
    ],
)
def test_what_each_result_does_and_that_one_burst_does_it_once(result: Result, limit: int, paused: bool) -> None:
    async def test() -> None:
        gate = throttle(100)
        places = await fill(gate, 60)
        gate.leave(places.pop(), result)
        assert (gate.limit, gate.paused > 0) == (limit, paused)
        if result == "answered":
            return
        before = gate.paused
        for place in places:
            gate.leave(place, result)
        assert (gate.limit, gate.paused, gate.in_flight) == (limit, before, 0)

    run(test)


def test_an_answer_from_before_the_shrink_does_not_grow_the_limit() -> None:
    async def test() -> None:
        gate = throttle(100)
        first, *others = await fill(gate, 100)
        gate.leave(first, "rate-limit")
        await asyncio.sleep(2)
        for place in others:
            gate.leave(place, "answered")
        assert (gate.limit, gate.paused) == (17, 0)
        await answered(gate, 1)
        assert gate.limit == 18

    run(test)


def test_pauses_without_retry_after_double_and_an_answer_ends_the_row() -> None:
    async def pause(gate: Throttle) -> float:
        gate.leave(await gate.enter(1), "rate-limit")
        return gate.paused

    async def test() -> None:
        gate = throttle(100)
        bases = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
        shares = [(await pause(gate)) / base for base in bases]
        assert all(1 - JITTER - 1e-9 <= share <= 1 + JITTER + 1e-9 for share in shares)
        assert len({round(share, 6) for share in shares}) == len(shares), "no jitter"
        await answered(gate, 1)
        assert await pause(gate) <= 0.5 * (1 + JITTER)
        for wait in (0, -5):
            await answered(gate, 1)
            gate.leave(await gate.enter(1), "rate-limit", wait=wait)
            assert gate.paused >= 0.5 * (1 - JITTER), "no permission to storm"

    run(test)


def test_retry_after_holds_everybody_also_those_who_wait_already() -> None:
    async def test() -> None:
        gate = throttle(8)
        places = await fill(gate, 8)
        sent: list[float] = []

        async def call() -> None:
            place = await gate.enter(1)
            sent.append(now())
            await asyncio.sleep(0.5)
            gate.leave(place, "answered")

        begin = now()
        tasks = [asyncio.create_task(call()) for _ in range(30)]
        await settle()
        gate.leave(places.pop(), "rate-limit", wait=5)
        tasks += [asyncio.create_task(call()) for _ in range(10)]
        gate.leave(places.pop(), "rate-limit", wait=2)
        assert gate.paused == 5, "a shorter pause must not end a longer one"
        await asyncio.sleep(3)
        gate.leave(places.pop(), "rate-limit", wait=17)
        assert gate.paused == 17, "an old refusal may lengthen the pause"
        gate.leave(places.pop(), "answered")
        for place in places:
            gate.leave(place, "cancelled")
        await asyncio.gather(*tasks)
        assert min(sent) == begin + 20
        assert len(sent) == 40

    run(test)


def test_a_pause_also_holds_those_who_were_just_let_in() -> None:
    async def test() -> None:
        gate = throttle(3, 3)
        places = await fill(gate, 3)
        sent: list[tuple[float, int]] = []
        begin = now()

        async def call(number: int) -> None:
            place = await gate.enter(1)
            sent.append((now() - begin, number))
            gate.leave(place, "answered")

        tasks = [asyncio.create_task(call(number)) for number in range(9)]
        await settle()
        gate.leave(places.pop(), "answered")
        gate.leave(places.pop(), "answered")
        gate.leave(places.pop(), "rate-limit", wait=5)
        await asyncio.gather(*tasks)
        assert sent == [(5, number) for number in range(9)]

    run(test)


@pytest.mark.parametrize(("start", "result", "first"), [(128, "rate-limit", 22), (256, "server", 64)])
def test_nobody_stampedes_at_the_end_of_a_pause(start: int, result: Result, first: int) -> None:
    async def test() -> None:
        gate = throttle(start)
        places = await fill(gate, start)
        sent: Counter[float] = Counter()

        async def call() -> None:
            place = await gate.enter(1)
            sent[round(now(), 6)] += 1
            await asyncio.sleep(1)
            gate.leave(place, "answered")

        tasks = [asyncio.create_task(call()) for _ in range(500)]
        await asyncio.sleep(1)
        gate.leave(places.pop(), result, wait=10)
        resume = round(now() + 10, 6)
        for place in places:  # All others come home during the pause, answered.
            await asyncio.sleep(0.03)
            gate.leave(place, "answered")
        await asyncio.gather(*tasks)
        assert min(sent) == resume
        assert sent[resume] == first

    run(test)


def test_a_pause_that_a_late_refusal_begins_ends_as_gently() -> None:
    async def test() -> None:
        gate = throttle(100)
        late, first, *others = await fill(gate, 100)
        for place in others:
            gate.leave(place, "answered")
        gate.leave(first, "timeout")
        threshold = gate.limit
        fresh = await fill(gate, threshold - 1)
        gate.leave(late, "rate-limit", wait=5)
        for place in fresh:
            gate.leave(place, "answered")
        assert gate.limit == threshold // 4, "grew during the pause"
        await answered(gate, threshold - threshold // 4)
        assert gate.limit == threshold, "a refusal of the same burst shrank the threshold"

    run(test)


@dataclass
class Provider:
    """Takes so many requests a second (with one second's burst) and so many at once; refuses all others."""

    rate: float
    together: int
    latency: float = 0.5
    retry_after: float | None = None
    refusals: list[float] = field(default_factory=list)
    under_way: int = 0
    level: float = -1.0
    seen_at: float = 0.0
    answers: list[float] = field(default_factory=list)

    async def ask(self) -> bool:
        """True where the call was answered."""
        self.level = min(self.rate, self.level + (now() - self.seen_at) * self.rate)
        self.seen_at = now()
        if self.level < 1 or self.under_way >= self.together:
            self.refusals.append(now())
            await asyncio.sleep(0.02)
            return False
        self.level -= 1
        self.under_way += 1
        await asyncio.sleep(self.latency)
        self.under_way -= 1
        self.answers.append(now())
        return True


async def ask_all(gate: Throttle, provider: Provider, calls: int) -> None:
    left = deque(range(calls))

    async def work() -> None:
        while left:
            left.popleft()
            done = False
            while not done:
                place = await gate.enter(1)
                done = await provider.ask()
                if done:
                    gate.leave(place, "answered")
                else:
                    gate.leave(place, "rate-limit", wait=provider.retry_after)

    await asyncio.gather(*[asyncio.create_task(work()) for _ in range(400)])


@pytest.mark.parametrize(("start", "first_refusals"), [(8, 130), (256, 340)])
@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize(("rate", "together"), [(50.0, 1000), (1000.0, 24), (100.0, 64), (8.0, 4)])
def test_a_storm_ends_near_the_capacity_of_the_provider(
    rate: float, together: int, retry_after: float | None, start: int, first_refusals: int
) -> None:
    async def test() -> None:
        provider = Provider(rate, together, retry_after=retry_after)
        capacity = min(rate, together / provider.latency)
        await ask_all(throttle(start), provider, round(capacity * 120))
        late = provider.answers[len(provider.answers) // 2 :]
        assert len(late) / (late[-1] - late[0]) >= 0.8 * capacity
        late_refusals = sum(at > late[0] for at in provider.refusals)
        assert late_refusals <= 0.02 * len(late)
        assert len(provider.refusals) - late_refusals <= first_refusals

    run(test)


arrivals = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 3000), st.floats(0, 1), st.floats(0, 30)), min_size=1, max_size=60
)


def most_in_a_minute(events: list[tuple[float, float]]) -> float:
    """The largest sum within any window of a minute."""
    return max(sum(amount for at, amount in events if begin <= at <= begin + 60) for begin, _ in events)


@settings(max_examples=150, deadline=None)
@given(
    arrivals=arrivals, requests=st.sampled_from([0.5, 6.0, 60.0, 600.0]), tokens=st.sampled_from([300.0, 6000.0, 1e6])
)
def test_the_minute_is_kept_in_every_window(
    arrivals: list[tuple[float, int, float, float]], requests: float, tokens: float
) -> None:
    async def test() -> None:
        gate = throttle(64, requests=requests, tokens=tokens)
        sent: list[tuple[float, float]] = []
        taken: list[tuple[float, float]] = []
        arrived: list[float] = []

        async def call(gap: float, expected: int, share: float, seconds: float) -> None:
            arrived.append(now())
            place = await gate.enter(expected)
            sent.append((now(), 1))
            taken.append((now(), expected))
            await asyncio.sleep(seconds)
            really = int(expected * share)
            taken.append((now(), really - expected))
            gate.leave(place, "answered", tokens=really)

        tasks = []
        for one in arrivals:
            await asyncio.sleep(one[0])
            tasks.append(asyncio.create_task(call(*one)))
        await asyncio.gather(*tasks)
        burst = max(1.0, requests * BURST_SECONDS / 60)
        assert most_in_a_minute(sent) <= requests + burst + 1e-6
        burst = max(tokens * BURST_SECONDS / 60, max(one[1] for one in arrivals))
        assert most_in_a_minute(taken) <= tokens + burst + 1e-6
        # And nobody waits for longer than the budgets explain.
        needed = 60 * len(arrivals) / requests + 60 * sum(one[1] for one in arrivals) / tokens
        assert sent[-1][0] <= arrived[-1] + needed + 30 * len(arrivals) / 64 + 1

    run(test)


@pytest.mark.parametrize(("really", "seconds"), [(0, 1.0), (15, 1.5), (30, 3.0), (60, 6.0), (None, 3.0)])
def test_tokens_are_corrected_when_the_call_is_over(really: int | None, seconds: float) -> None:
    async def test() -> None:
        gate = throttle(tokens=600)
        begin = now()
        place = await gate.enter(30)
        waiter = asyncio.create_task(gate.enter(30))
        await asyncio.sleep(1)
        gate.leave(place, "answered", tokens=really)
        await waiter
        assert now() - begin == pytest.approx(seconds)

    run(test)


def test_a_waiter_cancelled_as_it_is_let_in_costs_neither_place_nor_budget() -> None:
    async def test() -> None:
        gate = throttle(1, 1, requests=6, tokens=600)
        place = await gate.enter(30)
        waiter = asyncio.create_task(gate.enter(30))
        await asyncio.sleep(10)
        gate.leave(place, "answered")
        assert (gate.waiting, gate.in_flight) == (0, 1)
        waiter.cancel()
        await settle()
        assert waiter.cancelled()
        assert gate.in_flight == 0
        before = now()
        await gate.enter(30)
        assert now() == before

    run(test)


def test_waiters_cancelled_in_a_pause_leave_nothing_behind() -> None:
    async def test() -> None:
        gate = throttle()
        gate.leave(await gate.enter(1), "rate-limit", wait=50)
        tasks = [asyncio.create_task(gate.enter(1)) for _ in range(5)]
        await settle()
        await stop(tasks[1:3])
        assert gate.waiting == 3
        await stop(tasks)
        assert gate.waiting == 0
        await settle()

    run(test)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 300)),
        st.tuples(st.just("enter"), st.integers(0, 300)),
        st.tuples(st.sampled_from(["answered", "rate-limit", "server", "timeout", "cancelled"]), st.integers(0, 99)),
        st.tuples(st.just("cancel a waiter"), st.integers(0, 99)),
        st.tuples(st.sampled_from(["step", "second"]), st.just(0)),
    ),
    max_size=80,
)


class Crowd:
    """Waiters and calls under way, moved by hand."""

    def __init__(self, gate: Throttle) -> None:
        self.gate = gate
        self.waiters: list[asyncio.Task[Pass]] = []
        self.places: list[Pass] = []
        self.entered = 0
        self.served: list[int] = []
        self.cancelled: set[int] = set()

    async def wait(self, number: int, tokens: int) -> Pass:
        try:
            place = await self.gate.enter(tokens)
        except asyncio.CancelledError:
            self.cancelled.add(number)
            raise
        assert self.gate.in_flight <= 4
        self.served.append(number)
        self.places.append(place)
        return place

    async def do(self, what: str, number: int) -> None:
        if what == "enter":
            self.waiters.append(asyncio.create_task(self.wait(self.entered, number)))
            self.entered += 1
            await asyncio.sleep(0)
        elif what == "step":
            await asyncio.sleep(0)
        elif what == "second":
            await asyncio.sleep(1)
        elif what == "cancel a waiter":
            if self.waiters:
                self.waiters[number % len(self.waiters)].cancel()
        elif self.places:
            place = self.places.pop(number % len(self.places))
            result: Result = what  # type: ignore[assignment]
            self.gate.leave(place, result, wait=number if number % 3 == 0 else None, tokens=number)

    async def go_home(self) -> None:
        """Give back all places until nobody waits; a forgotten waiter stops the loop (see `Jump`)."""
        while waiting := {task for task in self.waiters if not task.done()}:
            while self.places:
                self.gate.leave(self.places.pop(), "answered")
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        while self.places:
            self.gate.leave(self.places.pop(), "answered")


@settings(max_examples=400, deadline=None)
@given(steps=operations, requests=st.sampled_from([None, 600.0]), tokens=st.sampled_from([None, 6000.0]))
def test_no_place_is_lost_whoever_is_cancelled_when(
    steps: list[tuple[str, int]], requests: float | None, tokens: float | None
) -> None:
    async def test() -> None:
        gate = throttle(2, 4, requests=requests, tokens=tokens)
        crowd = Crowd(gate)
        for what, number in steps:
            await crowd.do(what, number)
        await crowd.go_home()
        assert (gate.in_flight, gate.waiting) == (0, 0)
        assert crowd.served == sorted(crowd.served)
        assert crowd.cancelled.isdisjoint(crowd.served)
        assert len(crowd.served) + len(crowd.cancelled) == crowd.entered
        await gate.enter(1)

    run(test)
