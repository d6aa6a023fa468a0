"""Toy task `chain`: digit arithmetic in a chain, of which only the last digit goes on."""

import operator
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from editctl.interfaces import Puzzle
from editctl.numbering import Draw
from editctl.options import option
from editctl.toytasks import check_range, conclude, first_slip

ORDERS = {"+": "add", "-": "subtract", "*": "multiply by"}
DO = {"+": operator.add, "-": operator.sub, "*": operator.mul}
CONFUSED = {"+": "*", "*": "+", "-": "+"}
"""Which operation is taken for which."""
PIECES = 9
"""Pieces that one step has: label, digit, sign, operand, equals, result, keep, digit, stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOptions:
    """How long and how big."""

    difficulty: int = option(1, "1 to 8: 4 steps and one more per level")
    digits: int = option(1, "digits of each operand, 1 or 2")

    def __post_init__(self) -> None:
        check_range("difficulty", self.difficulty, 1, 8)
        check_range("digits", self.digits, 1, 2)


class Move(NamedTuple):
    """One step of the question."""

    sign: str
    operand: int


class Slip(NamedTuple):
    """What goes wrong in one step; the step that has nothing of it is right."""

    step: int
    skipped: bool = False
    stale: bool = False
    """Goes on from the digit before the last one."""
    sign: str | None = None
    offset: int = 0
    first_digit: bool = False
    """Keeps the first digit of the result."""


class Chain:
    """Digit arithmetic in a chain: add, subtract, multiply, keep the last digit."""

    description = "Digit arithmetic, step by step, signs dropped."
    patterns: tuple[str, ...] = ("logical", "knowledge", "calculation")
    Options = ChainOptions

    def size(self, options: Any) -> int:
        """Nine starts, then any move at each step."""
        return int(9 * len(_moves(options.digits)) ** _steps(options))

    def puzzle(self, options: Any, code: int) -> Puzzle:
        """The question of a number."""
        return _worked(options, code)[2]

    def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
        """A chain with one step gone wrong."""
        start, moves, puzzle = _worked(options, code)
        right = puzzle.right
        slips = _SLIPS[pattern]
        return first_slip(slips(moves, right), chance, lambda slip: _tell(start, moves, slip), right[-2])


@lru_cache(maxsize=4)
def _moves(digits: int) -> tuple[Move, ...]:
    numbers = range(10 ** (digits - 1), 10**digits)
    return tuple(Move(sign, number) for sign in ORDERS for number in numbers if (sign, number) != ("*", 1))


def _steps(options: ChainOptions) -> int:
    return 4 + options.difficulty


@lru_cache(maxsize=8)
def _worked(options: ChainOptions, code: int) -> tuple[int, tuple[Move, ...], Puzzle]:
    """What a number stands for, and its puzzle: teachers ask for the slips right after the question."""
    draw = Draw(code)
    known = _moves(options.digits)
    start = 1 + draw.below(9)
    moves = tuple(draw.pick(known) for _ in range(_steps(options)))
    steps = [f"Step {at}: {ORDERS[sign]} {operand}. " for at, (sign, operand) in enumerate(moves, 1)]
    right = _tell(start, moves, None)
    question = f"Start with {start}. {''.join(steps)}Keep the last digit each time. What is left?"
    return start, moves, Puzzle(question=question, answer=right[-2], right=right, kind="number")


def _tell(start: int, moves: Sequence[Move], slip: Slip | None) -> tuple[str, ...]:
    pieces: list[str] = []
    before = value = start
    for at, (sign, operand) in enumerate(moves):
        if slip is None or slip.step != at:
            result = DO[sign](value, operand)
            before, kept = value, abs(result) % 10
        elif slip.skipped:
            pieces += [""] * PIECES
            continue
        else:
            value = before if slip.stale else value
            sign = slip.sign or sign
            result = DO[sign](value, operand) + slip.offset
            before, kept = value, _kept(result, slip)
        pieces += (
            f"Step {at + 1}: ", str(value), f" {sign} ", str(operand), " = ", str(result), ", keep ", str(kept), ". ",
        )  # fmt: skip
        value = kept
    return (*pieces, *conclude(str(value)))


def _kept(result: int, slip: Slip) -> int:
    return int(str(abs(result))[0]) if slip.first_digit else abs(result) % 10


def _logical(moves: Sequence[Move], right: Sequence[str]) -> list[Slip]:
    """A step left out, or one that goes on from the digit before the last one."""
    steps = range(len(moves))
    return [Slip(at, skipped=True) for at in steps] + [Slip(at, stale=True) for at in steps[1:]]


def _knowledge(moves: Sequence[Move], right: Sequence[str]) -> list[Slip]:
    """An operation taken for another, or the first digit taken for the last one."""
    slips = [Slip(at, sign=CONFUSED[move.sign]) for at, move in enumerate(moves)]
    return slips + [Slip(at, first_digit=True) for at in range(len(moves)) if len(right[PIECES * at + 5]) > 1]


def _calculation(moves: Sequence[Move], right: Sequence[str]) -> list[Slip]:
    """A result that is one off, or a product from the neighbouring row of the table."""
    slips = [Slip(at, offset=offset) for at in range(len(moves)) for offset in (-1, 1)]
    for at, move in enumerate(moves):
        value = int(right[PIECES * at + 1])
        if move.sign == "*" and value > 1:
            slips += (Slip(at, offset=-value), Slip(at, offset=value))
    return slips


_SLIPS = {"logical": _logical, "knowledge": _knowledge, "calculation": _calculation}
