"""What a student really reads and writes, token for token: in training and when it is asked."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.records import Alignment, Example
from editctl.tokens import Codec
from tests.support_models import CORPUS, byte_level, sentence_pieces, with_chat
from tests.support_recipes import RATIONALE, RIGHT, WRONG, WRONG_RATIONALE, P, method_of, row, shown

M = "Therefore, the answer is"
TURN = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
MARKED = f"[Counterfactual Reasoning] {P}"
RATIONALE_AND_ANSWER = [(f"{P}\nRationale:", "", RATIONALE), (f"{P}\nAnswer:", "", " 42.")]
TEXTS: dict[str, list[tuple[str, str, str]]] = {
    "answer-sft": [(P, "", "42")],
    "cascod": [(f"{P}Rationale:", "", RATIONALE), (f"{P}Rationale:", f"{RATIONALE}\n{M}", " 42.")],
    "edit": [(P, "", RIGHT)],
    "mt-cot": [(f"{P}\n[Explanation Generation]:", "", RIGHT), (f"{P}\n[Answer Prediction]:", "", " 42.")],
    "mt-ra": [
        (f"{P}\n[Explanation Generation]:", "", f"The answer is 42. Explanation: {RATIONALE}"),
        (f"{P}\n[Answer Prediction]:", "", " 42."),
    ],
    "mt-re": RATIONALE_AND_ANSWER,
    "scott": [
        (f"[Factual] {P}", "", RIGHT),
        (f"[Counterfactual] {P}", f"{WRONG_RATIONALE}\n{M}", " 32."),
    ],
    "std-cot": [(P, "", RIGHT)],
    "std-cot-dual": [(P, "", RIGHT), (MARKED, "", WRONG)],
    "step-by-step": RATIONALE_AND_ANSWER,
}
"""The user's part, what is forced after it, and the target."""
MARKS = (
    "Rationale:",
    "Answer:",
    "[Counterfactual Reasoning]",
    "[Factual]",
    "[Explanation Generation]",
    "[Answer Prediction]:",
)
LAYOUTS = ("gap", "published", "chat")
TOKENIZERS = {
    "bytes": byte_level(),
    "bytes with start": byte_level(bos=True),
    "pieces": sentence_pieces([*CORPUS, P, *MARKS, RIGHT, WRONG]),
}


def codec(layout: str, tokenizer: Any = None) -> Codec:
    """A tokenizer that writes prompts in one of the layouts."""
    if layout == "chat":
        return Codec(with_chat(byte_level()), "chat")
    return Codec(tokenizer or TOKENIZERS["bytes"], "plain", gap=layout == "gap")


CODECS = {
    "chat": codec("chat"),
    **{f"{name}, {layout}": codec(layout, made) for name, made in TOKENIZERS.items() for layout in LAYOUTS[:2]},
}


def laid_out(layout: str, user: str, forced: str, target: str) -> tuple[str, str]:
    """What is read and what is written, by hand."""
    if layout == "chat":
        return TURN.format(user) + forced, target
    gap = " " if layout == "gap" else ""
    read = user + (gap + forced if forced else "")
    return read, target if target.startswith(" ") else gap + target


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", TEXTS)
def test_what_is_read_and_written_in_training(name: str, layout: str) -> None:
    made = codec(layout)
    found = []
    for one in shown(name, row()):
        assert isinstance(one, Example)
        encoded = made.encode(one.prompt, one.target)
        found.append((made.tokenizer.decode(encoded.prompt), made.tokenizer.decode(encoded.target)))
        assert made.text(one.prompt) == found[-1][0]
    assert found == [laid_out(layout, *texts) for texts in TEXTS[name]]


def test_the_published_strings_of_cascod_letter_for_letter() -> None:
    made = codec("published")
    first, second = (one for one in shown("cascod", row()) if isinstance(one, Example))
    assert made.text(first.prompt) == "Task Description:\nAdd.\nQ:17 + 25?\n\nA:Rationale:"
    assert made.text(second.prompt) + second.target == (
        "Task Description:\nAdd.\nQ:17 + 25?\n\nA:Rationale:17 + 25 = 42.\nTherefore, the answer is 42."
    )


Ids = tuple[int, ...]


def asked(name: str, alignment: Alignment, made: Codec, **options: Any) -> list[tuple[Ids, list[Ids]]]:
    """The prompt of each decode step, and those of training, for a student that writes what it was shown."""
    method = method_of(name)
    chosen = method.Options(**options)
    first_stage = method.stages(chosen)[0].name
    own = [one for one in shown(name, alignment, first_stage, **options) if isinstance(one, Example)]
    encoded = [made.encode(one.prompt, one.target) for one in own if one.side == "right"]
    earlier: list[str] = []
    prompts = []
    for step in method.plan(chosen):
        asking = made.prompt(step.prompt(alignment.dual.question, earlier))
        prompts.append((asking, [one.prompt for one in encoded]))
        written = next((one.target for one in encoded if one.prompt == asking), ())
        earlier.append(made.tokenizer.decode(written, skip_special_tokens=True))
    return prompts


PLANS: list[tuple[str, dict[str, Any], list[int]]] = [
    *((name, {}, [0]) for name in ("answer-sft", "edit", "scott", "std-cot", "std-cot-dual")),
    ("cascod", {}, [0, 1]),
    *((name, {}, [1]) for name in ("mt-cot", "mt-ra", "mt-re", "step-by-step")),
    *((name, {"ask": "explanation"}, [0]) for name in ("mt-cot", "mt-ra")),
    *((name, {"ask": "explanation"}, [0, 1]) for name in ("mt-re", "step-by-step")),
]
"""Recipe, options, and which of its examples each decode step asks as."""


def test_every_plan_is_looked_at() -> None:
    assert {name for name, _, _ in PLANS} == set(TEXTS)


@pytest.mark.parametrize("form", sorted(CODECS))
@pytest.mark.parametrize(("name", "options", "places"), PLANS)
def test_asking_shows_what_training_showed(name: str, options: dict[str, Any], places: list[int], form: str) -> None:
    prompts = asked(name, row(), CODECS[form], **options)
    assert [asking for asking, _ in prompts] == [
        training[place] for (_, training), place in zip(prompts, places, strict=True)
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t ")), st.sampled_from(LAYOUTS))
def test_a_rationale_comes_back_as_it_was_trained(rationale: str, layout: str) -> None:
    alignment = row(right=f"{rationale}\nTherefore, the answer is 42.")
    if all(isinstance(one, Example) for one in shown("cascod", alignment)):
        made = CODECS["chat" if layout == "chat" else f"bytes, {layout}"]
        prompts = asked("cascod", alignment, made)
        assert [asking for asking, _ in prompts] == prompts[0][1]


def test_key_steps_are_trained_with_the_prompt_that_is_asked() -> None:
    method = method_of("edit")
    (step,) = method.plan(method.Options())
    prompts = [one.prompt for one in shown("edit", row(), "key-steps") if isinstance(one, Example)]
    assert prompts == [step.prompt(row().dual.question, [])] * 2


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("answer-sft", [("answer", M)]),
        ("cascod", [("rationale", ""), ("answer", M)]),
        ("edit", [("chain", "")]),
        ("mt-cot", [("answer", M)]),
        ("mt-ra", [("answer", M)]),
        ("mt-re", [("answer", M)]),
        ("scott", [("chain", "")]),
        ("std-cot", [("chain", "")]),
        ("std-cot-dual", [("chain", "")]),
        ("step-by-step", [("answer", M)]),
    ],
)
def test_decode_plans(name: str, steps: list[tuple[str, str]]) -> None:
    method = method_of(name)
    plan = method.plan(method.Options())
    assert [(step.name, step.opening) for step in plan] == steps
    assert {step.slot for step in plan} == {"student"}


@pytest.mark.parametrize("written", [RATIONALE, f" {RATIONALE}", f" {RATIONALE} \n", f"\n{RATIONALE}"])
def test_cascod_forces_the_students_own_rationale_without_white_space_around(written: str) -> None:
    method = method_of("cascod")
    first, second = method.plan(method.Options())
    question = row().dual.question
    assert first.prompt(question, []).forced == ""
    assert second.prompt(question, [written]).forced == f"{RATIONALE}\n{M}"
