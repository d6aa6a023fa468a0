"""Asking through the ledger: nothing twice, again where that helps, and a clear end where it does not."""

import asyncio
import re
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editctl.errors import BudgetReached, EditctlError
from editctl.generate import asking as module
from editctl.generate.asking import Asker, Manners, Stopped
from editctl.generate.ledger import Bill, Cap, Ledger
from editctl.generate.maker import Outcome
from editctl.generate.throttle import Throttle
from editctl.interfaces import CallFailed, Completion, Fault, Request, TeacherError, TryAgain
from editctl.prices import worst_case_tokens
from editctl.records import Question, Reject
from tests.support_asking import (
    HASTY,
    Answer,
    Paid,
    Said,
    as_bytes,
    asker_for,
    asking,
    call,
    charges,
    in_turn,
    number_of,
    outcomes,
    plain,
    said,
    solved,
    sums,
)

QUESTIONS = sums(20)
AGAIN: tuple[Fault, ...] = ("server", "timeout", "broken", "connection")
COSTLY = ("timeout", "broken", "connection")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.sqlite"


def run(path: Path, teacher: Paid, questions: Iterable[Question] = QUESTIONS, **more: Any) -> tuple[bytes, Asker]:
    """The rows of a whole run, and who asked."""
    made = {key: more.pop(key) for key in ("window", "attempts", "shard") if key in more}
    with asking(path, teacher, **more) as asker:
        return as_bytes(outcomes(asker, questions, **made)), asker


def undisturbed(tmp_path: Path, answer: Answer = solved, questions: Iterable[Question] = QUESTIONS) -> bytes:
    """The rows of a run that nothing happened to."""
    return run(tmp_path / "undisturbed.sqlite", Paid(answer), questions)[0]


def ask(asker: Asker, *requests: Request) -> list[Completion | BaseException]:
    """What becomes of requests that are made at the same time."""

    async def all_of_them() -> list[Completion | BaseException]:
        await asker.begin()
        try:
            return await asyncio.gather(*map(asker.ask, requests), return_exceptions=True)
        finally:
            await asker.close()

    return asyncio.run(all_of_them())


def texts(answers: Sequence[Completion | BaseException]) -> list[str]:
    """The texts of completions; what is none shows as itself."""
    return [answer.text if isinstance(answer, Completion) else repr(answer) for answer in answers]


def recorded(path: Path) -> set[bytes]:
    """Keys of what a ledger's file holds."""
    with closing(sqlite3.connect(path)) as file:
        return {key for (key,) in file.execute("SELECT key FROM completion")}


async def a_turn(request: Request) -> None:
    """Later questions answer sooner."""
    await asyncio.sleep(0.0005 * (number_of(request) * 7 % 5))


# Nothing is asked twice.


def test_two_questions_of_one_wording_are_one_call(path: Path) -> None:
    pause = asyncio.Event()

    async def wait(request: Request) -> None:
        asyncio.get_running_loop().call_later(0.01, pause.set)
        await pause.wait()

    teacher = Paid(lambda request: said(3), wait)
    with asking(path, teacher) as asker:
        answers = ask(asker, call("Same?", question=QUESTIONS[0]), call("Same?", question=QUESTIONS[1]), call("Other?"))
        assert texts(answers) == [said(3).text] * 3
        assert [request.messages[0]["content"] for request in teacher.requests] == ["Same?", "Other?"]
        assert (asker.costs.total().calls, asker.costs.total().reused) == (3, 1)
    assert charges(path) == {"settled": 2}


def test_questions_of_one_wording_in_one_run_share_all_their_steps(path: Path) -> None:
    twins = [replace(one, id=f"{one.id}-{copy}") for copy in range(3) for one in sums(4)]
    teacher = Paid(solved, a_turn)
    rows, asker = run(path, teacher, twins, concurrency=8)
    assert max(teacher.asked.values()) == 1
    assert asker.costs.total().calls == 3 * len(teacher.requests)
    alone = run(path.with_name("alone.sqlite"), Paid(), sums(4))[0].decode()
    assert re.sub(r'"q(\d)-\d"', r'"q\1"', rows.decode()) == alone * 3


def test_a_failed_call_is_told_to_all_who_wait_for_it(path: Path) -> None:
    teacher = Paid(lambda request: CallFailed("provider-error", "no"), a_turn)
    with asking(path, teacher) as asker:
        answers = ask(asker, *(call("Same?", question=one) for one in QUESTIONS[:3]))
    assert len(teacher.requests) == 1
    assert [str(answer) for answer in answers] == ["provider-error: no"] * 3
    assert asker.failed_calls == 1


def test_the_next_run_asks_nothing(path: Path) -> None:
    first, second = Paid(), Paid()
    rows, before = run(path, first)
    again, after = run(path, second)
    assert again == rows
    assert first.requests
    assert second.requests == []
    assert before.costs.total().reused == 0
    assert after.costs.total().reused == after.costs.total().calls == len(first.requests)
    assert after.costs.facts(1)["usd_paid_now"] == 0
    assert after.costs.facts(1)["usd"] == before.costs.facts(1)["usd"] > 0
    assert charges(path) == {"settled": len(first.requests)}


@pytest.mark.parametrize("finished", [0, 5, 17])
def test_a_run_that_was_cancelled_in_the_middle_goes_on(tmp_path: Path, path: Path, finished: int) -> None:
    """Whatever the ledger holds then is not asked again; only calls under way can be made twice."""
    first = Paid(solved, a_turn)
    with asking(path, first, 8) as asker:
        stream = outcomes(asker, QUESTIONS)
        rows = as_bytes(outcome for outcome, _ in zip(stream, range(finished + 1), strict=False))
        assert isinstance(stream, Generator)
        stream.close()
    held = recorded(path)
    assert first.closed == 1
    assert 0 < len(held) <= len(first.requests)
    assert len(first.requests) - len(held) == charges(path).get("open", 0) <= 8
    second = Paid()
    whole, after = run(path, second)
    assert whole == undisturbed(tmp_path)
    assert whole.startswith(rows)
    assert after.costs.total().reused == len(held)
    twice = first.asked & second.asked
    assert twice.total() <= len(first.requests) - len(held)


def test_an_answer_that_was_being_recorded_when_the_run_was_cancelled_is_not_lost(path: Path) -> None:
    """The ledger has it, although nobody was left to use it."""

    async def cancel_behind_the_answer() -> None:
        task: asyncio.Task[Completion]

        def answer(request: Request) -> Completion:
            asyncio.get_running_loop().call_soon(task.cancel)
            return said(3)

        with asking(path, Paid(answer)) as asker:
            task = asyncio.ensure_future(asker.ask(call()))
            with pytest.raises(asyncio.CancelledError):
                await task
            await asker.close()

    asyncio.run(cancel_behind_the_answer())
    teacher = Paid()
    with asking(path, teacher) as asker:
        assert texts(ask(asker, call())) == [said(3).text]
    assert teacher.requests == []


def test_a_completion_is_on_disk_before_it_is_used(path: Path) -> None:
    seen = []

    async def one_after_the_other() -> None:
        with asking(path, Paid(lambda request: said(3))) as asker:
            for number in range(3):
                await asker.ask(call(f"{number}?"))
                seen.append(len(recorded(path)))
            await asker.close()

    asyncio.run(one_after_the_other())
    assert seen == [1, 2, 3]


def test_the_answer_of_a_faster_process_counts(path: Path) -> None:
    """Two processes ask the same at once: both go on with what was recorded first."""

    async def both() -> list[str]:
        answered = asyncio.Event()

        async def late(request: Request) -> None:
            await answered.wait()

        with (
            asking(path, Paid(lambda request: said("slow"), late)) as slow,
            asking(path, Paid(lambda request: said("quick")), run="other") as quick,
        ):
            waiting = asyncio.ensure_future(slow.ask(call()))
            await asyncio.sleep(0.01)
            first = await quick.ask(call())
            answered.set()
            found = [first.text, (await waiting).text]
            await slow.close()
            await quick.close()
            return found

    assert asyncio.run(both()) == [said("quick").text] * 2


# The same bytes, however the answers come.


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    concurrency=st.integers(1, 30),
    window=st.integers(1, 30),
    known=st.sets(st.integers(0, len(QUESTIONS) - 1)),
    waits=st.lists(st.sampled_from([0.0, 0.0, 0.0005, 0.002]), min_size=1, max_size=20),
)
def test_the_output_is_the_same_however_the_answers_come(
    tmp_path_factory: pytest.TempPathFactory, concurrency: int, window: int, known: set[int], waits: list[float]
) -> None:
    """At any concurrency, in any order, and whichever questions were asked before."""
    folder = tmp_path_factory.mktemp("run")
    turns = iter(range(10**6))

    async def pause(request: Request) -> None:
        await asyncio.sleep(waits[next(turns) % len(waits)])

    path = folder / "ledger.sqlite"
    first, second = Paid(), Paid(solved, pause)
    run(path, first, [QUESTIONS[number] for number in sorted(known)])
    rows, asker = run(path, second, concurrency=concurrency, window=window)
    assert rows == undisturbed(folder)
    assert asker.costs.total().reused == len(first.requests)
    assert second.most_under_way <= min(concurrency, window)
    assert not first.asked & second.asked


# Again, where that may help.


@pytest.mark.parametrize("fault", [*AGAIN, "unreachable"])
@pytest.mark.parametrize("times", [1, 2])
def test_what_may_succeed_a_little_later_is_asked_again(path: Path, fault: Fault, times: int) -> None:
    teacher = Paid(in_turn(*[TryAgain(fault, "not now")] * times, said(3)))
    with asking(path, teacher) as asker:
        assert texts(ask(asker, call())) == [said(3).text]
    assert len(teacher.requests) == times + 1
    assert asker.failed_calls == 0
    lost = {"lost": times} if fault in COSTLY else {}
    assert charges(path) == {**lost, "settled": 1}


@pytest.mark.parametrize("fault", AGAIN)
@pytest.mark.parametrize("retries", [0, 2])
def test_a_call_that_never_succeeds_is_given_up(path: Path, fault: Fault, retries: int) -> None:
    def answer(request: Request) -> Completion | TryAgain:
        return TryAgain(fault, "always so") if number_of(request) == 2 else plain(request)

    teacher = Paid(answer)
    with asking(path, teacher, manners=replace(HASTY, retries=retries)) as asker:
        made = list(outcomes(asker, sums(5)))
    (reject,) = [one for one in made if isinstance(one, Reject)]
    assert (reject.question.id, reject.step, reject.reason, reject.attempts) == ("q2", "explain", "provider-error", 1)
    assert reject.completion is None
    assert made.index(reject) == 2
    assert teacher.asked["What is 2 + 3?", "explain", 1] == retries + 1
    assert (asker.failed_calls, asker.last_failure) == (1, "provider-error: always so")
    lost = {"lost": retries + 1} if fault in COSTLY else {}
    assert charges(path) == {**lost, "settled": 8}
    # It is no answer: the next run asks for it, and for nothing else.
    mended = Paid(plain)
    rows, _ = run(path, mended, sums(5))
    assert {request.question.id for request in mended.requests} == {"q2"}
    assert rows == run(path.with_name("other.sqlite"), Paid(plain), sums(5))[0]


def test_a_later_step_that_fails_keeps_what_is_right(path: Path) -> None:
    """A question whose corruption can't be had stays as `right only`, with the reason."""

    def answer(request: Request) -> Completion | TryAgain:
        return TryAgain("server", "down") if request.step == "corrupt" else plain(request)

    rows, asker = run(path, Paid(answer), sums(1))
    assert b'"wrong":null' in rows.replace(b'": ', b'":')
    assert b"provider-error" in rows
    assert asker.failed_calls == 1


def test_retries_count_for_each_call(path: Path) -> None:
    """A flaky provider that answers every third try fails no call, however many there are."""
    tries: dict[str, int] = {}

    def answer(request: Request) -> Completion | TryAgain:
        name = f"{request.question.id} {request.step} {request.attempt}"
        tries[name] = tries.get(name, 0) + 1
        return solved(request) if tries[name] == 3 else TryAgain("server", "not yet")

    rows, asker = run(path, Paid(answer), QUESTIONS[:8], manners=replace(HASTY, retries=2))
    assert asker.failed_calls == 0
    assert set(tries.values()) == {3}
    assert rows == run(path.with_name("other.sqlite"), Paid(), QUESTIONS[:8])[0]


def test_too_many_requests_do_not_count_as_retries(path: Path) -> None:
    teacher = Paid(in_turn(*[TryAgain("rate-limit", "slower", wait=0.001)] * 12, said(3)))
    with asking(path, teacher, manners=replace(HASTY, retries=0)) as asker:
        assert texts(ask(asker, call())) == [said(3).text]
    assert len(teacher.requests) == 13
    assert asker.failed_calls == 0
    assert charges(path) == {"settled": 1}


def test_too_many_requests_between_do_not_use_up_retries(path: Path) -> None:
    slower, down = TryAgain("rate-limit", "slower", wait=0.001), TryAgain("server", "down")
    teacher = Paid(in_turn(slower, down, slower, slower, down, slower, said(3)))
    with asking(path, teacher, manners=replace(HASTY, retries=2)) as asker:
        assert texts(ask(asker, call())) == [said(3).text]
    with asking(path, Paid(in_turn(slower, down, slower, down, said(3))), manners=replace(HASTY, retries=1)) as asker:
        assert texts(ask(asker, call("Other?"))) == ["CallFailed('provider-error: down')"]


class Sleeps:
    """Stands in for asyncio where the asker looks; notes how long it would have slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def _pass(self, seconds: float) -> None:
        self.now += seconds

    def throttle(self) -> Throttle:
        """One whose pauses take no time either."""
        return Throttle(start=4, most=4, clock=lambda: self.now, sleep=self._pass)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """The asker sleeps in no time."""
    found = Sleeps()
    monkeypatch.setattr(module, "asyncio", found)
    return found


def test_pauses_between_tries_grow_up_to_a_limit(path: Path, sleeps: Sleeps) -> None:
    teacher = Paid(in_turn(*[TryAgain("server", "down")] * 9, said(3)))
    with asking(path, teacher, manners=Manners(retries=9, first_pause=0.5)) as asker:
        assert texts(ask(asker, call())) == [said(3).text]
    longest = [min(0.5 * 2**number, 30.0) for number in range(9)]
    assert len(sleeps.slept) == 9
    assert all(0.2 * most <= slept <= most for slept, most in zip(sleeps.slept, longest, strict=True)), sleeps.slept


def test_what_a_server_asks_to_wait_is_waited(path: Path, sleeps: Sleeps) -> None:
    teacher = Paid(in_turn(TryAgain("server", "down", wait=25.0), said(3)))
    with asking(path, teacher, throttle=sleeps.throttle()) as asker:
        assert texts(ask(asker, call())) == [said(3).text]
    assert sleeps.slept == [25.0]
    assert sleeps.now == 25.0  # nobody else was let in meanwhile


# The end, where nothing helps.


class Clock:
    """Time as a test wants it."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that patience looks at."""
    found = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def refuses(clock: Clock, seconds: float, then: Callable[[Request], Completion | None]) -> Answer:
    """Too many requests, each so many seconds after the one before, until `then` says something."""

    def answer(request: Request) -> Said:
        clock.now += seconds
        return then(request) or TryAgain("rate-limit", "too many requests", wait=0.001)

    return answer


def test_patience_ends(path: Path, clock: Clock) -> None:
    teacher = Paid(refuses(clock, 7.0, lambda request: None))
    with asking(path, teacher, manners=replace(HASTY, patience=30)) as asker:
        (stopped,) = ask(asker, call())
    assert isinstance(stopped, Stopped)
    assert len(teacher.requests) == 6  # the first one, and 7, 14, 21, 28 and 35 seconds after it
    line = str(stopped)
    assert "stopped: teacher paid" in line
    assert "35 s without an answer" in line
    assert "--patience" in line
    assert "too many requests" in line
    assert charges(path) == {}


def test_patience_begins_anew_with_each_answer(path: Path, clock: Clock) -> None:
    """A provider that answers now and then is not given up, however long it takes in all."""
    turns = iter(range(1000))
    answer = refuses(clock, 7.0, lambda request: plain(request) if next(turns) % 3 == 2 else None)
    rows, asker = run(path, Paid(answer), sums(4), manners=replace(HASTY, patience=30), concurrency=1)
    assert clock.now > 1000 + 4 * 30
    assert asker.failed_calls == 0
    assert rows == run(path.with_name("other.sqlite"), Paid(plain), sums(4))[0]


@pytest.mark.parametrize("fault", ["rate-limit", "server"])
def test_a_wait_beyond_patience_stops_at_once(path: Path, fault: Fault, sleeps: Sleeps) -> None:
    teacher = Paid(in_turn(TryAgain(fault, "come back tomorrow", wait=86400.0)))
    with asking(path, teacher, throttle=sleeps.throttle(), manners=replace(HASTY, patience=600)) as asker:
        (stopped,) = ask(asker, call())
    assert isinstance(stopped, Stopped)
    assert len(teacher.requests) == 1
    assert sleeps.slept == []
    assert "asks to wait 86400 s" in str(stopped)
    assert "come back tomorrow" in str(stopped)
    assert "--patience" in str(stopped)


def test_a_wait_within_patience_is_no_reason_to_stop(path: Path, sleeps: Sleeps) -> None:
    teacher = Paid(in_turn(TryAgain("server", "soon", wait=599.0), said(3)))
    with asking(path, teacher, throttle=sleeps.throttle(), manners=replace(HASTY, patience=600)) as asker:
        assert texts(ask(asker, call())) == [said(3).text]


@pytest.mark.parametrize("fault", ["server", "refused"])
def test_a_run_in_which_most_calls_fail_stops_early_and_goes_on_later(tmp_path: Path, path: Path, fault: str) -> None:
    failure = TryAgain("server", "down") if fault == "server" else CallFailed("provider-error", "down")

    def answer(request: Request) -> Any:
        return failure if number_of(request) >= 12 else plain(request)

    many = sums(30)
    teacher = Paid(answer)
    with (
        asking(path, teacher, 1, manners=replace(HASTY, retries=0)) as asker,
        pytest.raises(Stopped, match=r"^stopped: 11 of the last 20 calls failed.*down.*run the same command again"),
    ):
        as_bytes(outcomes(asker, many, window=1))
    assert asker.failed_calls == 11
    assert len(teacher.requests) == 2 * 12 + 11
    mended = Paid(plain)
    rows, _ = run(path, mended, many)
    assert rows == undisturbed(tmp_path, plain, many)
    assert {number_of(request) for request in mended.requests} == set(range(12, 30))


def test_nothing_but_failures_stop_after_a_few_calls(path: Path) -> None:
    """Long before the whole file went to a dead provider, also where many calls are under way."""
    teacher = Paid(lambda request: TryAgain("server", "down"), a_turn)
    with asking(path, teacher, 8, manners=replace(HASTY, retries=0)) as asker, pytest.raises(Stopped, match="11 of"):
        as_bytes(outcomes(asker, sums(500), window=64))
    assert len(teacher.requests) <= 11 + 8
    assert charges(path) == {} or set(charges(path)) == {"open"}


def test_half_the_calls_may_fail(path: Path) -> None:
    """A few bad questions are no reason to stop."""

    def answer(request: Request) -> Any:
        return plain(request) if number_of(request) % 3 else TryAgain("server", "down")

    many = sums(42)
    _, asker = run(path, Paid(answer), many, manners=replace(HASTY, retries=0), window=1)
    assert asker.failed_calls == 14


def test_reused_answers_do_not_hide_that_most_calls_fail(path: Path) -> None:
    """Only what the provider says now tells how it is."""
    run(path, Paid(plain), sums(24)[::2])

    def answer(request: Request) -> Any:
        return CallFailed("provider-error", "down")

    with asking(path, Paid(answer), 1) as asker, pytest.raises(Stopped, match="11 of the last 11 calls failed"):
        as_bytes(outcomes(asker, sums(24), window=1))


def test_a_run_may_be_told_to_keep_going(path: Path) -> None:
    teacher = Paid(lambda request: CallFailed("provider-error", "down"))
    rows, asker = run(path, teacher, sums(30), manners=replace(HASTY, keep_going=True))
    assert len(rows.splitlines()) == asker.failed_calls == len(teacher.requests) == 30


@pytest.mark.parametrize(("hopeless", "ends"), [(12, "finished"), (13, "stopped")])
def test_a_few_hopeless_questions_may_be_all_that_is_left(path: Path, hopeless: int, ends: str) -> None:
    """A tenth of what was answered, in this run or before it, may fail."""
    run(path, Paid(plain), sums(60), concurrency=32)
    teacher = Paid(lambda request: CallFailed("provider-error", "no"))
    with asking(path, teacher, 1) as asker:
        try:
            list(outcomes(asker, sums(60 + hopeless), window=1))
        except Stopped:
            assert ends == "stopped"
        else:
            assert ends == "finished"
    assert asker.failed_calls == hopeless


def test_a_provider_that_is_not_there_stops_the_run_with_its_own_line(path: Path) -> None:
    teacher = Paid(lambda request: TryAgain("unreachable", "can't connect to http://localhost:1"))
    with (
        asking(path, teacher, 1, manners=replace(HASTY, retries=2)) as asker,
        pytest.raises(Stopped, match=r"^teacher paid: can't connect to http://localhost:1; check that the server runs"),
    ):
        as_bytes(outcomes(asker, sums(5), window=1))
    assert len(teacher.requests) == 3
    assert asker.failed_calls == 0
    assert charges(path) == {}


@pytest.mark.parametrize("sign", ["answered", "rate-limit", "server", "timeout"])
def test_a_provider_that_was_there_before_only_fails_the_call(path: Path, sign: Any) -> None:
    """Any word from it shows that the address is right."""
    words: Callable[[Request], Any] = plain if sign == "answered" else lambda _: TryAgain(sign, "busy", wait=0.001)
    first: list[Request] = []

    def answer(request: Request) -> Any:
        if number_of(request) == 0:
            first.append(request)
            return words(request) if len(first) == 1 or sign == "answered" else plain(request)
        return TryAgain("unreachable", "can't connect")

    with asking(path, Paid(answer), 1, manners=replace(HASTY, retries=1)) as asker:
        made = list(outcomes(asker, sums(4), window=1))
    assert [isinstance(one, Reject) for one in made] == [False, True, True, True]
    assert asker.failed_calls == 3


@pytest.mark.parametrize("failure", [("refusal", "flagged"), ("context-window", "too long")])
def test_a_last_word_is_recorded_and_not_asked_again(path: Path, failure: tuple[str, str]) -> None:
    def answer(request: Request) -> Any:
        return CallFailed(*failure, answered=True) if number_of(request) == 1 else plain(request)

    first, second = Paid(answer), Paid()
    rows, before = run(path, first, sums(3))
    assert f'"reason":"{failure[0]}"' in rows.decode().replace('": ', '":')
    assert first.asked["What is 1 + 3?", "explain", 1] == 1
    assert (before.failed_calls, before.costs.total().calls) == (0, 4)
    again, _ = run(path, second, sums(3))
    assert again == rows
    assert second.requests == []
    with closing(sqlite3.connect(path)) as file:
        found = file.execute("SELECT tokens, nanousd FROM completion WHERE failed").fetchall()
    assert found == [(0, 0)]
    assert charges(path) == {"settled": 5}


def test_last_words_are_no_sign_of_a_broken_provider(path: Path) -> None:
    teacher = Paid(lambda request: CallFailed("refusal", "flagged", answered=True))
    with asking(path, teacher) as asker:
        made = list(outcomes(asker, sums(40)))
    assert [one.reason for one in made] == ["refusal"] * 40
    assert asker.failed_calls == 0


@pytest.mark.parametrize(
    ("what", "left"),
    [
        (TryAgain("server", "500"), {}),
        (TryAgain("rate-limit", "429", wait=99.0), {}),
        (TryAgain("unreachable", "gone"), {}),
        (TryAgain("timeout", "late"), {"lost": 1}),
        (TryAgain("connection", "reset"), {"lost": 1}),
        (TryAgain("broken", "html"), {"lost": 1}),
        (CallFailed("provider-error", "400"), {}),
        (TeacherError("a wrong key"), {}),
        (CallFailed("refusal", "no", answered=True), {"settled": 1}),
    ],
    ids=lambda value: str(value),
)
def test_what_stays_reserved_of_a_call_that_ends_badly(path: Path, what: EditctlError, left: dict[str, int]) -> None:
    with asking(path, Paid(in_turn(what)), manners=replace(HASTY, retries=0, patience=1)) as asker:
        (answer,) = ask(asker, call())
        assert isinstance(answer, EditctlError)
        assert asker.throttle.in_flight == 0
        assert asker.budget is not None
        assert bool(asker.budget.ledger.spent().tokens) == ("lost" in left)
    assert charges(path) == left


def test_a_cancelled_call_stays_reserved(path: Path) -> None:
    """It may have been answered, and billed."""

    async def cancelled() -> None:
        sent = asyncio.Event()

        async def for_ever(request: Request) -> None:
            sent.set()
            await asyncio.Event().wait()

        with asking(path, Paid(solved, for_ever)) as asker:
            task = asyncio.ensure_future(asker.ask(call()))
            await sent.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asker.throttle.in_flight == 0
            await asker.close()

    asyncio.run(cancelled())
    assert charges(path) == {"open": 1}
    assert recorded(path) == set()


def test_what_stops_the_teacher_stops_the_run_as_it_is(path: Path) -> None:
    def answer(request: Request) -> Any:
        return TeacherError("set OPENAI_API_KEY") if number_of(request) == 5 else plain(request)

    teacher = Paid(answer)
    with asking(path, teacher, 1) as asker, pytest.raises(TeacherError, match=r"^set OPENAI_API_KEY$"):
        list(outcomes(asker, sums(30), window=1))
    assert len(teacher.requests) == 11
    assert teacher.closed == 1
    assert charges(path) == {"settled": 10}


def test_the_ledger_is_closed_with_the_run(path: Path) -> None:
    ledger = Ledger(path, "run")
    list(outcomes(asker_for(ledger, Paid()), sums(2)))
    with pytest.raises(EditctlError, match="is closed"):
        asyncio.run(ledger.reserve(b"key", Bill(1, 1), Cap()))
    # Nothing of a log is left beside the file: it can be copied as it stands.
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_client_error_shows_that_the_provider_is_there(path: Path) -> None:
    """A 400 was answered: a connection that fails afterwards fails that call only."""

    def answer(request: Request) -> Said:
        if number_of(request) == 0:
            return CallFailed("provider-error", "400")
        return TryAgain("unreachable", "can't connect")

    rows, asker = run(path, Paid(answer), sums(3), manners=replace(HASTY, retries=0), concurrency=1, window=1)
    assert (rows.count(b"provider-error"), asker.failed_calls) == (3, 3)


def test_patience_does_not_count_time_in_which_nothing_was_asked(path: Path, clock: Clock) -> None:
    """Questions come slowly through a pipe: an answer, 700 seconds of nothing to ask, then a single 429."""
    refused: list[Request] = []

    def slowly() -> Iterator[Question]:
        yield sums(1)[0]
        clock.now += 700
        yield sums(2)[1]

    def answer(request: Request) -> Said:
        if number_of(request) == 1 and not refused:
            refused.append(request)
            return TryAgain("rate-limit", "slower", wait=0.001)
        return plain(request)

    with asking(path, Paid(answer), 1, manners=replace(HASTY, patience=600)) as asker:
        assert len(list(outcomes(asker, slowly(), window=1))) == 2
    assert refused


def test_questions_that_were_begun_are_finished_before_others_are_begun(path: Path) -> None:
    """100 questions of two calls each, and money for 110 calls."""
    teacher = Paid(lambda request: replace(plain(request), prompt_tokens=300))
    finished: list[Outcome] = []
    with asking(path, teacher, 8, cap=Cap(tokens=305 * 110)) as asker, pytest.raises(BudgetReached):
        finished.extend(outcomes(asker, sums(100), window=512))
    assert len(finished) > 40


def test_a_run_that_lands_keeps_what_is_under_way_and_sends_nothing_new(path: Path) -> None:
    """Two calls fit under the cap, the others wait for room and for a place when the run is stopped."""
    answer_now = asyncio.Event()

    async def pause(request: Request) -> None:
        await answer_now.wait()

    room = worst_case_tokens(call("0?").messages) + 50
    teacher = Paid(plain, pause)
    manners = replace(HASTY, grace=5.0)

    async def whole(asker: Asker) -> None:
        waiting = [asyncio.ensure_future(asker.ask(call(f"{number}?", max_tokens=50))) for number in range(8)]
        while len(teacher.requests) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        landing = asyncio.ensure_future(asker.land())
        await asyncio.sleep(0.01)
        assert not landing.done()
        answer_now.set()
        await asyncio.wait_for(landing, 2)
        await asyncio.sleep(0.05)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await asker.close()

    with asking(path, teacher, 4, price=None, cap=Cap(tokens=2 * room + 5), manners=manners) as asker:
        asyncio.run(whole(asker))
    assert len(teacher.requests) == 2
    assert charges(path) == {"settled": 2}
