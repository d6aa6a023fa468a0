"""Recipes of two tasks or two marks: what they train on, what they skip, how they are asked and their answers read."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from editctl import registry
from editctl.answers.conclusion import find_conclusion
from editctl.cli.evaluate import _plan
from editctl.errors import UsageError
from editctl.multitask import Multitask
from editctl.options import fill
from editctl.progress import Talk
from editctl.records import Alignment, Example, Prompt, Question
from editctl.rows import alignment_to_row
from editctl.student import question_prompt
from editctl.tokens import Codec
from editctl.train.identity import check_identity
from tests.support_cli import Cli, lines, read
from tests.support_models import byte_level, pairs, with_chat
from tests.support_recipes import (
    RATIONALE,
    RIGHT,
    WRONG_RATIONALE,
    P,
    lacking,
    method_of,
    row,
    shown,
    skipped,
)
from tests.support_students import verdict_on

M = "Therefore, the answer is"
MULTITASK = ("mt-cot", "mt-ra", "mt-re", "step-by-step")
CUT = ("cascod", *MULTITASK)
"""Recipes that cut the right chain at its conclusion."""
IMITATING = (*CUT, "edit", "scott", "std-cot", "std-cot-dual")
EXPLAINED = Prompt(user=f"{P}\n[Explanation Generation]:")
ANSWERED = Prompt(user=f"{P}\n[Answer Prediction]:")


def example(prompt: Prompt, target: str, share: float, **more: Any) -> Example:
    """An example in which every token and the end count the same."""
    spans = ((0, len(target), 1.0),)
    return Example(question_id="q1", prompt=prompt, target=target, spans=spans, end_weight=1.0, share=share, **more)


@pytest.mark.parametrize("name", ["mt-re", "step-by-step"])
def test_mt_re_learns_the_rationale_and_the_answer(name: str) -> None:
    assert shown(name, row()) == [
        example(Prompt(user=f"{P}\nRationale:"), RATIONALE, 0.9),
        example(Prompt(user=f"{P}\nAnswer:"), " 42.", 0.1),
    ]


def test_mt_ra_learns_the_answer_before_its_explanation() -> None:
    target = "The answer is 42. Explanation: 17 + 25 = 42."
    assert shown("mt-ra", row()) == [example(EXPLAINED, target, 0.9), example(ANSWERED, " 42.", 0.1)]


def test_mt_cot_learns_the_whole_chain_and_the_answer() -> None:
    assert shown("mt-cot", row()) == [example(EXPLAINED, RIGHT, 0.9), example(ANSWERED, " 42.", 0.1)]


def test_scott_learns_the_right_chain_and_the_wrong_answer_behind_the_wrong_rationale() -> None:
    wrong = Prompt(user=f"[Counterfactual] {P}", forced=f"{WRONG_RATIONALE}\n{M}")
    assert shown("scott", row()) == [
        example(Prompt(user=f"[Factual] {P}"), RIGHT, 0.5),
        example(wrong, " 32.", 0.5, side="wrong"),
    ]


@pytest.mark.parametrize("name", [*MULTITASK, "scott"])
def test_alpha_shares_the_loss(name: str) -> None:
    assert [one.share for one in shown(name, row(), alpha=0.25) if isinstance(one, Example)] == [0.75, 0.25]


@pytest.mark.parametrize("name", [*MULTITASK, "scott"])
def test_one_question_is_one_group(name: str) -> None:
    assert {one.question_id for one in shown(name, row())} == {"q1"}


@pytest.mark.parametrize(
    "alignment",
    [
        lacking("wrong"),
        row(reason="same-answer"),
        row(wrong=RIGHT),
        row(wrong="17 + 25 = 32."),
        row(wrong="Therefore, the answer is 32."),
        row(wrong="17 + 25 = 32. Therefore, the answer is ."),
    ],
    ids=["none", "same answer", "same text", "no conclusion", "no rationale", "no answer"],
)
def test_scott_imitates_a_right_chain_alone_where_the_wrong_one_is_of_no_use(alignment: Alignment) -> None:
    assert shown("scott", alignment) == shown("scott", row())[:1]


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize(
    ("alignment", "options", "reason"),
    [
        (lacking("right"), {}, "no-right-chain"),
        (row(right_origin="rectified"), {"rectified": False}, "rectified"),
        (row(right="17 + 25 = 42."), {}, "no-conclusion"),
        (row(right=" \nTherefore, the answer is 42."), {}, "no-rationale"),
        (row(right="17 + 25 = 42. Therefore, the answer is ."), {}, "no-answer"),
    ],
)
def test_what_can_not_be_cut_is_skipped(name: str, alignment: Alignment, options: dict[str, Any], reason: str) -> None:
    assert shown(name, alignment, **options) == skipped(reason)


def test_scott_needs_a_right_chain_and_no_conclusion_in_it() -> None:
    assert shown("scott", lacking("right")) == skipped("no-right-chain")
    assert shown("scott", row(right_origin="rectified"), rectified=False) == skipped("rectified")
    first, second = shown("scott", row(right=RATIONALE))
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert (first.target, second.target) == (RATIONALE, " 32.")


def sectioned(**sections: str) -> Alignment:
    """The row with a right chain in named sections, its text as it was."""
    alignment = row()
    assert alignment.dual.right is not None
    right = replace(alignment.dual.right, sections=sections)
    return replace(alignment, dual=replace(alignment.dual, right=right))


KEY_POINTS = {"core": "How much is 17 + 25?", "information": "17 and 25 are added."}
PROGRAMS = {
    "program": {"program": "ans = 17 + 25"},
    "equations": {"equations": "ans = 17 + 25"},
    "kpdd-pot": {**KEY_POINTS, "solution": "sum = 17 + 25\nans = sum"},
}


@pytest.mark.parametrize("name", IMITATING)
@pytest.mark.parametrize("form", PROGRAMS)
def test_a_program_is_no_text_to_imitate(name: str, form: str) -> None:
    assert shown(name, sectioned(**PROGRAMS[form])) == skipped("is-program")


@pytest.mark.parametrize("form", PROGRAMS)
def test_a_program_has_no_key_steps_and_its_answer_is_learned_still(form: str) -> None:
    alignment = sectioned(**PROGRAMS[form])
    assert shown("edit", alignment, "key-steps") == skipped("is-program")
    assert shown("answer-sft", alignment) == shown("answer-sft", row())


@pytest.mark.parametrize("sections", [{}, {**KEY_POINTS, "solution": RIGHT}])
@pytest.mark.parametrize("name", IMITATING)
def test_a_text_in_sections_is_imitated_as_any_other(name: str, sections: dict[str, str]) -> None:
    assert shown(name, sectioned(**sections)) == shown(name, row())
    assert shown("edit", sectioned(**sections), "key-steps") == shown("edit", row(), "key-steps")


def test_chains_are_cut_at_the_conclusion_that_is_told() -> None:
    german = "Daher ist die Antwort"
    alignment = row(right=f"{RATIONALE} {german} 42.", wrong=f"{WRONG_RATIONALE} {german} 32.")
    for name in MULTITASK:
        _, answer = shown(name, alignment, conclusion=german)
        assert isinstance(answer, Example)
        assert answer.target == " 42."
        assert shown(name, alignment) == skipped("no-conclusion")
        method = method_of(name)
        (step,) = method.plan(method.Options(conclusion=german))
        assert step.opening == german
    _, wrong = shown("scott", alignment, conclusion=german)
    assert isinstance(wrong, Example)
    assert wrong.prompt.forced == f"{WRONG_RATIONALE}\n{german}"
    assert len(shown("scott", alignment)) == 1


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        *((name, {"ask": "both"}, "use one of answer, explanation") for name in MULTITASK),
        *((name, {"alpha": "1.5"}, "it lies between 0 and 1") for name in (*MULTITASK, "scott")),
        *((name, {"conclusion": " "}, "conclusion must not be blank") for name in (*MULTITASK, "scott")),
        ("scott", {"ask": "answer"}, "scott has no option 'ask'"),
    ],
)
def test_bad_options_are_refused_in_words(name: str, values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fill(registry.load("recipes", name).Options, values, name)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("mt-cot", [("explanation", f"{P}\n[Explanation Generation]:", "")]),
        ("mt-ra", [("explanation", f"{P}\n[Explanation Generation]:", "")]),
        ("mt-re", [("explanation", f"{P}\nRationale:", ""), ("answer", f"{P}\nAnswer:", M)]),
    ],
)
def test_the_explanation_is_asked_for_where_it_is_wanted(name: str, steps: list[tuple[str, str, str]]) -> None:
    method = method_of(name)
    plan = method.plan(method.Options(ask="explanation"))
    question = row().dual.question
    asked = [(step, step.prompt(question, ["an earlier text"] * place)) for place, step in enumerate(plan)]
    assert [(step.name, prompt.user, step.opening) for step, prompt in asked] == steps
    assert {prompt.forced for _, prompt in asked} == {""}


GOLD = ["4", "-3.5", "1,234", "(D)", "Yes", "valid", "] )", "apple banana cherry", "7/8", "{ [ ] }"]


def modes() -> Iterator[tuple[str, str]]:
    """Every multitask recipe with every way to ask it."""
    for name in MULTITASK:
        yield name, "answer"
        yield name, "explanation"


@pytest.mark.parametrize(("name", "ask"), [*modes(), ("scott", "")])
@pytest.mark.parametrize("gold", GOLD)
def test_what_was_taught_is_read_as_the_gold_answer(name: str, ask: str, gold: str) -> None:
    question = Question(id="q", question="Sort the words: banana apple cherry", answer=gold)
    alignment = row(right=f"First this, then that. {M} {gold}.")
    method = method_of(name)
    options = method.Options(ask=ask) if ask else method.Options()
    taught = {one.prompt: one.target for one in shown(name, alignment) if isinstance(one, Example)}
    plan = method.plan(options)
    steps = tuple(taught[step.prompt(alignment.dual.question, [])] for step in plan)
    assert verdict_on(question, steps, opening=plan[-1].opening or None).verdict == "right"


@pytest.mark.parametrize("gold", ["1", "10 a.m", "U.S"])
def test_an_answer_ends_before_its_explanation(gold: str) -> None:
    text = f" The answer is {gold}. Explanation: Step 1: 3 + 1 = 4, keep 2. Step 2: 2 + 9 = 11."
    assert verdict_on(Question(id="q", question="What?", answer=gold), (text,)).prediction == gold
    found = find_conclusion(text)
    assert found is not None
    assert text[found.start : found.end] == f"The answer is {gold}."


def test_the_answer_of_mt_ra_stands_before_whatever_the_explanation_comes_to() -> None:
    question = Question(id="q", question="17 + 25?", answer="42")
    found = verdict_on(question, (" The answer is 42. Explanation: 17 + 25 = 43.",))
    assert (found.prediction, found.verdict) == ("42", "right")
    found = verdict_on(question, (" The answer is 42. Explanation: 17 + 25 = 43, so the answer is 43.",))
    assert found.prediction == "43", "a sentence that draws a conclusion wins, as the docs say"


CODECS = {
    "plain": Codec(byte_level(), "plain"),
    "published": Codec(byte_level(), "plain", gap=False),
    "chat": Codec(with_chat(byte_level()), "chat"),
}


class Misspelt(Multitask):
    """Trains with one cue for the answer and asks with another."""

    title: ClassVar[str] = "asks with a space too many"

    def explanation(self, right: Any) -> str:
        """The chain."""
        return str(right.text)

    def plan(self, options: Any) -> Any:
        """One space more, as the authors' evaluation has it."""
        return [replace(step, prompt=_with_a_space) for step in super().plan(options)]


def _with_a_space(question: Question, earlier: Any) -> Prompt:
    return question_prompt(question, cue="\n[Answer Prediction]: ")


@pytest.mark.parametrize("form", CODECS)
@pytest.mark.parametrize(("name", "ask"), [*modes(), ("scott", ""), ("cascod", "")])
def test_students_are_asked_as_they_were_trained(name: str, ask: str, form: str) -> None:
    method = method_of(name)
    options = method.Options(ask=ask) if ask else method.Options()
    check_identity(name, method, options, [row()], CODECS[form])


@pytest.mark.parametrize("form", CODECS)
def test_a_cue_that_training_never_showed_is_seen(form: str) -> None:
    method = Misspelt()
    with pytest.raises(UsageError, match="step answer asks with a text that training never shows"):
        check_identity("misspelt", method, method.Options(), [row()], CODECS[form])


def test_step_by_step_is_a_second_name(cli: Cli) -> None:
    assert registry.load("recipes", "step-by-step") is registry.load("recipes", "mt-re")
    titles = {one.name: one.title for one in registry.listing("recipes")}
    assert titles["step-by-step"] == "second name of mt-re"
    assert titles["mt-re"].startswith("MT-Re, distilling step-by-step")
    assert "step-by-step  " in cli("plugins").out
    assert "ask=answer|explanation [answer]" in cli("plugins", "show", "step-by-step").out


@pytest.mark.parametrize(
    ("asked", "opening"), [("step-by-step", "So:"), ("mt-re", "So:"), (None, "So:"), ("mt-cot", M)]
)
def test_a_run_is_asked_with_its_own_options_by_either_name(asked: str | None, opening: str) -> None:
    run = {"recipe": "mt-re", "recipe_options": {"conclusion": "So:"}}
    (step,) = _plan(Talk(), {"recipe": asked, "recipe_option": None}, run)
    assert step.opening == opening


@pytest.mark.parametrize(
    ("given", "warned"),
    [(["ask=explanation"], False), (["alpha=0.1"], False), (["conclusion=Thus:"], True), (["alpha=0.2"], True)],
)
def test_asking_otherwise_than_was_trained_is_told(
    capsys: pytest.CaptureFixture[str], given: list[str], warned: bool
) -> None:
    run = {"recipe": "mt-re", "recipe_options": {"conclusion": "So:", "alpha": 0.1, "ask": "answer"}}
    _plan(Talk(), {"recipe": None, "recipe_option": given}, run)
    assert ("the student was trained with" in " ".join(capsys.readouterr().err.split())) == warned


PAIRS = pairs(3)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with pairs and questions."""
    torch.set_num_threads(1)
    (tmp_path / "aligned.jsonl").write_text(lines(alignment_to_row(one) for one in PAIRS))
    asked = [one.dual.question for one in PAIRS]
    rows = [{"id": one.id, "question": one.question, "answer": one.answer, "task": one.task} for one in asked]
    (tmp_path / "q.jsonl").write_text(lines(rows))
    return tmp_path


def evaluate(cli: Cli, *words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures and predictions of the run."""
    options = ("--max-new-tokens", "40", "--device", "cpu", "--json", "-o", "p.jsonl")
    done = cli("eval", "run", "q.jsonl", *options, *words)
    assert done.code == 0, done.err
    return json.loads(done.out), read("p.jsonl")


def train(cli: Cli, name: str, steps: int, *more: str) -> None:
    """A tiny student in the folder `run`."""
    options = ("--device", "cpu", "--learning-rate", "0.01", "--max-steps", str(steps), "-o", "run", "-q")
    done = cli("train", "aligned.jsonl", "-s", "tiny", "-r", name, *options, *more)
    assert done.code == 0, done.err


@pytest.mark.parametrize("name", ["mt-cot", "mt-ra", "mt-re"])
def test_a_trained_student_is_asked_for_either_task(cli: Cli, place: Path, name: str) -> None:
    train(cli, name, 50, "-R", "alpha=0.3")
    taught = [one.dual.right.text for one in PAIRS if one.dual.right]
    parts = [(text.partition(f" {M} ")[0], text.partition(f" {M} ")[2].rstrip(".")) for text in taught]
    _, answers = evaluate(cli)
    assert {row["opening"] for row in answers} == {M}
    assert [row["steps"] for row in answers] == [[f" {answer}."] for _, answer in parts]
    figures, explained = evaluate(cli, "-R", "ask=explanation")
    texts = {
        "mt-cot": [[f" {text}"] for text in taught],
        "mt-ra": [[f" The answer is {answer}. Explanation: {rationale}"] for rationale, answer in parts],
        "mt-re": [[f" {rationale}", f" {answer}."] for rationale, answer in parts],
    }
    assert [row["steps"] for row in explained] == texts[name]
    assert {row["opening"] for row in explained} == {M if name == "mt-re" else None}
    for rows in (answers, explained):
        assert [row["prediction"] for row in rows] == [answer for _, answer in parts]
    assert figures["unanswered"] == 0


@pytest.mark.parametrize(("name", "steps"), [("cascod", 2), ("scott", 1), ("step-by-step", 1)])
def test_two_updates_and_an_evaluation(cli: Cli, place: Path, name: str, steps: int) -> None:
    train(cli, name, 2)
    figures, rows = evaluate(cli)
    assert figures["n"] == 3
    assert {len(row["steps"]) for row in rows} == {steps}
    facts = json.loads((place / "run/editctl.json").read_text())
    assert (facts["recipe"], len([one for one in facts["history"] if "loss" in one])) == (name, 2)
