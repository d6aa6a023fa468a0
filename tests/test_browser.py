"""The report's page in a real Chromium: what it shows, searching and paging, hostile text, phones, dark mode, paper."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from editctl.report.page.model import Page
from editctl.report.page.render import SECTIONS, render
from editctl.report.page.visible import visible
from tests import support_pages
from tests.support_browser import NEEDED, Shown, browser, chromium
from tests.support_pages import full_page, with_text

pytestmark = [pytest.mark.browser, pytest.mark.full]
Show = Callable[..., Shown]
CONTRAST = """
() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const rgb = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = (element) => (element ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor]
    : ['white']);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('.unseen')) continue;
    const behind = rgb(grounds(element));
    const style = getComputedStyle(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    const [light, dark] = [luminance(behind), luminance(rgb([...grounds(element), ink]))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    found.push([`${element.tagName}.${element.getAttribute('class') || ''} ${walker.currentNode.data.trim()}`, ratio]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def chrome() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def show(chrome: Any, tmp_path: Path) -> Iterator[Show]:
    """Show a page in a window of its own; when the test is over nothing may have been noted."""
    opened: list[Shown] = []

    def open_it(page: Page | None = None, text: str = "", **options: Any) -> Shown:
        path = tmp_path / f"report-{len(opened)}.html"
        path.write_text(text or render(page or full_page()), encoding="utf-8")
        opened.append(Shown(chrome, path, **options))
        return opened[-1]

    yield open_it
    for shown in opened:
        shown.close()


def test_where_it_must_run_a_missing_browser_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDITCTL_CHROMIUM", *NEEDED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match="EDITCTL_CHROMIUM"):
        chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="must run here"):
        chromium()
    monkeypatch.setenv("EDITCTL_CHROMIUM", "/some/where")
    assert chromium() == "/some/where"


def test_every_section_and_figure_is_shown(show: Show) -> None:
    shown = show()
    boxes = shown.script(
        "() => [...document.querySelectorAll('.part, svg.plot')].map(e => [e.id || e.parentNode.parentNode.id, "
        "e.getBoundingClientRect().width, e.getBoundingClientRect().height])"
    )
    names = [name for name, _, _ in boxes]
    assert [name for name in names if not name.startswith("figure-")] == ["summary", *(one[0] for one in SECTIONS)]
    assert len(names) == 10 + 9
    assert all(width > 200 and height > 50 for _, width, height in boxes), boxes
    # A figure is one image with a name to assistive technology, and its marks have colours of the page.
    pictures = shown.page.get_by_role("img")
    assert pictures.count() == 9
    assert "questions 1250" in (pictures.nth(0).get_attribute("aria-label") or "")
    colours = shown.script(
        "() => [...new Set([...document.querySelectorAll('svg.plot [fill^=var]')].map(e => getComputedStyle(e).fill))]"
    )
    assert len(colours) > 4


def test_search_finds_and_does_not_find(show: Show) -> None:
    shown = show()
    shown.cards_are([f"question-{number:04d}" for number in range(5)])
    shown.page.get_by_role("searchbox").first.fill("QUESTION-0042")
    shown.found("pairs", "1 of 78 pairs found")
    shown.cards_are(["question-0042"])
    shown.page.get_by_role("searchbox").first.fill("a week has SEVEN (7)")
    shown.found("pairs", "1 of 78 pairs found")
    shown.cards_are(["question-0007"])
    shown.page.get_by_role("searchbox").first.fill("no such word")
    shown.found("pairs", "None of 78 pairs found")
    shown.cards_are([])
    assert not shown.page.locator("#pairs [data-paging]").first.is_visible()
    assert shown.page.locator("#pairs [data-found]").get_attribute("aria-live") == "polite"
    shown.page.get_by_role("searchbox").first.fill("")
    shown.found("pairs", "78 pairs")


def test_filters_and_order(show: Show) -> None:
    shown = show()
    page = full_page()
    pairs = shown.page.locator("#pairs")
    assert pairs.get_by_label("Task").locator("option").all_inner_texts() == [
        "all", "boolean_expressions (26)", "date_understanding (26)", "object_counting (26)",
    ]  # fmt: skip
    pairs.get_by_label("Task").select_option(label="object_counting (26)")
    pairs.get_by_label("Mistake").select_option(label="logical (39)")
    shown.found("pairs", "13 of 78 pairs found")
    shown.first_card_is("question-0002")
    pairs.get_by_label("Key ratio from").fill("90")
    chosen = [one for one in page.pairs if one.task == "object_counting" and one.mistake == "logical"]
    kept = [one for one in chosen if one.right and (one.right.key_ratio or 0) >= 0.9]
    shown.found("pairs", f"{len(kept)} of 78 pairs found")
    shown.cards_are([one.id for one in kept])
    pairs.get_by_label("Key ratio from").fill("")
    pairs.get_by_label("Order").select_option(label="least alike first")
    ordered = sorted(chosen, key=lambda one: one.similarity or 0)
    shown.cards_are([one.id for one in ordered[:5]])
    pairs.get_by_label("Order").select_option(label="most alike first")
    shown.cards_are([one.id for one in reversed(ordered)][:5])


def test_the_smallest_key_ratio_finds_pairs_of_exactly_that(show: Show) -> None:
    exact = [
        support_pages.pair(
            number, right=support_pages.chain(support_pages.RIGHT, "A", "teacher", number / 100), wrong=None
        )
        for number in range(101)
    ]
    shown = show(dataclasses.replace(full_page(), pairs=tuple(exact), pairs_total=101))
    for least in (29, 57, 58, 99):
        shown.page.locator("#pairs").get_by_label("Key ratio from").fill(str(least))
        shown.found("pairs", f"{101 - least} of 101 pairs found")


def test_verdicts_of_outcomes(show: Show) -> None:
    shown = show()
    verdicts = shown.page.locator("#outcomes").get_by_label("Verdicts")
    assert len(shown.cards("outcomes")) == 10
    for label, count in (
        ("methods differ", "40 of 40"),
        ("none right", "None"),
        ("runs/std-cot: no answer", "14 of 40"),
    ):
        verdicts.select_option(label=label)
        shown.found("outcomes", "40 questions" if count == "40 of 40" else f"{count.split()[0]} of 40 questions found")
    card = shown.page.locator("#outcomes .card").first.inner_text()
    assert "✓ right · answers A" in card
    assert "○ no answer · no conclusion" in card
    assert "One day later, so (B)." in card


def test_a_link_shows_its_pair_whatever_is_filtered(show: Show) -> None:
    shown = show(fragment="#pair=question-0033")
    assert "question-0033" in shown.cards()
    assert shown.script("() => document.activeElement.querySelector('h3').innerText") == "question-0033"
    shown.page.get_by_role("searchbox").first.fill("question-0001")
    shown.found("pairs", "1 of 78 pairs found")
    shown.script("() => { location.hash = '#pair=question-0077'; }")
    shown.wait_for("() => document.querySelector('#pairs .linked h3')?.innerText === 'question-0077'")
    assert shown.page.locator("#pairs [data-found]").inner_text() == "78 pairs"
    shown.script("() => { location.hash = '#outcome=test-0025'; }")
    shown.wait_for("() => document.querySelector('#outcomes .linked h3')?.innerText === 'test-0025'")
    shown.script("() => { location.hash = '#pair=none'; }")
    assert "question-0077" in shown.cards()


def test_an_id_of_any_characters_has_a_link(show: Show) -> None:
    odd = "a/b c?d=e&f#g%h+\"'<é😀>"
    page = dataclasses.replace(full_page(), pairs=(*full_page().pairs, support_pages.pair(1, id=odd)))
    shown = show(page)
    shown.page.get_by_role("searchbox").first.fill(odd)
    shown.found("pairs", "1 of 79 pairs found")
    shown.page.locator("#pairs h3 a").click()
    shown.wait_for("() => document.querySelector('.linked')")
    shown.page.wait_for_timeout(600)  # the search field was left, which must not draw the cards anew
    assert shown.script("() => document.querySelector('.linked h3').innerText") == odd


def test_keyboard_alone(show: Show) -> None:
    shown = show()
    press = shown.page.keyboard.press
    press("Tab")
    assert shown.script("() => document.activeElement.className") == "skip"
    assert shown.script("() => document.activeElement.getBoundingClientRect().left") >= 0
    press("Enter")
    assert shown.script("() => document.activeElement.id") == "main"
    order = []
    for _ in range(400):
        press("Tab")
        told = shown.script(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;"
            " return [e.tagName, e.innerText || e.type || '', seen, e.closest('.part')?.id || '']; }"
        )
        if told[0] == "BODY":
            break
        order.append(told)
    else:
        pytest.fail("the keyboard is caught")
    assert [one for one in order if not one[2]] == []
    parts = list(dict.fromkeys(part for *_, part in order if part))
    assert parts == [name for name in ("summary", *(one[0] for one in SECTIONS)) if name in parts]
    assert {"pairs", "scores", "outcomes", "lineage", "funnel"} <= set(parts)
    following = shown.page.locator("#pairs").get_by_role("button", name="Next").first
    following.focus()
    press("Enter")
    shown.first_card_is("question-0005")
    assert shown.script("() => document.activeElement.dataset.go") == "next"
    press("Space")
    shown.first_card_is("question-0010")
    shown.page.locator("#pairs").get_by_role("button", name="Last page").first.press("Enter")
    shown.cards_are(["question-0075", "question-0076", "question-0077"])
    assert following.get_attribute("aria-disabled") == "true"
    following.press("Enter")
    shown.first_card_is("question-0075")
    shown.page.locator("#pairs").get_by_role("button", name="Previous").nth(1).press("Enter")
    shown.first_card_is("question-0070")
    assert shown.script("() => document.activeElement.hasAttribute('data-list')")
    summary = shown.page.locator("summary").first
    summary.focus()
    press("Enter")
    assert shown.page.locator("#figure-funnel table").is_visible()


HOSTILE = (
    "<script>window.hacked = 1; alert(1)</script>", "</script><script>window.hacked = 1</script>",
    "<!-- <script> --!>", "<img src=x onerror=\"window.hacked = 1\">",
    '" onmouseover="window.hacked = 1" autofocus x="',
    "' onfocus='window.hacked = 1", "javascript:window.hacked=1", "<a href=javascript:alert(1)>x</a>",
    "</style><style>body { display: none }</style>", "}</style> * { display: none !important }", "{{ 7 * 7 }}{% raw %}",
    "<svg onload=alert(1)><use href=data:,x>", "</textarea></title></noscript><iframe src=https://example.org>",
    "constructor", "__proto__", "&lt;b&gt;&amp;", "\u202egnp.exe\u2066\u2067", "\x00\x08\x1b[2J\x9b31m",
    "]]>\u2028\u2029",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_text(show: Show, text: str) -> None:
    hostile = with_text(full_page(pairs=7, outcomes=3), text)
    shown = show(hostile, fragment="#pair=" + text.replace("#", ""))
    seen = visible(text)
    made = "() => [window.hacked, document.querySelectorAll('iframe, img, a[href^=j], [onload]').length]"
    assert shown.script(made) == [None, 0]
    assert shown.page.title() == " ".join(seen.split())
    same = "e => [...document.querySelectorAll(e)].map(e => e.textContent)"
    for place in ("#pairs .question", "#pairs h3", "#outcomes .text", "#outcomes h4", "#lineage h3", "#training h3"):
        found = shown.script(same, place)
        assert found, place
        assert set(found) == {seen}, place
    assert set(shown.script(same, "#pairs .card mark")) == {seen}
    assert set(shown.script(same, "#trained .plus .token")) >= {seen + "(×2)" if "\n" not in seen else ""}
    shown.page.get_by_role("searchbox").first.fill(seen)
    shown.found("pairs", "7 pairs")
    for select in shown.page.locator("#pairs select[data-filter]").all():
        assert select.locator("option").nth(1).text_content() == f"{seen} (7)"
        assert not select.is_visible()
    shown.page.locator("#pairs").get_by_role("button", name="Next").first.click()
    shown.page.locator("#pairs h3 a").last.hover()
    shown.page.locator("#pairs h3 a").last.click()
    assert shown.page.url.startswith(shown.address)
    assert shown.script("() => window.hacked") is None


def test_text_that_turns_the_direction_stays_in_its_place(show: Show) -> None:
    page = dataclasses.replace(
        full_page(), pairs=(support_pages.pair(1, id="אבג \u202e", task="עברית", mistake="שגיאה"),)
    )
    shown = show(page)
    line = shown.script(
        "() => { const parts = [...document.querySelectorAll('#pairs .card .said > *')].slice(0, 3);"
        " return parts.map(part => part.getBoundingClientRect().left); }"
    )
    assert len(line) == 3
    assert line == sorted(line)
    shown.cards_are(["אבג [U+202E]"])


@pytest.mark.parametrize("width", [320, 360, 768])
def test_no_sideways_scrolling(show: Show, width: int) -> None:
    long = support_pages.pair(0, id="x" * 300, task="t" * 200, mistake="m_" * 100, question="y" * 500)
    page = full_page()
    runs = (dataclasses.replace(page.runs[0], name="n" * 200, facts=(("a" * 90, "b" * 200),)),)
    outcome = dataclasses.replace(support_pages.outcome(0), id="o" * 300)
    lineage = with_text(support_pages.LINEAGE, "L" * 120)
    shown = show(
        dataclasses.replace(
            page, title="T" * 200, pairs=(long, *page.pairs), runs=runs, outcomes=(outcome,), lineages=(lineage,),
            funnels=(with_text(support_pages.FUNNEL, "F" * 120),), notes=("N" * 200,),
        )
    )  # fmt: skip
    shown.size(width)
    for closed in (True, False):
        assert shown.script("() => document.documentElement.scrollWidth") <= width, f"details closed: {closed}"
        shown.script("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    small = shown.script(
        "() => [...document.querySelectorAll('button, input, select, summary')].filter(e => e.checkVisibility())"
        ".map(e => e.getBoundingClientRect().height).filter(height => height < 24)"
    )
    assert small == []
    sides = shown.script(
        "() => [...document.querySelectorAll('#pairs .card:nth-child(2) .chain')]"
        ".map(e => e.getBoundingClientRect().top)"
    )
    assert (sides[0] == sides[1]) == (width == 768)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_contrast_is_enough_in_both_modes(show: Show, mode: str) -> None:
    shown = show(color_scheme=mode)
    shown.script("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    found = shown.script(CONTRAST)
    told = {text.split(" ")[0].split(".")[0] for text, _ in found}
    assert {"P", "MARK", "text", "SPAN", "TD", "BUTTON", "A", "H2", "SUMMARY", "DD"} <= told
    assert [(text, round(ratio, 2)) for text, ratio in found if ratio < 4.5] == []
    ground = shown.script("() => getComputedStyle(document.documentElement).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (mode == "light")


def test_marks_are_told_without_colour(show: Show) -> None:
    shown = show()
    lines = shown.script(
        "() => ['.right mark', '.wrong mark'].map(e => getComputedStyle(document.querySelector('.card ' + e)))"
        ".map(s => [s.textDecorationLine, s.textDecorationStyle])"
    )
    assert lines == [["underline", "solid"], ["underline", "wavy"]]
    spoken = shown.page.locator("#pairs .card").first.aria_snapshot()
    assert "[key step: seven ]" in " ".join(spoken.replace('"', " ").split())
    tokens = shown.script(
        "() => ['.plus .token', '.minus .token'].map(e => document.querySelector(e))"
        ".map(e => getComputedStyle(e).borderBottomStyle)"
    )
    assert tokens == ["solid", "dashed"]


def test_each_step_has_a_line_and_copies_hold_the_text_as_it_is(show: Show) -> None:
    parts = (("One is. Two ", False), ("is", True), (".\nThree is.", False))
    page = dataclasses.replace(
        full_page(), pairs=(support_pages.pair(0, right=support_pages.chain(parts, "A", "given")),)
    )
    text = show(page).page.locator("#pairs .chain.right .text")
    assert text.evaluate("one => (getSelection().selectAllChildren(one), String(getSelection()))") == (
        "One is. Two is.\nThree is. May. So the answer is (A)."
    )
    assert text.text_content() == "One is. Two is.\nThree is. May. So the answer is (A)."
    lines = "one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight)"
    assert round(text.evaluate(lines)) == 5


def test_without_javascript_the_first_pairs_are_readable(show: Show) -> None:
    shown = show(java_script_enabled=False)
    cards = shown.page.locator("#pairs .card")
    assert cards.count() == 20
    first = cards.first.inner_text()
    assert "question-0000" in first
    assert "So the answer is (A)." in first
    assert shown.page.locator("#outcomes .card").count() == 20
    assert shown.page.get_by_text("The first 20 of 78 pairs; the others need JavaScript.").is_visible()
    assert not shown.page.locator("#pairs form").is_visible()
    assert not shown.page.locator("#pairs [data-paging]").first.is_visible()


def test_script_shows_what_the_page_shows_without_it(show: Show) -> None:
    texts = "() => [...document.querySelectorAll('#pairs .card, #outcomes .card')].map(e => e.outerHTML)"
    page = full_page(pairs=4, outcomes=5)
    drawn = show(page).script(texts)
    text = re.sub(r"<script>.*?</script>", "", render(page), flags=re.DOTALL)
    plain = show(text=text).script(texts)
    assert len(plain) == 9
    assert [*map(_plain, drawn)] == [*map(_plain, plain)]


def _plain(card: str) -> str:
    return "".join(card.split())


def test_paper_shows_everything_and_no_tools(show: Show) -> None:
    shown = show()
    shown.page.emulate_media(media="print", color_scheme="dark")
    shown.script("() => window.dispatchEvent(new Event('beforeprint'))")
    assert shown.page.locator("#figure-scores table").is_visible()
    for hidden in (".tools", ".contents", "[data-paging]"):
        assert not shown.page.locator(hidden).first.is_visible()
    assert shown.script("() => getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert len(shown.page.pdf()) > 10_000


def test_thousands_are_searched_at_once(show: Show) -> None:
    shown = show(full_page(pairs=3000))
    shown.page.get_by_role("searchbox").first.fill("(2999) seven")
    shown.found("pairs", "1 of 3\u202f000 pairs found")
    assert shown.script("() => document.querySelectorAll('#pairs .card').length") == 1


def test_an_empty_page_and_one_of_one_pair(show: Show) -> None:
    assert "There is nothing to show." in show(Page(title="nothing", version="1", made="")).page.inner_text("main")
    one = show(Page(title="one", version="1", made="", pairs=(support_pages.pair(0),), pairs_total=1))
    assert one.cards() == ["question-0000"]
    assert not one.page.locator("[data-paging]").first.is_visible()
    assert one.page.locator("#pairs [data-found]").inner_text() == "1 pair"
