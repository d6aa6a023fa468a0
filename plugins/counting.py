"""Toy task `counting`: how many things of one category, in the spirit of BIG-Bench Hard's object counting."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import perm
from typing import Any, NamedTuple

from editctl.interfaces import Puzzle
from editctl.numbering import Draw
from editctl.options import option
from editctl.toytasks import check_range, conclude, first_slip

NUMBERS = ("one", "two", "three", "four")
FRUITS = ("apple", "banana", "orange", "pear", "plum", "lemon", "fig", "melon")
VEGETABLES = ("carrot", "onion", "turnip", "leek", "beet", "parsnip", "cabbage", "yam")
BIRDS = ("duck", "robin", "eagle", "owl", "swan", "parrot", "hen", "penguin")
OTHER_FLIERS = ("bat", "bee", "moth", "wasp", "hornet", "beetle", "cricket", "locust")
MUSICAL = ("drum", "flute", "piano", "violin", "guitar", "trumpet", "harp", "banjo")
OTHER_INSTRUMENTS = (
    "thermometer",
    "telescope",
    "barometer",
    "microscope",
    "ruler",
    "clock",
    "radio",
    "scale",
)


class Category(NamedTuple):
    """What is counted, and what lies beside it: near enough to be taken for it."""

    name: str
    members: tuple[str, ...]
    lookalikes: tuple[str, ...]


CATEGORIES = (
    Category("fruit", FRUITS, VEGETABLES),
    Category("vegetable", VEGETABLES, FRUITS),
    Category("bird", BIRDS, OTHER_FLIERS),
    Category("musical instrument", MUSICAL, OTHER_INSTRUMENTS),
)
PIECES = 10
"""Pieces that one item has: kind, colon, its category, comma, total before, plus, number, equals, total, stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingOptions:
    """How many kinds of things."""

    difficulty: int = option(1, "1 to 8: 4 kinds of things and one more per level")

    def __post_init__(self) -> None:
        check_range("difficulty", self.difficulty, 1, 8)


class Item(NamedTuple):
    """Some things of one kind."""

    number: int
    noun: str
    counts: bool
    """Whether it belongs to the category."""


class Slip(NamedTuple):
    """What goes wrong at one item."""

    item: int
    what: str
    offset: int = 0


class Counting:
    """How many things of one category are there."""

    description = "Count the things that belong to the category."
    patterns: tuple[str, ...] = ("logical", "knowledge", "calculation")
    Options = CountingOptions

    def size(self, options: Any) -> int:
        """The category, then kinds without repetition, and the number of each."""
        kinds = _kinds(options)
        nouns = len(CATEGORIES[0].members) + len(CATEGORIES[0].lookalikes)
        return int(len(CATEGORIES) * perm(nouns, kinds) * len(NUMBERS) ** kinds)

    def puzzle(self, options: Any, code: int) -> Puzzle:
        """The question of a number."""
        return _worked(options, code)[2]

    def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
        """A chain with one item gone wrong."""
        category, items, puzzle = _worked(options, code)
        for slips in _SLIPS[pattern](items):
            found = first_slip(slips, chance, lambda slip: _tell(category.name, items, slip), puzzle.answer)
            if found:
                return found
        return None


def _kinds(options: CountingOptions) -> int:
    return 4 + options.difficulty


@lru_cache(maxsize=8)
def _worked(options: CountingOptions, code: int) -> tuple[Category, tuple[Item, ...], Puzzle]:
    """What a number stands for, and its puzzle: teachers ask for the slips right after the question."""
    draw = Draw(code)
    category = draw.pick(CATEGORIES)
    nouns = draw.arrange(category.members + category.lookalikes, _kinds(options))
    items = tuple(Item(1 + draw.below(len(NUMBERS)), noun, noun in category.members) for noun in nouns)
    *most, last = [f"{NUMBERS[item.number - 1]} {_plural(item)}" for item in items]
    pieces = _tell(category.name, items, None)
    question = f"I have {', '.join(most)} and {last}. How many {category.name}s do I have?"
    return category, items, Puzzle(question=question, answer=pieces[-2], right=pieces, kind="number")


def _plural(item: Item) -> str:
    return item.noun if item.number == 1 else f"{item.noun}s"


def _tell(category: str, items: Sequence[Item], slip: Slip | None) -> tuple[str, ...]:
    pieces: list[str] = []
    before = total = 0
    for at, item in enumerate(items):
        what = slip.what if slip is not None and slip.item == at else ""
        if what == "skipped":
            pieces += [""] * PIECES
            continue
        counts = item.counts != (what == "category")
        pieces += (
            f"{NUMBERS[item.number - 1]} {_plural(item)}",
            ": ",
            category if counts else f"no {category}",
            ", ",
        )
        if not counts:
            pieces += ("still ", "", "", "", str(total), ". ")
            continue
        start = before if what == "stale" else total
        number = item.number + (slip.offset if slip is not None and what == "number" else 0)
        before, total = total, start + number + (slip.offset if slip is not None and what == "sum" else 0)
        pieces += (str(start), " + ", str(number), " = ", str(total), ". ")
    return (*pieces, *conclude(str(total)))


Slips = list[list[Slip]]
"""Groups of slips, the ones to try first in front."""


def _counted(items: Sequence[Item]) -> list[int]:
    return [at for at, item in enumerate(items) if item.counts]


def _logical(items: Sequence[Item]) -> Slips:
    """A kind left out, or added to the total before the last one."""
    counted = _counted(items)
    return [[Slip(at, "skipped") for at in counted] + [Slip(at, "stale") for at in counted[1:]]]


def _knowledge(items: Sequence[Item]) -> Slips:
    """A kind that only looks like the category counted in; where there is none, a member left out."""
    lookalikes = [Slip(at, "category") for at, item in enumerate(items) if not item.counts]
    return [lookalikes, [Slip(at, "category") for at in _counted(items)]]


def _calculation(items: Sequence[Item]) -> Slips:
    """A number of things misread by one, or a sum that is one off."""
    counted = _counted(items)
    misread = [Slip(at, "number", offset) for at in counted for offset in (-1, 1) if items[at].number + offset]
    return [misread + [Slip(at, "sum", offset) for at in counted[1:] for offset in (-1, 1)]]


_SLIPS = {"logical": _logical, "knowledge": _knowledge, "calculation": _calculation}
