"""Money: the cap that is never passed, what is reserved and what is billed, and what the figures say."""

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from editctl.errors import BudgetReached
from editctl.generate.asking import Asker
from editctl.generate.budget import Budget
from editctl.generate.costs import Costs, in_usd
from editctl.generate.ledger import NANO, Bill, Cap, Ledger, to_nanousd
from editctl.generate.ledger_batches import ReservedCall
from editctl.generate.maker import Outcome
from editctl.interfaces import CallFailed, Completion, Request, TryAgain
from editctl.prices import worst_case_tokens
from tests.support_asking import (
    A_CALL,
    PRICE,
    Paid,
    as_bytes,
    asking,
    call,
    capped,
    charges,
    in_turn,
    number_of,
    outcomes,
    plain,
    said,
    spent,
    sums,
)

ROOM = worst_case_tokens(call().messages) + 50
"""The most tokens that one of these calls can take."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.sqlite"


def with_budget(path: Path, work: Any, **more: Any) -> Any:
    """What a coroutine of a budget comes to."""
    ledger = Ledger(path, more.pop("run", "run"))

    async def whole() -> Any:
        budget = Budget(ledger, "paid", **{"price": PRICE, **more})
        await budget.begin()
        try:
            return await work(budget)
        finally:
            await ledger.aclose()

    try:
        return asyncio.run(whole())
    finally:
        ledger.close()


async def reserve(budget: Budget, text: str = "What?", max_tokens: int = 50) -> ReservedCall:
    """Hold what one call may cost."""
    return await budget.reserve(text.encode().ljust(32), call(text, max_tokens=max_tokens))


async def pay(budget: Budget, held: ReservedCall, answer: Completion | CallFailed) -> Bill:
    """Settle a call at what it did cost."""
    entry, bill = budget.book(held, answer)
    await budget.ledger.record(held.charge, entry, bill)
    budget.settle()
    return bill


def ask(asker: Asker, *texts: str) -> Sequence[Completion | BaseException]:
    """What becomes of calls that are made at the same time."""

    async def all_of_them() -> Sequence[Completion | BaseException]:
        await asker.begin()
        try:
            return await asyncio.gather(
                *(asker.ask(call(text, max_tokens=50)) for text in texts), return_exceptions=True
            )
        finally:
            await asker.close()

    return asyncio.run(all_of_them())


# The cap.


ENDS = st.sampled_from(["answered", "answered", "answered", "dear", "silent", "refused", "server", "timeout", "left"])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=st.lists(ENDS, min_size=1, max_size=12), room=st.integers(0, 8), seed=st.integers(0, 2**16))
@pytest.mark.parametrize("unit", ["tokens", "usd"])
def test_the_cap_is_never_passed(
    tmp_path_factory: pytest.TempPathFactory, unit: str, ends: list[str], room: int, seed: int
) -> None:
    """Whatever the calls under way come to, together they fit under the cap: counted at its worst or as billed."""
    path = tmp_path_factory.mktemp("run") / "ledger.sqlite"
    dice = random.Random(seed)
    worst = Bill(ROOM, to_nanousd(PRICE.usd(ROOM - 50, 50)))
    assert worst.nanousd is not None
    cap = Cap(tokens=room * worst.tokens + 3) if unit == "tokens" else Cap(nanousd=room * worst.nanousd + 3)
    over: list[Bill] = []

    async def one(budget: Budget, number: int, end: str) -> None:
        try:
            held = await reserve(budget, f"{number:04}?")
        except BudgetReached:
            return
        over.append(budget.ledger.spent())
        await asyncio.sleep(dice.choice([0, 0.001, 0.002]))
        if end in ("answered", "silent", "refused"):
            answers: dict[str, Completion | CallFailed] = {
                "answered": said(3),
                "silent": said(3, None, None),
                "refused": CallFailed("refusal", answered=True),
            }
            await pay(budget, held, answers[end])
        elif end == "dear":
            await pay(budget, held, said(3, ROOM - 50, 50))
        elif end != "left":  # that is what a process that is killed does
            (budget.ledger.keep if end == "timeout" else budget.ledger.release)(held.charge)
            budget.settle()

    async def work(budget: Budget) -> None:
        calls = [asyncio.ensure_future(one(budget, number, end)) for number, end in enumerate(ends)]
        # A call that was left open for ever may hold up the others for ever: there a process would be killed.
        await asyncio.wait(calls, timeout=0.2 if "left" in ends else None)
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    with_budget(path, work, cap=cap)
    for bill in [*over, spent(path)]:
        assert cap.tokens is None or bill.tokens <= cap.tokens
        assert cap.nanousd is None or (bill.nanousd is not None and bill.nanousd <= cap.nanousd)
    assert bool(over) == (room > 0 or worst.tokens <= 3)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_as_many_calls_fit_as_the_cap_allows(path: Path, calls: int) -> None:
    """Not one less: a call that just fits is made."""

    async def work(budget: Budget) -> int:
        for number in range(calls):
            await pay(budget, await reserve(budget, f"{number:04}?"), said(3, ROOM - 50, 50))
        with pytest.raises(BudgetReached):
            await reserve(budget)
        return budget.ledger.spent().tokens

    assert with_budget(path, work, cap=Cap(tokens=calls * ROOM)) == calls * ROOM


def test_a_call_waits_for_room_while_others_are_under_way(path: Path) -> None:
    """The worst case of one fills the cap; what it did cost leaves room for the next, and so on."""

    async def work(budget: Budget) -> list[str]:
        seen = []
        held = await reserve(budget)
        waiting = asyncio.ensure_future(reserve(budget, "Next?"))
        await asyncio.sleep(0.02)
        seen.append("waits" if not waiting.done() else "did not wait")
        await pay(budget, held, said(3))
        after = await asyncio.wait_for(waiting, 5)
        seen.append("let in")
        await pay(budget, after, said(3))
        return seen

    assert with_budget(path, work, cap=Cap(tokens=ROOM + 20)) == ["waits", "let in"]
    assert charges(path) == {"settled": 2}


def test_all_who_wait_are_told_when_there_is_no_room(path: Path) -> None:
    """Nobody waits for ever: with the last call under way the hope for room ends."""

    async def work(budget: Budget) -> Sequence[object]:
        held = await reserve(budget)
        waiting = [asyncio.ensure_future(reserve(budget, f"{number}?")) for number in range(5)]
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in waiting)
        await pay(budget, held, said(3, ROOM - 50, 50))
        return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)

    answers = with_budget(path, work, cap=Cap(tokens=ROOM))
    assert [type(answer) for answer in answers] == [BudgetReached] * 5


def test_a_call_that_ended_badly_makes_room_too(path: Path) -> None:
    """What was released can be spent by others."""
    answers = in_turn(TryAgain("server", "down"), said(3))
    with asking(path, Paid(answers), cap=Cap(tokens=ROOM)) as asker:
        (answer,) = ask(asker, "What?")
    assert isinstance(answer, Completion)


def test_a_lost_call_takes_its_room_with_it(path: Path) -> None:
    answers = in_turn(TryAgain("timeout", "late"), said(3))
    with asking(path, Paid(answers), cap=Cap(tokens=ROOM)) as asker:
        (answer,) = ask(asker, "What?")
    assert isinstance(answer, BudgetReached)
    assert charges(path) == {"lost": 1}


def test_the_line_says_what_is_spent_and_what_the_next_call_may_cost(path: Path) -> None:
    with asking(path, Paid(), cap=capped(tokens=100, usd=0.5)) as asker:
        (reached,) = ask(asker, "What?")
    worst = in_usd(PRICE.usd(ROOM - 50, 50))
    assert str(reached) == (
        f"budget reached: 0.00 USD of 0.500 USD are spent, the next call may cost {worst}; "
        f"0 of 100 tokens are spent, the next call may take {ROOM}; "
        "what is finished is written, the same command with a higher budget goes on"
    )
    with asking(path, Paid(lambda request: said(3)), cap=Cap(tokens=ROOM)) as asker:
        ask(asker, "What?")
    with asking(path, Paid(), cap=Cap(tokens=ROOM)) as asker:
        (reached,) = ask(asker, "Other?")
    assert f"15 of {ROOM} tokens are spent" in str(reached)
    assert "USD" not in str(reached)


def test_the_cap_counts_all_processes_of_a_run_and_no_other(path: Path) -> None:
    """Two runs share a ledger, not a budget; a later process of the same run goes on where the former stood."""

    async def leave_one(budget: Budget) -> None:
        await reserve(budget)

    async def one_more(budget: Budget) -> bool:
        try:
            await reserve(budget, "Whys?")
        except BudgetReached:
            return False
        return True

    cap = Cap(tokens=2 * ROOM - 1)
    with_budget(path, leave_one, cap=cap)
    assert charges(path) == {"open": 1}
    assert not with_budget(path, one_more, cap=cap)
    assert with_budget(path, one_more, cap=cap, run="another")
    assert with_budget(path, one_more, cap=Cap(tokens=2 * ROOM))


def test_what_is_recorded_fits_under_any_cap(path: Path) -> None:
    with asking(path, Paid()) as asker:
        ask(asker, "What?")
    with asking(path, Paid(), cap=Cap(tokens=0, nanousd=0)) as asker:
        (answer, other) = ask(asker, "What?", "Other?")
    assert isinstance(answer, Completion)
    assert isinstance(other, BudgetReached)


# Bills.


def test_a_call_is_billed_as_the_provider_counts_it(path: Path) -> None:
    async def work(budget: Budget) -> list[Bill]:
        return [
            await pay(budget, await reserve(budget, "1?"), said(3)),
            await pay(budget, await reserve(budget, "2?"), said(3, usd=0.5)),
            await pay(budget, await reserve(budget, "3?"), CallFailed("refusal", "no", answered=True)),
        ]

    assert with_budget(path, work) == [Bill(15, 5 * NANO), Bill(15, NANO // 2), Bill(0, 0)]
    assert spent(path) == Bill(30, 5 * NANO + NANO // 2)


@pytest.mark.parametrize(("prompt", "written"), [(None, None), (None, 5), (10, None)])
def test_missing_usage_counts_as_the_worst_case(path: Path, prompt: int | None, written: int | None) -> None:
    async def work(budget: Budget) -> tuple[Bill, Bill]:
        held = await reserve(budget)
        return held.worst, await pay(budget, held, said(3, prompt, written))

    worst, bill = with_budget(path, work)
    assert bill == worst == Bill(ROOM, to_nanousd(PRICE.usd(ROOM - 50, 50)))
    # What it did cost is not known.
    fresh = path.with_name("fresh.sqlite")
    with asking(fresh, Paid(lambda request: said(3, prompt, written))) as asker:
        ask(asker, "What?")
    assert asker.costs.facts(1)["usd"] is None
    assert spent(fresh) == worst


def test_a_bill_beyond_its_reservation_raises_later_ones(path: Path) -> None:
    """Some models think beyond the limit they are given."""

    async def work(budget: Budget) -> list[int]:
        worst = []
        for number, tokens in enumerate([ROOM, 3 * ROOM, 15, 3 * ROOM]):
            held = await reserve(budget, f"{number:04}?")
            worst.append(held.worst.tokens)
            await pay(budget, held, said(3, tokens - 5, 5))
        return worst

    first, second, third, fourth = with_budget(path, work, price=None)
    assert (first, second, third) == (ROOM, ROOM, 3 * ROOM)
    assert fourth == 3 * ROOM


def test_a_dear_bill_raises_reservations_in_usd_too(path: Path) -> None:
    """The provider's client may know fees that the price list does not."""

    async def work(budget: Budget) -> list[Bill]:
        worst = []
        for number in range(2):
            held = await reserve(budget, f"{number:04}?")
            worst.append(held.worst)
            await pay(budget, held, said(3, usd=2 * (held.worst.nanousd or 0) / NANO))
        return worst

    first, second = with_budget(path, work)
    assert second.nanousd == pytest.approx(2 * first.nanousd, rel=1e-6)


def test_an_overdrawn_cap_stops(path: Path) -> None:
    """Where a bill went beyond its reservation, nothing more is asked."""
    teacher = Paid(lambda request: said(3, 10**6, 5))
    with asking(path, teacher, 1, cap=Cap(tokens=10 * ROOM)) as asker:
        answers = ask(asker, "1?", "2?", "3?")
    assert [type(answer) for answer in answers] == [Completion, BudgetReached, BudgetReached]
    assert len(teacher.requests) == 1


def test_a_price_of_the_user_counts_whatever_the_client_says(path: Path) -> None:
    def dear(request: Request) -> Completion:
        return said(3, usd=7.0)

    with asking(path, Paid(dear), own_price=True) as asker:
        (answer,) = ask(asker, "What?")
    assert isinstance(answer, Completion)
    assert answer.usd == A_CALL
    assert spent(path).nanousd == 5 * NANO
    with asking(path.with_name("other.sqlite"), Paid(dear)) as asker:
        (answer,) = ask(asker, "What?")
    assert isinstance(answer, Completion)
    assert answer.usd == 7.0
    assert asker.costs.total().usd == 7.0


# Unknown prices.


def test_an_unknown_price_is_unknown_everywhere(path: Path) -> None:
    with asking(path, Paid(plain), price=None) as asker:
        made = list(outcomes(asker, sums(3)))
        assert "USD" not in asker.status(3)
        assert "90 tokens" in asker.status(3)
    facts = asker.costs.facts(len(made))
    assert [facts[key] for key in ("usd", "usd_paid_now", "usd_per_pair")] == [None, None, None]
    assert [step["usd"] for step in facts["steps"].values()] == [None, None]
    assert (facts["prompt_tokens"], facts["completion_tokens"]) == (60, 30)
    assert spent(path) == Bill(90, None)
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT DISTINCT nanousd FROM completion").fetchall() == [(None,)]


def test_one_unknown_price_makes_the_sum_unknown(path: Path) -> None:
    with asking(path, Paid(in_turn(said(3, usd=1.0), said(3))), 1, price=None) as asker:
        ask(asker, "1?", "2?")
    facts = asker.costs.facts(1)
    assert (facts["usd"], facts["usd_paid_now"], facts["usd_per_pair"]) == (None, None, None)
    assert spent(path) == Bill(30, None)


def test_without_a_price_no_cap_in_usd_can_be_kept(path: Path) -> None:
    teacher = Paid()
    with asking(path, teacher, price=None, cap=capped(usd=1000)) as asker:
        (answer,) = ask(asker, "What?")
    assert isinstance(answer, BudgetReached)
    assert teacher.requests == []


def test_a_later_run_with_a_price_prices_the_earlier_calls(path: Path) -> None:
    with asking(path, Paid(plain), price=None) as asker:
        rows = as_bytes(outcomes(asker, sums(3)))
    with asking(path, Paid(plain), cap=capped(usd=10**6)) as asker:
        assert as_bytes(outcomes(asker, sums(3))) == rows
    facts = asker.costs.facts(3)
    assert facts["usd"] == 6 * A_CALL
    assert facts["usd_paid_now"] == 0
    # Against the cap they count too, as dear as they can have been: every token at the higher price.
    known = spent(path)
    assert known.nanousd is not None
    assert 90 * 0.5 <= known.nanousd / NANO < 90 * 0.5 + 0.001


def test_calls_of_an_unknown_price_count_against_a_later_cap(path: Path) -> None:
    with asking(path, Paid(plain), price=None) as asker:
        as_bytes(outcomes(asker, sums(3)))
    teacher = Paid()
    with asking(path, teacher, cap=capped(usd=60)) as asker:
        (answer,) = ask(asker, "Other?")
    assert isinstance(answer, BudgetReached)
    assert "45.00 USD of 60.00 USD are spent" in str(answer)
    assert teacher.requests == []


# Figures.


def costs_of(*calls: tuple[str, Completion, bool]) -> Costs:
    """What some completions come to."""
    costs = Costs()
    for step, completion, reused in calls:
        costs.add(step, completion, reused=reused)
    return costs


def test_costs_tell_steps_apart_and_what_was_paid_now() -> None:
    one = said(3, 100, 20, usd=0.25)
    facts = costs_of(
        ("explain", one, True),
        ("explain", one, False),
        ("explain", replace(one, usd=0.5), False),
        ("corrupt", replace(one, usd=1.0), True),
    ).facts(pairs=4)
    explain = {
        "calls": 3,
        "reused": 1,
        "prompt_tokens": 300,
        "completion_tokens": 60,
        "usd": 1.0,
        "usd_paid_now": 0.75,
    }
    corrupt = {
        "calls": 1,
        "reused": 1,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "usd": 1.0,
        "usd_paid_now": 0.0,
    }
    assert facts == {
        "calls": 4,
        "reused": 2,
        "prompt_tokens": 400,
        "completion_tokens": 80,
        "usd": 2.0,
        "usd_paid_now": 0.75,
        "usd_per_pair": 0.5,
        "steps": {"explain": explain, "corrupt": corrupt},
    }


def test_no_pair_has_no_price() -> None:
    assert costs_of(("explain", said(3, usd=1.0), False)).facts(pairs=0)["usd_per_pair"] is None


def test_a_free_call_costs_0_and_is_known() -> None:
    facts = costs_of(("explain", said(3, usd=0.0), False)).facts(pairs=1)
    assert (facts["usd"], facts["usd_per_pair"]) == (0.0, 0.0)


def test_a_step_of_known_price_keeps_it_where_another_is_unknown() -> None:
    facts = costs_of(("explain", said(3, usd=1.0), False), ("corrupt", said(3), False)).facts(pairs=1)
    assert facts["steps"]["explain"]["usd"] == 1.0
    assert facts["steps"]["corrupt"]["usd"] is None
    assert facts["usd"] is None


def test_costs_count_what_a_reject_took(path: Path) -> None:
    """Nothing that was paid for is left out because no pair came of it."""
    with asking(path, Paid(lambda request: replace(said(3), text="No idea."))) as asker:
        made = list(outcomes(asker, sums(2), attempts=3))
    assert len(made) == 2
    assert asker.costs.facts(0)["usd"] == 6 * A_CALL
    assert asker.costs.facts(0)["steps"]["explain"]["calls"] == 6


def test_the_progress_line_projects_the_cost(path: Path) -> None:
    with asking(path, Paid(plain)) as asker:
        list(outcomes(asker, sums(3)))
        line = asker.status(30)
        assert line == "30.00 of ~300.00 USD, 0 calls"
        assert "~" not in asker.status(None)
        assert "failed" not in line
        asker.failed_calls = 2
        assert asker.status(30).endswith("2 failed")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0.0, "0.00 USD"),
        (1234.5, "1,234.50 USD"),
        (1.0, "1.00 USD"),
        (0.5, "0.500 USD"),
        (0.0123456, "0.0123 USD"),
        (0.0000012345, "0.00000123 USD"),
    ],
)
def test_amounts_are_told_with_three_figures(amount: float | None, text: str) -> None:
    assert in_usd(amount) == text


# The whole stage under a budget.


def wordy(request: Request) -> Completion:
    """As `plain`, in calls of 305 tokens; they may take three times as many."""
    return replace(plain(request), prompt_tokens=300)


def stage(path: Path, teacher: Paid, **more: Any) -> tuple[bytes, BudgetReached | None]:
    """The rows that were made, and what ended them."""
    questions = more.pop("questions", sums(12))
    made = {key: more.pop(key) for key in ("window", "attempts") if key in more}
    rows: list[Outcome] = []
    with asking(path, teacher, **more) as asker:
        try:
            rows.extend(outcomes(asker, questions, **made))
        except BudgetReached as reached:
            return as_bytes(rows), reached
    return as_bytes(rows), None


def whole(tmp_path: Path, **more: Any) -> list[bytes]:
    """The rows of an undisturbed run."""
    return stage(tmp_path / "undisturbed.sqlite", Paid(more.pop("answer", wordy)), **more)[0].splitlines()


def test_a_run_that_meets_its_cap_writes_what_is_finished_and_goes_on_later(tmp_path: Path, path: Path) -> None:
    expected = whole(tmp_path)
    first = Paid(wordy)
    rows, reached = stage(path, first, cap=Cap(tokens=5000), concurrency=2, window=4)
    assert reached is not None
    assert 0 < len(rows.splitlines()) < 12
    assert rows.splitlines() == [row for row in expected if row in rows.splitlines()]
    assert spent(path).tokens <= 5000
    assert charges(path) == {"settled": len(first.requests)}
    same = Paid(wordy)
    assert stage(path, same, cap=Cap(tokens=5000), concurrency=2, window=4)[0] == rows
    assert same.requests == []
    more = Paid(wordy)
    again, reached = stage(path, more, cap=Cap(tokens=10**6))
    assert reached is None
    assert again.splitlines() == expected
    assert not first.asked & more.asked


def test_questions_that_need_no_further_call_are_finished_whatever_stands_before_them(
    tmp_path: Path, path: Path
) -> None:
    """Of twelve questions some are recorded: these come, in order, though nothing can be bought any more."""
    known = [1, 4, 5, 11]
    questions = sums(12)
    with asking(path, Paid(wordy), run="earlier") as asker:
        list(outcomes(asker, [questions[number] for number in known]))
    teacher = Paid(wordy)
    rows, reached = stage(path, teacher, cap=Cap(tokens=0))
    assert reached is not None
    assert teacher.requests == []
    expected = whole(tmp_path)
    assert rows.splitlines() == [expected[number] for number in known]


def test_nothing_is_begun_once_the_cap_is_met(path: Path) -> None:
    """Questions beyond those under way are not even read."""
    read = []

    def questions() -> Any:
        for one in sums(500):
            read.append(one.id)
            yield one

    _, reached = stage(path, Paid(wordy), cap=Cap(tokens=0), questions=questions(), window=8)
    assert reached is not None
    assert len(read) <= 9


def test_a_call_that_fits_is_made_though_a_longer_one_does_not(tmp_path: Path, path: Path) -> None:
    """A question that is under way goes on as long as its own calls fit."""
    questions = sums(4)
    questions[1] = replace(questions[1], question=questions[1].question + " Mind the gap." * 500)
    rows, reached = stage(path, Paid(wordy), cap=Cap(tokens=7000), questions=questions, concurrency=1)
    assert reached is not None
    expected = whole(tmp_path, questions=questions)
    assert rows.splitlines() == [expected[0], expected[2], expected[3]]


@pytest.mark.parametrize("concurrency", [1, 3, 16])
@pytest.mark.parametrize("tokens", [0, 2500, 5000, 20000])
def test_a_capped_run_never_hangs_and_never_passes_the_cap(
    tmp_path: Path, path: Path, concurrency: int, tokens: int
) -> None:
    async def pause(request: Any) -> None:
        await asyncio.sleep(0.0005 * (number_of(request) % 3))

    rows, reached = stage(path, Paid(wordy, pause), cap=Cap(tokens=tokens), concurrency=concurrency)
    assert (reached is None) == (tokens == 20000)
    assert spent(path).tokens <= tokens
    expected = whole(tmp_path)
    assert rows.splitlines() == [row for row in expected if row in rows.splitlines()]
    assert set(charges(path)) <= {"settled"}


def test_overshoot_does_not_compound(path: Path) -> None:
    """16 calls under way at once, each billed at twice its reservation: the next ones are twice as high, not 2**16."""
    room = worst_case_tokens(call("0000?").messages) + 50

    async def pause(request: Request) -> None:
        await asyncio.sleep(0.01)

    teacher = Paid(lambda request: said(3, 2 * room - 5, 5))
    teacher.pause = pause
    with asking(path, teacher, 16, price=None, cap=Cap(tokens=32 * room + 3 * room)) as asker:
        answers = ask(asker, *(f"{number:04}?" for number in range(17)))
    assert [type(answer) for answer in answers].count(Completion) == 17
