"""Toy task `swaps`: who holds what after some swaps, in the spirit of BIG-Bench Hard's shuffled objects."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import factorial, perm
from typing import Any, NamedTuple

from editctl.interfaces import Puzzle
from editctl.numbering import Draw
from editctl.options import option
from editctl.toytasks import check_range, conclude, first_slip

NAMES = ("Ann", "Bob", "Carl", "Dora", "Eve", "Finn", "Gus", "Hana")
THINGS = ("ball", "book", "drum", "flag", "kite", "lamp", "mug", "ring")
LETTERS = "ABCDEFGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapsOptions:
    """How many swaps and people."""

    difficulty: int = option(1, "1 to 8: 2 swaps and one more per level; 3 people and one more per two levels")

    def __post_init__(self) -> None:
        check_range("difficulty", self.difficulty, 1, 8)


class Scene(NamedTuple):
    """All there is to know of one question. People are numbers into `people`."""

    people: tuple[str, ...]
    things: tuple[str, ...]
    """What each holds at first."""
    swaps: tuple[tuple[int, int], ...]
    asked: int
    options: tuple[str, ...]
    """The things, in the order they are listed in."""


class Slip(NamedTuple):
    """What goes wrong at one swap."""

    swap: int
    what: str
    pair: tuple[int, int] = (0, 0)
    """The wrong pair, for `other`."""


class Swaps:
    """Who holds what after some swaps: a choice question."""

    description = "Follow the swaps and choose the option that is true at the end."
    patterns: tuple[str, ...] = ("logical", "knowledge")
    Options = SwapsOptions

    def size(self, options: Any) -> int:
        """Names, things, swaps (never the same pair twice running), who is asked for, order of the options."""
        people, swaps = _people(options), _swaps(options)
        pairs = people * (people - 1)
        starts = perm(len(NAMES), people) * perm(len(THINGS), people)
        return int(starts * pairs * (pairs - 2) ** (swaps - 1) * people * factorial(people))

    def puzzle(self, options: Any, code: int) -> Puzzle:
        """The question of a number."""
        return _worked(options, code)[1]

    def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
        """A chain with one swap gone wrong."""
        scene, puzzle = _worked(options, code)
        slips = _SLIPS[pattern](scene)
        return first_slip(slips, chance, lambda slip: _tell(scene, slip), puzzle.answer)


def _people(options: SwapsOptions) -> int:
    return 3 + (options.difficulty - 1) // 2


def _swaps(options: SwapsOptions) -> int:
    return 2 + options.difficulty


@lru_cache(maxsize=128)
def _pairs(people: int, but: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
    """Ordered pairs of different people, without one pair in both of its orders."""
    pairs = permutations(range(people), 2)
    return tuple(pair for pair in pairs if but is None or set(pair) != set(but))


@lru_cache(maxsize=8)
def _worked(options: SwapsOptions, code: int) -> tuple[Scene, Puzzle]:
    """What a number stands for, and its puzzle: teachers ask for the slips right after the question."""
    draw, people = Draw(code), _people(options)
    names, things = tuple(draw.arrange(NAMES, people)), tuple(draw.arrange(THINGS, people))
    swaps: list[tuple[int, int]] = []
    last = None
    for _ in range(_swaps(options)):
        last = draw.pick(_pairs(people, last))
        swaps.append(last)
    scene = Scene(names, things, tuple(swaps), draw.below(people), tuple(draw.arrange(things, people)))
    return scene, _puzzle(scene)


def _puzzle(scene: Scene) -> Puzzle:
    people = scene.people
    held = ", ".join(f"{name} has the {thing}" for name, thing in zip(people, scene.things, strict=True))
    swaps = " ".join(f"Swap {at}: {people[one]} and {people[two]}." for at, (one, two) in enumerate(scene.swaps, 1))
    listed = "\n".join(f"({letter}) {thing}" for letter, thing in zip(LETTERS, scene.options, strict=False))
    pieces = _tell(scene, None)
    return Puzzle(
        question=f"{held}. {swaps} What does {people[scene.asked]} have at the end?\nOptions:\n{listed}",
        answer=pieces[-2],
        right=pieces,
        kind="choice",
    )


def _tell(scene: Scene, slip: Slip | None) -> tuple[str, ...]:
    held = list(scene.things)
    pieces = ["Start: "]
    _say_held(pieces, scene.people, held, range(len(held)))
    pieces.append(". ")
    for at, pair in enumerate(scene.swaps):
        if slip is not None and slip.swap == at and slip.what == "skipped":
            pieces += [""] * (22 + 4 * len(held))
            continue
        pieces.append(f"Swap {at + 1}: ")
        if slip is None or slip.swap != at:
            _say_swap(pieces, scene.people, held, pair, "both")
        elif slip.what == "other":
            _say_swap(pieces, scene.people, held, slip.pair, "both")
        else:
            _say_swap(pieces, scene.people, held, pair, slip.what)
    thing = held[scene.asked]
    letter = LETTERS[scene.options.index(thing)]
    end = (f"{scene.people[scene.asked]} has the ", thing, ", option ", letter, ". ")
    return (*pieces, *end, *conclude(f"({letter})"))


def _say_swap(pieces: list[str], people: Sequence[str], held: list[str], pair: tuple[int, int], change: str) -> None:
    """Swap, and say it; `change` is `both`, or `first` or `second` for a swap misunderstood as copying."""
    one, two = pair
    said = {
        "both": "both change",
        "first": f"only {people[one]} changes",
        "second": f"only {people[two]} changes",
    }
    _say_held(pieces, people, held, pair)
    pieces += (", ", said[change], ": ")
    new = held[two], held[one]
    if change != "second":
        held[one] = new[0]
    if change != "first":
        held[two] = new[1]
    _say_held(pieces, people, held, pair)
    pieces.append(". Now ")
    _say_held(pieces, people, held, range(len(held)))
    pieces.append(". ")


def _say_held(pieces: list[str], people: Sequence[str], held: Sequence[str], whose: Iterable[int]) -> None:
    comma = ""
    for one in whose:
        pieces += (comma, people[one], " ", held[one])
        comma = ", "


def _logical(scene: Scene) -> list[Slip]:
    """A swap left out, or one of the two taken for a third person."""
    slips = [Slip(at, "skipped") for at in range(len(scene.swaps))]
    for at, (one, two) in enumerate(scene.swaps):
        others = [third for third in range(len(scene.people)) if third not in (one, two)]
        slips += [Slip(at, "other", (one, third)) for third in others]
        slips += [Slip(at, "other", (third, two)) for third in others]
    return slips


def _knowledge(scene: Scene) -> list[Slip]:
    """A swap taken for copying: one of the two gets the other's thing, and the other keeps it."""
    return [Slip(at, change) for at in range(len(scene.swaps)) for change in ("first", "second")]


_SLIPS = {"logical": _logical, "knowledge": _knowledge}
