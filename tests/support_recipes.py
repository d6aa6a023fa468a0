"""One row that every recipe is shown, and all recipes by name."""

from dataclasses import replace
from typing import Any

from editctl import registry
from editctl.formats import format_of
from editctl.records import Alignment, Chain, Example, Prompt, Question, Skip
from tests.support_models import pair

RATIONALE = "17 + 25 = 42."
RIGHT = f"{RATIONALE} Therefore, the answer is 42."
WRONG_RATIONALE = "17 + 25 = 32."
WRONG = f"{WRONG_RATIONALE} Therefore, the answer is 32."
P = "Task Description:\nAdd.\nQ:17 + 25?\n\nA:"
ASKED = Prompt(user=P)
NAMES = (
    "answer-sft",
    "cascod",
    "edit",
    "mt-cot",
    "mt-ra",
    "mt-re",
    "scott",
    "std-cot",
    "std-cot-dual",
    "step-by-step",
)
FORMAT_NAMES = ("eot", "kpdd-cot", "kpdd-pot", "pot")
"""Recipes over chains with named sections, each of the format of its own name."""
SECTIONS: dict[str, dict[str, str]] = {
    "pot": {"program": "total = 17 + 25\nans = total"},
    "eot": {"equations": "% 25 more than 17\nx = 17\nans = x + 25"},
    "kpdd-cot": {"core": "What is the sum?", "information": "17 is there,\n25 are added.", "solution": RIGHT},
    "kpdd-pot": {
        "core": "What is the sum?",
        "information": "17 is there,\n25 are added.",
        "solution": "total = 17\nif total:\n    total += 25\nans = total",
    },
}
"""What `formed` holds in each format."""
IMITATION = Example(
    question_id="q1", prompt=ASKED, target=RIGHT, spans=((0, len(RIGHT), 1.0),), end_weight=1.0, share=1.0, side="right"
)


def row(*, right: str = RIGHT, wrong: str = WRONG, answer: str | None = "42", **more: Any) -> Alignment:
    """A sum with a right and a wrong chain, and a task description."""
    alignment = pair(right=right, wrong=wrong, **more)
    question = Question(id="q1", question="17 + 25?", answer=answer, description="Add.")
    return replace(alignment, dual=replace(alignment.dual, question=question))


def lacking(side: str, **more: Any) -> Alignment:
    """The same row without a side."""
    whole = row(**more)
    absent: dict[str, Any] = {side: None}
    return replace(whole, dual=replace(whole.dual, **absent), edits=None)


def formed(name: str, **more: Any) -> Alignment:
    """The sum with a right chain in a format and no wrong one."""
    sections = SECTIONS[name]
    text = format_of(name).render(sections)
    chain = Chain(**{"text": text, "answer": "42", "origin": "sampled", "sections": sections, **more})
    whole = row()
    return replace(whole, dual=replace(whole.dual, right=chain, wrong=None), edits=None)


def method_of(name: str) -> Any:
    """A recipe."""
    return registry.load("recipes", name)()


def shown(name: str, alignment: Alignment, stage: str = "imitate", **options: Any) -> list[Example | Skip]:
    """What a stage of a recipe makes of a row."""
    method = method_of(name)
    return list(method.examples(stage, alignment, method.Options(**options)))


def skipped(reason: str, question_id: str = "q1") -> list[Skip]:
    """What a recipe yields for a row it can't use."""
    return [Skip(question_id=question_id, reason=reason)]
