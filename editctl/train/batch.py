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
    """One forward pass: B examples padded to T tokens."""

    ids_BT: Tensor
    mask_BT: Tensor
    """1 for real tokens."""
    coefficients_BT: Tensor
    """What the loss of predicting token t+1 from token t is multiplied by; (B, T-1)."""
    wrong_B: Tensor
    """True for examples of the wrong side."""


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
        width = max(example.length for example, _ in chunk)
        ids = torch.full((len(chunk), width), self.pad, dtype=torch.long)
        mask = torch.zeros((len(chunk), width), dtype=torch.long)
        scales = torch.zeros((len(chunk), width - 1), dtype=torch.float32)
        for number, (example, scale) in enumerate(chunk):
            ids[number, : example.length] = torch.tensor(example.prompt + example.target)
            mask[number, : example.length] = 1
            first = len(example.prompt)
            scales[number, max(first - 1, 0) : example.length - 1] = torch.tensor(
                scale[-(example.length - max(first, 1)) :]
            )
        return Row(ids, mask, scales, torch.tensor([example.wrong for example, _ in chunk]))
