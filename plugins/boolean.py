"""Toy task `boolean`: nested expressions of truth values and comparisons, in the spirit of BIG-Bench Hard."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

from editctl.interfaces import Puzzle
from editctl.numbering import Draw
from editctl.options import option
from editctl.toytasks import check_range, conclude, first_slip

NEEDED = {"and": 2, "or": 1}
"""How many of two values must be True."""
ASKED = {">": "larger", "<": "smaller"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BooleanOptions:
    """How deep."""

    difficulty: int = option(1, "1 to 8: 2 nested brackets and one more per level")

    def __post_init__(self) -> None:
        check_range("difficulty", self.difficulty, 1, 8)


class Atom(NamedTuple):
    """`True`, `False`, or a comparison of two digits."""

    text: str
    value: bool
    first: str = ""
    """First number of a comparison; empty for a constant."""
    sign: str = ""


class Level(NamedTuple):
    """One bracket: what is inside, joined with one more atom, perhaps negated as a whole."""

    word: str
    atom: Atom
    atom_first: bool
    negated: bool


class Slip(NamedTuple):
    """What goes wrong at one bracket, or (`level` -1) at the innermost atom."""

    level: int
    what: str
    number: int = 0
    """The wrong number of True values, for `counted`."""


class Boolean:
    """Nested boolean expressions of True, False and comparisons."""

    description = "Evaluate the boolean expression, innermost bracket first."
    patterns: tuple[str, ...] = ("logical", "knowledge", "calculation")
    Options = BooleanOptions

    def size(self, options: Any) -> int:
        """Which atoms compare, what they say, and word, side and negation of each bracket."""
        levels = _depth(options)
        layouts = _layouts(levels + 1)
        compared = sum(layouts[0])
        atoms = len(_comparisons()) ** compared * 2 ** (levels + 1 - compared)
        return int(len(layouts) * atoms * 4 * 8 ** (levels - 1))

    def puzzle(self, options: Any, code: int) -> Puzzle:
        """The question of a number."""
        return _worked(options, code)[2]

    def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
        """A chain with one evaluation gone wrong."""
        inner, levels, puzzle = _worked(options, code)
        slips = _SLIPS[pattern]
        for group in slips(inner, levels):
            found = first_slip(group, chance, lambda slip: _tell(inner, levels, slip), puzzle.answer)
            if found:
                return found
        return None


def _depth(options: BooleanOptions) -> int:
    return 2 + options.difficulty


@lru_cache(maxsize=1)
def _comparisons() -> tuple[Atom, ...]:
    pairs = [(first, second) for first in range(10) for second in range(10) if first != second]
    return tuple(
        Atom(f"{first} {sign} {second}", (first > second) == (sign == ">"), str(first), sign)
        for sign in ASKED
        for first, second in pairs
    )


CONSTANTS = (Atom("True", True), Atom("False", False))


@lru_cache(maxsize=16)
def _layouts(atoms: int) -> tuple[tuple[bool, ...], ...]:
    """Which atoms are comparisons: half of them, in every arrangement."""
    chosen = combinations(range(atoms), atoms // 2)
    return tuple(tuple(at in places for at in range(atoms)) for places in chosen)


@lru_cache(maxsize=8)
def _worked(options: BooleanOptions, code: int) -> tuple[Atom, tuple[Level, ...], Puzzle]:
    """What a number stands for, and its puzzle: teachers ask for the slips right after the question."""
    draw = Draw(code)
    inner, *atoms = [
        draw.pick(_comparisons() if compares else CONSTANTS) for compares in draw.pick(_layouts(_depth(options) + 1))
    ]
    words = tuple(NEEDED)
    # The innermost bracket draws no side: both orders of its two atoms are drawn already.
    levels = tuple(
        Level(draw.pick(words), atom, at > 0 and draw.below(2) == 1, draw.below(2) == 1)
        for at, atom in enumerate(atoms)
    )
    return inner, levels, _puzzle(inner, levels)


def _puzzle(inner: Atom, levels: Sequence[Level]) -> Puzzle:
    text = inner.text
    for level in levels:
        left, right = (level.atom.text, text) if level.atom_first else (text, level.atom.text)
        text = f"{'not ' if level.negated else ''}( {left} {level.word} {right} )"
    pieces = _tell(inner, levels, None)
    return Puzzle(question=f"{text} is True or False?", answer=pieces[-2], right=pieces, kind="boolean")


def _tell(inner: Atom, levels: Sequence[Level], slip: Slip | None) -> tuple[str, ...]:
    pieces: list[str] = []
    slip = slip or Slip(-2, "")
    value = _say_atom(pieces, inner, slip.what if slip.level == -1 else "")
    for at, level in enumerate(levels):
        value = _say_level(pieces, level, value, slip if slip.level == at else Slip(-2, ""))
    return (*pieces, *conclude(str(value)))


def _say_level(pieces: list[str], level: Level, inside: bool, slip: Slip) -> bool:
    start = len(pieces)
    atom = _say_atom(pieces, level.atom, slip.what)
    count = slip.number if slip.what == "counted" else inside + atom
    needed, value = _rule(level.word, count, slip.what)
    value = value != (slip.what == "inferred")
    left, right = (atom, inside) if level.atom_first else (inside, atom)
    pieces += (
        str(left), f" {level.word} ", str(right), " has ", str(count), f" True, {level.word} needs ", needed,
        ": ", str(value), ". ",
    )  # fmt: skip
    if level.negated:
        value = _say_not(pieces, value, slip.what)
    if slip.what == "skipped":
        pieces[start:] = [""] * (len(pieces) - start)
        return inside
    return value


def _rule(word: str, count: int, what: str) -> tuple[str, bool]:
    """What a word asks of two values of which `count` are True, and whether they meet it."""
    needed = NEEDED[word]
    if what == "narrow":
        return ("exactly 1", count == 1) if word == "or" else ("2 alike", count != 1)
    if what == "word":
        needed = 3 - needed
    return str(needed), count >= needed


def _say_atom(pieces: list[str], atom: Atom, what: str) -> bool:
    if not atom.sign:
        return atom.value
    asked, value = ASKED[atom.sign], atom.value
    if what == "sign":
        asked, value = ASKED["<" if atom.sign == ">" else ">"], not value
    elif what == "compared":
        value = not value
    pieces += (atom.text, f" asks if {atom.first} is ", asked, ": ", str(value), ". ")
    return value


def _say_not(pieces: list[str], value: bool, what: str) -> bool:
    if what == "not skipped":
        pieces += [""] * 6
        return value
    kept = what == "not"
    said = "the same" if kept else "the opposite"
    pieces += ("not ", str(value), " is ", said, ": ", str(value if kept else not value))
    pieces[-1] += ". "
    return value if kept else not value


Slips = list[list[Slip]]
"""Groups of slips, the ones to try first in front."""


def _logical(inner: Atom, levels: Sequence[Level]) -> Slips:
    """A bracket or a `not` left out, or a conclusion that doesn't follow from what was just said."""
    slips = [Slip(at, what) for at in range(len(levels)) for what in ("skipped", "inferred")]
    return [slips + [Slip(at, "not skipped") for at, level in enumerate(levels) if level.negated]]


def _knowledge(inner: Atom, levels: Sequence[Level]) -> Slips:
    """`or` taken for `and` or for one of both, `and` for both alike, `>` for `<`, or `not` for nothing."""
    slips = [Slip(at, what) for at in range(len(levels)) for what in ("word", "narrow")]
    slips += [Slip(at, "not") for at, level in enumerate(levels) if level.negated]
    return [slips + _at_comparisons(inner, levels, "sign")]


def _calculation(inner: Atom, levels: Sequence[Level]) -> Slips:
    """Two numbers compared wrongly, or the True values miscounted: by one where that does it."""
    near: list[Slip] = _at_comparisons(inner, levels, "compared")
    far: list[Slip] = []
    value = inner.value
    for at, level in enumerate(levels):
        right, needed = value + level.atom.value, NEEDED[level.word]
        for count in range(3):
            if (count >= needed) != (right >= needed):
                (near if abs(count - right) == 1 else far).append(Slip(at, "counted", count))
        value = (right >= needed) != level.negated
    return [near, far]


def _at_comparisons(inner: Atom, levels: Sequence[Level], what: str) -> list[Slip]:
    atoms = [inner, *(level.atom for level in levels)]
    return [Slip(at, what) for at, atom in enumerate(atoms, -1) if atom.sign]


_SLIPS = {"logical": _logical, "knowledge": _knowledge, "calculation": _calculation}
