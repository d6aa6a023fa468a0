"""What the trainer saw, as runs of tokens of one weight: what the page's template shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from editctl.report.page.model import TrainedView
from editctl.report.page.wording import count, number
from editctl.views import ExampleView, Unit

_STRONG, _MEDIUM = 0.5, 0.05
"""Shares of the strongest weight from which a weight is strong or medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A unit of the target and what stands in front of it."""

    before: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Neighbouring tokens of one weight."""

    sign: Literal["plus", "minus", "none", "cut"]
    strength: int
    """1 weak, 2 medium, 3 strong, against the strongest weight of the stage; 0 without a weight."""
    weight: str
    """With its sign; empty without one."""
    tokens: tuple[Token, ...]


def runs(view: ExampleView, strongest: float) -> Iterator[Run]:
    """The target's tokens in order; behind the place where the trainer cuts the tail one run of sign `cut`."""
    kept = [unit for unit in view.units if unit.kept]
    for weights, group in groupby(kept, key=lambda unit: tuple(dict.fromkeys(unit.weights))):
        yield _run(weights, tuple(group), strongest)
    tail = view.units[len(kept) :]
    if tail:
        yield Run(sign="cut", strength=0, weight="", tokens=(_plain(tail),))


def strongest_weights(trained: Sequence[TrainedView]) -> dict[tuple[str, str], float]:
    """The largest absolute weight of each stage, by run and stage."""
    found: dict[tuple[str, str], float] = {}
    for one in trained:
        weights = (abs(weight) for view in one.examples for unit in view.units for weight in unit.weights)
        key = (one.run, one.stage)
        found[key] = max(found.get(key, 0.0), max(weights, default=0.0))
    return found


def only_weight(view: ExampleView) -> float | None:
    """The weight of all tokens that have one; None where there are several, or none."""
    found = {weight for unit in view.units for weight in unit.weights if weight}
    return found.pop() if len(found) == 1 else None


def facts(view: ExampleView) -> str:
    """Share and normaliser, and how many tokens; their weight where it is one."""
    cut = f", {count(view.cut)} cut" if view.cut else ""
    weight = only_weight(view)
    said = "" if weight is None else f" {signed(weight)}"
    share = f"share {number(view.share)}, normaliser {view.normaliser}"
    return f"{share}; {count(view.whole)} target tokens, {count(view.weighted)} weighted{said}{cut}"


def signed(weight: float) -> str:
    """A weight with its sign."""
    return ("+" if weight > 0 else "") + number(weight)


def _run(weights: tuple[float, ...], units: tuple[Unit, ...], strongest: float) -> Run:
    weight = max(weights, key=abs, default=0.0)
    if not weight:
        return Run(sign="none", strength=0, weight="", tokens=(_plain(units),))
    ratio = abs(weight) / strongest
    return Run(
        sign="plus" if weight > 0 else "minus",
        strength=3 if ratio >= _STRONG else 2 if ratio >= _MEDIUM else 1,
        weight=", ".join(map(signed, weights)),
        tokens=tuple(Token(before=unit.before, text=_text(unit).replace("\n", "↵\n")) for unit in units),
    )


def _plain(units: Sequence[Unit]) -> Token:
    return Token(before="", text="".join(unit.before + _text(unit) for unit in units))


def _text(unit: Unit) -> str:
    """A unit's text, with a word where it is several tokens or the student sees something else."""
    return unit.text + (f"(×{len(unit.ids)})" if len(unit.ids) > 1 else "") + ("(unknown)" if unit.unknown else "")
