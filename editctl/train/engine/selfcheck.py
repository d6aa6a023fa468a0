"""Can this student be trained on packed rows? Not believed but tried: packed against each example on its own.

Some model families take a mask of their own and use it wrongly for some of their layers, without a word. So before a
run begins, the very model computes the token losses of real questions both ways, in evaluation mode.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from editctl.train.engine.batch import Row, branches, packed_row, padded_row
from editctl.train.engine.blocks import sparser
from editctl.train.engine.groups import Group
from editctl.train.engine.layout import Room
from editctl.train.engine.loss import token_losses
from editctl.train.engine.masks import Attention, NotPackable, attention_of
from editctl.train.engine.trainer import logits, to_device
from editctl.train.engine.trie import Branch, grow

TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.03}
"""Largest change of the token losses that rounding may make, as a share of the change that is seen when every token is
told to see itself alone. So the limit fits a model that was never trained, whose losses hardly depend on what it looks
at, as well as a trained one. On small random models rounding made 5e-6, 0.001 and 0.006, a window that was one token
too wide 0.08, plain causal masks 0.12."""
ROUNDING = 1e-5
"""Nats a token that are never a mistake."""
QUESTIONS = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check came to."""

    attention: Attention | None
    """How to make masks; None where packing is not possible."""
    difference: float | None
    """Largest difference in the loss of a token, in nats."""
    reason: str
    """Why rows are padded; empty where they are packed."""


def check(model: Any, groups: Sequence[Group], normaliser: str, room: Room, pad: int, device: str) -> Finding:
    """Compare on the longest questions, filling one row as long as the run's rows will be, so that windows show."""
    if getattr(model.config, "is_encoder_decoder", False):
        return Finding(None, None, "an encoder-decoder student")
    chosen = _sample(groups, room)
    grouped = branches(chosen, normaliser)
    try:
        attention = attention_of(model)
        change = _change(model, grouped, attention, pad, device)
        if not change.is_rounding(_tolerance(model)):
            return Finding(None, change.largest, f"packed rows change its losses by {change.largest:.2g} nats")
    except NotPackable as error:
        return Finding(None, None, str(error))
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        # What a model raises that was never made for masks of this kind is not ours to foresee.
        return Finding(None, None, f"it refuses packed rows ({' '.join(str(error).split())[:120]})")
    if device.startswith("cuda"):
        row = packed_row([grow(group) for group in grouped])

        def exact(other: Attention) -> bool:
            return _change(model, grouped, other, pad, device).is_rounding(_tolerance(model))

        attention = sparser(model, row, attention, exact)
    return Finding(attention, change.largest, "")


def _sample(groups: Sequence[Group], room: Room) -> list[Group]:
    """The longest question and others in their order, until a row is full."""
    longest = max(groups, key=lambda group: max(example.length for example in group.examples))
    chosen, (size, places) = [longest], _needs(longest)
    for group in groups[:QUESTIONS]:
        length, counted = _needs(group)
        if group is not longest and size + length <= room.tokens and places + counted <= room.places:
            chosen.append(group)
            size, places = size + length, places + counted
    return chosen


def _needs(group: Group) -> tuple[int, int]:
    """Tokens and logits of a question."""
    examples = group.examples
    return sum(one.length for one in examples), sum(sum(map(bool, one.weights)) for one in examples)


def _tolerance(model: Any) -> float:
    return TOLERANCE.get(getattr(model, "dtype", torch.float32), max(TOLERANCE.values()))


@dataclass(frozen=True, slots=True)
class Change:
    """Token losses of one packed row against those of every example on its own, in nats; infinite for no number."""

    largest: float
    mean: float
    """Root of the mean square: half precision moves single tokens by much, but never all of them."""
    blind: float
    """The same when every token of the row sees itself alone: what a mistake of the mask can do at all."""

    def is_rounding(self, share: float) -> bool:
        """Whether it is too small for a mistake."""
        return isfinite(self.mean) and self.mean <= max(ROUNDING, share * self.blind)


def _change(model: Any, grouped: list[list[Branch]], attention: Attention, pad: int, device: str) -> Change:
    row = packed_row([grow(group) for group in grouped])
    alone = replace(row, exits_T=torch.arange(1, row.size + 1))
    # A trie sorts its branches; so must we, to compare token by token.
    plain = [padded_row([branch], pad) for group in grouped for branch in sorted(group, key=lambda one: one.ids)]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            wanted = _losses(model, plain, None, device)
            packed, blind = (_losses(model, [one], attention, device) - wanted for one in (row, alone))
    finally:
        model.train(was_training)
    return Change(*(_number(value) for value in (packed.abs().max(), _root(packed), _root(blind))))


def _root(differences_N: Tensor) -> Tensor:
    return differences_N.square().mean().sqrt()


def _number(value: Tensor) -> float:
    return float(value.nan_to_num(nan=float("inf")))


def _losses(model: Any, rows: Iterable[Row], attention: Attention | None, device: str) -> Tensor:
    found = []
    for row in rows:
        there = to_device(row, device)
        found.append(token_losses(logits(model, there, attention), there.targets_N))
    return torch.cat(found)
