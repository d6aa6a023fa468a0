"""The report's plots: SVG that can stand in a page, PNG files for papers."""

import dataclasses
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from editctl.report.page import ridges
from editctl.report.page.drawing import COLOURS, SERIES, Plot, distinct, slug
from editctl.report.page.funnels import gone, kept
from editctl.report.page.losses import smoothed
from editctl.report.page.model import FunnelStep, Page
from editctl.report.page.plots import all_plots, save_pngs
from editctl.report.page.svg import inline
from tests import support_pages
from tests.support_pages import full_page

PLOTS = [plot for plots in all_plots(full_page()).values() for plot in plots]
SVG = "{http://www.w3.org/2000/svg}"


def test_names_tell_what_is_shown() -> None:
    assert [plot.name for plot in PLOTS] == [
        "funnel", "distributions-similarity", "distributions-key-ratio-right", "distributions-key-ratio-wrong",
        "losses-runs-edit-imitation", "losses-runs-edit-key-steps", "losses-runs-std-cot-imitation", "scores",
        "comparisons",
    ]  # fmt: skip


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_svg_stands_in_a_page(plot: Plot) -> None:
    text = inline(plot)
    root = ET.fromstring(text)
    assert root.attrib["role"] == "img"
    assert plot.caption in root.attrib["aria-label"]
    assert plot.told in root.attrib["aria-label"]
    assert re.findall(r"#[0-9a-fA-F]{6}\b|rgb\(", text) == []
    assert {f"var(--{name})" for name in COLOURS} >= set(re.findall(r"var\([^)]*\)", text))
    assert "var(--" in text
    ids = {element.attrib["id"] for element in root.iter() if "id" in element.attrib}
    assert all(one.startswith(f"figure-{plot.name}-") for one in ids)
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert used == ids
    assert {element.tag for element in root.iter()} <= {
        SVG + name for name in ("svg", "g", "defs", "path", "use", "text", "tspan", "clipPath", "rect", "pattern")
    }
    assert not [element for element in root.iter() if "style" in element.attrib or "font-family" in element.attrib]
    assert len(text) < 60_000


def test_alternatives_state_the_figures() -> None:
    told = {plot.name: plot.told for plot in PLOTS}
    assert "pairs 780" in told["funnel"]
    assert (
        "date_understanding logical: median 62.5 %, middle 80 % from 48.5 % to 75.5 %"
        in told["distributions-similarity"]
    )
    assert "right part from" in told["losses-runs-edit-key-steps"]
    assert "wrong part" not in told["losses-runs-edit-imitation"]
    assert "runs/edit on all (micro): 45.0 % (39.0 to 51.0 %)" in told["scores"]
    assert "runs/edit minus runs/std-cot: +3.2 (\u22120.4 to +6.8) percentage points" in told["comparisons"]


def test_tables_hold_the_figures() -> None:
    tables = {plot.name: plot for plot in PLOTS}
    assert all(len(row) == len(plot.columns) for plot in PLOTS for row in plot.rows)
    assert tables["funnel"].rows[1] == ("with a right chain", "1\u202f100", "88.0 %")
    steps = [row[0] for row in tables["losses-runs-edit-imitation"].rows]
    assert (steps[0], steps[-1], len(set(steps))) == ("1", "600", len(steps))
    held = {row[0] for row in tables["losses-runs-edit-imitation"].rows if row[4] != "–"}
    assert held == {"120", "240", "360", "480", "600"}


def test_every_line_of_a_curve_is_drawn_where_there_is_one() -> None:
    labels = {plot.name: [text.get_text() for text in plot.figure.legends[0].get_texts()] for plot in PLOTS[4:7]}
    assert labels["losses-runs-edit-key-steps"] == ["loss", "right", "wrong", "held out"]
    assert labels["losses-runs-edit-imitation"] == ["loss", "held out"]
    curve = support_pages.curve("alone", 9, sides=True)
    points = tuple(dataclasses.replace(point, right=point.loss, wrong=None) for point in curve.points)
    (plot,) = all_plots(Page(title="", version="", made="", curves=(dataclasses.replace(curve, points=points),)))[
        "losses"
    ]
    assert [text.get_text() for text in plot.figure.legends[0].get_texts()] == ["loss", "held out"]


def test_many_updates_stay_small_and_gaps_stay_gaps() -> None:
    long = support_pages.curve("long", 20_000, sides=True)
    holes = tuple(
        dataclasses.replace(point, loss=math.nan, right=None) if point.step % 2 else point for point in long.points
    )
    page = Page(title="", version="", made="", curves=(dataclasses.replace(long, points=holes),))
    (plot,) = all_plots(page)["losses"]
    assert len(inline(plot)) < 90_000
    assert len(plot.rows) < 30


def test_pngs_are_a_column_wide_on_white(tmp_path: Path) -> None:
    paths = save_pngs(full_page(), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"{plot.name}.png" for plot in PLOTS]
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert image.width == 1005
            assert round(image.info["dpi"][0]) == 300
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
            colours = image.convert("RGB").getcolors(1 << 24) or []
            assert len(colours) > 5


def test_settings_of_the_user_change_nothing_and_are_left_alone() -> None:
    before = inline(all_plots(full_page())["scores"][0])
    with matplotlib.rc_context({"font.size": 30, "text.usetex": True, "axes.facecolor": "red"}):
        assert inline(all_plots(full_page())["scores"][0]) == before
        assert matplotlib.rcParams["font.size"] == 30


def test_more_methods_than_colours_and_a_label_of_any_length() -> None:
    methods = tuple(f"runs/a-rather-long-name-of-a-folder/with-method-number-{number}" for number in range(11))
    page = dataclasses.replace(full_page(), scores=support_pages.scores(30, methods))
    (plot,) = all_plots(page)["scores"]
    assert len(plot.rows) == 32 * 11
    assert len(inline(plot)) < 150_000
    assert len({*SERIES}) == len(SERIES)


def test_nothing_to_draw_draws_nothing(tmp_path: Path) -> None:
    assert save_pngs(Page(title="", version="", made=""), tmp_path) == []
    page = Page(title="", version="", made="", scores=(support_pages.score("a", "t", None),))
    assert all_plots(page)["scores"] == []


def test_one_of_each_is_enough() -> None:
    page = Page(
        title="", version="", made="",
        funnels=(dataclasses.replace(support_pages.FUNNEL, steps=(FunnelStep(label="a", count=0),)),),
        curves=(support_pages.curve("s", 1, sides=True),), scores=(support_pages.score("a", "t", 0.5),),
        distributions=(support_pages.distribution("t", "m"),),
        comparisons=(dataclasses.replace(support_pages.COMPARISON, difference=0.0, low=0.0, high=0.0, p=None),),
    )  # fmt: skip
    found = all_plots(page)
    assert [len(plots) for plots in found.values()] == [1, 1, 1, 1, 1]
    assert all(ET.fromstring(inline(plot)) is not None for plots in found.values() for plot in plots)


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_smoothing_keeps_places_and_stays_between(values: list[float]) -> None:
    points = [*enumerate(values)]
    found = smoothed(points)
    assert [step for step, _ in found] == [step for step, _ in points]
    assert all(min(values) - 1e-3 <= value <= max(values) + 1e-3 for _, value in found)
    assert all(abs(value - 2.5) < 1e-9 for _, value in smoothed([(step, 2.5) for step in range(len(values))]))


def test_names_become_letters_and_stay_distinct() -> None:
    assert slug("Runs/EDIT (2)!") == "runs-edit-2"
    assert distinct(["a", "a", "a-2", ""]) == ["a", "a-2", "a-2-2", ""]


def test_what_a_step_loses_is_never_less_than_nothing() -> None:
    steps = tuple(FunnelStep(label=str(number), count=number) for number in (10, 4, 6, 0, 3))
    assert [gone(steps, place) for place in range(5)] == [0, 6, 0, 6, 0]
    assert [kept(steps, place) for place in range(5)] == [None, 0.4, 1.5, 0.0, None]
    other = (*steps, FunnelStep(label="stage", count=5, after="10"))
    assert (gone(other, 5), kept(other, 5)) == (5, 0.5)


def test_of_many_groups_the_largest_are_drawn_and_all_stand_in_the_table() -> None:
    most = ridges.MOST
    groups = [
        dataclasses.replace(support_pages.distribution(f"t{number:03}", "m"), n=1000 + number * 7 % 100)
        for number in range(100)
    ]
    whole = dataclasses.replace(support_pages.distribution("all", "all"), n=1)
    (plot,) = ridges.distribution_plots((whole, *groups))
    labels = [text.get_text().split(" (")[0] for text in plot.figure.axes[0].get_yticklabels()]
    largest = {one.task for one in groups if one.n >= 1100 - most}
    assert labels == ["all", *(one.task for one in groups if one.task in largest)]
    assert len(labels) == most + 1
    assert len(plot.rows) == 101
    assert f"The {most} largest of 100 groups" in plot.caption
    (few,) = ridges.distribution_plots((whole, *groups[:most]))
    assert len(few.figure.axes[0].get_yticklabels()) == most + 1
    assert "largest" not in few.caption
