"""Block-sparse attention: the same losses, taken only where it is exact and faster, given back where it is not."""

from typing import Any

import pytest
import torch

from editctl.tokens import Weighted
from editctl.train.engine import blocks
from editctl.train.engine.batch import Row, branches, packed_row
from editctl.train.engine.blocks import sparser
from editctl.train.engine.groups import Group
from editctl.train.engine.loss import token_losses
from editctl.train.engine.masks import Attention, attention_of, masks
from editctl.train.engine.trainer import logits
from editctl.train.engine.trie import grow
from tests.support_models import llama


def row(questions: int = 6) -> Row:
    """Questions of two examples each, of unlike lengths."""
    groups = []
    for number in range(questions):
        prompt = tuple(range(3, 9 + 5 * number))
        right, wrong = (40, 41, 42 + number, 43), (40, 41, 52 + number, 43)
        counted = (0.0, 0.0, 1.0, 1.0)
        examples = tuple(Weighted(prompt, one, counted, 5, 1.0, one is wrong) for one in (right, wrong))
        groups.append(Group(f"q{number}", examples))
    return packed_row([grow(group) for group in branches(groups, "target")])


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """flex attention without the compiler: on a CPU it runs forward only."""
    from torch.nn.attention.flex_attention import flex_attention
    from transformers.integrations import flex_attention as integration

    def plain(query: Any, key: Any, value: Any, training: bool = False, **more: Any) -> Any:
        return flex_attention(query, key, value, **more)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", plain)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("window", [None, 6])
def test_blocks_see_what_dense_masks_see(window: int | None) -> None:
    model, packed = llama(80, seed=1).eval(), row()
    kind = "full_attention" if window is None else "sliding_attention"
    with torch.inference_mode():
        dense = token_losses(logits(model, packed, Attention({kind: window}, "boolean")), packed.targets_N)
        model.set_attn_implementation(blocks.FLEX)
        sparse = token_losses(logits(model, packed, Attention({kind: window}, "blocks")), packed.targets_N)
        other = token_losses(logits(model, packed, Attention({kind: 2}, "blocks")), packed.targets_N)
    assert torch.allclose(dense, sparse, atol=1e-5)
    assert not torch.allclose(dense, other, atol=1e-5)


def test_a_window_of_kind_chunked_counts_in_positions() -> None:
    packed = row(2)
    assert packed.exits_T is not None
    assert packed.depths_T is not None
    made = masks(Attention({"chunked_attention": 4}, "boolean"), packed.exits_T, packed.depths_T, torch.float32)
    seen = made[0, 0].nonzero().tolist()
    assert all(packed.depths_T[query] // 4 == packed.depths_T[key] // 4 for query, key in seen)


def used(model: Any) -> str:
    """The attention a model is set to."""
    return str(model.config._attn_implementation)


@pytest.mark.parametrize(
    ("times", "exact", "wanted"),
    [([2.0, 1.0], True, "blocks"), ([1.0, 2.0], True, "boolean"), ([2.0, 1.0], False, "boolean")],
)
def test_it_is_taken_where_it_is_exact_and_faster(
    times: list[float], exact: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama(80)
    taken = iter(times)
    monkeypatch.setattr(blocks, "_seconds", lambda *_: next(taken))
    found = sparser(model, row(), attention_of(model), lambda attention: exact)
    assert found.form == wanted
    assert used(model) == (blocks.FLEX if wanted == "blocks" else "sdpa")


@pytest.mark.usefixtures("uncompiled")
def test_a_machine_that_can_not_run_it_goes_on_as_before() -> None:
    model, packed = llama(80), row()
    found = sparser(model, packed, attention_of(model), lambda attention: True)
    assert (found.form, used(model)) == ("boolean", "sdpa")
    assert all(parameter.grad is None for parameter in model.parameters())
    assert logits(model, packed, found).shape == (len(packed.targets_N), 80)
