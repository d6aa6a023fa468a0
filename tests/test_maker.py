"""One question's way from explain to pair, right only or reject, with a teacher that plays a script."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.errors import UsageError
from editctl.generate.settings import Settings
from editctl.interfaces import CallFailed, Completion
from editctl.records import DualChain, Question, Reject
from tests.support_generate import RIGHT, SUM, WRONG, Said, Scripted, outcome_of

CUT = Completion(text="Two and two make", finish_reason="length")
FILTERED = Completion(text="", finish_reason="content_filter")
LONG = "Two and two. " * 40 + "Therefore, the answer is 4."
LEAK = "The expected answer is 4, so two and two make four. Therefore, the answer is 4."


def make(teacher: Scripted, question: Question = SUM, number: int = 0, **settings: Any) -> DualChain | Reject:
    return outcome_of(teacher, question, number, **settings)


def pair(outcome: DualChain | Reject) -> DualChain:
    assert isinstance(outcome, DualChain)
    return outcome


def reject(outcome: DualChain | Reject) -> Reject:
    assert isinstance(outcome, Reject)
    return outcome


# explain


@pytest.mark.parametrize(
    ("said", "reason", "attempts"),
    [
        ("", "empty", 3),
        (" \n ", "empty", 3),
        ("<think>Two and two, hm", "empty", 3),
        ("I'm sorry, but I can't help with that.", "refusal", 3),
        (FILTERED, "refusal", 3),
        (LONG, "over-long", 3),
        ("Two and two make four.", "unread", 3),
        ("Who knows. Therefore, the answer is unclear.", "unread", 3),
        (CUT, "truncated", 1),
        (Completion(text=RIGHT, finish_reason="length"), "truncated", 1),
    ],
)
def test_an_unusable_explanation_rejects_with_its_reason(said: Said, reason: str, attempts: int) -> None:
    teacher = Scripted(explain=[said] * 5)
    outcome = reject(make(teacher, max_characters=200))
    raw = said.text if isinstance(said, Completion) else said
    assert (outcome.step, outcome.reason, outcome.attempts, outcome.completion) == ("explain", reason, attempts, raw)
    assert len(teacher.requests) == attempts
    assert outcome.question is SUM


def test_the_longest_chain_allowed_is_measured_without_what_is_cut_off() -> None:
    teacher = Scripted(explain=RIGHT + "\n\nQ: Another one?\n" + "More. " * 100, corrupt=WRONG)
    assert pair(make(teacher, max_characters=200)).wrong is not None


def test_tries_get_hotter_up_to_one() -> None:
    teacher = Scripted(explain=["hm"] * 7)
    outcome = reject(make(teacher, attempts=7))
    assert [request.temperature for request in teacher.requests] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0]
    assert [request.attempt for request in teacher.requests] == [1, 2, 3, 4, 5, 6, 7]
    assert outcome.attempts == 7


def test_a_later_try_is_taken_and_each_step_counts_its_own_tries() -> None:
    teacher = Scripted(explain=["hm", "", RIGHT], corrupt=["hm", WRONG])
    outcome = pair(make(teacher))
    assert outcome.reason is None
    assert [(request.step, request.attempt, request.temperature) for request in teacher.requests] == [
        ("explain", 1, 0.2),
        ("explain", 2, 0.4),
        ("explain", 3, 0.6),
        ("corrupt", 1, 0.2),
        ("corrupt", 2, 0.4),
    ]


def test_a_wrong_explanation_is_not_asked_for_again() -> None:
    teacher = Scripted(explain=[WRONG, RIGHT], rectify=RIGHT)
    assert pair(make(teacher)).wrong is not None
    assert [request.step for request in teacher.requests] == ["explain", "rectify"]


# corrupt


def test_a_right_explanation_is_corrupted_with_the_pattern_dealt() -> None:
    teacher = Scripted(explain=RIGHT, corrupt=WRONG)
    outcome = pair(make(teacher, number=1, mistakes=("logical", "calculation")))
    assert outcome.right is not None
    assert outcome.wrong is not None
    assert (outcome.right.text, outcome.right.answer, outcome.right.origin) == (RIGHT, "4", "sampled")
    assert (outcome.right.mistake, outcome.right.template) == (None, "explain")
    assert (outcome.wrong.text, outcome.wrong.answer, outcome.wrong.origin) == (WRONG, "5", "corrupted")
    assert (outcome.wrong.mistake, outcome.wrong.template) == ("calculation", "mistakes/calculation")
    assert (outcome.teacher, outcome.reason) == ("scripted", None)


@pytest.mark.parametrize(
    ("said", "reason", "attempts"),
    [
        (RIGHT, "same-text", 3),
        ("Two and two make four, so the answer is 4.", "same-answer", 3),
        ("Right solution: " + RIGHT + "\nWrong solution: " + RIGHT, "same-text", 3),
        ("Two and two make some.", "unread", 3),
        ("", "empty", 3),
        ("I cannot help with that.", "refusal", 3),
        (LONG, "over-long", 3),
        (CUT, "truncated", 1),
    ],
)
def test_a_failed_corruption_leaves_the_question_right_only(said: Said, reason: str, attempts: int) -> None:
    teacher = Scripted(explain=RIGHT, corrupt=[said] * 5)
    outcome = pair(make(teacher, max_characters=200))
    assert outcome.right is not None
    assert (outcome.wrong, outcome.reason) == (None, reason)
    assert [request.step for request in teacher.requests] == ["explain"] + ["corrupt"] * attempts


def test_a_corruption_is_asked_with_the_cleaned_chain() -> None:
    teacher = Scripted(explain="A: Two and two make four. So the answer is 4. Good?", corrupt=WRONG)
    make(teacher, seed=11, max_tokens=77)
    request = teacher.requests[1]
    assert request.chain == "Two and two make four. Therefore, the answer is 4."
    assert request.chain in request.messages[-1]["content"]
    assert (request.step, request.mistake, request.template) == ("corrupt", "any", "mistakes/any")
    assert (request.attempt, request.temperature, request.seed, request.max_tokens) == (1, 0.2, 11, 77)
    assert (request.sample, request.question) == (0, SUM)


# rectify


def test_a_wrong_explanation_is_rectified_and_kept_as_the_wrong_side() -> None:
    teacher = Scripted(explain=WRONG, rectify=RIGHT)
    outcome = pair(make(teacher))
    assert outcome.right is not None
    assert outcome.wrong is not None
    assert (outcome.right.origin, outcome.right.template, outcome.right.answer) == ("rectified", "rectify", "4")
    assert (outcome.wrong.origin, outcome.wrong.template, outcome.wrong.answer) == ("sampled", "explain", "5")
    assert (outcome.wrong.mistake, outcome.reason) == (None, None)
    request = teacher.requests[1]
    assert (request.step, request.mistake, request.chain, request.template) == ("rectify", None, None, "rectify")
    assert "The final answer is 4." in request.messages[-1]["content"]


@pytest.mark.parametrize(
    ("said", "reason", "attempts"),
    [
        (WRONG, "other-answer", 3),
        (LEAK, "hint-leak", 3),
        ("Two and two make some.", "unread", 3),
        ("", "empty", 3),
        (CUT, "truncated", 1),
    ],
)
def test_a_failed_rectification_rejects(said: Said, reason: str, attempts: int) -> None:
    outcome = reject(make(Scripted(explain=WRONG, rectify=[said] * 5)))
    raw = said.text if isinstance(said, Completion) else said
    assert (outcome.step, outcome.reason, outcome.attempts, outcome.completion) == ("rectify", reason, attempts, raw)


def test_a_leak_behind_the_conclusion_is_cut_off_and_does_no_harm() -> None:
    teacher = Scripted(explain=WRONG, rectify=RIGHT + "\n\n(Note: the provided answer key says so.)")
    right = pair(make(teacher)).right
    assert right is not None
    assert right.text == RIGHT


# recordings and failed calls


@pytest.mark.parametrize(
    ("answers", "step", "reason", "attempts", "completion"),
    [
        ({}, "explain", "not-recorded", 1, None),
        ({"explain": ["hm"]}, "explain", "unread", 1, "hm"),
        ({"explain": ["hm", ""]}, "explain", "empty", 2, ""),
        ({"explain": WRONG}, "rectify", "not-recorded", 1, None),
        ({"explain": WRONG, "rectify": [WRONG, LEAK]}, "rectify", "hint-leak", 2, LEAK),
    ],
)
def test_without_a_right_chain_what_is_not_recorded_rejects(
    answers: dict[str, Any], step: str, reason: str, attempts: int, completion: str | None
) -> None:
    outcome = reject(make(Scripted(**answers), attempts=5))
    assert (outcome.step, outcome.reason, outcome.attempts) == (step, reason, attempts)
    assert outcome.completion == completion


@pytest.mark.parametrize(
    ("corrupt", "reason"), [([], "not-recorded"), ([RIGHT], "same-text"), ([RIGHT, "hm"], "unread")]
)
def test_with_a_right_chain_what_is_not_recorded_leaves_right_only(corrupt: list[Said], reason: str) -> None:
    outcome = pair(make(Scripted(explain=RIGHT, corrupt=corrupt), attempts=5))
    assert (outcome.wrong, outcome.reason) == (None, reason)


def test_recordings_of_one_step_are_attempts_in_order() -> None:
    outcome = pair(make(Scripted(explain=["hm", WRONG, RIGHT], rectify=[WRONG, RIGHT])))
    assert outcome.wrong is not None
    assert outcome.wrong.text == WRONG


def test_a_failed_call_ends_the_step() -> None:
    outcome = reject(make(Scripted(explain=["hm", CallFailed("provider-error", "status 500"), RIGHT])))
    assert (outcome.step, outcome.reason, outcome.attempts) == ("explain", "provider-error", 2)
    assert outcome.completion == "hm"


def test_a_failed_call_for_the_wrong_side_leaves_right_only() -> None:
    outcome = pair(make(Scripted(explain=RIGHT, corrupt=CallFailed("provider-error"))))
    assert (outcome.wrong, outcome.reason) == (None, "provider-error")


def test_a_provider_that_refuses_has_answered() -> None:
    teacher = Scripted(explain=CallFailed("refusal", "policy"))
    assert reject(make(teacher)).reason == "refusal"
    assert len(teacher.requests) == 1


def test_what_stops_the_run_passes_through() -> None:
    with pytest.raises(UsageError, match="no key"):
        make(Scripted(explain=UsageError("no key")))


def test_a_question_whose_gold_answer_says_nothing_is_not_paid_for() -> None:
    teacher = Scripted(explain=RIGHT)
    outcome = reject(make(teacher, Question(id="q", question="2 + 2?", answer="many", kind="number")))
    assert (outcome.step, outcome.reason, outcome.attempts, outcome.completion) == ("explain", "no-gold", 0, None)
    assert teacher.requests == []


# what lands in the chain


@pytest.mark.parametrize(
    ("said", "reasoning"),
    [
        (Completion(text=RIGHT, reasoning="hidden"), "hidden"),
        ("<think>\nhidden\n</think>\n\n" + RIGHT, "hidden"),
        ("<thinking>hidden</thinking>" + RIGHT, "hidden"),
        ("hidden, the answer is 7\n</think>\n" + RIGHT, "hidden, the answer is 7"),
        (Completion(text="<think>more</think>" + RIGHT, reasoning="hidden"), "hidden\n\nmore"),
        ("<think>\n\n</think>\n\n" + RIGHT, None),
        (RIGHT, None),
    ],
)
def test_hidden_reasoning_is_kept_apart(said: Said, reasoning: str | None) -> None:
    right = pair(make(Scripted(explain=said, corrupt=WRONG))).right
    assert right is not None
    assert (right.text, right.reasoning) == (RIGHT, reasoning)


@pytest.mark.parametrize(
    ("how", "hidden", "text", "chain", "kept"),
    [
        ("drop", "Hm, 4.", RIGHT, RIGHT, None),
        ("use", "Two, then two more.", RIGHT, f"Two, then two more.\n\n{RIGHT}", None),
        ("use", "Therefore, the answer is 4. Sure?", RIGHT, "Therefore, the answer is 4.", None),
        ("use", "Therefore, the answer is 5. No.", RIGHT, RIGHT, "Therefore, the answer is 5. No."),
        ("use", "Two and two. So the answer is 4.", "It is four", "Two and two. Therefore, the answer is 4.", None),
        ("use", None, RIGHT, RIGHT, None),
    ],
)
def test_hidden_reasoning_can_be_the_chain(
    how: Any, hidden: str | None, text: str, chain: str, kept: str | None
) -> None:
    said = Completion(text=text, reasoning=hidden)
    right = pair(make(Scripted(explain=said, corrupt=WRONG), reasoning=how)).right
    assert right is not None
    assert (right.text, right.answer, right.reasoning) == (chain, "4", kept)


def test_another_canonical_opening_is_asked_for_and_written() -> None:
    teacher = Scripted(explain="Zwei und zwei sind vier. So the answer is 4.", corrupt=WRONG)
    outcome = pair(make(teacher, conclusion="Daher ist die Antwort"))
    assert outcome.right is not None
    assert outcome.wrong is not None
    assert outcome.right.text == "Zwei und zwei sind vier. Daher ist die Antwort 4."
    assert outcome.wrong.text.endswith("Daher ist die Antwort 5.")
    assert all('"Daher ist die Antwort X."' in _whole(request) for request in teacher.requests)


def test_an_own_system_turn_replaces_the_templates() -> None:
    teacher = Scripted(explain=WRONG, rectify=RIGHT)
    make(teacher, system="Be brief.")
    for request in teacher.requests:
        assert [turn["role"] for turn in request.messages] == ["system", "user"]
        assert request.messages[0]["content"] == "Be brief."


def test_a_wrong_pattern_name_stops_the_run() -> None:
    with pytest.raises(UsageError, match="logical"):
        make(Scripted(explain=RIGHT), mistakes=("logica",))


@given(
    explain=st.lists(st.sampled_from([RIGHT, WRONG, "hm", "", LEAK]), max_size=4),
    corrupt=st.lists(st.sampled_from([RIGHT, WRONG, "hm"]), max_size=4),
    rectify=st.lists(st.sampled_from([RIGHT, WRONG, LEAK]), max_size=4),
    attempts=st.integers(1, 4),
)
def test_every_question_ends_in_exactly_one_outcome(
    explain: list[Said], corrupt: list[Said], rectify: list[Said], attempts: int
) -> None:
    outcome = make(Scripted(explain=explain, corrupt=corrupt, rectify=rectify), attempts=attempts)
    if isinstance(outcome, Reject):
        assert outcome.reason
        assert 1 <= outcome.attempts <= attempts
        return
    assert outcome.right is not None
    assert outcome.right.answer == "4"
    assert (outcome.wrong is None) == (outcome.reason is not None)
    if outcome.wrong is not None:
        assert outcome.wrong.answer != "4"
        assert {outcome.right.origin, outcome.wrong.origin} in ({"sampled", "corrupted"}, {"rectified", "sampled"})


def test_the_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert (settings.attempts, settings.mistakes, settings.conclusion) == (3, ("any",), "Therefore, the answer is")


def _whole(request: Any) -> str:
    return "\n".join(turn["content"] for turn in request.messages)
