"""How a step's examples are cut into rows, and which process runs which. Pure Python, knows no tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from editctl.train.engine.trie import Branch, Trie

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one row may hold. An item that is larger than a row gets a row of its own."""

    tokens: int
    """Tokens of a forward pass, padding included."""
    places: int
    """Places of a forward pass whose logits are computed: logits take places x vocabulary numbers."""


def packed_rows(tries: Sequence[Trie], room: Room, processes: int = 1) -> list[list[Trie]]:
    """Whole tries into rows, largest first, each into the first row with room for it.

    With several processes rows are kept small enough that each of them gets one.
    """
    share = ceil(sum(len(trie.ids) for trie in tries) / processes)
    longest = max((len(trie.ids) for trie in tries), default=0)
    tokens = min(room.tokens, max(share, longest))
    rows: list[list[Trie]] = []
    left: list[tuple[int, int]] = []
    for trie in sorted(tries, key=lambda trie: -len(trie.ids)):
        size, places = len(trie.ids), trie.places
        fits = (row for row, (free, open_) in enumerate(left) if size <= free and places <= open_)
        row = next(fits, None)
        if row is None:
            rows.append([trie])
            left.append((tokens - size, room.places - places))
        else:
            rows[row].append(trie)
            left[row] = (left[row][0] - size, left[row][1] - places)
    return rows


def padded_rows(branches: Sequence[Branch], room: Room, processes: int = 1) -> list[list[Branch]]:
    """Examples of like length together, each row padded to its longest."""
    tokens = room.tokens
    if processes > 1:  # one process has nobody to leave rows to, and padding makes rows longer than their tokens
        share = ceil(sum(len(branch.ids) for branch in branches) / processes)
        tokens = min(tokens, max(share, max((len(branch.ids) for branch in branches), default=0)))
    rows: list[list[Branch]] = []
    for branch in sorted(branches, key=lambda branch: -len(branch.ids)):
        if rows and _fits(rows[-1], branch, tokens, room.places):
            rows[-1].append(branch)
        else:
            rows.append([branch])
    return rows


def apart_rows(branches: Sequence[Branch], room: Room, processes: int = 1) -> list[list[Branch]]:
    """Examples whose prompts are read apart from their targets; both sides are padded to their longest.

    Logits of all places of the targets count: such models compute them all.
    """
    tokens = room.tokens
    if processes > 1:
        longest = max((len(branch.ids) for branch in branches), default=0)
        tokens = min(tokens, max(ceil(sum(len(branch.ids) for branch in branches) / processes), longest))
    rows: list[list[Branch]] = []
    for branch in sorted(branches, key=lambda branch: (-branch.border, -len(branch.ids))):
        row = [*(rows[-1] if rows else ()), branch]
        read, held = max(one.border for one in row), max(len(one.ids) - one.border for one in row)
        if len(row) > 1 and len(row) * (read + held) <= tokens and len(row) * held <= room.places:
            rows[-1] = row
        else:
            rows.append([branch])
    return rows


def _fits(row: Sequence[Branch], branch: Branch, tokens: int, places: int) -> bool:
    rows = len(row) + 1
    counted = sum(sum(map(bool, one.coefficients)) for one in (*row, branch))
    return rows * len(row[0].ids) <= tokens and rows * min(counted, len(row[0].ids)) <= places


def dealt(rows: Sequence[T], process: int, processes: int, empty: Callable[[], T]) -> list[T]:
    """The rows of one process. All run equally many: sharded models exchange weights in every forward pass, and a
    process that ran fewer would leave the others waiting for ever."""
    own = list(rows[process::processes])
    return own + [empty() for _ in range(ceil(len(rows) / processes) - len(own))]
