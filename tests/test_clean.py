"""A raw completion -> a clean chain: recaps, run-on text, labels, leaks of the hint."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from editctl.answers.verdicts import judge
from editctl.generate.clean import speaks_of_hint, strip_recap
from editctl.generate.settings import Settings
from editctl.generate.written import check
from editctl.interfaces import Completion
from editctl.records import Question
from tests.support_generate import RIGHT, SUM

CHAIN = "Ann has 3 apples and buys 1, so she has 4. Therefore, the answer is (B)."
PICK = Question(
    id="q2",
    question="Ann has 3 apples and\nbuys 1. How many now?",
    answer="(B)",
    choices=("three", "four"),
    kind="choice",
)
SHOWN = "Ann has 3 apples and\nbuys 1. How many now?\nOptions:\n(A) three\n(B) four"


def cleaned(text: str, question: Question = SUM) -> str:
    return check(Completion(text=text), question, Settings()).text


@pytest.mark.parametrize(
    "text",
    [
        CHAIN,
        "A: " + CHAIN,
        "**Answer:** " + CHAIN,
        "Wrong solution: " + CHAIN,
        "Let's think step by step.\n" + CHAIN,
        "A: Let’s think step by step. " + CHAIN,
        f"Q: {SHOWN}\nA: {CHAIN}",
        f"Q: {SHOWN}\nA: Let's think step by step.\n{CHAIN}",
        f"**Question:** {PICK.question}\n\n{CHAIN}",
        f"{PICK.question}\n{CHAIN}",
        f"Ann has 3 apples and buys 1. How many now?\n\nA: {CHAIN}",
        f"{SHOWN}\nThe final answer is (B).\nA: {CHAIN}",
        f"Right solution: Ann has 3. Therefore, the answer is (A).\nWrong solution: {CHAIN}",
        f"**Correct response:** So the answer is (A).\n\n**Incorrect response:** {CHAIN}",
        f"\n\n  {CHAIN}\n",
    ],
)
def test_what_repeats_the_prompt_is_dropped(text: str) -> None:
    assert cleaned(text, PICK) == CHAIN


def test_a_chain_may_begin_with_the_words_of_the_question() -> None:
    question = Question(id="q", question="True and False is", answer="False")
    chain = "True and False is False. Therefore, the answer is False."
    assert cleaned(chain, question) == chain
    assert cleaned("True and False is\n" + chain, question) == chain


@pytest.mark.parametrize(
    "text",
    [
        "Two and two make four. So the answer is 4.",
        "Two and two make four. So the answer is 4. I hope this helps!",
        "Two and two make four. Therefore, the answer is 4.\n\nQ: What is 3 + 3?\nA: Therefore, the answer is 6.",
        "Two and two make four. Thus, the final answer is **4**.",
    ],
)
def test_the_conclusion_is_rewritten_and_closes_the_chain(text: str) -> None:
    assert cleaned(text) == RIGHT


def test_an_answer_line_becomes_a_conclusion() -> None:
    said = "2 + 2 = <<2+2=4>>4 apples\nSo she has 4\nA: 4"
    assert cleaned(said) == "2 + 2 = <<2+2=4>>4 apples\nSo she has 4\nTherefore, the answer is 4."


@given(st.text(alphabet="ab .\nQA:*(<>)", max_size=60))
def test_cleaning_twice_changes_nothing_more(body: str) -> None:
    first = check(Completion(text=f"One {body}. Therefore, the answer is 4."), SUM, Settings())
    again = check(Completion(text=first.text), SUM, Settings())
    assert (again.text, again.verdict) == (first.text, first.verdict)


PARTS = (
    "Ann has 3. ", "So the answer is ", "Therefore, the answer is ", "Answer: ", "#### ", "(A)", "(B)", "**4**", "4",
    "5", ".", "\n", "\nQ: ", "\\boxed{4. No, 5}", "- one\n- two", " because ", "<think>", "</think>",
    "Let's think step by step. ",
)  # fmt: skip


@pytest.mark.parametrize("opening", [Settings().conclusion, "So the answer is", "In short:", ""])
@given(text=st.lists(st.sampled_from(PARTS), max_size=9).map("".join), question=st.sampled_from((SUM, PICK)))
@example(text="Ann has 4. So the answer is 4.", question=SUM)
def test_the_verdict_is_on_the_text_that_is_kept(opening: str, text: str, question: Question) -> None:
    checked = check(Completion(text=text), question, Settings(conclusion=opening))
    assert checked.verdict == judge(checked.text, question, opening)


@given(st.text(max_size=80))
def test_no_completion_breaks_the_cleaning(text: str) -> None:
    result = check(Completion(text=text), SUM, Settings())
    assert result.reason is not None or result.text.endswith(f"Therefore, the answer is {result.verdict.answer}.")
    assert strip_recap(text, SUM) == strip_recap(text, SUM).strip()


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that request.",
        "I’m sorry. I won’t answer it.",
        "As an AI language model, I have no opinion.",
        "I cannot assist with this.",
    ],
)
def test_a_refusal_is_told_from_an_unread_chain(text: str) -> None:
    assert check(Completion(text=text), SUM, Settings()).reason == "refusal"


def test_an_apology_that_answers_is_no_refusal() -> None:
    assert check(Completion(text="Sorry for the wait. " + RIGHT), SUM, Settings()).reason is None


@pytest.mark.parametrize(
    "text",
    [
        "We know that the final answer is (B).",
        "Since we are told the answer is (B), four it is.",
        "Given that the correct answer is (B), she has four.",
        "That matches the given answer.",
        "This is consistent with the provided answer.",
        "So we arrive at the expected answer.",
        "This agrees with the final answer.",
        "The answer is given as (B).",
        "The final answer was provided, so we check it.",
        "The provided answer key is wrong.",
        "As stated in the prompt, it is (B).",
        "According to the hint, it is (B).",
        "The hint says (B).",
        "The answer we were given is (B).",
        "Working backwards from the answer, she has four.",
        "I was informed that the right answer is (B).",
    ],
)
def test_talk_of_having_been_told_is_a_leak(text: str) -> None:
    assert speaks_of_hint(f"Ann has 3 apples. {text} So it is four.", PICK)


@pytest.mark.parametrize(
    "text",
    [
        "Here in this question, we are told that Joe opposed the program.",
        "Because we are told that Ann buys 1, we add 1.",
        "Among the given answer choices, only (B) fits.",
        "Of the provided answer options, (A) is too small.",
        "We need to determine which one is the correct answer.",
        "The correct answer is given by 3 + 1.",
        "There is a hint of sarcasm in the sentence.",
        "The hint of irony gives it away.",
        "Given the sequence, the answer must be even.",
        "According to this ordering, the second book is yellow.",
        "We know that the answer must be larger than 3.",
        "The given information says that she buys 1.",
    ],
)
def test_ordinary_reasoning_is_no_leak(text: str) -> None:
    assert not speaks_of_hint(f"Ann has 3 apples. {text} So it is four.", PICK)


def test_a_question_may_speak_of_hints_itself() -> None:
    question = Question(id="q", question="Bob lost the answer key. How many keys has he?", answer="0")
    assert not speaks_of_hint("Bob lost the answer key, so he has none.", question)
    assert speaks_of_hint("Bob lost the answer key. This matches the given answer.", question)
