"""A step's questions -> rows of tensors. The collator's contract: groups of whole questions in, one Step out.

A row is what one forward pass takes: a packed row of tries, or padded examples where a model can't take masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from editctl.train.engine.groups import Group
from editctl.train.engine.layout import Room, apart_rows, dealt, packed_rows, padded_rows
from editctl.train.engine.loss import coefficients
from editctl.train.engine.trie import Branch, Trie, grow, join


@dataclass(frozen=True, slots=True)
class Row:
    """One forward pass: B examples padded to T tokens on the right, or (B = 1) tries packed into T tokens.

    Only the K places from which a token that counts is predicted need logits; a token that does not count has no part
    in the loss at all, so that not even an infinite logit can spoil it.
    """

    ids_BT: Tensor
    mask_BT: Tensor | None
    """1 for real tokens; None for a packed row."""
    depths_T: Tensor | None
    """Position ids of a packed row."""
    exits_T: Tensor | None
    """Of a packed row: where each token's descendants end (see trie.py)."""
    places_K: Tensor
    """Places from which a token that counts is predicted in any of the examples, ascending; at least one."""
    picked_N: Tensor
    """Where the tokens' logits stand among the B x K of the row."""
    targets_N: Tensor
    """The tokens themselves."""
    coefficients_N: Tensor
    """What their losses are multiplied by; never 0."""
    wrong_N: Tensor
    """True for tokens of the wrong side."""
    plain: bool
    """Every logit that is computed serves one target, in their order: there is nothing to pick."""
    read_BR: Tensor | None = None
    """What an encoder reads, R tokens, padded on the right; `ids_BT` are then what its decoder is given."""
    read_mask_BR: Tensor | None = None
    """1 for real tokens of these."""

    @property
    def size(self) -> int:
        """Tokens computed, padding included."""
        return int(self.ids_BT.numel() + (0 if self.read_BR is None else self.read_BR.numel()))


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step: one process's rows, and what all processes together see."""

    rows: tuple[Row, ...]
    question_ids: tuple[str, ...]
    """Questions of the whole step."""
    tokens: int
    """Tokens of the whole step's examples, each example on its own."""


class Collator:
    """Lays out a step's groups in rows and takes one process's share of them."""

    def __init__(
        self,
        normaliser: str,
        pad: int,
        room: Room,
        *,
        packed: bool = True,
        opening: tuple[int, ...] | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        """`packed`: tries in rows; else padded examples. Every process must be given the same groups.

        `opening`: of an encoder-decoder, what its decoder is given before the target.
        """
        self.normaliser = normaliser
        self.pad = pad
        self.room = room
        self.packed = packed
        self.opening = opening
        self.process = process
        self.processes = processes

    def __call__(self, groups: Sequence[Group]) -> dict[str, Any]:
        """The step under the key `step`: what a data loader hands on must be a mapping."""
        rows = self._rows(branches(groups, self.normaliser))
        tokens = sum(example.length for group in groups for example in group.examples)
        return {"step": Step(tuple(rows), tuple(group.question_id for group in groups), tokens)}

    def _rows(self, grouped: list[list[Branch]]) -> list[Row]:
        opening = self.opening
        if opening is not None:
            pairs = apart_rows([branch for group in grouped for branch in group], self.room, self.processes)
            return [apart_row(row, self.pad, opening) for row in dealt(pairs, self.process, self.processes, list)]
        if self.packed:
            tries = packed_rows([grow(group) for group in grouped], self.room, self.processes)
            return [packed_row(row) for row in dealt(tries, self.process, self.processes, list)]
        flat = [branch for group in grouped for branch in group]
        examples = padded_rows(flat, self.room, self.processes)
        return [padded_row(row, self.pad) for row in dealt(examples, self.process, self.processes, list)]


def branches(groups: Sequence[Group], normaliser: str) -> list[list[Branch]]:
    """The examples of a step with their coefficients, by question."""
    weights = coefficients(groups, normaliser)
    return [
        [
            Branch(example.prompt + example.target, len(example.prompt), tuple(scale), example.wrong)
            for example, scale in zip(group.examples, scales, strict=True)
        ]
        for group, scales in zip(groups, weights, strict=True)
    ]


def packed_row(tries: Sequence[Trie]) -> Row:
    """A row of tries; without any, a row that costs one token and whose loss is 0."""
    trie = join(tries) if tries else Trie([0], [0], [1], [], [], [], [])
    sources_N = torch.tensor(trie.sources, dtype=torch.long)
    places_K, picked_N = torch.unique(sources_N, return_inverse=True)
    return Row(
        ids_BT=torch.tensor([trie.ids]),
        mask_BT=None,
        depths_T=torch.tensor(trie.depths),
        exits_T=torch.tensor(trie.exits),
        places_K=places_K if trie.sources else torch.zeros(1, dtype=torch.long),
        picked_N=picked_N,
        targets_N=torch.tensor(trie.targets, dtype=torch.long),
        coefficients_N=torch.tensor(trie.coefficients, dtype=torch.float32),
        wrong_N=torch.tensor(trie.wrong, dtype=torch.bool),
        plain=_is_plain(picked_N, max(1, len(places_K))),
    )


def padded_row(examples: Sequence[Branch], pad: int) -> Row:
    """Examples padded on the right; without any, a row that costs one token and whose loss is 0.

    The token at place p is predicted from place p - 1.
    """
    width = max((len(example.ids) for example in examples), default=2)
    ids_BT = torch.full((max(1, len(examples)), width), pad, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    scales_BT = torch.zeros(ids_BT.shape, dtype=torch.float32)
    for number, example in enumerate(examples):
        length = len(example.ids)
        ids_BT[number, :length] = torch.tensor(example.ids)
        mask_BT[number, :length] = 1
        scales_BT[number, example.border : length] = torch.tensor(example.coefficients)
    mask_BT[:, 0] = 1
    wrong_B = torch.tensor([example.wrong for example in examples] or [False])
    return _pick(ids_BT, mask_BT, scales_BT, wrong_B)


def apart_row(examples: Sequence[Branch], pad: int, opening: tuple[int, ...]) -> Row:
    """Prompts for the encoder and, padded for themselves, the decoder's opening and targets."""
    targets = [Branch(opening + one.ids[one.border :], len(opening), one.coefficients, one.wrong) for one in examples]
    width = max((one.border for one in examples), default=1)
    read_BR = torch.full((max(1, len(examples)), width), pad, dtype=torch.long)
    mask_BR = torch.zeros_like(read_BR)
    for number, one in enumerate(examples):
        read_BR[number, : one.border] = torch.tensor(one.ids[: one.border])
        mask_BR[number, : one.border] = 1
    mask_BR[:, 0] = 1
    return replace(padded_row(targets, pad), read_BR=read_BR, read_mask_BR=mask_BR)


def _pick(ids_BT: Tensor, mask_BT: Tensor, scales_BT: Tensor, wrong_B: Tensor) -> Row:
    scales_BS = scales_BT[:, 1:]  # nothing predicts the first token
    places_K = scales_BS.any(dim=0).nonzero()[:, 0]
    places_K = places_K if len(places_K) else torch.zeros(1, dtype=torch.long)
    scales_BK = scales_BS[:, places_K]
    picked_N = scales_BK.flatten().nonzero()[:, 0]
    return Row(
        ids_BT=ids_BT[:, :-1],
        mask_BT=mask_BT[:, :-1],
        depths_T=None,
        exits_T=None,
        places_K=places_K,
        picked_N=picked_N,
        targets_N=ids_BT[:, places_K + 1].flatten()[picked_N],
        coefficients_N=scales_BK.flatten()[picked_N],
        wrong_N=wrong_B[:, None].expand_as(scales_BK).flatten()[picked_N],
        plain=_is_plain(picked_N, scales_BK.numel()),
    )


def _is_plain(picked_N: Tensor, logits: int) -> bool:
    """`logits`: how many are computed, at least the one of an empty row."""
    return bool(picked_N.tolist() == list(range(logits)))
