"""Numbers instead of dice: mixed-radix digits and keyed permutations. Knows no question and no task."""

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_ROUNDS = 3


class Draw:
    """Takes mixed-radix digits off a number: the same draws from different numbers differ somewhere.

    The number must lie below the product of all radices drawn.
    """

    __slots__ = ("_rest",)

    def __init__(self, code: int) -> None:
        self._rest = code

    def below(self, radix: int) -> int:
        """A whole number in [0, radix)."""
        self._rest, digit = divmod(self._rest, radix)
        return digit

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        self._rest, digit = divmod(self._rest, len(items))
        return items[digit]

    def arrange(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items in some order; draws from `math.perm(len(items), count)` possibilities."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]


class Permutation:
    """A keyed bijection of [0, size), any size: a Feistel network on two unequal halves, with cycle walking.

    Source: Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (CT-RSA 2002), generalised Feistel.
    """

    def __init__(self, size: int, key: str) -> None:
        self.size = size
        self._left = math.isqrt(max(size - 1, 0)) + 1
        self._right = max(-(-size // self._left), 1)
        self._half = max(32, 2 * self._left.bit_length())
        self._mask = (1 << 2 * self._half) - 1
        width = self._half // 4 + 1
        stream = hashlib.shake_256(f"{key}/{size}".encode()).digest(4 * _ROUNDS * width)
        keys = [int.from_bytes(stream[at : at + width]) for at in range(0, len(stream), width)]
        self._keys = tuple(
            (keys[at], keys[at + 1] | 1, keys[at + 2], keys[at + 3] | 1) for at in range(0, len(keys), 4)
        )

    def __call__(self, index: int) -> int:
        """Where `index` goes. Raises IndexError outside [0, size)."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        left_size, right_size, mask, half = self._left, self._right, self._mask, self._half
        while True:
            left, right = divmod(index, right_size)
            for add, times, add_back, times_back in self._keys:
                mixed = (right + add) * times & mask
                left = (left + (((mixed ^ mixed >> half) * times & mask) >> half)) % left_size
                mixed = (left + add_back) * times_back & mask
                right = (right + (((mixed ^ mixed >> half) * times_back & mask) >> half)) % right_size
            index = left * right_size + right
            if index < self.size:
                return index
