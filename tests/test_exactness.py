"""Packed loss and gradients of a whole step against the plain computation: each example alone, full logits.

Every recipe, several architectures, float32, relative 1e-5; then mistakes are planted and the comparison must see them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch

from editctl import registry
from editctl.formats import FORMATS, format_of
from editctl.records import Alignment, Chain, Example
from editctl.scratch import train_tokenizer
from editctl.tokens import Codec
from editctl.train.engine.layout import Room
from tests.support_families import family
from tests.support_mistakes import (
    Patch,
    mean_of_the_cut_target,
    no_window,
    normaliser_of_rows,
    places_as_positions,
    plain_causal,
    positions_not_reset,
    shift_by_one,
    shuffled,
    shuffled_ids,
    tail_cut_short,
    window_in_places,
    window_too_wide,
    without_signs,
    without_weights,
)
from tests.support_models import CORPUS, pair
from tests.support_steps import Result, by_formula, computed, gradients_of, groups_of, step_of

EXACT = 1e-5
ARCHITECTURES = ("llama", "qwen2", "gemma3", "gpt2")
KEY_POINTS = ("kpdd-cot", "kpdd-pot")
NORMALISERS = ("tokens", "target", "weighted", "sum")
ROOM = Room(tokens=70, places=1000)
"""So small that a step takes several rows, some of several questions."""
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "edit": [
        {},
        {"gamma": 0.25, "beta": 0.5, "alpha": 0.75},
        {"skip_conclusion": True, "beta": 0.3},
        {"first_step": True, "beta": 0.3},
        *({"control": control, "beta": 0.3} for control in ("random", "numbers", "conclusion", "all")),
    ],
    "cascod": [{}, {"alpha": 0.6}],
    **{
        name: [{"stages": stages, "shared": shared} for stages in "32" for shared in (False, True)]
        for name in KEY_POINTS
    },
}
"""Options of a recipe with which its examples differ; the others are shown with their own."""
LATER: Mapping[str, int] = {"edit": 1}
"""The first stage that a recipe's variants touch, where it is not the first of all."""


@dataclass(frozen=True)
class Case:
    """One stage of a recipe with options."""

    name: str
    options: tuple[tuple[str, Any], ...]
    stage: int

    def __str__(self) -> str:
        words = [self.name, str(self.stage + 1), *(f"{key}={value}" for key, value in self.options)]
        return "-".join(words)

    def parts(self) -> tuple[Any, Any, Any]:
        """The recipe, its options and the stage."""
        method = registry.load("recipes", self.name)()
        options = method.Options(**dict(self.options))
        return method, options, method.stages(options)[self.stage]


def cases() -> list[Case]:
    """Every stage of every built-in recipe; options that only touch a later stage are not tried on the first."""
    found = []
    for name in sorted(registry.BUILT_IN["recipes"]):
        method = registry.load("recipes", name)()
        for number, options in enumerate(VARIANTS.get(name, [{}])):
            stages = range(len(method.stages(method.Options(**options))))
            first = LATER.get(name, 0) if number else 0
            found += [Case(name, tuple(options.items()), stage) for stage in stages[first:]]
    return found


def sections_of(number: int) -> dict[str, dict[str, str]]:
    """A chain of each format; they share beginnings and differ in length."""
    program = "\n".join(["total = 3", *(f"total = total + {each}" for each in range(number % 3)), "ans = total"])
    equations = "\n".join(["x = 3", *(f"x{each} = x + {each}" for each in range(number % 3)), "ans = x"])
    points = {"core": f"What is {number} of it?", "information": "\n".join(["It is 3.", "It is 4."][: 1 + number % 2])}
    told = "First, 3 + 6 = 9. " * (1 + number % 2) + "Therefore, the answer is 9."
    return {
        "pot": {"program": program},
        "eot": {"equations": equations},
        "kpdd-cot": {**points, "solution": told},
        "kpdd-pot": {**points, "solution": program},
    }


def alignments(name: str = "") -> list[Alignment]:
    """Five questions whose chains share a beginning, of different lengths; of a recipe's own format if it has one."""
    if name in FORMATS:
        return [with_sections(each, name, number) for number, each in enumerate(alignments())]
    longer = pair(
        9,
        right="First, 3 + 6 = 9. Then 9 + 1 = 10, keep 0. Therefore, the answer is 0.",
        wrong="First, 3 + 6 = 9. Then 9 + 1 = 11, keep 1. Therefore, the answer is 1.",
    )
    return [pair(0), pair(1), longer, pair(3), pair(4)]


def with_sections(alignment: Alignment, name: str, number: int) -> Alignment:
    """The same question with a right chain of a format, and no wrong one."""
    sections = sections_of(number)[name]
    chain = Chain(text=format_of(name).render(sections), answer="4", origin="sampled", sections=sections)
    return Alignment(dual=replace(alignment.dual, right=chain, wrong=None), edits=None)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A byte-level tokenizer."""
    return train_tokenizer(CORPUS, 400)


@pytest.fixture(scope="module")
def models(tokenizer: Any) -> dict[str, Any]:
    """One model of each architecture."""
    return {name: family(name, len(tokenizer)) for name in ARCHITECTURES}


def both(model: Any, case: Case, tokenizer: Any, normaliser: str = "", room: Room = ROOM) -> tuple[Result, Result]:
    """A step as the product computes it, and by its formula."""
    method, options, stage = case.parts()
    normaliser = normaliser or stage.normaliser
    asked = alignments(case.name)
    texts = [[one for one in method.examples(stage.name, each, options) if isinstance(one, Example)] for each in asked]
    found = groups_of(method, options, stage, asked, Codec(tokenizer, "plain"))
    step = step_of(found, normaliser, room)
    assert len(found) == len(asked)
    assert len(step.rows) > 1
    return computed(model, step), by_formula(model, texts, normaliser, tokenizer)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_packed_step_is_the_plain_one(models: dict[str, Any], tokenizer: Any, case: Case, architecture: str) -> None:
    ours, plain = both(models[architecture], case, tokenizer)
    assert max(float(one.abs().max()) for one in plain.gradients.values()) > 1e-3
    assert ours.apart(plain) < EXACT


KEY_STEPS = Case("edit", (("gamma", 0.25), ("beta", 0.5)), 1)


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("case", [KEY_STEPS, Case("cascod", (), 0)], ids=str)
def test_every_normaliser_is_that_of_the_step(
    models: dict[str, Any], tokenizer: Any, case: Case, normaliser: str
) -> None:
    ours, plain = both(models["llama"], case, tokenizer, normaliser)
    assert ours.apart(plain) < EXACT


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padded_rows_are_exact_too(models: dict[str, Any], tokenizer: Any, architecture: str) -> None:
    method, options, stage = KEY_STEPS.parts()
    found = groups_of(method, options, stage, alignments(), Codec(tokenizer, "plain"))
    model, room = models[architecture], Room(tokens=100, places=40)
    packed, padded = (step_of(found, stage.normaliser, room, packed=packed) for packed in (True, False))
    assert len(padded.rows) > 1
    assert computed(model, padded, packed=False).apart(computed(model, packed)) < EXACT


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_all_weights_one_it_is_the_models_own_loss(
    models: dict[str, Any], tokenizer: Any, architecture: str
) -> None:
    method, options, stage = Case("std-cot", (), 0).parts()
    found = groups_of(method, options, stage, alignments(), Codec(tokenizer, "plain"))
    ours = computed(models[architecture], step_of(found, "tokens", ROOM))
    assert ours.apart(own_loss(models[architecture], [one for group in found for one in group.examples])) < EXACT


def own_loss(model: Any, examples: Sequence[Any]) -> Result:
    """The model's own cross-entropy: padded on the right, -100 as the label of prompts and padding."""
    width = max(one.length for one in examples)
    rows = [[*one.prompt, *one.target] for one in examples]
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    labels = ids.masked_fill(mask == 0, -100)
    for number, one in enumerate(examples):
        labels[number, : len(one.prompt)] = -100
    model.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    return Result(float(loss.detach()), gradients_of(model))


PLANTED = [
    ("llama", without_weights),
    ("llama", without_signs),
    ("llama", plain_causal),
    ("gemma3", plain_causal),
    ("gemma3", no_window),
    ("gemma3", window_in_places),
    ("gemma3", window_too_wide),
    ("llama", places_as_positions),
    ("gpt2", positions_not_reset),
    ("qwen2", shift_by_one),
    ("qwen2", shuffled),
    ("qwen2", shuffled_ids),
    ("llama", normaliser_of_rows),
    ("llama", tail_cut_short),
    ("llama", mean_of_the_cut_target),
]


@pytest.mark.parametrize(("architecture", "plant"), PLANTED)
def test_a_planted_mistake_is_seen(
    models: dict[str, Any],
    tokenizer: Any,
    architecture: str,
    plant: Callable[[Patch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case("edit", (("gamma", 0.0), ("beta", 0.5), ("skip_conclusion", True)), 1)
    plant(monkeypatch.setattr)
    ours, plain = both(models[architecture], case, tokenizer)
    assert ours.apart(plain) > 1000 * EXACT


@pytest.mark.parametrize("changed", ["loss", "gradients"])
def test_the_comparison_itself_sees_both_parts(changed: str) -> None:
    result = Result(2.0, {"weight": torch.tensor([3.0, 4.0])})
    other = Result(2.1, {"weight": torch.tensor([3.0, 4.1])})
    parts = {field.name: getattr(other if field.name == changed else result, field.name) for field in fields(Result)}
    assert result.apart(result) == 0
    assert 0.01 < Result(**parts).apart(result) < 0.1
