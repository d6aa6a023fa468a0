"""Several explanations of a question: how they are asked for, what becomes of them, which two make a pair."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.align.edits import align_texts
from editctl.align.units import words
from editctl.cli import teaching
from editctl.generate.estimate import estimate
from editctl.generate.keys import key_of
from editctl.generate.ledger import Cap
from editctl.generate.maker import Maker, Outcome
from editctl.generate.mining import most_alike
from editctl.generate.rounds import Asking, together
from editctl.generate.settings import Settings
from editctl.generate.shots import Shots
from editctl.generate.stage import finish, make_dual_chains
from editctl.interfaces import CallFailed, Completion, Price, Request
from editctl.keysteps import pair_fault
from editctl.prompts import Templates
from editctl.records import DualChain, Question, Reject, Step
from editctl.registry import load
from editctl.rows import alignment_from_row, dual_to_row, reject_to_row
from tests.support_asking import Paid, asking, maker_for, number_of, said, sums
from tests.support_cli import Cli, lines, read
from tests.support_generate import RIGHT, SUM, WRONG, Answering, dual_chains, maker_of

FAR = "Take two. Take two again. That is twenty-two, surely. Therefore, the answer is 22."
NEAR = "Two and two make five. Therefore, the answer is 4."


def scripted(
    texts: dict[tuple[int, int], Any], later: str = WRONG
) -> tuple[Callable[[Request], Completion], list[Any]]:
    """Explanations by sample and attempt, anything else at once; and what was asked."""
    asked: list[Any] = []

    def answer(request: Request) -> Completion:
        asked.append((request.step, request.sample, request.attempt, request.temperature))
        said = texts[request.sample, request.attempt] if request.step == "explain" else later
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Completion) else Completion(text=said)

    return answer, asked


def made(
    texts: list[Any], later: str = WRONG, question: Question = SUM, steps: Any = None, **settings: Any
) -> tuple[Outcome, list[Any]]:
    """What becomes of a question whose samples say these texts at once, and all that was asked."""
    answer, asked = scripted({(number, 1): text for number, text in enumerate(texts)}, later)
    maker = maker_of(samples=len(texts), **{"attempts": 1, **settings})
    maker.steps = steps or maker.steps
    return finish(maker.make(0, question), answer), asked


def chains(outcome: Outcome) -> tuple[Any, Any]:
    """Origin and text of both sides."""
    assert isinstance(outcome, DualChain)
    return tuple((one.origin, one.text) if one else None for one in (outcome.right, outcome.wrong))  # type: ignore[return-value]


# Rounds.


def counting(name: str, count: int) -> Asking[list[str]]:
    """Asks so often, two calls at a time, and returns what it was told."""
    heard: list[str] = []
    for number in range(count):
        calls = tuple(_call(f"{name}{number}{half}") for half in "ab")
        heard += [answer.text for answer in (yield calls) if isinstance(answer, Completion)]
    return heard


def _call(text: str) -> Request:
    return Request(question=SUM, step="explain", messages=[], template=text)


@given(st.lists(st.integers(0, 4), max_size=5))
def test_what_is_followed_together_is_told_what_it_would_be_told_alone(counts: list[int]) -> None:
    rounds = []

    def all_of() -> Asking[list[list[str]]]:
        return (yield from together([counting(f"{number}.", count) for number, count in enumerate(counts)]))

    asking_all = all_of()
    try:
        calls = next(asking_all)
        while True:
            rounds.append(len(calls))
            calls = asking_all.send([Completion(text=one.template) for one in calls])
    except StopIteration as end:
        told = end.value
    assert told == [
        [f"{number}.{round_}{half}" for round_ in range(count) for half in "ab"] for number, count in enumerate(counts)
    ]
    assert rounds == [2 * sum(count > number for count in counts) for number in range(max(counts, default=0))]


# The keys that ledgers of earlier versions hold.

KEYS = [
    "b15818cc1a09b56f2ae4e2c183bb675501c8804aa5034f21554da8e596d1de10",
    "71645fd45fb3cba2c57f4c4dfab9b62971bdea72a9dc81b10fc0eae263686c2d",
    "0d0c0a8d513c17d5c73162285c0cda74c30bf3a501cd3ebe3a114784fc638213",
    "063e8df7ebcba668831f11920e4da38390a73af605b95fb0a5bac6a8e1d750b0",
    "b18194dc5c79f5711d3f13f424e973d4d7817c3ae52b610f2f5e4ff219fa5a16",
    "0b0e729b52e6f30c18ef7cec798b7be129c01eadf204c577a052296ddc44cf21",
    "9974c93b99fb12cec32e0722c9e8acb15ef376ba54eabcf3ac08bbbe85284f77",
]
KEYS_OF_IDENTIFIED = [
    "7c4a95238f3bf7df6263ed5fce798c238b19aadaf906a160439600e7fdd7b48b",
    "a4039027736f3b52c301ff8126e5479f371dd8a865bd32b6e0176d0f6cfb4ef4",
    "1c7d06791687ffd6ca9679853fbd97a9236d0659186c29e270ea6465141c2a77",
    "58a88946e90c45adc8cf0c153d8c2d27d90f5a323a011f7d46028eec9cabe5f4",
    "6caec37373131bf2b3c873ae9d365d379b839b558a7bbec185565f66460bd53e",
    "bd0d336aadc8f63d20c6af43d33b505e0509ee7080cff34e0fe65a7ca10f50b7",
    "ddc0f1bc65ada620f84e696db9c536b5ff79af8abdd3d0a147e3bf66b1dd87d3",
]


class Named:
    """Is known by its name."""

    name, offline = "scripted", False


class Told(Named):
    """Says what its answers depend on."""

    def identity(self, request: Request) -> dict[str, Any]:
        return {"model": "m", "t": request.temperature, "m": request.max_tokens, "s": request.seed}


@pytest.mark.parametrize(("teacher", "keys"), [(Named(), KEYS), (Told(), KEYS_OF_IDENTIFIED)])
def test_a_single_sample_has_the_keys_of_ledgers_that_lie_around(teacher: Any, keys: list[str]) -> None:
    found: list[str] = []

    def follow(texts: list[str], **settings: Any) -> None:
        def answer(request: Request) -> Completion:
            found.append(key_of(teacher, request).hex())
            return Completion(text=texts.pop(0))

        finish(Maker("scripted", Templates(), Settings(**settings), Shots()).make(0, SUM), answer)

    follow(["hm", RIGHT, "hm", WRONG], attempts=3, seed=7)
    follow([WRONG, "hm", RIGHT])
    assert found == keys


# What is asked.


def test_every_sample_has_tries_of_its_own_and_all_are_asked_at_once() -> None:
    texts = {(0, 1): "hm", (0, 2): RIGHT, (1, 1): WRONG, (2, 1): "hm", (2, 2): "hm", (2, 3): WRONG}
    answer, asked = scripted(texts)
    outcome = finish(maker_of(samples=3).make(0, SUM), answer)
    assert asked == [
        *(("explain", sample, 1, 0.7) for sample in (0, 1, 2)),
        *(("explain", sample, 2, 0.9) for sample in (0, 2)),
        ("explain", 2, 3, 1.0),
        ("corrupt", 0, 1, 0.2),
    ]
    assert chains(outcome) == (("sampled", RIGHT), ("corrupted", WRONG))


@pytest.mark.parametrize(
    ("first", "samples", "expected"),
    [
        (None, 1, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]),
        (None, 2, [0.7, 0.9, 1.0, 1.0, 1.0, 1.0]),
        (0.0, 2, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.3, 1, [1.3] * 6),
    ],
)
def test_the_first_temperature_can_be_set_and_later_tries_are_never_colder(
    first: float | None, samples: int, expected: list[float]
) -> None:
    settings = Settings(temperature=first, samples=samples)
    assert [settings.temperature_of("explain", attempt) for attempt in range(1, 7)] == expected


def test_corruptions_are_no_hotter_for_several_samples_unless_that_is_asked_for() -> None:
    assert Settings(samples=4).temperature_of("corrupt", 1) == 0.2
    assert Settings(samples=4, temperature=0.5).temperature_of("corrupt", 1) == 0.5
    assert Settings(samples=4).temperature_of("label", 1) == 0.0


def test_samples_of_one_question_are_under_way_together() -> None:
    import asyncio

    teacher = Answering(lambda request: RIGHT if request.step == "explain" else WRONG, lambda _: asyncio.sleep(0.02))
    list(dual_chains([SUM], teacher, samples=5))
    assert teacher.most_under_way == 5


# What becomes of them.


@pytest.mark.parametrize(
    ("texts", "later", "right", "wrong"),
    [
        ([WRONG, RIGHT, NEAR], WRONG, ("sampled", RIGHT), ("corrupted", WRONG)),
        ([WRONG, FAR], RIGHT, ("rectified", RIGHT), ("sampled", WRONG)),
        (["hm", FAR, WRONG], RIGHT, ("rectified", RIGHT), ("sampled", FAR)),
        ([CallFailed("refusal", "no", answered=True), RIGHT], WRONG, ("sampled", RIGHT), ("corrupted", WRONG)),
    ],
)
def test_without_mining_the_first_right_sample_counts_else_the_first_wrong_one(
    texts: list[Any], later: str, right: Any, wrong: Any
) -> None:
    outcome, asked = made(texts, later)
    assert chains(outcome) == (right, wrong)
    assert len(asked) == len(texts) + 1


def test_a_question_none_of_whose_samples_can_be_read_is_a_reject_with_the_first_ones_reason() -> None:
    outcome, _ = made(["hm", Completion(text=RIGHT, finish_reason="length")])
    assert isinstance(outcome, Reject)
    assert (outcome.step, outcome.reason, outcome.completion) == ("explain", "unread", "hm")


def test_the_most_alike_samples_make_a_pair_and_nothing_more_is_asked() -> None:
    outcome, asked = made([FAR, RIGHT, "hm", NEAR, WRONG], mine=True)
    assert chains(outcome) == (("sampled", NEAR), ("mined", WRONG))
    assert [step for step, *_ in asked] == ["explain"] * 5
    assert isinstance(outcome, DualChain)
    assert outcome.reason is None
    assert outcome.wrong is not None
    assert (outcome.wrong.answer, outcome.wrong.template, outcome.wrong.mistake) == ("5", "explain", None)


def test_of_pairs_that_are_equally_alike_the_first_samples_are_taken() -> None:
    outcome, _ = made([WRONG.replace("five", "six"), RIGHT, WRONG, RIGHT.replace("Two", "Three")], mine=True)
    assert chains(outcome) == (("sampled", RIGHT), ("mined", WRONG.replace("five", "six")))


@pytest.mark.parametrize(("text", "later", "origin"), [(RIGHT, WRONG, "corrupted"), (WRONG, RIGHT, "sampled")])
def test_where_nothing_can_be_mined_the_next_step_is_paid_for(text: str, later: str, origin: str) -> None:
    outcome, asked = made([text, text], later, mine=True)
    assert chains(outcome)[1][0] == origin
    assert len(asked) == 3


TEXTS = st.lists(st.sampled_from(["one", "two", "3", "3,5", "four.", "five!", "ß", "数学"]), max_size=6).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_likeness_is_what_align_calls_similarity(right: list[str], wrong: list[str]) -> None:
    alike = {
        (first, second): align_texts(right[first], wrong[second], words, "word", None).similarity
        for first in range(len(right))
        for second in range(len(wrong))
    }
    best = max(alike.values())
    found = most_alike(right, wrong)
    assert alike[found] == best
    assert found == min(pair for pair, likeness in alike.items() if likeness == best)


@pytest.mark.parametrize("mine", [True, False])
def test_a_teacher_that_only_explains_leaves_the_other_steps_out(mine: bool) -> None:
    reason = "no-mined-pair" if mine else "not-asked"
    outcome, asked = made([RIGHT, RIGHT], steps=("explain",), mine=mine)
    assert isinstance(outcome, DualChain)
    assert (outcome.wrong, outcome.reason, len(asked)) == (None, reason, 2)
    outcome, asked = made([WRONG, WRONG], steps=("explain",), mine=mine)
    assert isinstance(outcome, Reject)
    assert (outcome.step, outcome.reason, outcome.attempts, len(asked)) == ("explain", reason, 0, 2)


# Through the ledger.


def mixed(request: Request) -> Completion:
    """Some samples are right, some wrong, some can't be read; all differ in a word."""
    number = number_of(request)
    if request.step != "explain":
        return said(number + 3 + (request.step == "corrupt"))
    if (number + request.sample) % 5 == 4 and request.attempt == 1:
        return replace(said(0), text="I do not know.")
    wrong = number % 4 == 0 or (number % 4 > 1 and request.sample == 1)
    return replace(said(0), text=f"I add them {'again ' * request.sample}. So the answer is {number + 3 + wrong}.")


def rows_of(outcomes: Iterator[Outcome]) -> list[Any]:
    """As they are written."""
    return list(map(_row, outcomes))


def _row(outcome: Outcome) -> Any:
    return reject_to_row(outcome) if isinstance(outcome, Reject) else dual_to_row(outcome)


def run(path: Path, teacher: Paid, concurrency: int = 4, count: int = 12, **more: Any) -> list[Any]:
    """Pairs of some sums with three samples each."""
    settings = {"samples": 3, "mine": True}
    with asking(path, teacher, concurrency, **more) as asker:
        return rows_of(make_dual_chains(sums(count), maker_for(teacher, **settings), asker))


def test_the_outcome_does_not_depend_on_concurrency_and_a_second_run_pays_nothing(tmp_path: Path) -> None:
    first = Paid(mixed)
    rows = run(tmp_path / "a.sqlite", first, 1)
    assert rows == run(tmp_path / "b.sqlite", Paid(mixed), 9)
    origins = Counter(row["wrong"]["origin"] for row in rows if row.get("wrong"))
    assert origins["mined"] > 3
    assert len(origins) > 1
    again = Paid(mixed)
    assert run(tmp_path / "a.sqlite", again) == rows
    assert again.requests == []
    assert len(first.requests) == len({(r.question.id, r.step, r.sample, r.attempt) for r in first.requests})


def test_a_run_whose_budget_ends_among_samples_goes_on_where_it_stopped(tmp_path: Path) -> None:
    from editctl.errors import BudgetReached

    whole = Paid(mixed)
    rows = run(tmp_path / "whole.sqlite", whole)
    first, path = Paid(mixed), tmp_path / "cut.sqlite"
    done: list[Any] = []
    with asking(path, first, cap=Cap(tokens=1300)) as asker:
        outcomes = make_dual_chains(sums(12), maker_for(first, samples=3, mine=True), asker)
        with pytest.raises(BudgetReached):
            deque(map(done.append, map(_row, outcomes)), maxlen=0)
    assert done == [row for row in rows if row in done]
    assert len(done) < len(rows)
    assert 0 < len(first.requests) < len(whole.requests)
    second = Paid(mixed)
    assert run(path, second) == rows
    calls = Counter((one.question.id, one.step, one.sample, one.attempt) for one in [*first.requests, *second.requests])
    assert set(calls.values()) == {1}
    assert len(calls) == len(whole.requests)


def test_what_breaks_one_sample_stops_the_run(tmp_path: Path) -> None:
    from editctl.interfaces import TeacherError

    def answer(request: Request) -> Any:
        return TeacherError("no credit") if request.sample == 2 else said(number_of(request) + 3)

    with pytest.raises(TeacherError, match="no credit"):
        run(tmp_path / "l.sqlite", Paid(answer))


# Estimates.


def test_an_estimate_counts_samples_and_what_follows_once_a_question() -> None:
    maker = maker_for(Paid(), samples=4, attempts=2)
    facts = estimate(enumerate(sums(3)), maker, Paid(), None, Price(input=1, output=1)).facts()
    calls = {step: (one["low"]["calls"], one["high"]["calls"]) for step, one in facts["steps"].items()}
    assert calls == {"explain": (12, 24), "corrupt": (0, 6), "rectify": (0, 6)}
    assert (facts["total"]["low"]["calls"], facts["total"]["high"]["calls"]) == (15, 30)


def test_an_estimate_of_mining_begins_at_nothing_more_than_samples() -> None:
    maker = maker_for(Paid(), samples=4, attempts=2, mine=True)
    facts = estimate(enumerate(sums(3)), maker, Paid(), None, Price(input=1, output=1)).facts()
    assert (facts["total"]["low"]["calls"], facts["total"]["high"]["calls"]) == (12, 30)
    explains: tuple[Step, ...] = ("explain",)
    maker.steps = explains
    facts = estimate(enumerate(sums(3)), maker, Paid(), None, Price(input=1, output=1)).facts()
    assert list(facts["steps"]) == ["explain"]
    assert (facts["total"]["low"]["calls"], facts["total"]["high"]["calls"]) == (12, 24)


def test_an_estimate_goes_by_the_pairs_that_were_mined(tmp_path: Path) -> None:
    """Six questions are recorded, all of them mined: nothing is expected to follow four new ones."""

    def answer(request: Request) -> Completion:
        return said(number_of(request) + 3 + request.sample % 2)

    path = tmp_path / "l.sqlite"
    run(path, Paid(answer), count=6)
    with asking(path, Paid(answer)) as asker:
        assert asker.budget is not None
        maker = maker_for(Paid(), samples=3, mine=True)
        found = estimate(enumerate(sums(10)), maker, Paid(), asker.budget.ledger, None)
    facts = found.facts()
    assert facts["recorded"] == 18
    assert facts["total"]["low"]["calls"] == 12
    assert found.explained == {"nothing": 6}


# On the command line, and downstream.


def test_mined_pairs_are_counted_aligned_and_taught_from(cli: Cli) -> None:
    done = cli(
        "gen-dual", "toy:chain?n=30", "-t", "oracle", "-T", "error-rate=0.5", "--samples", "4", "--mine", "-o", "d"
    )
    assert done.code == 0, done.err
    counts = json.loads(Path("d.manifest.json").read_text())["counts"]
    mined = counts["pair: mined wrong chain"]
    assert mined > 20
    assert cli("align", "d", "-o", "a.jsonl").code == 0
    recipe = load("recipes", "edit")()
    reasons = Counter(
        (pairs, getattr(next(recipe.examples("key-steps", one, recipe.Options(pairs=pairs))), "reason", "used"))
        for one in map(alignment_from_row, read("a.jsonl"))
        if one.dual.wrong is not None
        and one.dual.wrong.origin == "mined"
        and pair_fault(one, max_key_ratio=1, min_similarity=0) is None
        for pairs in ("all", "corrupted", "rectified")
    )
    assert reasons == {
        ("all", "used"): mined,
        ("corrupted", "not-corrupted"): mined,
        ("rectified", "not-rectified"): mined,
    }


@pytest.mark.parametrize("samples", [[], ["--samples", "1"]])
def test_mining_needs_samples(cli: Cli, samples: list[str]) -> None:
    done = cli("gen-dual", "toy:chain?n=3", "-t", "oracle", "--mine", *samples, "-o", "d.jsonl")
    assert done.code == 2
    assert "--samples" in done.err
    assert not Path("d.jsonl").exists()


def test_recordings_say_which_sample_they_are(cli: Cli) -> None:
    Path("q.jsonl").write_text(lines([{"id": "q1", "question": "What is 2 + 2?", "answer": "4"}]))
    Path("r.jsonl").write_text(
        lines(
            [
                {"id": "q1", "completion": "hm"},
                {"id": "q1", "completion": FAR, "sample": 2},
                {"id": "q1", "completion": RIGHT},
                {"id": "q1", "completion": WRONG, "sample": 1},
            ]
        )
    )
    command = ("gen-dual", "q.jsonl", "-t", "recorded:r.jsonl", "-o", "d.jsonl", "--mine", "--samples")
    assert cli(*command, "5").code == 0
    (row,) = read("d.jsonl")
    assert (row["right"]["text"], row["wrong"]["text"]) == (RIGHT, WRONG)
    Path("r.jsonl").write_text(lines([{"id": "q1", "completion": "hm", "sample": -1}]))
    done = cli(*command, "5")
    assert (done.code, "field 'sample'" in done.err) == (2, True)


def test_a_batch_has_room_for_all_samples_of_its_questions() -> None:
    values: Any = {"batch": True, "batch_size": 50, "samples": 3, "max_concurrency": None}
    values |= {"requests_per_minute": None, "tokens_per_minute": None}
    teacher: Any = Paid()
    assert teaching._throttle(values, teacher).limit == 150
    teacher.at_once = 70
    assert teaching._throttle({**values, "batch": False}, teacher).limit == 70
    assert teaching._throttle({**values, "batch": False, "max_concurrency": 3}, teacher).limit == 3
