"""Accuracies and paired differences as dots with whiskers."""

import math
from typing import Any

from matplotlib.lines import Line2D

from editctl.report.page.drawing import (
    BLUE,
    GROUND,
    MUTED,
    RULE,
    SERIES,
    Plot,
    bare,
    house_style,
    key_above,
    share_axis,
    sheet,
)
from editctl.report.page.model import Comparison, ScoreRow
from editctl.report.page.visible import line, middle, tail
from editctl.report.page.wording import chance, count, interval, percent, points

_DOT, _GAP, _REST = 0.11, 0.11, 0.45
"""Inches of a dot's row, between two tasks, and of axis and label."""
_TALL = 8
"""Tasks from which the axis has numbers at its upper end as well."""


def score_plot(scores: tuple[ScoreRow, ...]) -> list[Plot]:
    """Accuracy of each method on each task; nothing where no accuracy is known."""
    rows = [row for row in scores if row.accuracy is not None and math.isfinite(row.accuracy)]
    if not rows:
        return []
    tasks = list(dict.fromkeys(row.task for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows))
    with house_style():
        high = _DOT * len(methods) + _GAP
        figure, axes = sheet(high * len(tasks) + _REST + 0.13 * len(methods))
        for row in rows:
            place = tasks.index(row.task) * high + methods.index(row.method) * _DOT
            colour, marker = SERIES[methods.index(row.method) % len(SERIES)]
            assert row.accuracy is not None
            _dot(axes, place, row.accuracy, row.low, row.high, colour, marker)
        middles = [number * high + _DOT * (len(methods) - 1) / 2 for number in range(len(tasks))]
        axes.set_yticks(middles, [middle(task, 26) for task in tasks])
        axes.set_ylim(len(tasks) * high - _DOT / 2 - _GAP / 2, -_DOT / 2 - _GAP / 2)
        axes.hlines([high * place - (_DOT + _GAP) / 2 for place in range(1, len(tasks))], 0, 1, color=RULE, lw=0.4)
        bare(axes)
        share_axis(axes)
        axes.tick_params(axis="x", labeltop=len(tasks) > _TALL)
        axes.set_xlabel("accuracy, 95 % interval")
        key_above(figure, [_handle(method, place) for place, method in enumerate(methods)], 1)
    return [
        Plot(
            name="scores", caption="Accuracy by task and method, with 95 % intervals.", told=_told(rows), figure=figure,
            words=2, columns=("task", "method", "questions", "accuracy", "95 % interval"),
            rows=tuple(
                (line(row.task), line(row.method), count(row.n), percent(row.accuracy), interval(row.low, row.high))
                for row in rows
            ),
        )
    ]  # fmt: skip


def _handle(method: str, place: int) -> Any:
    colour, marker = SERIES[place % len(SERIES)]
    return Line2D([], [], color=colour, marker=marker, ms=3.5, lw=1, label=tail(method, 46))


def _dot(
    axes: Any, place: float, middle: float, low: float | None, high: float | None, colour: str, marker: str
) -> None:
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, lw=1, solid_capstyle="butt", clip_on=False)
    axes.plot([middle], [place], color=colour, marker=marker, ms=3.5, ls="none", clip_on=False)


def _told(rows: list[ScoreRow]) -> str:
    totals = [row for row in rows if row.task.startswith("all (")] or rows
    said = [
        f"{line(row.method)} on {line(row.task)}: {percent(row.accuracy)} ({interval(row.low, row.high)})"
        for row in totals[:12]
    ]
    return "; ".join(said) + ("; more in the table." if len(totals) > 12 or len(totals) < len(rows) else ".")


def comparison_plot(comparisons: tuple[Comparison, ...]) -> list[Plot]:
    """Differences of accuracies with their intervals, around zero."""
    rows = [one for one in comparisons if math.isfinite(one.difference)]
    if not rows:
        return []
    with house_style():
        figure, axes = sheet(0.3 * len(rows) + 0.5)
        for place, one in enumerate(rows):
            _dot(axes, place, 100 * one.difference, 100 * one.low, 100 * one.high, BLUE, "o")
            name = f"{tail(one.method, 30)} \u2212 {tail(one.baseline, 30)}"
            ground = {"facecolor": GROUND, "edgecolor": "none", "pad": 0.8}
            axes.text(0, place - 0.22, name, transform=axes.get_yaxis_transform(), va="bottom", bbox=ground)
        axes.axvline(0, color=MUTED, lw=0.8)
        ends = [100 * value for one in rows for value in (one.low, one.high, one.difference)]
        low, high = min(*ends, -1.0), max(*ends, 1.0)
        room = 0.08 * (high - low)
        axes.set(xlim=(low - room, high + room), ylim=(len(rows) - 0.6, -0.75), yticks=[])
        axes.grid(axis="x")
        bare(axes)
        axes.set_xlabel("difference in percentage points, 95 % interval")
    told = "; ".join(
        f"{line(one.method)} minus {line(one.baseline)}: {points(one.difference)} ({points(one.low)} to "
        f"{points(one.high)}) percentage points"
        for one in rows
    )
    return [
        Plot(
            name="comparisons", caption="Paired differences in accuracy, with 95 % intervals.", told=told + ".",
            figure=figure, columns=("comparison", "questions", "difference", "from", "to", "p"),
            rows=tuple(
                (f"{line(one.method)} \u2212 {line(one.baseline)}", count(one.n),
                 *map(points, (one.difference, one.low, one.high)), chance(one.p))
                for one in rows
            ),
        )
    ]  # fmt: skip
