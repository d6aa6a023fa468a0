"""What each recipe shows and weights: strings, spans, weights and shares exactly. `edit` has a file of its own."""

import dataclasses
import inspect
import math
from dataclasses import replace
from typing import Any

import pytest

from editctl import registry
from editctl.cli.train import train
from editctl.errors import UsageError
from editctl.imitation import PUBLISHED
from editctl.options import describe, fill
from editctl.recipe import Stage
from editctl.records import Alignment, Example, Prompt
from tests.support_models import pairs as sums
from tests.support_models import run, scratch
from tests.support_recipes import (
    ASKED,
    FORMAT_NAMES,
    IMITATION,
    NAMES,
    RATIONALE,
    RIGHT,
    WRONG,
    P,
    lacking,
    method_of,
    row,
    shown,
    skipped,
)

MULTITASK = ("mt-cot", "mt-ra", "mt-re", "step-by-step")
ONE_STAGE = ("answer-sft", "cascod", *MULTITASK, "scott", "std-cot", "std-cot-dual")
M = "Therefore, the answer is"


def example(prompt: Prompt, target: str, **more: Any) -> Example:
    """An example in which everything counts the same."""
    return Example(
        question_id="q1",
        prompt=prompt,
        target=target,
        spans=((0, len(target), 1.0),),
        end_weight=1.0,
        **{"share": 1.0, "side": "right", **more},
    )


def test_every_recipe_is_here() -> None:
    assert sorted(registry.BUILT_IN["recipes"]) == sorted([*NAMES, *FORMAT_NAMES])


def test_std_cot_imitates_the_whole_right_chain_and_its_end() -> None:
    assert shown("std-cot", row()) == [IMITATION]
    assert shown("std-cot", lacking("wrong")) == [IMITATION]


def test_std_cot_dual_imitates_the_wrong_chain_under_its_mark() -> None:
    marked = Prompt(user="[Counterfactual Reasoning] Task Description:\nAdd.\nQ:17 + 25?\n\nA:")
    assert shown("std-cot-dual", row()) == [IMITATION, example(marked, WRONG, side="wrong")]


@pytest.mark.parametrize("alignment", [lacking("wrong"), row(reason="same-answer"), row(wrong=RIGHT)])
def test_std_cot_dual_keeps_the_right_chain_of_what_is_no_pair(alignment: Alignment) -> None:
    assert shown("std-cot-dual", alignment) == [IMITATION]


@pytest.mark.parametrize(
    ("alignment", "answer"),
    [
        (row(), "42"),
        (row(answer=" (D)\n"), "(D)"),
        (row(answer=None), "4"),
        (row(answer=" "), "4"),
        (lacking("right"), "42"),
    ],
    ids=["gold", "stripped", "of the chain", "of the chain, where gold is blank", "without a chain"],
)
def test_answer_sft_learns_the_bare_answer(alignment: Alignment, answer: str) -> None:
    assert shown("answer-sft", alignment) == [example(ASKED, answer)]


def test_cascod_learns_rationale_and_answer_as_two_steps() -> None:
    assert shown("cascod", row()) == [
        example(Prompt(user=f"{P}Rationale:"), RATIONALE, share=0.9),
        example(Prompt(user=f"{P}Rationale:", forced=f"{RATIONALE}\n{M}"), " 42.", share=0.1),
    ]


def test_cascod_shares_the_loss_as_asked() -> None:
    shares = [one.share for one in shown("cascod", row(), alpha=0.25) if isinstance(one, Example)]
    assert shares == [0.75, 0.25]


@pytest.mark.parametrize(
    ("text", "rationale", "answer"),
    [
        ("\n 17 + 25 = 42. \n\nTherefore, the answer is (D).", RATIONALE, " (D)."),
        ("17 + 25 = 42.\nSo the answer is **42**. Truly.", RATIONALE, " 42."),
        ("17 + 25 = 42. Therefore, the answer is 42. Therefore, the answer is 43.", RATIONALE, " 42."),
        ("- 17 + 25 = 42.\n#### 42", f"- {RATIONALE}", " 42."),
    ],
    ids=["white space", "another form", "two conclusions", "hashes"],
)
def test_cascod_cuts_at_the_first_conclusion(text: str, rationale: str, answer: str) -> None:
    first, second = shown("cascod", row(right=text))
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert (first.target, second.prompt.forced, second.target) == (rationale, f"{rationale}\n{M}", answer)


def test_cascod_cuts_at_the_conclusion_it_is_told() -> None:
    german = "Daher ist die Antwort"
    right = f"{RATIONALE} {german} 42."
    first, second = shown("cascod", row(right=right), conclusion=german)
    assert isinstance(first, Example)
    assert isinstance(second, Example)
    assert (first.target, second.prompt.forced) == (RATIONALE, f"{RATIONALE}\n{german}")
    assert shown("cascod", row(right=right)) == skipped("no-conclusion")
    method = method_of("cascod")
    plan = method.plan(method.Options(conclusion=german))
    assert [step.opening for step in plan] == ["", german]
    assert plan[1].prompt(row().dual.question, [RATIONALE]) == second.prompt


@pytest.mark.parametrize(
    ("name", "alignment", "options", "reason"),
    [
        *((name, lacking("right"), {}, "no-right-chain") for name in ("std-cot", "std-cot-dual", "cascod")),
        *((name, row(right_origin="rectified"), {"rectified": False}, "rectified") for name in ONE_STAGE),
        ("answer-sft", lacking("right", answer=None), {}, "no-answer"),
        ("cascod", row(right="17 + 25 = 42."), {}, "no-conclusion"),
        ("cascod", row(right=" \nTherefore, the answer is 42."), {}, "no-rationale"),
        ("cascod", row(right="17 + 25 = 42. Therefore, the answer is ."), {}, "no-answer"),
    ],
)
def test_what_a_recipe_can_not_use_is_skipped(
    name: str, alignment: Alignment, options: dict[str, Any], reason: str
) -> None:
    assert shown(name, alignment, **options) == skipped(reason)


@pytest.mark.parametrize("name", ONE_STAGE)
def test_rectified_chains_are_trained_on_unless_left_out(name: str) -> None:
    assert shown(name, row(right_origin="rectified")) == shown(name, row())
    assert shown(name, row(), rectified=False) == shown(name, row())


@pytest.mark.parametrize(
    ("name", "normaliser"),
    [
        *((name, "tokens") for name in ("answer-sft", "std-cot")),
        *((name, "target") for name in ("cascod", *MULTITASK, "scott", "std-cot-dual")),
    ],
)
def test_one_stage(name: str, normaliser: Any) -> None:
    method = method_of(name)
    assert method.stages(method.Options(epochs=2, learning_rate=0.5, decay=0.9)) == [
        Stage(name="imitate", epochs=2, learning_rate=0.5, decay=0.9, normaliser=normaliser)
    ]


@pytest.mark.parametrize("name", ["cascod", *MULTITASK, "scott", "std-cot-dual"])
def test_the_normaliser_is_an_option(name: str) -> None:
    method = method_of(name)
    assert method.stages(method.Options(normaliser="tokens"))[0].normaliser == "tokens"


SCHEDULES = [
    ({"epochs": "-1"}, "epochs must not be negative"),
    ({"epochs": "inf"}, "epochs"),
    ({"epochs": "nan"}, "epochs"),
    ({"learning-rate": "0"}, "learning-rate must be above 0"),
    ({"learning-rate": "nan"}, "learning-rate"),
    ({"decay": "0"}, "decay must be above 0"),
    ({"decay": "1.5"}, "decay"),
    ({"rectified": "maybe"}, "use true or false"),
    ({"alhpa": "1"}, "has no option 'alhpa'"),
]


@pytest.mark.parametrize("name", ONE_STAGE)
@pytest.mark.parametrize(("values", "message"), SCHEDULES)
def test_bad_schedules_are_refused_in_words(name: str, values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fill(registry.load("recipes", name).Options, values, name)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("std-cot", {"alpha": "1"}, "has no option 'alpha'"),
        ("std-cot-dual", {"normaliser": "mean"}, "use one of target, tokens, weighted, sum"),
        ("cascod", {"normaliser": "mean"}, "use one of target, tokens, weighted, sum"),
        ("cascod", {"alpha": "-0.1"}, "it lies between 0 and 1"),
        ("cascod", {"alpha": "1.1"}, "it lies between 0 and 1"),
        ("cascod", {"alpha": "nan"}, "alpha"),
        ("cascod", {"alpha": "much"}, "it takes a number"),
        ("cascod", {"conclusion": ""}, "conclusion must not be blank"),
        ("cascod", {"conclusion": "Answer: "}, "nor begin or end with white space"),
    ],
)
def test_bad_options_are_refused_in_words(name: str, values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fill(registry.load("recipes", name).Options, values, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_explains_itself_and_takes_its_own_default(name: str) -> None:
    options = registry.load("recipes", name).Options
    described = describe(options)
    assert all(one["help"] for one in described)
    assert fill(options, {one["name"]: one["default"] for one in described}, name) == options()


SCHEDULE = {"epochs": 15, "learning_rate": 2e-4, "decay": 0.95}
EDIT = {"alpha": 1, "beta": 0.025, "gamma": 0, "pairs": "all", "rectified": True, "key_steps": True}
CUT = {**SCHEDULE, "rectified": False, "alpha": 0.1, "conclusion": M, "normaliser": "target"}
PAPER: dict[str, dict[str, Any]] = {
    "answer-sft": {**SCHEDULE, "rectified": False},
    "cascod": CUT,
    **{name: {**CUT, "ask": "answer"} for name in MULTITASK},
    "scott": CUT,
    "std-cot": {**SCHEDULE, "rectified": False},
    "std-cot-dual": {**SCHEDULE, "rectified": True, "normaliser": "tokens"},
    "edit": {
        **SCHEDULE,
        **EDIT,
        **{"key_epochs": 10, "key_learning_rate": 5e-6, "normaliser": "target"},
        **{"control": "none", "skip_conclusion": False, "first_step": False, "max_key_ratio": 1, "min_similarity": 0},
    },
}


@pytest.mark.parametrize("name", NAMES)
def test_the_preset_holds_what_was_published(name: str) -> None:
    method = registry.load("recipes", name)
    preset = method.presets["paper"]
    assert dict(preset.options) == PAPER[name]
    assert method.Options(**preset.options)
    own = {field.name for field in dataclasses.fields(method.Options)}
    assert own - set(preset.options) <= {"conclusion", "wrong_limit"}, "a new option must not change the preset"
    assert preset.settings == PUBLISHED


def test_the_published_settings_are_options_of_train() -> None:
    assert dict(PUBLISHED) == {
        **{"batch_questions": 256, "max_length": 1024, "weight_decay": 0, "max_grad_norm": 0},
        **{"schedule": "epochs", "warmup_steps": 0, "lora_r": 64, "lora_alpha": 32, "lora_dropout": 0.05},
        **{"prompt_style": "plain", "gap": False},
    }
    assert set(PUBLISHED) - {"gap"} <= set(inspect.signature(train).parameters)


@pytest.mark.parametrize("name", ONE_STAGE)
def test_two_steps_of_training(name: str) -> None:
    method = method_of(name)
    rows = sums(6)
    texts = [one.dual.right.text for one in rows if one.dual.right]
    outcome, planned, _ = run(scratch(texts), method, method.Options(), rows, max_steps=2, batch_questions=3)
    assert [record["stage"] for record in outcome.history] == ["imitate", "imitate"]
    assert all(math.isfinite(record["loss"]) and record["loss"] > 0 for record in outcome.history)
    assert len(planned[0].data.groups) == 6
    wrong = [record["wrong"] for record in outcome.history]
    assert all(wrong) if name in ("scott", "std-cot-dual") else wrong == [None, None]


def test_a_pair_counts_as_one_question_whatever_its_examples() -> None:
    alone = replace(row(), dual=replace(row().dual, wrong=None), edits=None)
    assert {one.question_id for one in shown("std-cot-dual", row())} == {"q1"}
    assert {one.question_id for one in shown("std-cot-dual", alone)} == {"q1"}
