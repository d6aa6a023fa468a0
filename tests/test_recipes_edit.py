"""EDIT: spans and weights of both stages, its skips and its controls."""

import math
from typing import Any

import pytest

from editctl import registry
from editctl.errors import UsageError
from editctl.imitation import IMITATE
from editctl.options import fill
from editctl.recipe import Stage
from editctl.recipes.edit import KEY_STEPS, Edit, EditOptions
from editctl.records import Alignment, Example, Skip
from tests.support_models import pair, run, scratch
from tests.support_models import pairs as sums
from tests.support_recipes import ASKED, IMITATION, RIGHT, WRONG, lacking, row, shown, skipped


def key_steps(alignment: Alignment, **options: Any) -> list[Example | Skip]:
    """What edit's second stage makes of a row."""
    return shown("edit", alignment, KEY_STEPS, **options)


def test_edit_imitates_first() -> None:
    assert shown("edit", row()) == [IMITATION]
    assert shown("edit", lacking("wrong")) == [IMITATION]


def test_edit_weights_the_key_steps_of_both_sides() -> None:
    assert key_steps(row()) == [
        Example(
            question_id="q1",
            prompt=ASKED,
            target=RIGHT,
            spans=((10, 12, 1.0), (39, 41, 1.0)),
            end_weight=0.0,
            share=1.0,
            side="right",
        ),
        Example(
            question_id="q1",
            prompt=ASKED,
            target=WRONG,
            spans=((10, 12, -0.025), (39, 41, -0.025)),
            end_weight=0.0,
            share=1.0,
            side="wrong",
        ),
    ]


def spans_of(alignment: Alignment, **options: Any) -> list[Any]:
    """Spans and end weight, side by side."""
    return [(one.spans, one.end_weight) for one in key_steps(alignment, **options) if isinstance(one, Example)]


def test_edit_weights_are_options() -> None:
    right, wrong = spans_of(row(), alpha=2.0, beta=0.5, gamma=0.25)
    assert right == (((10, 12, 2.0), (39, 41, 2.0), (0, len(RIGHT), 0.25)), 0.25)
    assert wrong == (((10, 12, -0.5), (39, 41, -0.5)), 0.0)


def test_edit_can_leave_the_conclusion_out() -> None:
    right, wrong = spans_of(row(), skip_conclusion=True)
    assert right == (((10, 12, 1.0),), 0.0)
    assert wrong == (((10, 12, -0.025),), 0.0)


def test_edit_can_keep_to_the_first_step_that_changes() -> None:
    right, wrong = spans_of(row(), first_step=True)
    assert right == (((10, 12, 1.0),), 0.0)
    assert wrong == (((10, 12, -0.025),), 0.0)
    alignment = pair(right="So. Therefore, the answer is 4.", wrong="So. Therefore, the answer is 5.")
    assert spans_of(alignment, first_step=True)[0] == (((29, 30, 1.0),), 0.0)
    assert key_steps(alignment, first_step=True, skip_conclusion=True) == skipped(
        "no-key-step-outside-conclusion", "q0"
    )


def test_edit_finds_the_conclusion_it_is_told() -> None:
    alignment = row(right="17 + 25 = 42. Es ergibt 42.", wrong="17 + 25 = 32. Es ergibt 32.")
    right, wrong = spans_of(alignment, skip_conclusion=True, conclusion="Es ergibt")
    assert (right, wrong) == ((((10, 12, 1.0),), 0.0), (((10, 12, -0.025),), 0.0))
    assert len(spans_of(alignment, skip_conclusion=True)[0][0]) == 2
    right, _ = spans_of(alignment, control="conclusion", conclusion="Es ergibt")
    assert [alignment.dual.right.text[start:end] for start, end, _ in right[0] if alignment.dual.right] == [
        "Es",
        "ergibt",
        "42.",
    ]


def test_a_pair_that_parts_in_the_conclusion_only_has_no_key_step_left() -> None:
    alignment = pair(right="So. Therefore, the answer is 4.", wrong="So. Therefore, the answer is 5.")
    assert key_steps(alignment, skip_conclusion=True) == skipped("no-key-step-outside-conclusion", "q0")
    assert len(key_steps(alignment, skip_conclusion=True, gamma=1.0)) == 2


@pytest.mark.parametrize(
    ("alignment", "options", "reason"),
    [
        (lacking("right"), {}, "no-right-chain"),
        (lacking("wrong"), {}, "no-wrong-chain"),
        (row(reason="same-answer"), {}, "same-answer"),
        (row(wrong=RIGHT), {}, "same-text"),
        (row(), {"max_key_ratio": 0.1}, "over-max-key-ratio"),
        (row(), {"min_similarity": 0.9}, "under-min-similarity"),
        (row(), {"pairs": "rectified"}, "not-rectified"),
        (row(right_origin="rectified", wrong_origin="sampled"), {"pairs": "corrupted"}, "not-corrupted"),
        (row(right="a b", wrong="a c"), {"control": "numbers"}, "control-numbers-finds-no-unit"),
        (row(right="a b", wrong="a c"), {"control": "conclusion"}, "control-conclusion-finds-no-unit"),
        (row(right="a b", wrong="c d"), {"control": "random"}, "control-random-finds-no-unit"),
    ],
)
def test_edit_skips_what_shows_no_difference(alignment: Alignment, options: dict[str, Any], reason: str) -> None:
    assert key_steps(alignment, **options) == skipped(reason)


def test_a_side_that_does_not_count_needs_no_unit_for_its_control() -> None:
    alignment = row(right="a 5 b", wrong="a x c")
    assert key_steps(alignment, control="numbers") == skipped("control-numbers-finds-no-unit")
    right, wrong = spans_of(alignment, control="numbers", beta=0)
    assert right == (((2, 3, 2.0),), 0.0)
    assert wrong == ((), 0.0)


@pytest.mark.parametrize(
    ("origins", "pairs"),
    [
        ({"wrong_origin": "corrupted"}, "corrupted"),
        ({"right_origin": "rectified", "wrong_origin": "sampled"}, "rectified"),
        ({"wrong_origin": "mined"}, "all"),
    ],
)
def test_edit_takes_the_pairs_asked_for(origins: dict[str, str], pairs: str) -> None:
    assert len(key_steps(row(**origins), pairs=pairs)) == 2


def test_edit_can_leave_rectified_chains_out_of_imitation() -> None:
    alignment = row(right_origin="rectified")
    assert shown("edit", alignment) == [IMITATION]
    assert shown("edit", alignment, rectified=False) == skipped("rectified")
    assert len(key_steps(alignment, rectified=False)) == 2
    assert shown("edit", row(), rectified=False) == [IMITATION]
    assert shown("edit", lacking("right")) == skipped("no-right-chain")


CONTROLLED = {
    "numbers": [(word, 2 / 4) for word in ("17", "25", "42", "42")],
    "conclusion": [(word, 2 / 7) for word in ("Therefore,", "the", "answer", "is", "42.")],
    "all": [
        (word, 2 / 13) for word in ("17", "+", "25", "=", "42.", "Therefore,", "the", "answer", "is", "42.")
    ],
    "random": [("Therefore", 1.0), ("the", 1.0)],
}  # fmt: skip
"""Spans of the right side and their weight at alpha 1. Its key units are two of the chain's 13; touching ones are one
span."""


@pytest.mark.parametrize("control", sorted(CONTROLLED))
def test_controls_weight_other_units_with_the_same_sum(control: str) -> None:
    right, wrong = key_steps(row(), control=control, alpha=3.0, beta=0.5)
    assert isinstance(right, Example)
    assert isinstance(wrong, Example)
    for one, weight, answer in ((right, 3.0, "42"), (wrong, -0.5, "32")):
        found = [one.target[start:end] for start, end, _ in one.spans]
        assert found == [word.replace("42", answer) for word, _ in CONTROLLED[control]]
        values = [value for _, _, value in one.spans]
        assert values == pytest.approx([weight * share for _, share in CONTROLLED[control]])
        assert one.end_weight == 0.0


def test_random_units_depend_on_question_and_side() -> None:
    drawn = set()
    for number in range(5):
        alignment = pair(number, right=RIGHT, wrong=WRONG)
        drawn |= {one[0] for one in spans_of(alignment, control="random", alpha=1.0, beta=1.0)}
    assert len({tuple(span[:2] for span in spans) for spans in drawn}) > 5


def test_gamma_weights_what_a_control_leaves() -> None:
    right, wrong = spans_of(row(), control="numbers", gamma=0.25)
    assert right[0][-1] == (0, len(RIGHT), 0.25)
    assert right[1] == 0.25
    assert all(value < 0 for _, _, value in wrong[0])


def test_edit_has_two_stages_of_which_the_second_goes_on_from_the_first() -> None:
    options = EditOptions(
        epochs=7, key_epochs=2, learning_rate=0.1, key_learning_rate=0.01, decay=0.5, normaliser="sum", wrong_limit=9.0
    )
    assert Edit().stages(options) == [
        Stage(name=IMITATE, epochs=7, learning_rate=0.1, decay=0.5, normaliser="tokens"),
        Stage(
            name=KEY_STEPS,
            epochs=2,
            learning_rate=0.01,
            decay=0.5,
            normaliser="sum",
            wrong_limit=9.0,
            starts_from=IMITATE,
        ),
    ]
    assert [stage.name for stage in Edit().stages(EditOptions(key_steps=False))] == [IMITATE]


def test_options_can_turn_the_second_stage_off_whatever_the_weights() -> None:
    assert len(Edit().stages(EditOptions(alpha=0, beta=0, key_steps=False))) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": "-1"}, "must not be negative"),
        ({"beta": "-0.5"}, "beta is subtracted for you"),
        ({"gamma": "nan"}, "gamma"),
        ({"alpha": "inf"}, "must not be negative"),
        ({"alpha": "0", "beta": "0"}, "use key-steps=false"),
        ({"alhpa": "1"}, "did you mean alpha"),
        ({"alpha": "much"}, "it takes a number"),
        ({"pairs": "some"}, "use one of all, corrupted, rectified"),
        ({"control": "some"}, "use one of none, random, numbers, conclusion, all"),
        ({"control": "conclusion", "skip-conclusion": "true"}, "choose one"),
        ({"conclusion": " "}, "conclusion must not be blank"),
        ({"normaliser": "mean"}, "use one of target"),
        ({"skip-conclusion": "maybe"}, "use true or false"),
        ({"epochs": "-1"}, "epochs"),
        ({"key-epochs": "nan"}, "epochs"),
        ({"learning-rate": "0"}, "learning-rate"),
        ({"key-learning-rate": "-1"}, "key-learning-rate"),
        ({"decay": "0"}, "decay"),
        ({"max-key-ratio": "2"}, "max-key-ratio"),
        ({"min-similarity": "-1"}, "min-similarity"),
        ({"wrong-limit": "0"}, "wrong-limit"),
    ],
)
def test_bad_options_are_refused_in_words(values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fill(registry.load("recipes", "edit").Options, values, "edit")


@pytest.mark.parametrize("control", ["none", "random", "numbers", "conclusion", "all"])
def test_two_steps_of_training(control: Any) -> None:
    rows = sums(6)
    texts = [one.dual.right.text for one in rows if one.dual.right]
    outcome, planned, _ = run(
        scratch(texts), Edit(), EditOptions(epochs=1, key_epochs=1, control=control), rows, max_steps=2
    )
    assert [record["stage"] for record in outcome.history] == [IMITATE, KEY_STEPS]
    assert [len(one.data.groups) for one in planned] == [6, 6]
    assert all(math.isfinite(record["loss"]) for record in outcome.history)
    assert [record["wrong"] is None for record in outcome.history] == [True, False]
