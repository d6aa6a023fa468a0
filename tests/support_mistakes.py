"""Mistakes that training code is known to make, each as a patch of the product: tests plant them and must see them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from editctl import tokens
from editctl.train.engine import batch, masks, trie
from editctl.train.engine.groups import Group
from editctl.train.engine.loss import coefficients
from editctl.train.engine.masks import FULL, Attention
from editctl.train.engine.trie import Trie
from tests import support_steps

Patch = Callable[[Any, str, Any], None]


def without_weights(patch: Patch) -> None:
    """Every target token of an example counts the same."""

    def ones(step: Sequence[Group], normaliser: str) -> Any:
        even = [
            replace(group, examples=tuple(replace(one, weights=(1.0,) * len(one.weights)) for one in group.examples))
            for group in step
        ]
        return coefficients(even, normaliser)

    patch(batch, "coefficients", ones)


def without_signs(patch: Patch) -> None:
    """The wrong side is imitated."""
    patch(
        batch,
        "coefficients",
        lambda step, normaliser: [[[*map(abs, one)] for one in each] for each in coefficients(step, normaliser)],
    )


def plain_causal(patch: Patch) -> None:
    """A token sees everything before it in the row."""
    patch(masks, "_seen", lambda kind, window, query, key, *_: key <= query)


def no_window(patch: Patch) -> None:
    """One mask for layers of all kinds."""
    patch(support_steps, "attention_of", lambda model: Attention({FULL: None}, "boolean"))


def window_in_places(patch: Patch) -> None:
    """The window of sliding layers is counted in places of the row."""
    seen = masks._seen

    def counted(kind: str, window: int | None, query: Any, key: Any, exit_: Any, *_: Any) -> Any:
        return seen(kind, window, query, key, exit_, query, key)

    patch(masks, "_seen", counted)


def window_too_wide(patch: Patch) -> None:
    """The window holds one token more."""
    seen = masks._seen
    patch(masks, "_seen", lambda kind, window, *rest: seen(kind, window and window + 1, *rest))


def places_as_positions(patch: Patch) -> None:
    """A token's position is its place in the row."""
    change_rows(patch, lambda row: replace(row, depths_T=torch.arange(row.size)))


def positions_not_reset(patch: Patch) -> None:
    """A trie's positions go on from those of the one before."""
    join = trie.join

    def joined(tries: Sequence[Trie]) -> Trie:
        whole, first = join(tries), 0
        for one in tries:
            whole.depths[first : first + len(one.ids)] = [depth + first for depth in one.depths]
            first += len(one.ids)
        return whole

    patch(batch, "join", joined)


def shift_by_one(patch: Patch) -> None:
    """Each target is predicted from itself rather than from what stands before it."""
    change_rows(patch, lambda row: replace(row, places_K=(row.places_K + 1).clamp(max=row.size - 1)))


def shuffled(patch: Patch) -> None:
    """The targets of a row are in another order than the places they are predicted from."""
    change_rows(patch, lambda row: replace(row, targets_N=row.targets_N.flip(0)))


def shuffled_ids(patch: Patch) -> None:
    """The tokens of a row are in another order than its mask."""
    change_rows(patch, lambda row: replace(row, ids_BT=row.ids_BT.flip(1)))


def change_rows(patch: Patch, change: Callable[[batch.Row], batch.Row]) -> None:
    """Rows come out of the collator changed."""
    made = batch.packed_row
    patch(batch, "packed_row", lambda tries: change(made(tries)))


def normaliser_of_rows(patch: Patch) -> None:
    """Each row is divided by what it holds itself."""

    def shares(row: batch.Row) -> batch.Row:
        return replace(row, coefficients_N=row.coefficients_N / row.coefficients_N.abs().sum())

    change_rows(patch, shares)


def tail_cut_short(patch: Patch) -> None:
    """The last weighted token goes with the tail that nobody needs."""
    weigh = tokens.weigh
    patch(
        tokens,
        "weigh",
        lambda example, codec: replace(
            weigh(example, codec),
            target=weigh(example, codec).target[:-1],
            weights=weigh(example, codec).weights[:-1],
        ),
    )


def mean_of_the_cut_target(patch: Patch) -> None:
    """The normaliser counts the tokens that are left rather than all of the target."""
    weigh = tokens.weigh
    patch(
        tokens,
        "weigh",
        lambda example, codec: replace(weigh(example, codec), whole=len(weigh(example, codec).target)),
    )
