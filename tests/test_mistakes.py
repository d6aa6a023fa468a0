"""Mistake patterns: how they are dealt to the questions, and the prompts that ask for them."""

import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.errors import UsageError
from editctl.generate.settings import deal, parse_mistakes
from editctl.generate.shots import Shot, Shots
from editctl.generate.tally import Tally
from editctl.prompts import Templates
from editctl.records import DualChain, Question, Reject
from editctl.student import question_prompt
from tests.support_generate import RIGHT, WRONG, Answering, dual_chains, maker_of

KNOWN = ("any", "calculation", "knowledge", "logical")
STEPS = [("explain", None), ("rectify", None), *(("corrupt", mistake) for mistake in KNOWN)]
PICK = Question(
    id="p", question="How many legs has a bee?", answer="(B)", choices=("four", "six {{ 7 }}"), description="Choose."
)


def prompt(step: Any, mistake: str | None, question: Question = PICK, shots: Shots | None = None) -> str:
    maker = maker_of(shots)
    turns, _ = maker.render(step, question, mistake, RIGHT if step == "corrupt" else None)
    return "\n".join(turn["content"] for turn in turns)


# dealing


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1), st.integers(1, 5))
def test_shares_are_exact_over_every_round_and_even_within(weights: dict[str, int], rounds: int) -> None:
    turns = deal(weights)
    assert Counter(turns * rounds) == {name: weight * rounds for name, weight in weights.items()}
    total = sum(weights.values())
    for name, weight in weights.items():
        for until in range(1, total + 1):
            assert abs(turns[:until].count(name) - until * weight / total) <= len(weights) / 2


def test_two_to_one_over_real_questions() -> None:
    questions = [Question(id=f"q{number}", question=f"2 + 2? {number}", answer="4") for number in range(30)]
    teacher = Answering(lambda request: WRONG if request.step == "corrupt" else RIGHT)
    mistakes = deal(parse_mistakes("logical=2,calculation=1", KNOWN))
    outcomes = list(dual_chains(questions, teacher, mistakes=mistakes, concurrency=7))
    named = [outcome.wrong.mistake for outcome in outcomes if isinstance(outcome, DualChain) and outcome.wrong]
    assert Counter(named) == {"logical": 20, "calculation": 10}
    assert named == ["logical", "calculation", "logical"] * 10


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("any", {"any": 1}),
        ("logical,knowledge", {"logical": 1, "knowledge": 1}),
        (" logical=2 , calculation=1,", {"logical": 2, "calculation": 1}),
    ],
)
def test_patterns_and_weights_are_read(text: str, weights: dict[str, int]) -> None:
    assert parse_mistakes(text, KNOWN) == weights


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logica", "did you mean logical"),
        ("logical=0", "whole number from 1"),
        ("logical=1.5", "whole number from 1"),
        ("logical=-1", "whole number from 1"),
        ("logical=1001", "whole number from 1"),
        ("logical=", "whole number from 1"),
        ("logical,logical=2", "twice"),
        ("", "names no mistake"),
        (",", "names no mistake"),
        ("=2", "-m"),
    ],
)
def test_what_can_not_be_dealt_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_mistakes(text, KNOWN)


def test_outcomes_are_counted_by_task() -> None:
    tally = Tally()
    for task, reason in [("b", "x"), ("a", "y"), ("b", "x"), ("b", "y")]:
        question = Question(id="q", question="?", task=task)
        tally.add(Reject(question=question, step="explain", reason=reason, attempts=1, completion=None))
    assert tally.by_outcome() == {"reject: explain x": 2, "reject: explain y": 2}
    assert tally.by_task() == {
        "a": {"reject: explain y": 1},
        "b": {"reject: explain x": 2, "reject: explain y": 1},
    }
    assert (tally.starting("reject"), tally.starting("pair")) == (4, 0)


# prompts


def test_the_shipped_patterns_are_the_documented_ones() -> None:
    assert tuple(Templates().mistakes()) == KNOWN


@pytest.mark.parametrize(("step", "mistake"), STEPS)
def test_every_prompt_shows_the_question_as_the_student_sees_it(step: str, mistake: str | None) -> None:
    text = prompt(step, mistake)
    shown = question_prompt(PICK).user
    assert "Q: " + shown.partition("Q:")[2].removesuffix("\n\nA:") in text
    assert "Choose." in text
    assert text.count("six {{ 7 }}") == 1


@pytest.mark.parametrize(("step", "mistake"), STEPS)
def test_options_inside_the_question_are_not_shown_twice(step: str, mistake: str | None) -> None:
    question = Question(id="p", question="Legs?\nOptions:\n(A) four\n(B) six", answer="(B)", choices=("four", "six"))
    assert prompt(step, mistake, question).count("(B) six") == 1


@pytest.mark.parametrize(("step", "mistake"), STEPS)
def test_every_prompt_asks_for_the_canonical_conclusion(step: str, mistake: str | None) -> None:
    assert '"Therefore, the answer is X."' in prompt(step, mistake)


@pytest.mark.parametrize(("step", "mistake"), STEPS)
def test_constant_parts_come_first(step: str, mistake: str | None) -> None:
    shots = Shots([Shot(question="shot-q", answer="1", right="shot-r", wrong="shot-w", task=None)])
    other = Question(id="o", question="Another?", answer="1", description="Else.")
    one, two = prompt(step, mistake, PICK, shots), prompt(step, mistake, other, shots)
    same = len(one[: next(at for at, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1])])
    assert one.index("shot-r") < same
    assert same == one.index("Choose.")


def test_only_the_rectifying_prompt_tells_the_answer() -> None:
    question = Question(id="p", question="How many legs?", answer="sixty-six")
    told = {mistake or step: "sixty-six" in prompt(step, mistake, question) for step, mistake in STEPS}
    assert [name for name, tells in told.items() if tells] == ["rectify"]


def test_every_pattern_asks_for_its_own_mistake_and_shows_the_right_chain() -> None:
    texts = {mistake: prompt("corrupt", mistake) for mistake in KNOWN}
    assert len(set(texts.values())) == len(KNOWN)
    assert all(RIGHT in text for text in texts.values())


@pytest.mark.parametrize(("step", "mistake"), STEPS)
def test_shots_show_what_their_step_wants(step: str, mistake: str | None) -> None:
    shots = Shots([Shot(question="shot-q", answer="shot-a", right="shot-r", wrong="shot-w", task=None)])
    text = prompt(step, mistake, PICK, shots)
    assert all(part in text for part in ("shot-q", "shot-r"))
    assert ("shot-w" in text) == (step == "corrupt")
    assert ("shot-a" in text) == (step == "rectify")


def test_corrupting_prompts_have_a_system_turn_too() -> None:
    for step, mistake in STEPS:
        turns, _ = maker_of().render(step, PICK, mistake, RIGHT if step == "corrupt" else None)  # type: ignore[arg-type]
        assert [turn["role"] for turn in turns] == ["system", "user"]
