"""Loss curves of one stage of a run: the whole, its right and wrong parts, and the held-out questions."""

import math
from typing import Any

from editctl.report.page.drawing import (
    BLUE,
    GREEN,
    INK,
    VERMILLION,
    Plot,
    distinct,
    house_style,
    key_above,
    sheet,
    slug,
)
from editctl.report.page.model import LossCurve
from editctl.report.page.visible import line
from editctl.report.page.wording import number

_MANY, _WINDOWS, _RAW = 80, 40, 400
"""Points from which a curve is smoothed, windows over a curve, faint points drawn of a curve."""
_LINES = (("loss", INK, "-"), ("right", BLUE, "--"), ("wrong", VERMILLION, "-."))
_ROWS = 12
Points = list[tuple[int, float]]


def loss_plots(curves: tuple[LossCurve, ...]) -> list[Plot]:
    """A plot for each curve that has a number."""
    found = [curve for curve in curves if any(_points(curve, name) for name in ("loss", "right", "wrong", "held_out"))]
    several = len({curve.run for curve in found}) > 1
    names = [
        "-".join(part for part in ("losses", slug(curve.run) if several else "", slug(curve.stage)) if part)
        for curve in found
    ]
    return [_plot(curve, name) for curve, name in zip(found, distinct(names), strict=True)]


def _points(curve: LossCurve, name: str) -> Points:
    """Steps and finite values of one line."""
    values = ((point.step, getattr(point, name)) for point in curve.points)
    return [(step, value) for step, value in values if value is not None and math.isfinite(value)]


def _says(curve: LossCurve, name: str) -> bool:
    """Whether a line says something: the right part of a stage without a wrong one is the loss itself."""
    points, whole = _points(curve, name), _points(curve, "loss")
    same = len(points) == len(whole) and all(
        math.isclose(one, other, rel_tol=1e-3) for (_, one), (_, other) in zip(points, whole, strict=True)
    )
    return bool(points) and not (name == "right" and same)


def smoothed(points: Points) -> Points:
    """Means over a window that moves along; at the ends it is cut, not filled."""
    half = max(len(points) // _WINDOWS // 2, 1)
    windows = (points[max(place - half, 0) : place + half + 1] for place in range(len(points)))
    return [
        (step, sum(value for _, value in window) / len(window))
        for (step, _), window in zip(points, windows, strict=True)
    ]


def _plot(curve: LossCurve, name: str) -> Plot:
    with house_style():
        figure, axes = sheet(2.0)
        lines = [(_points(curve, key), key, colour, style) for key, colour, style in _LINES if _says(curve, key)]
        handles = [_line(axes, *one) for one in lines]
        held = _points(curve, "held_out")
        if held:
            steps, values = zip(*held, strict=True)
            handles += axes.plot(steps, values, color=GREEN, ls=":", lw=1, marker="D", ms=3, label="held out")
        axes.grid(axis="y")
        axes.margins(x=0.02)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        axes.set_xlabel("update")
        axes.set_ylabel(f"loss ({line(curve.normaliser, 20)})" if curve.normaliser else "loss")
        key_above(figure, handles, 4)
    who = f"{line(curve.run)}, stage {line(curve.stage)}"
    return Plot(
        name=name, caption=f"Losses of {who}.", told=_told(curve), figure=figure,
        columns=("update", "loss", "right", "wrong", "held out"), rows=_table(curve),
    )  # fmt: skip


def _line(axes: Any, points: Points, label: str, colour: str, style: str) -> Any:
    """One line; of many points a smoothed one over the points themselves, faint."""
    if len(points) > _MANY:
        few = points[:: math.ceil(len(points) / _RAW)]
        # Points as one path of very short lines with round ends: as markers each would be an element.
        length = (points[-1][0] - points[0][0]) / 1000
        across = [value for step, _ in few for value in (step, step + length, math.nan)]
        up = [value for _, loss in few for value in (loss, loss, math.nan)]
        axes.plot(across, up, color=colour, alpha=0.3, lw=1.6, solid_capstyle="round")
        points = smoothed(points)[:: math.ceil(len(points) / _RAW)]
    steps, values = zip(*points, strict=True)
    marker = "o" if len(points) == 1 else None
    return axes.plot(steps, values, color=colour, ls=style, marker=marker, ms=3, label=label)[0]


def _told(curve: LossCurve) -> str:
    said = []
    for name, label in (("loss", "loss"), ("right", "right part"), ("wrong", "wrong part"), ("held_out", "held out")):
        points = _points(curve, name)
        if points:
            (first, start), (last, end) = points[0], points[-1]
            said.append(f"{label} from {number(start)} at update {first} to {number(end)} at update {last}")
    return "; ".join(said) + "."


def _table(curve: LossCurve) -> tuple[tuple[str, ...], ...]:
    """The first, the last and some updates between; those with a held-out loss before others."""
    points = curve.points
    every = max(math.ceil((len(points) - 1) / (_ROWS - 1)), 1) if len(points) > 1 else 1
    places = {*range(0, len(points), every), len(points) - 1}
    held = [place for place, point in enumerate(points) if point.held_out is not None]
    places |= set(held[:: max(math.ceil(len(held) / _ROWS), 1)])
    return tuple(
        (str(point.step), *(number(getattr(point, name)) for name in ("loss", "right", "wrong", "held_out")))
        for point in (points[place] for place in sorted(places))
    )
