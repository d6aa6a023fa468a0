"""What is truly key in a pair of generated chains: the slip, and what follows from it. Pure.

A generated wrong chain comes in pieces, as many as the right one, and the pieces that differ are known. The slip is
what differs in the first step that does (a step as `editctl.steps` cuts them); where that step is left out, the slip is
all that is left out in one go, and the wrong chain shows nothing of it. Everything else that differs is a consequence,
the answer among them. A piece counts whole (`no fruit` for `fruit`), but for white space and punctuation that both
pieces begin or end with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from editctl.records import Span
from editctl.steps import step_spans
from editctl.worked import WrongChain

PLAIN, CONSEQUENCE, SLIP = ".", "c", "s"
TRUTHS = {"slip": SLIP, "slip and consequences": SLIP + CONSEQUENCE}
"""What flagged units are held against."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A text, and for each of its characters what it truly is."""

    text: str
    marks: str

    def __post_init__(self) -> None:
        if len(self.text) != len(self.marks):
            raise ValueError(f"{len(self.text)} characters, but {len(self.marks)} marks")

    def __getitem__(self, place: slice) -> "Marked":
        return Marked(self.text[place], self.marks[place])

    def __add__(self, other: "Marked") -> "Marked":
        return Marked(self.text + other.text, self.marks + other.marks)

    def spans(self, marks: str) -> tuple[Span, ...]:
        """Where one of these marks stands."""
        spans, at = [], 0
        for known, run in groupby(self.marks, key=lambda mark: mark in marks):
            end = at + sum(1 for _ in run)
            if known:
                spans.append((at, end))
            at = end
        return tuple(spans)


def plain(text: str) -> Marked:
    """A text that is no part of any mistake."""
    return Marked(text, PLAIN * len(text))


@dataclass(frozen=True, slots=True)
class Truth:
    """A pair of chains whose differences are known."""

    right: Marked
    wrong: Marked


def truth_of(wrong: WrongChain) -> Truth:
    """The truth of a generated wrong chain.

    Raises:
        ValueError: what is marked is not all that differs, or there is no slip, or the answer is one.
    """
    sides = wrong.right, wrong.pieces
    slip = _slip_pieces(*sides)
    marks: tuple[list[str], list[str]] = ([], [])
    for at, pair in enumerate(zip(*sides, strict=True)):
        for own, piece, (start, end) in zip(marks, pair, _differing(*pair), strict=True):
            mark = SLIP if at in slip else CONSEQUENCE
            own.append(PLAIN * start + mark * (end - start) + PLAIN * (len(piece) - end))
    truth = Truth(*(Marked("".join(side), "".join(own)) for side, own in zip(sides, marks, strict=True)))
    check(truth)
    return truth


def check(truth: Truth) -> None:
    """Raises ValueError where the truth of an undisturbed pair can't be true."""
    rest = ["".join(text for text in _unmarked(side).split()) for side in (truth.right, truth.wrong)]
    marks = truth.right.marks.strip(PLAIN), truth.wrong.marks.strip(PLAIN)
    if rest[0] != rest[1]:
        raise ValueError(f"what is not marked differs: {rest[0]!r} and {rest[1]!r}")
    if not any(SLIP in side for side in marks):
        raise ValueError("there is no slip")
    if not all(side.endswith(CONSEQUENCE) for side in marks):
        raise ValueError("the last difference, the answer, is no consequence")
    if any(SLIP in side[side.index(CONSEQUENCE) :] for side in marks):
        raise ValueError("a consequence stands before the slip")


def _unmarked(side: Marked) -> str:
    return "".join(letter for letter, mark in zip(side.text, side.marks, strict=True) if mark == PLAIN)


def _slip_pieces(right: Sequence[str], wrong: Sequence[str]) -> set[int]:
    """Numbers of the pieces that are the slip."""
    first = next(at for at, (old, new) in enumerate(zip(right, wrong, strict=True)) if old != new)
    for side, other in ((right, wrong), (wrong, right)):
        within = _same_step(side, first)
        if not any(other[at] for at in within) and any(side[at] for at in within):
            return set(range(first, next(at for at in range(first, len(other)) if other[at])))
    return {at for at in _same_step(right, first) & _same_step(wrong, first) if right[at] != wrong[at]}


def _same_step(pieces: Sequence[str], first: int) -> set[int]:
    """Numbers of the pieces that begin in the step that piece `first` stands in."""
    text = "".join(pieces)
    starts = [0, *accumulate(map(len, pieces))]
    spans = step_spans(text)
    start, end = next((span for span in spans if starts[first] < span[1]), (len(text), len(text)))
    return {at for at in range(len(pieces)) if start <= starts[at] < end}


def _differing(old: str, new: str) -> tuple[Span, Span]:
    """The part of each piece that is a difference."""
    if old == new:
        return (0, 0), (0, 0)
    shorter = min(len(old), len(new))
    begin = next((at for at in range(shorter) if old[at] != new[at] or old[at].isalnum()), shorter)
    end = next((at for at in range(shorter - begin) if old[-1 - at] != new[-1 - at] or old[-1 - at].isalnum()), 0)
    found = []
    for piece in (old, new):
        inside = piece[begin : len(piece) - end]
        start = begin + len(inside) - len(inside.lstrip())
        found.append((start, start + len(inside.strip())))
    return found[0], found[1]
