"""The report's page as a text: well-formed, accessible in what can be told from the text, the same every time."""

import base64
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from editctl.report.page.data import embedded, figures, pair_rows
from editctl.report.page.model import Distribution, Funnel, FunnelStep, Page, TrainedView
from editctl.report.page.render import SECTIONS, render
from editctl.report.page.tokens import runs, strongest_weights
from editctl.report.page.visible import deep, line, middle, tail, visible
from editctl.report.page.wording import chance, count, interval, number, percent
from tests import support_pages
from tests.support_html import Element, parse
from tests.support_pages import full_page, with_text

ROOT = Path(__file__).parents[1]
EMPTY = Page(title="nothing", version="0.1.0", made="")
HOSTILE = (
    "</script><script>alert(1)</script>", "<!--<script>", "]]>", "\"'><img src=x onerror=alert(1)>", "{{ 7 * 7 }}",
    "</style><style>*{display:none}", "javascript:alert(1)", "\u202eevil\u2066",
    "\x00\x1b[2J\r\r\n\x85\u2028\ud800\ufffe",
    "&amp;&#60;", "$x^2$ % \\frac", "中文 😀 e\u0301 עברית",
)  # fmt: skip
SOURCES = {
    "funnel": ("funnels",), "distributions": ("distributions",), "pairs": ("pairs", "pairs_total"),
    "trained": ("trained",), "training": ("runs", "curves"), "scores": ("scores",), "comparisons": ("comparisons",),
    "outcomes": ("outcomes", "outcomes_total"), "lineage": ("lineages",),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> Element:
    """The full page, taken apart."""
    return parse(render(full_page()))


def alone(section: str) -> Page:
    """A page with one section."""
    page = full_page()
    return dataclasses.replace(EMPTY, **{name: getattr(page, name) for name in SOURCES[section]})


def data(page: Element, name: str) -> Any:
    """What the page's script reads; a number that JSON does not know is an error."""
    (element,) = page.all("script", id=name)
    return json.loads(element.text, parse_constant=lambda constant: pytest.fail(f"{constant} in JSON"))


def check_structure(page: Element) -> None:
    """What holds for any page."""
    everything = list(page.all())
    ids = [one.attributes["id"] for one in everything if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    levels = [int(one.tag[1]) for one in everything if one.tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(one.attributes.get("scope") in ("col", "row") for one in page.all("th"))
    assert all([*one.all("caption")] for one in page.all("table"))
    assert not [one.tag for one in everything if "style" in one.attributes]
    assert not [name for one in everything for name in one.attributes if name.startswith("on")]
    for one in everything:
        named = one.attributes.get("aria-labelledby", "").split()
        href = one.attributes.get("href", "#main")
        assert set(named) <= set(ids)
        assert href == "data:," or href.startswith(("#pair=", "#outcome=")) or href[1:] in ids, href
        assert "src" not in one.attributes


def test_full_page_has_every_section_in_order(whole: Element) -> None:
    check_structure(whole)
    names = [name for name, _, _ in SECTIONS]
    assert [one.attributes["id"] for one in whole.all("section", class_="part")] == ["summary", *names]
    (contents,) = whole.all("nav", class_="contents")
    assert [one.attributes["href"] for one in contents.all("a")] == ["#summary", *(f"#{name}" for name in names)]
    (html,) = whole.all("html")
    assert html.attributes["lang"] == "en"
    assert [one.tag for one in whole.all() if one.tag in ("header", "main", "footer")] == ["header", "main", "footer"]


def test_the_figure_of_pairs_is_of_those_that_differ() -> None:
    steps = [("questions", 9), ("pairs", 7), ("aligned pairs that differ", 5)]
    funnel = Funnel(name="a", steps=tuple(FunnelStep(label=label, count=count) for label, count in steps))
    page = Page(title="", version="", made="", funnels=(funnel,), pairs_total=9, pairs=(support_pages.pair(1),) * 9)
    assert [(one.value, one.detail) for one in figures(page)] == [
        ("9", "a"),
        ("5", "right and wrong chains that differ"),
    ]
    before = dataclasses.replace(page, funnels=(dataclasses.replace(funnel, steps=funnel.steps[:2]),))
    assert [one.value for one in figures(before)] == ["9", "7"]


def test_questions_of_several_funnels_are_called_by_none_of_them() -> None:
    one = Funnel(name="first", steps=(FunnelStep(label="questions", count=9),))
    same = dataclasses.replace(one, name="second")
    other = dataclasses.replace(one, steps=(FunnelStep(label="questions", count=8),))
    for funnels, detail in (((one, same), ""), ((one, other), "first")):
        page = Page(title="", version="", made="", funnels=funnels)
        assert [figure.detail for figure in figures(page)] == [detail]


def test_losses_say_what_their_parts_are(whole: Element) -> None:
    (section,) = whole.all("section", id="training")
    text = " ".join(section.text.split())
    assert "the loss takes each token times its weight and divides by the stage's normaliser" in text


def test_summary_tells_the_figures_a_reader_wants_first(whole: Element) -> None:
    (summary,) = whole.all("section", id="summary")
    names, values = ([one.text for one in summary.all(tag)] for tag in ("dt", "dd"))
    assert names == ["questions", "pairs", "runs/edit", "runs/std-cot"]
    assert values[::2] == ["1\u202f250", "780", "45.0 %", "51.0 %"]
    assert values[5] == "accuracy, 95 % from 39.0 % to 51.0 %"
    assert support_pages.COMPARISON.summary in summary.text
    assert full_page().notes[0] in summary.text


@pytest.mark.parametrize("section", SOURCES)
def test_a_section_stands_alone(section: str) -> None:
    page = parse(render(alone(section)))
    check_structure(page)
    assert [one.attributes["id"] for one in page.all("section", class_="part")] == ["summary", section]
    assert next(page.all("section", id=section)).shown.strip()
    assert bool([*page.all("script", type="application/json")]) == (section in ("pairs", "outcomes"))


def test_empty_page_says_so() -> None:
    page = parse(render(EMPTY))
    check_structure(page)
    assert "There is nothing to show." in page.text
    assert not [*page.all("script")]


def test_page_is_small() -> None:
    assert len(render(EMPTY).encode()) < 15_000
    assert len(render(dataclasses.replace(EMPTY, pairs=full_page().pairs[:1])).encode()) < 50_000
    assert len(render(full_page(1, 1)).encode()) < 175_000
    thousand, two = (len(render(dataclasses.replace(alone("pairs"), pairs=pairs))) for pairs in _many(1000, 2000))
    assert (two - thousand) / 1000 < 900


def _many(*counts: int) -> list[tuple[Any, ...]]:
    return [tuple(support_pages.pair(number) for number in range(count)) for count in counts]


def test_thirty_groups_and_one(whole: Element) -> None:
    page = parse(render(dataclasses.replace(EMPTY, distributions=support_pages.distributions(10, 3))))
    check_structure(page)
    assert len([*page.all("svg")]) == 3
    assert all(len([*one.all("tr")]) == 31 for one in page.all("table"))
    one = dataclasses.replace(support_pages.distribution("only", "one"), n=1, bins=(0,) * 19 + (1,))
    check_structure(parse(render(dataclasses.replace(EMPTY, distributions=(one,)))))
    empty = Distribution(
        measure="similarity", file="f", task="t", mistake="m", n=0, mean=math.nan, p10=math.nan, median=math.nan,
        p90=math.nan, bins=(0,) * 20,
    )  # fmt: skip
    cells = parse(render(dataclasses.replace(EMPTY, distributions=(empty,)))).all("td", class_="number")
    assert [cell.text for cell in cells] == ["0", "–", "–", "–", "–"]


def test_missing_values_are_dashes_and_never_nan() -> None:
    bare = support_pages.pair(
        1, similarity=math.nan, answer=None, right=None, unit="", outcome="no right chain",
        wrong=support_pages.chain(support_pages.WRONG, "B", "sampled", None),
    )  # fmt: skip
    rows = (support_pages.score("a", "t", None), support_pages.score("b", "t", math.nan))
    point = dataclasses.replace(support_pages.curve("s", 1, sides=False).points[0], loss=math.nan, held_out=math.inf)
    page = dataclasses.replace(
        EMPTY, pairs=(bare,), scores=rows, curves=(support_pages.curve("s", 1, sides=True),) * 2 + (
            dataclasses.replace(support_pages.curve("none", 1, sides=False), points=(point,)),
        ),
        outcomes=(dataclasses.replace(support_pages.outcome(0), answer=None),),
    )  # fmt: skip
    found = parse(render(page))
    check_structure(found)
    (row,) = data(found, "pairs-data")
    assert (row["alike"], row["wrong"]["share"]) == (None, None)
    assert (row["similarity"], row["ratio"], row["right"], row["answer"]) == (None, None, None, None)
    assert "nan" not in found.shown.lower().split()
    assert len([*next(found.all("section", id="training")).all("svg")]) == 2


def test_methods_of_a_task_stand_together() -> None:
    rows = [support_pages.score(method, task, 0.5) for method in ("a", "b") for task in ("all (micro)", "t")]
    (part,) = parse(render(dataclasses.replace(EMPTY, scores=tuple(rows)))).all("section", id="scores")
    table = [*part.all("table")][-1]
    told = [[one.text for one in row.all() if one.tag in ("th", "td")][:2] for row in table.all("tr")]
    assert told[1:] == [["all (micro)", "a"], ["all (micro)", "b"], ["t", "a"], ["t", "b"]]


def test_data_hold_every_pair_and_outcome(whole: Element) -> None:
    pairs, outcomes = data(whole, "pairs-data"), data(whole, "outcomes-data")
    page = full_page()
    assert [one["id"] for one in pairs] == [one.id for one in page.pairs]
    assert [one["question"] for one in outcomes] == [one.question for one in page.outcomes]
    right = page.pairs[3].right
    assert right is not None
    assert pairs[3]["right"]["pieces"] == [[piece.text, piece.key + 2 * piece.begins] for piece in right.pieces]
    assert pairs[3]["ratio"] == right.key_ratio == 0.075
    assert (pairs[3]["right"]["share"], pairs[3]["alike"]) == ("7.5 %", "92.5 %")


def test_first_pairs_and_outcomes_stand_in_the_page(whole: Element) -> None:
    for section in ("pairs", "outcomes"):
        (part,) = whole.all("section", id=section)
        assert len([*part.all("article")]) == 20
        assert len([one for one in part.all("p") if "data-static" in one.attributes]) == 1
    (part,) = whole.all("section", id="pairs")
    mark = next(next(part.all("article")).all("mark"))
    assert mark.text == "seven"


def test_links_of_pairs_with_one_id_differ() -> None:
    pairs = (support_pages.pair(1), support_pages.pair(1, file="other.jsonl"), support_pages.pair(1))
    page = parse(render(dataclasses.replace(EMPTY, pairs=(*pairs, support_pages.pair(2, id="a b/ü&c")))))
    links = [one["link"] for one in data(page, "pairs-data")]
    assert links == [
        "question-0001&in=pairs.jsonl", "question-0001&in=other.jsonl", "question-0001&in=pairs.jsonl&n=2",
        "a%20b%2F%C3%BC%26c",
    ]  # fmt: skip
    assert [one.attributes["href"] for one in page.all("a") if "pair=" in one.attributes["href"]] == [
        f"#pair={link}" for link in links
    ]


def test_policy_allows_this_style_and_this_script_only(whole: Element) -> None:
    (policy,) = whole.all("meta", **{"http-equiv": "Content-Security-Policy"})
    said = policy.attributes["content"]
    assert "unsafe" not in said
    assert said.startswith("default-src 'none'; ")
    (style,) = whole.all("style")
    scripts = [one for one in whole.all("script") if "type" not in one.attributes]
    assert len(scripts) == 1
    for kind, element in (("style-src", style), ("script-src", scripts[0])):
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in said


def test_script_writes_no_markup() -> None:
    script = (ROOT / "editctl/report/page/page.js").read_text(encoding="utf-8")
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch(", "</")
    assert [word for word in forbidden if word in script] == []
    style = (ROOT / "editctl/report/page/page.css").read_text(encoding="utf-8")
    assert [word for word in ("url(", "@import", "</", "http") if word in style] == []


PROGRAM = """
import hashlib, sys
from pathlib import Path
from tests.support_pages import full_page
from editctl.report.page.render import render
from editctl.report.page.plots import save_pngs
print(hashlib.sha256(render(full_page()).encode()).hexdigest())
for path in save_pngs(full_page(), Path(sys.argv[1])):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
print("matplotlib.pyplot" in sys.modules)
"""


def test_same_page_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nxtick.direction: in\nlines.markeredgewidth: 3\n")
    said = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "TZ": f"UTC{seed}"}
        if seed == "2":
            environment["MATPLOTLIBRC"] = str(tmp_path / "matplotlibrc")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / seed)],
            env=environment, capture_output=True, text=True, check=True, timeout=240,
        )  # fmt: skip
        said.append(done.stdout.splitlines())
    assert said[0] == said[1]
    assert len(said[0]) == 11
    assert said[0][-1] == "False"


TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(HOSTILE)
TEXT_PARTS = dataclasses.replace(
    EMPTY, pairs=(support_pages.pair(1),), pairs_total=1, outcomes=(support_pages.outcome(0),),
    trained=full_page().trained, runs=full_page().runs, lineages=full_page().lineages, notes=("note",),
)  # fmt: skip
PLOTTED = dataclasses.replace(
    EMPTY, funnels=full_page().funnels, distributions=support_pages.distributions(2, 2)[:4],
    scores=support_pages.scores(),
    curves=(support_pages.curve("s", 3, sides=True),), comparisons=full_page().comparisons,
)  # fmt: skip


@functools.cache
def _harmless_shape(some: bool) -> list[tuple[str, tuple[str, ...]]]:
    return shape(parse(render(with_text(TEXT_PARTS, "harmless" if some else ""))))


def shape(page: Element) -> list[tuple[str, tuple[str, ...]]]:
    """Every element with the names of its attributes; what stands in them and between them may differ."""
    return [(one.tag, tuple(one.attributes)) for one in page.all() if one.tag not in ("text", "tspan", "use", "path")]


@settings(max_examples=80)
@given(text=TEXTS)
@example(text="\r\n")
@example(text="</script>")
@example(text="<!--")
@example(text="\u202e\u2069")
def test_any_text_stays_text(text: str) -> None:
    page = parse(render(with_text(TEXT_PARTS, text)))
    seen = visible(text)
    assert shape(page) == _harmless_shape(bool(text))
    (pairs,) = page.all("section", id="pairs")
    assert next(pairs.all("p", class_="question")).text == seen
    assert next(pairs.all("h3")).text == seen
    assert [one.shown for one in pairs.all("p", class_="text")] == ([seen * 7, seen * 7] if text else ["", ""])
    (outcomes,) = page.all("section", id="outcomes")
    assert [one.text for one in outcomes.all("p", class_="text")] == [seen, seen]
    (row,) = data(page, "pairs-data")
    assert (row["id"], row["question"], row["mistake"]) == (seen, seen, seen)
    (answers,) = data(page, "outcomes-data")
    assert answers["answered"][1]["text"] == seen


@functools.cache
def _harmless_names() -> set[str]:
    return {one.tag for one in parse(render(with_text(PLOTTED, "harmless"))).all()}


@pytest.mark.parametrize("text", HOSTILE[::2])
def test_hostile_text_in_plots_stays_text(text: str) -> None:
    page = parse(render(with_text(PLOTTED, text)))
    check_structure(page)
    assert {one.tag for one in page.all()} == _harmless_names()
    labels = [one.attributes["aria-label"] for one in page.all("svg")]
    assert all(line(text, 5).rstrip("…") in label for label in labels)


@given(text=TEXTS)
def test_visible_text_has_nothing_unseen_and_stays_visible(text: str) -> None:
    seen = visible(text)
    assert visible(seen) == seen
    assert not set(seen) & {*map(chr, range(9)), *"\r\x0b\x0c\x1b\x7f\x85\u202a\u202e\u2066\u2069\ufffe"}
    assert seen.encode() or not text
    assert json.loads(embedded([{"text": text}])) == [{"text": seen}]
    assert not set(embedded([{"text": text}])) & set("<>&\u2028\u2029")
    if text.isprintable():
        assert seen == text


def test_what_cannot_be_seen_gets_a_sign() -> None:
    assert visible("a\x00\tb\r\nc\rd\x7f\x9f\u202e\ud800") == "a␀\tb\nc␍d␡[U+009F][U+202E][U+D800]"
    assert deep({"a": ["\x1b", 1, None], "b": ("\x07",)}) == {"a": ["␛", 1, None], "b": ["␇"]}
    assert (middle("abcdefgh", 5), middle("abcdefgh", 6), middle("ab", 5)) == ("ab…gh", "ab…fgh", "ab")
    assert (line(" a \n b "), line("abcdef", 4), tail("abcdef", 4), tail("abc", 4)) == ("a b", "abc…", "…def", "abc")


def test_numbers_are_written_one_way() -> None:
    assert (percent(0.1234), percent(None), percent(math.nan)) == ("12.3 %", "–", "–")
    assert (number(-0.025), number(None)) == ("\u22120.025", "–")
    assert (count(1234567), count(2.5)) == ("1\u202f234\u202f567", "2.5")
    assert (chance(0.0004), chance(0.081), chance(None)) == ("< 0.001", "0.081", "–")
    assert (interval(0.1, 0.25), interval(None, 1)) == ("10.0 to 25.0 %", "–")


def test_runs_of_tokens_hold_the_whole_target_with_sign_and_strength() -> None:
    view = support_pages.example("right", 1.0)
    found = [*runs(view, 1.0)]
    assert [(one.sign, one.strength, one.weight) for one in found] == [
        ("none", 0, ""), ("plus", 3, "+1"), ("none", 0, ""), ("plus", 1, "+0.01"), ("plus", 2, "+0.2"), ("cut", 0, ""),
    ]  # fmt: skip
    text = "".join(token.before + token.text for one in found for token in one.tokens)
    assert text == "A week has seven days.↵\n😀(×2) So<end>"
    assert [one.weight for one in runs(support_pages.example("wrong", -0.025), 1.0)][1] == "\u22120.025"
    (part,) = parse(render(alone("trained"))).all("section", id="trained")
    assert "[weight −0.025: −0.025 one]" in part.text.replace("\u2212", "−")
    assert "Behind the same prompt" in part.text


def test_one_weight_is_told_once_and_its_sign_at_every_run() -> None:
    view = support_pages.example("wrong", -0.025)
    units = tuple(
        dataclasses.replace(unit, weights=tuple(-0.025 if weight else 0.0 for weight in unit.weights))
        for unit in view.units
    )
    trained = (TrainedView(run="r", stage="s", examples=(dataclasses.replace(view, units=units),)),)
    (part,) = parse(render(dataclasses.replace(EMPTY, trained=trained))).all("section", id="trained")
    assert "5 weighted \u22120.025, 2 cut" in part.text
    assert [one.text for one in part.all("span", class_="weight")][2:] == ["\u2212"] * 2


def test_strength_goes_by_the_strongest_weight_of_the_stage() -> None:
    views = [(stage, support_pages.example("right", weight)) for stage, weight in (("a", 1.0), ("a", 3.0), ("b", 0.5))]
    trained = tuple(TrainedView(run="r", stage=stage, examples=(view,)) for stage, view in views)
    assert strongest_weights(trained) == {("r", "a"): 3.0, ("r", "b"): 0.5}
    assert strongest_weights((TrainedView(run="r", stage="c", examples=()),)) == {("r", "c"): 0.0}


class Compared(str):
    """A text that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_many_pairs_are_not_compared_each_with_each() -> None:
    pairs = tuple(dataclasses.replace(support_pages.pair(0), id=Compared(f"q{number}")) for number in range(300))
    Compared.times = 0
    rows = pair_rows(dataclasses.replace(EMPTY, pairs=(*pairs, support_pages.pair(1), support_pages.pair(1))))
    assert len({row["link"] for row in rows}) == 302
    assert Compared.times < 30_000
