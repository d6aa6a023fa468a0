"""A step's questions -> rows of tensors. The collator's contract: groups of whole questions in, one Step out.

A row is what one forward pass takes. How examples are laid out in rows is this file's business alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editctl.train.groups import Group, Weighted
from editctl.train.loss import coefficients


@dataclass(frozen=True, slots=True)
class Row:
    """One forward pass: B examples padded to T tokens on the right, and the N of their tokens that count.

    Only the K places from which such a token is predicted need logits; a token that does not count has no part in
    the loss at all, so that not even an infinite logit can spoil it.
    """

    ids_BT: Tensor
    mask_BT: Tensor
    """1 for real tokens."""
    places_K: Tensor
    """Places from which a token that counts is predicted in any of the examples, ascending."""
    picked_N: Tensor
    """Where the tokens' logits stand among the B x K of the row."""
    targets_N: Tensor
    """The tokens themselves."""
    coefficients_N: Tensor
    """What their losses are multiplied by; never 0."""
    wrong_N: Tensor
    """True for tokens of the wrong side."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: its rows and its questions."""

    rows: tuple[Row, ...]
    question_ids: tuple[str, ...]
    tokens: int


class Collator:
    """Lays out a step's groups in rows of at most `row_tokens` tokens, padding included."""

    def __init__(self, normaliser: str, pad: int, row_tokens: int) -> None:
        self.normaliser = normaliser
        self.pad = pad
        self.row_tokens = row_tokens

    def __call__(self, groups: Sequence[Group]) -> dict[str, Any]:
        """The step under the key `step`: what a data loader hands on must be a mapping."""
        weights = coefficients(groups, self.normaliser)
        pairs = [
            (example, scale)
            for group, scales in zip(groups, weights, strict=True)
            for example, scale in zip(group.examples, scales, strict=True)
        ]
        rows = [self._row(chunk) for chunk in self._chunks(pairs)]
        tokens = sum(example.length for example, _ in pairs)
        return {"step": Step(tuple(rows), tuple(group.question_id for group in groups), tokens)}

    def _chunks(self, pairs: list[tuple[Weighted, list[float]]]) -> list[list[tuple[Weighted, list[float]]]]:
        """Examples of like length together; a row ends before it would pass the budget."""
        chunks: list[list[tuple[Weighted, list[float]]]] = []
        for pair in sorted(pairs, key=lambda pair: -pair[0].length):
            if chunks and (len(chunks[-1]) + 1) * chunks[-1][0][0].length <= self.row_tokens:
                chunks[-1].append(pair)
            else:
                chunks.append([pair])
        return chunks

    def _row(self, chunk: list[tuple[Weighted, list[float]]]) -> Row:
        width = chunk[0][0].length
        ids = torch.full((len(chunk), width), self.pad, dtype=torch.long)
        mask = torch.zeros((len(chunk), width), dtype=torch.long)
        scales = torch.zeros((len(chunk), width), dtype=torch.float32)
        for number, (example, scale) in enumerate(chunk):
            ids[number, : example.length] = torch.tensor(example.prompt + example.target)
            mask[number, : example.length] = 1
            scales[number, len(example.prompt) : example.length] = torch.tensor(scale)
        wrong = torch.tensor([example.wrong for example, _ in chunk])
        return _pick(ids, mask, scales, wrong)


def _pick(ids_BT: Tensor, mask_BT: Tensor, scales_BT: Tensor, wrong_B: Tensor) -> Row:
    """A row from its tokens and their coefficients. The token at place p is predicted from place p - 1."""
    scales_BS = scales_BT[:, 1:]  # nothing predicts the first token
    places_K = scales_BS.any(dim=0).nonzero()[:, 0]
    scales_BK = scales_BS[:, places_K]
    picked_N = scales_BK.flatten().nonzero()[:, 0]
    return Row(
        ids_BT=ids_BT,
        mask_BT=mask_BT,
        places_K=places_K,
        picked_N=picked_N,
        targets_N=ids_BT[:, places_K + 1].flatten()[picked_N],
        coefficients_N=scales_BK.flatten()[picked_N],
        wrong_N=wrong_B[:, None].expand_as(scales_BK).flatten()[picked_N],
    )
