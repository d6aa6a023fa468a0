"""Toy task `chain`: digit arithmetic in a chain, of which only the last digit goes on.

Also written as a program, as equations, and in the three sections of the kpdd formats (see docs/formats.md).
"""

import operator
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from editctl.interfaces import Puzzle
from editctl.numbering import Draw
from editctl.options import option
from editctl.toytasks import check_range, conclude, first_place, first_slip

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


class Told(NamedTuple):
    """One step of a chain, right or wrong."""

    at: int
    """Number of the step, from 1."""
    source: int
    """The step whose digit it goes on from; 0 is the start."""
    value: int
    sign: str
    operand: int
    result: int
    """As the chain has it, wrong where it is miscalculated."""
    kept: int
    first_digit: bool


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
    formats: tuple[str, ...] = ("pot", "eot", "kpdd-cot", "kpdd-pot")
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

    def sections(
        self, options: Any, code: int, format: str, pattern: str | None, chance: random.Random
    ) -> Mapping[str, str] | None:
        """The right chain in a format, or the wrong one that `slip` makes of the same pattern by the same chance.

        None where there is none: in a program the interpreter calculates, and does not slip.
        """
        start, moves, puzzle = _worked(options, code)
        slip = None
        if pattern is not None:
            right = puzzle.right
            found = first_place(
                _SLIPS[pattern](moves, right), chance, lambda slip: _tell(start, moves, slip), right[-2]
            )
            if found is None or (pattern == "calculation" and format in ("pot", "kpdd-pot")):
                return None
            slip = found[0]
        steps = _follow(start, moves, slip)
        if format == "eot":
            return {"equations": _equations(start, steps)}
        if format == "pot":
            return {"program": _program(start, steps)}
        words = "".join(_tell(start, moves, slip)) if format == "kpdd-cot" else _program(start, steps)
        return {"core": CORE, "information": _information(start, moves), "solution": words}


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


def _follow(start: int, moves: Sequence[Move], slip: Slip | None) -> list[Told]:
    """The steps of a chain; one that is skipped is not among them."""
    told: list[Told] = []
    source = former = 0
    before = value = start
    for at, (sign, operand) in enumerate(moves, 1):
        if slip is None or slip.step != at - 1:
            result = DO[sign](value, operand)
            one = Told(at, source, value, sign, operand, result, abs(result) % 10, False)
        elif slip.skipped:
            continue
        else:
            source, value = (former, before) if slip.stale else (source, value)
            sign = slip.sign or sign
            result = DO[sign](value, operand) + slip.offset
            one = Told(at, source, value, sign, operand, result, _kept(result, slip), slip.first_digit)
        told.append(one)
        former, before, source, value = source, value, at, one.kept
    return told


def _tell(start: int, moves: Sequence[Move], slip: Slip | None) -> tuple[str, ...]:
    pieces = [""] * (PIECES * len(moves))
    kept = start
    for at, _, value, sign, operand, result, kept, _ in _follow(start, moves, slip):
        pieces[PIECES * (at - 1) : PIECES * at] = (
            f"Step {at}: ", str(value), f" {sign} ", str(operand), " = ", str(result), ", keep ", str(kept), ". ",
        )  # fmt: skip
    return (*pieces, *conclude(str(kept)))


def _program(start: int, steps: Sequence[Told]) -> str:
    lines = [f"d0 = {start}"]
    for one in steps:
        kept = f"int(str(abs(r{one.at}))[0])" if one.first_digit else f"abs(r{one.at}) % 10"
        lines += [f"r{one.at} = d{one.source} {one.sign} {one.operand}", f"d{one.at} = {kept}"]
    return "\n".join([*lines, f"ans = {_last(steps)}"])


def _equations(start: int, steps: Sequence[Told]) -> str:
    """There is no last digit in equations: what is not kept is taken away, where a calculation can go wrong."""
    lines = ["% the start", f"d0 = {start}"]
    for one in steps:
        lines += [f"% step {one.at}", f"r{one.at} = d{one.source} {one.sign} {one.operand}", _digit(one)]
    return "\n".join([*lines, f"ans = {_last(steps)}"])


def _digit(one: Told) -> str:
    result = DO[one.sign](one.value, one.operand)
    name = f"r{one.at}" if result >= 0 else f"-r{one.at}"
    tens = 10 ** (len(str(abs(result))) - 1) if one.first_digit else 1
    away = abs(result) - one.kept * tens
    rest = f"{name} - {away}" if away >= 0 else f"{name} + {-away}"
    rest = rest if away else name
    return f"d{one.at} = ({rest}) / {tens}" if tens > 1 else f"d{one.at} = {rest}"


def _last(steps: Sequence[Told]) -> str:
    return f"d{steps[-1].at}" if steps else "d0"


CORE = "Which digit is left after the last step?"


def _information(start: int, moves: Sequence[Move]) -> str:
    orders = ", then ".join(f"{ORDERS[sign]} {operand}" for sign, operand in moves)
    return f"The start is {start}. The steps are: {orders}. After each step its last digit is kept, without a sign."


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
