"""Distributions of similarity and key ratio: one ridge for each task and mistake pattern, one plot for each measure."""

from typing import Any

from matplotlib.collections import PolyCollection

from editctl.report.page.drawing import (
    BLUE,
    INK,
    MUTED,
    RULE,
    Plot,
    bare,
    distinct,
    house_style,
    share_axis,
    sheet,
    slug,
)
from editctl.report.page.model import Distribution
from editctl.report.page.visible import line, middle, tail
from editctl.report.page.wording import count, percent

_ROW, _REST, _HIGH = 0.2, 0.42, 0.82
"""Inches of a ridge's row and of axis and title; height of the highest bin in rows."""
_ALL = "all"
"""What the row over all tasks is called."""
MOST = 40
"""Ridges of a plot, besides the one over all tasks; more would be a plot of several metres."""


def distribution_plots(distributions: tuple[Distribution, ...]) -> list[Plot]:
    """A plot for each file and measure, in the order in which they come."""
    groups: dict[tuple[str, str], list[Distribution]] = {}
    for one in distributions:
        groups.setdefault((one.file, one.measure), []).append(one)
    several = len({file for file, _ in groups}) > 1
    names = [
        "-".join(part for part in ("distributions", slug(measure), slug(file) if several else "") if part)
        for file, measure in groups
    ]
    return [
        _plot(name, measure, file if several else "", group)
        for name, ((file, measure), group) in zip(distinct(names), groups.items(), strict=True)
    ]


def _plot(name: str, measure: str, file: str, group: list[Distribution]) -> Plot:
    with house_style():
        rows = _rows(_largest(group))
        figure, axes = sheet(_ROW * max(len(rows), 2) + _REST)
        _ridges(axes, [(place, one) for place, (_, one) in enumerate(rows) if one is not None])
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        for text, (_, one) in zip(axes.get_yticklabels(), rows, strict=True):
            text.set_fontweight("bold" if one is None or one.task == _ALL else "normal")
        axes.set_ylim(len(rows) - 0.36, -0.5 - _HIGH / 2)
        bare(axes)
        share_axis(axes)
        axes.set_xlabel(line(measure, 40) + (f" · {tail(file, 30)}" if file else ""))
    where = f" in {line(file)}" if file else ""
    groups = sum(one.task != _ALL for one in group)
    largest = f" The {MOST} largest of {count(groups)} groups; the table has all of them." if groups > MOST else ""
    caption = f"Distribution of {line(measure)} over pairs{where}.{largest}"
    return Plot(
        name=name, caption=caption, figure=figure, told=_told(group),
        words=2, columns=("task", "mistake", "pairs", "mean", "10 %", "median", "90 %"),
        rows=tuple(
            (line(one.task), line(one.mistake), count(one.n), *map(percent, (one.mean, one.p10, one.median, one.p90)))
            for one in group
        ),
    )  # fmt: skip


def _largest(group: list[Distribution]) -> list[Distribution]:
    """What is drawn: all groups together, and those of the most pairs, in the order in which they came."""
    places = sorted((place for place, one in enumerate(group) if one.task != _ALL), key=lambda place: -group[place].n)
    kept = set(places[:MOST])
    return [one for place, one in enumerate(group) if one.task == _ALL or place in kept]


def _rows(group: list[Distribution]) -> list[tuple[str, Distribution | None]]:
    """Ridges with their labels; a task of several patterns stands above them in a row of its own.

    Where all are of one pattern it is not repeated.
    """
    tasks: dict[str, list[Distribution]] = {}
    for one in group:
        tasks.setdefault(one.task, []).append(one)
    several = len({one.mistake for one in group if one.task != _ALL}) > 1
    found: list[tuple[str, Distribution | None]] = []
    for task, ones in tasks.items():
        if len(ones) > 1:
            found.append((middle(task, 30), None))
        for one in ones:
            names = [one.mistake] if len(ones) > 1 else [task, one.mistake] if several and task != _ALL else [task]
            label = " · ".join(middle(part, 28 // len(names)) for part in names if part)
            found.append((f"{label} ({count(one.n)})", one))
    return found


def _ridges(axes: Any, placed: list[tuple[int, Distribution]]) -> None:
    """Counts as steps that stand on the row's line, with the median and the middle 80 % below it."""
    bases = [place + 0.32 for place, _ in placed]
    under = [base + 0.1 for base in bases]
    axes.hlines(bases, 0, 1, color=RULE, lw=0.5)
    outlines = [_outline(base, one.bins) for base, (_, one) in zip(bases, placed, strict=True) if any(one.bins)]
    axes.add_collection(PolyCollection(outlines, facecolor=BLUE, alpha=0.35, lw=0))
    axes.add_collection(PolyCollection(outlines, facecolor="none", edgecolor=BLUE, lw=0.7))
    axes.hlines(under, [one.p10 for _, one in placed], [one.p90 for _, one in placed], color=MUTED, lw=1.4)
    medians = [one.median for _, one in placed]
    axes.plot(medians, under, marker="o", ms=3, color=INK, ls="none", clip_on=False)


def _outline(base: float, bins: tuple[int, ...]) -> list[tuple[float, float]]:
    """Corners of the steps from the first to the last bin that holds something; none inside a level stretch."""
    highest = max(bins)
    first, last = (next(place for place in order if bins[place]) for order in _both_ways(len(bins)))
    corners = [(first / len(bins), base)]
    for place in range(first, last + 1):
        height = base - _HIGH * bins[place] / highest
        if corners[-1][1] != height:
            corners += [(place / len(bins), corners[-1][1]), (place / len(bins), height)]
    end = (last + 1) / len(bins)
    return [*corners, (end, corners[-1][1]), (end, base)]


def _both_ways(length: int) -> tuple[range, range]:
    return range(length), range(length - 1, -1, -1)


def _told(group: list[Distribution]) -> str:
    shown = [
        f"{line(one.task)} {line(one.mistake)}: median {percent(one.median)}, middle 80 % from {percent(one.p10)} to "
        f"{percent(one.p90)}, {one.n} pairs"
        for one in group[:12]
    ]
    more = f"; {len(group) - 12} more groups in the table" if len(group) > 12 else ""
    return "; ".join(shown) + more + "."
