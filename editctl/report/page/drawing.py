"""What all plots have in common: one look, one palette, the figure of a paper's column, and what is said beside it."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

WIDTH = 3.35
"""Inches: a column of a paper, and a phone's page at 1.4 times the size."""
INK, MUTED, RULE, GROUND = "#1b1c1e", "#5c6066", "#c9ccd1", "#fffffe"
BLUE, VERMILLION, GREEN, AMBER, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
COLOURS = {
    "ink": INK, "muted": MUTED, "rule": RULE, "ground": GROUND,
    "blue": BLUE, "vermillion": VERMILLION, "green": GREEN, "amber": AMBER, "purple": PURPLE, "sky": SKY,
}  # fmt: skip
"""By the name of their CSS variable. Nothing is drawn in another colour, so a plot in a page can change with its mode.
The colours of data are Okabe's and Ito's."""
SERIES = (
    (BLUE, "o"), (VERMILLION, "s"), (GREEN, "D"), (PURPLE, "^"), (AMBER, "v"), (SKY, "P"), (INK, "X"), (MUTED, "*"),
)  # fmt: skip
"""Colour and marker, so that series differ without colour as well."""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "editctl",
    "path.simplify": False,
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "hatch.color": MUTED,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A figure, and what those read who do not see it."""

    name: str
    """Letters, digits and hyphens, unique in a page: the file's name without its ending, and the element's id."""
    figure: Any
    """matplotlib.figure.Figure, without a window and without the state of pyplot."""
    caption: str
    told: str
    """The figures in words."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The same as a table; the first column names the row."""
    words: int = 1
    """Leading columns that hold words; the others hold figures."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save in here: matplotlib's defaults with the look of the report, whatever the user's own settings are.

    Text in a page is drawn by the browser, with fonts of its own, so glyphs that matplotlib's font lacks are no news.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def sheet(height: float) -> tuple[Any, Any]:
    """A figure of one column's width and `height` inches with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def share_axis(axes: Any, *, grid: bool = True) -> None:
    """Horizontal axis of a share, from 0 to 1."""
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
    if grid:
        axes.grid(axis="x")


def bare(axes: Any) -> None:
    """No frame but the lower line."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def key_above(figure: Any, handles: Sequence[Any], columns: int) -> None:
    """A legend above the axes and what is written on them."""
    if handles:
        figure.legend(
            handles=handles, loc="outside upper left", ncols=columns, borderaxespad=0.1, borderpad=0.2,
            handlelength=1.8, handletextpad=0.5, columnspacing=1.2, labelspacing=0.25,
        )  # fmt: skip


def slug(text: str) -> str:
    """Letters, digits and hyphens of a text, lower case, of which the last 40."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[-40:].strip("-")


def distinct(names: Sequence[str]) -> list[str]:
    """Names with a number behind those that came before."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    if len(set(found)) < len(found):
        return distinct(found)
    return found
