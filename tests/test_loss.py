"""The one loss: what each normaliser makes of a hand-computed step, and what a planted mistake would make of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from editctl.recipes.edit import Edit, EditOptions
from editctl.tokens import Codec, Weighted
from editctl.train.engine import batch
from editctl.train.engine.batch import Row, Step
from editctl.train.engine.groups import Group, build
from editctl.train.engine.layout import Room
from editctl.train.engine.loss import coefficients, token_losses, weighted_loss
from editctl.train.engine.masks import FULL, Attention
from editctl.train.engine.trainer import logits, takes_places
from editctl.train.plan import Settings, plan
from tests.support_families import family
from tests.support_models import gpt2, llama, pairs, scratch
from tests.support_steps import computed, gradients_of, step_of

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


def row_of(*questions: Sequence[Weighted], normaliser: str = "sum", packed: bool = False) -> Row:
    """The only row of a step, padded where nothing else is asked for."""
    (row,) = step_of(groups(*questions), normaliser, packed=packed).rows
    return row


def loss_of(model: Any, row: Row) -> Tensor:
    """The product's own loss of a row."""
    logits = model(input_ids=row.ids_BT, attention_mask=row.mask_BT).logits[:, row.places_K].flatten(0, 1)[row.picked_N]
    return weighted_loss(token_losses(logits, row.targets_N), row.coefficients_N)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_with_all_weights_one_it_is_the_models_own_cross_entropy(make: Any) -> None:
    model = make(20)
    row = row_of([example(1.0, 1.0, 1.0)], [example(1.0, 1.0, 1.0, 1.0, 1.0, prompt=4)], normaliser="tokens")
    assert row.mask_BT is not None
    ids, mask = torch.tensor([[3, 4, 5, 6, 5, 6, 7, 8, 9], [3, 4, 5, 6, 7, 0, 0, 0, 0]]), torch.ones(2, 9)
    mask[1, 5:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[0, :4], labels[1, :2] = -100, -100
    own = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    assert loss_of(model, row).item() == pytest.approx(own.item(), abs=1e-6)


def test_a_row_says_which_token_follows_which_place() -> None:
    row = row_of([example(0.0, 2.0, 0.0, -1.0, prompt=3)], [example(4.0, wrong=True)])
    assert row.ids_BT.tolist() == [[3, 4, 5, 5, 6, 7], [3, 4, 5, 0, 0, 0]]
    assert row.mask_BT is not None
    assert row.mask_BT.tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert row.places_K.tolist() == [1, 3, 5]
    assert row.picked_N.tolist() == [1, 2, 3]
    assert row.targets_N.tolist() == [6, 8, 5]
    assert row.coefficients_N.tolist() == [1.0, -0.5, 2.0]
    assert row.wrong_N.tolist() == [False, False, True]


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


class Bigram:
    """A model whose next token depends on the last one alone, with halves, quarters and eighths as probabilities."""

    shares = torch.tensor([[4.0, 2, 1, 1], [4, 1, 2, 1], [1, 1, 4, 2], [2, 2, 2, 2]]) / 8

    def forward(self, input_ids: Tensor, logits_to_keep: Tensor, **_: Any) -> Any:
        """Logits of the places asked for."""
        return SimpleNamespace(logits=self.shares.log()[input_ids[:, logits_to_keep]])

    __call__ = forward


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("normaliser", "bits"),
    [
        # Right: 0 -> 1, 2, 0 costs 2, 2 and 3 bits, of which 1 x 2 + 0.5 x 3 count; 4 tokens with the end.
        # Wrong: 0 -> 1, 3 costs 2 and 3 bits, of which -0.5 x 3 count; 3 tokens with the end.
        ("sum", 3.5 - 1.5),
        ("target", 3.5 / 4 - 1.5 / 3),
        ("tokens", (3.5 - 1.5) / 3),
        ("weighted", (3.5 - 1.5) / 2),
    ],
)
def test_a_step_by_pencil_and_paper(normaliser: str, bits: float, packed: bool) -> None:
    right = Weighted((0,), (1, 2, 0), (1.0, 0.0, 0.5), 4, 1.0, False)
    wrong = Weighted((0,), (1, 3), (0.0, -0.5), 3, 1.0, True)
    (row,) = step_of([Group("q", (right, wrong))], normaliser, packed=packed).rows
    found = logits(Bigram(), row, Attention({FULL: None}, "boolean"))
    loss = weighted_loss(token_losses(found, row.targets_N), row.coefficients_N)
    assert loss.item() == pytest.approx(bits * log(2), abs=1e-6)
    if packed:
        assert row.ids_BT.tolist() == [[0, 1, 2]]


def test_a_row_keeps_to_its_budget_and_holds_everything_once() -> None:
    step = groups(*([example(*[1.0] * length)] for length in (3, 9, 1, 30, 5, 5, 2)))
    rows = step_of(step, "sum", Room(tokens=24, places=1000), packed=False).rows
    assert [tuple(row.ids_BT.shape) for row in rows] == [(1, 31), (2, 10), (3, 6), (1, 2)]
    assert sum(len(row.targets_N) for row in rows) == 3 + 9 + 1 + 30 + 5 + 5 + 2
    packed = step_of(step, "sum", Room(tokens=24, places=1000)).rows
    assert [row.size for row in packed] == [31, 24, 7]
    assert sum(len(row.targets_N) for row in packed) == 3 + 9 + 1 + 30 + 5 + 5 + 2


def real_step(normaliser: Any, count: int = 6) -> tuple[Any, list[Group]]:
    """A student and two-sided questions of edit's second stage."""
    student = scratch()
    options = EditOptions(beta=0.5, gamma=0.25, normaliser=normaliser)
    stage = Edit().stages(options)[1]
    data = build(Edit(), options, stage, pairs(count), Codec(student.tokenizer, "plain"), 512)
    assert len(data.groups) == count
    return student.model, data.groups


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_gradients_do_not_depend_on_how_a_step_is_cut_into_rows(normaliser: str) -> None:
    model, step = real_step(normaliser)
    together, apart = (step_of(step, normaliser, Room(tokens=size, places=size)) for size in (100_000, 1))
    assert (len(together.rows), len(apart.rows)) == (1, 6)
    assert computed(model, together).apart(computed(model, apart)) < 1e-5


@pytest.mark.parametrize("normaliser", ["tokens", "weighted", "target"])
def test_a_normaliser_of_each_row_would_be_seen(normaliser: str) -> None:
    """The planted mistake: dividing by what one row holds rather than by what the step holds."""
    model, step = real_step(normaliser)
    right = computed(model, step_of(step, normaliser))
    rows = [row for group in step for row in step_of([group], normaliser).rows]
    assert computed(model, Step(tuple(rows), ("q",), 1)).apart(right) > 0.01


def nll_gradient(model: Any, one: Weighted) -> dict[str, Tensor]:
    """Gradient of the summed loss of an example's weighted tokens, computed without the product: full logits."""
    model.zero_grad()
    ids = torch.tensor([one.prompt + one.target])
    scores = torch.log_softmax(model(input_ids=ids).logits[0], dim=-1)
    places = [len(one.prompt) + place for place, weight in enumerate(one.weights) if weight]
    (-sum(scores[place - 1, ids[0, place]] for place in places)).backward()
    return gradients_of(model)


def test_edits_gradient_is_alpha_right_minus_beta_wrong() -> None:
    student = scratch()
    options = EditOptions(alpha=0.75, beta=0.5, normaliser="sum")
    stage = Edit().stages(options)[1]
    (group,) = build(Edit(), options, stage, pairs(1), Codec(student.tokenizer, "plain"), 512).groups
    right, wrong = group.examples
    assert (right.wrong, wrong.wrong) == (False, True)
    found = computed(student.model, step_of([group], "sum")).gradients
    parts = nll_gradient(student.model, right), nll_gradient(student.model, wrong)
    for name, gradient in found.items():
        assert torch.allclose(gradient, 0.75 * parts[0][name] - 0.5 * parts[1][name], atol=1e-6)


def steady(student: Any, step: list[Group], normaliser: str, *, packed: bool = True) -> float:
    """The loss of a step as the trainer computes it."""
    return computed(student.model, step_of(step, normaliser, packed=packed), packed=packed).loss


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
    student.model = family("llama", len(student.tokenizer))
    settings = Settings(epochs=1)
    options = EditOptions(beta=0.5, key_steps=True)
    planned = plan(Edit(), options, pairs(5), Codec(student.tokenizer, "plain"), settings, "scratch")
    return student, planned[1].data.groups


@pytest.mark.parametrize("packed", [True, False])
def test_the_trainers_loss_is_that_of_the_formula(questions: tuple[Any, list[Group]], packed: bool) -> None:
    student, step = questions
    assert steady(student, step, "target", packed=packed) == pytest.approx(reference(student.model, step), abs=1e-5)


def drop_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        batch,
        "coefficients",
        lambda step, normaliser: [
            [[float(bool(scale)) for scale in scales] for scales in one] for one in coefficients(step, normaliser)
        ],
    )


def shift_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, lambda row: replace(row, places_K=(row.places_K + 1).clamp(max=row.ids_BT.shape[1] - 1)))


def shuffle_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch, lambda row: replace(row, targets_N=row.targets_N.flip(0)))


def change(monkeypatch: pytest.MonkeyPatch, alter: Callable[[Row], Row]) -> None:
    """Rows of either layout come out changed."""
    packed, padded = batch.packed_row, batch.padded_row
    monkeypatch.setattr(batch, "packed_row", lambda tries: alter(packed(tries)))
    monkeypatch.setattr(batch, "padded_row", lambda examples, pad: alter(padded(examples, pad)))


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


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("plant", [drop_weights, shift_by_one, shuffle_targets, mean_of_the_cut_target])
def test_a_planted_mistake_changes_the_loss(
    questions: tuple[Any, list[Group]], plant: Any, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, step = questions
    plant(monkeypatch)
    assert steady(student, step, "target", packed=packed) != pytest.approx(reference(student.model, step), abs=1e-3)


def test_a_model_that_cannot_leave_logits_out_trains_the_same(questions: tuple[Any, list[Group]]) -> None:
    student, step = questions
    wanted = steady(student, step, "target")
    forward = student.model.forward

    def plain(self: Any, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, use_cache: bool) -> Any:
        return forward(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=use_cache
        )

    # By its class: that is where a forward's arguments are looked up.
    student.model.__class__ = type("NoPlaces", (type(student.model),), {"forward": plain})
    assert not takes_places(student.model)
    assert steady(student, step, "target") == pytest.approx(wanted, abs=1e-6)


def test_stage_two_of_edit_needs_few_logits() -> None:
    _, step = real_step("target")
    bare = [replace(one, weights=tuple(w if abs(w) > 0.25 else 0.0 for w in one.weights)) for one in step[0].examples]
    (row,) = step_of([Group("q", tuple(bare))], "target").rows
    assert len(row.places_K) < row.ids_BT.shape[1] / 3
