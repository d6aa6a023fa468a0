"""The one loss: what each normaliser makes of a hand-computed step, and what a planted mistake would make of it."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from editctl.recipes.edit import Edit, EditOptions
from editctl.tokens import Codec
from editctl.train import batch
from editctl.train.batch import Collator, Row
from editctl.train.groups import Group, Weighted, build
from editctl.train.loss import coefficients, token_losses, weighted_loss
from editctl.train.stage import Settings, plan
from editctl.train.trainer import Schedule, Watch, WeightedTrainer
from tests.support_models import gpt2, llama, pairs, scratch

NORMALISERS = ("tokens", "target", "weighted", "sum")
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [1.0, -1.0, 3.0]])
TARGETS = torch.tensor([0, 2, 2])
HAND = (0.169846, 1.45802, 0.142932)
"""log(sum(exp(row))) - row[target], by calculator."""


def example(*weights: float, prompt: int = 2, share: float = 1.0, wrong: bool = False, whole: int = 0) -> Weighted:
    """Prompt ids 3, 4, ..., target ids 5, 6, ..."""
    return Weighted(
        prompt=tuple(range(3, 3 + prompt)),
        target=tuple(range(5, 5 + len(weights))),
        weights=weights,
        whole=whole or len(weights),
        share=share,
        wrong=wrong,
    )


def groups(*questions: Sequence[Weighted]) -> list[Group]:
    """One group for each question."""
    return [Group(f"q{number}", tuple(examples)) for number, examples in enumerate(questions)]


def test_token_losses_are_those_computed_by_hand() -> None:
    assert token_losses(LOGITS, TARGETS).tolist() == pytest.approx(HAND, abs=1e-6)


def test_token_losses_of_half_precision_are_computed_in_full() -> None:
    losses = token_losses(LOGITS.bfloat16(), TARGETS)
    assert losses.dtype == torch.float32
    assert losses.tolist() == pytest.approx(HAND, abs=1e-5)


@pytest.mark.parametrize(
    ("normaliser", "scales"),
    [
        # One question with weights 1, 0, -0.5 and share 0.5 over a target of 4 tokens; another with weight 2 over 1.
        ("tokens", [[0.5 / 3, 0.0, -0.25 / 3], [2 / 3]]),
        ("target", [[0.5 / 4 / 2, 0.0, -0.25 / 4 / 2], [2 / 1 / 2]]),
        ("weighted", [[0.5 / 2.75, 0.0, -0.25 / 2.75], [2 / 2.75]]),
        ("sum", [[0.5 / 2, 0.0, -0.25 / 2], [2 / 2]]),
    ],
)
def test_coefficients_by_hand(normaliser: str, scales: list[list[float]]) -> None:
    step = groups([example(1.0, 0.0, -0.5, share=0.5, whole=4)], [example(2.0)])
    found = coefficients(step, normaliser)
    assert found == [[pytest.approx(scales[0])], [pytest.approx(scales[1])]]


@pytest.mark.parametrize(
    ("normaliser", "total"),
    [
        ("tokens", (HAND[0] + 0.5 * HAND[2]) / 2),
        ("target", (HAND[0] + 0.5 * HAND[2]) / 3),
        ("weighted", (HAND[0] + 0.5 * HAND[2]) / 1.5),
        ("sum", HAND[0] + 0.5 * HAND[2]),
    ],
)
def test_the_loss_of_three_tokens_by_hand(normaliser: str, total: float) -> None:
    ((scales,),) = coefficients(groups([example(1.0, 0.0, 0.5)]), normaliser)
    assert float(weighted_loss(token_losses(LOGITS, TARGETS), torch.tensor(scales))) == pytest.approx(total, abs=1e-6)


def row_of(*questions: Sequence[Weighted], normaliser: str = "sum", row_tokens: int = 8192) -> Row:
    """The only row of a step."""
    row: Row
    (row,) = Collator(normaliser, 0, row_tokens)(groups(*questions))["step"].rows
    return row


def loss_of(model: Any, row: Row) -> Tensor:
    """The product's own loss of a row."""
    logits = model(input_ids=row.ids_BT, attention_mask=row.mask_BT).logits[:, row.places_K].flatten(0, 1)[row.picked_N]
    return weighted_loss(token_losses(logits, row.targets_N), row.coefficients_N)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_with_all_weights_one_it_is_the_models_own_cross_entropy(make: Any) -> None:
    model = make(20)
    row = row_of([example(1.0, 1.0, 1.0)], [example(1.0, 1.0, 1.0, 1.0, 1.0, prompt=4)], normaliser="tokens")
    labels = row.ids_BT.masked_fill(row.mask_BT == 0, -100)
    labels[0, :4], labels[1, :2] = -100, -100
    own = model(input_ids=row.ids_BT, attention_mask=row.mask_BT, labels=labels).loss
    assert loss_of(model, row).item() == pytest.approx(own.item(), abs=1e-6)


def test_a_row_says_which_token_follows_which_place() -> None:
    row = row_of([example(0.0, 2.0, 0.0, -1.0, prompt=3)], [example(4.0, wrong=True)])
    assert row.ids_BT.tolist() == [[3, 4, 5, 5, 6, 7, 8], [3, 4, 5, 0, 0, 0, 0]]
    assert row.mask_BT.tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]
    assert row.places_K.tolist() == [1, 3, 5]
    assert row.picked_N.tolist() == [1, 2, 3]
    assert row.targets_N.tolist() == [6, 8, 5]
    assert row.coefficients_N.tolist() == [1.0, -0.5, 2.0]
    assert row.wrong_N.tolist() == [False, False, True]


def test_a_first_token_that_nothing_predicts_is_left_out() -> None:
    row = row_of([example(1.0, 1.0, prompt=0)])
    assert (row.places_K.tolist(), row.targets_N.tolist()) == ([0], [6])


def test_an_infinite_logit_where_nothing_counts_spoils_nothing() -> None:
    logits = torch.randn(1, 4, 9, requires_grad=True)
    spoiled = logits.detach().clone()
    row = row_of([example(1.0, 0.0, 1.0)])
    outside = [place for place in range(4) if place not in row.places_K]
    spoiled[0, outside] = -torch.inf
    spoiled.requires_grad_()
    for one in (logits, spoiled):
        picked = one[:, row.places_K].flatten(0, 1)[row.picked_N]
        weighted_loss(token_losses(picked, row.targets_N), row.coefficients_N).backward()
    assert spoiled.grad is not None
    assert torch.equal(spoiled.grad, logits.grad)
    assert torch.isfinite(spoiled.grad).all()


def test_a_row_keeps_to_its_budget_and_holds_everything_once() -> None:
    step = groups(*([example(*[1.0] * length)] for length in (3, 9, 1, 30, 5, 5, 2)))
    rows = Collator("sum", 0, 24)(step)["step"].rows
    assert [tuple(row.ids_BT.shape) for row in rows] == [(1, 32), (2, 11), (3, 7), (1, 3)]
    assert all(row.ids_BT.numel() <= 24 or row.ids_BT.shape[0] == 1 for row in rows)
    assert sum(len(row.targets_N) for row in rows) == 3 + 9 + 1 + 30 + 5 + 5 + 2


def real_step(normaliser: Any, count: int = 6) -> tuple[Any, list[Group]]:
    """A student and two-sided questions of edit's second stage."""
    student = scratch()
    options = EditOptions(beta=0.5, gamma=0.25, normaliser=normaliser)
    stage = Edit().stages(options)[1]
    data = build(Edit(), options, stage, pairs(count), Codec(student.tokenizer, "plain"), 512)
    assert len(data.groups) == count
    return student.model, data.groups


def gradients(model: Any, rows: Sequence[Row]) -> dict[str, Tensor]:
    """The product's gradients of a step, row by row."""
    model.zero_grad()
    for row in rows:
        loss_of(model, row).backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_gradients_do_not_depend_on_how_a_step_is_cut_into_rows(normaliser: str) -> None:
    model, step = real_step(normaliser)
    together, apart = (Collator(normaliser, 0, size)(step)["step"].rows for size in (100_000, 1))
    assert (len(together), len(apart)) == (1, 12)
    first, second = gradients(model, together), gradients(model, apart)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    assert max(float(one.abs().max()) for one in first.values()) > 1e-3


@pytest.mark.parametrize("normaliser", ["tokens", "weighted", "target"])
def test_a_normaliser_of_each_row_would_be_seen(normaliser: str) -> None:
    """The planted mistake: dividing by what one row holds rather than by what the step holds."""
    model, step = real_step(normaliser)
    collate = Collator(normaliser, 0, 100_000)
    right = gradients(model, collate(step)["step"].rows)
    wrong = gradients(model, [row for group in step for row in collate([group])["step"].rows])
    assert any(not torch.allclose(right[name], wrong[name], atol=1e-6) for name in right)


def nll_gradient(model: Any, one: Weighted) -> dict[str, Tensor]:
    """Gradient of the summed loss of an example's weighted tokens, computed without the product: full logits."""
    model.zero_grad()
    ids = torch.tensor([one.prompt + one.target])
    scores = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)
    places = [len(one.prompt) + place for place, weight in enumerate(one.weights) if weight]
    (-sum(scores[place - 1, ids[0, place]] for place in places)).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def test_edits_gradient_is_alpha_right_minus_beta_wrong() -> None:
    student = scratch()
    options = EditOptions(alpha=0.75, beta=0.5, normaliser="sum")
    stage = Edit().stages(options)[1]
    (group,) = build(Edit(), options, stage, pairs(1), Codec(student.tokenizer, "plain"), 512).groups
    right, wrong = group.examples
    assert (right.wrong, wrong.wrong) == (False, True)
    found = gradients(student.model, Collator("sum", 0, 8192)([group])["step"].rows)
    parts = nll_gradient(student.model, right), nll_gradient(student.model, wrong)
    for name, gradient in found.items():
        assert torch.allclose(gradient, 0.75 * parts[0][name] - 0.5 * parts[1][name], atol=1e-6)


def steady(student: Any, step: list[Group], normaliser: str) -> float:
    """The loss of a step as the trainer computes it."""
    from transformers import TrainingArguments

    rows = Collator(normaliser, 0, 100_000)(step)["step"].rows
    with tempfile.TemporaryDirectory() as folder:
        trainer = WeightedTrainer(
            model=student.model,
            args=TrainingArguments(output_dir=folder, use_cpu=True, report_to="none", save_strategy="no"),
            schedule=Schedule(shape="constant", warmup_steps=0, steps=1, steps_per_epoch=1, decay=1.0),
            watch=Watch("test"),
        )
        student.model.eval()
        return float(sum(trainer.compute_loss(student.model, {"row": row}).item() for row in rows))


def reference(model: Any, step: list[Group]) -> float:
    """The target-mean loss by its formula: full logits, one example at a time."""
    model.eval()
    total = 0.0
    for group in step:
        for one in group.examples:
            ids = torch.tensor([one.prompt + one.target])
            scores = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)
            for place, weight in enumerate(one.weights, len(one.prompt)):
                total -= weight * scores[place - 1, ids[0, place]].item() / one.whole / len(step)
    return total


@pytest.fixture
def questions() -> tuple[Any, list[Group]]:
    """A student and its step."""
    student = scratch()
    settings = Settings(epochs=1)
    options = EditOptions(beta=0.5, key_steps=True)
    planned = plan(Edit(), options, pairs(5), Codec(student.tokenizer, "plain"), settings, "scratch")
    return student, planned[1].data.groups


def test_the_trainers_loss_is_that_of_the_formula(questions: tuple[Any, list[Group]]) -> None:
    student, step = questions
    assert steady(student, step, "target") == pytest.approx(reference(student.model, step), abs=1e-5)


def drop_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        batch,
        "coefficients",
        lambda step, normaliser: [
            [[float(bool(scale)) for scale in scales] for scales in one] for one in coefficients(step, normaliser)
        ],
    )


def shift_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pick = batch._pick
    monkeypatch.setattr(batch, "_pick", lambda *parts: replace(pick(*parts), places_K=pick(*parts).places_K + 1))


def shuffle_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    pick = batch._pick
    monkeypatch.setattr(batch, "_pick", lambda *parts: replace(pick(*parts), targets_N=pick(*parts).targets_N.flip(0)))


def mean_of_the_cut_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        batch,
        "coefficients",
        lambda step, normaliser: coefficients(
            [
                Group(group.question_id, tuple(replace(one, whole=len(one.target)) for one in group.examples))
                for group in step
            ],
            normaliser,
        ),
    )


@pytest.mark.parametrize("plant", [drop_weights, shift_by_one, shuffle_targets, mean_of_the_cut_target])
def test_a_planted_mistake_changes_the_loss(
    questions: tuple[Any, list[Group]], plant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, step = questions
    plant(monkeypatch)
    assert steady(student, step, "target") != pytest.approx(reference(student.model, step), abs=1e-3)


def test_a_model_that_cannot_leave_logits_out_trains_the_same(questions: tuple[Any, list[Group]]) -> None:
    student, step = questions
    wanted = steady(student, step, "target")
    forward = student.model.forward

    def plain(input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Any:
        return forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=use_cache)

    student.model.forward = plain
    assert steady(student, step, "target") == pytest.approx(wanted, abs=1e-6)


def test_stage_two_of_edit_needs_few_logits() -> None:
    _, step = real_step("target")
    bare = [replace(one, weights=tuple(w if abs(w) > 0.25 else 0.0 for w in one.weights)) for one in step[0].examples]
    (row,) = Collator("target", 0, 8192)([Group("q", tuple(bare))])["step"].rows
    assert len(row.places_K) < row.ids_BT.shape[1] / 3
