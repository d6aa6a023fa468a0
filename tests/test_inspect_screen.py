"""Pairs on a console: exact texts by width, marks, colours, and what no text may break."""

import re
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from editctl.pieces import joined_over_spaces, pieces
from editctl.records import Alignment, Chain, DualChain, Question, Reject, Span
from editctl.report.chains import CLOSE, OPEN, chain_lines, visible
from editctl.report.pair_tables import histogram, pair_tables
from editctl.report.side_by_side import rows, steps
from tests.support_pairs import RIGHT, made, screen, spanned

ANSI = re.compile(r"\x1b\[[0-9;]*m")
HEAD = """\
⟦ ⟧ key steps: where right and wrong part; ␣ ↵ ⇥ space, line end, tab

pens  [count]  pair
  gold answer 10; mistake calculation, labelled logical; teacher somebody
  similarity 0.75; 11 edits in words; key 25.0% of right, 13.2% of wrong
  question:
    How many pens are blue?
"""
SHOWN = {
    60: """\
⟦ ⟧ key steps: where right and wrong part; ␣ ↵ ⇥ space, line
end, tab

pens  [count]  pair
  gold answer 10; mistake calculation, labelled logical;
  teacher somebody
  similarity 0.75; 11 edits in words; key 25.0% of right,
  13.2% of wrong
  question:
    How many pens are blue?
  right (sampled), answer 10:
    There are 3 boxes with 4 pens each, so there are 3 ⟦*⟧ 4
    = ⟦12⟧ pens in all. ⟦Two of them are red.⟧ Then ⟦12⟧ - 2
    = ⟦10⟧ pens are blue.
    Therefore, the answer is ⟦10⟧.
  wrong (corrupted), answer 5:
    There are 3 boxes with 4 pens each, so there are 3 ⟦+⟧ 4
    = ⟦7⟧ pens in all. Then ⟦7⟧ - 2 = ⟦5⟧ pens are blue.
    Therefore, the answer is ⟦5⟧.
""",
    80: f"""\
{HEAD}\
  right (sampled), answer 10:
    There are 3 boxes with 4 pens each, so there are 3 ⟦*⟧ 4 = ⟦12⟧ pens in all.
    ⟦Two of them are red.⟧ Then ⟦12⟧ - 2 = ⟦10⟧ pens are blue.
    Therefore, the answer is ⟦10⟧.
  wrong (corrupted), answer 5:
    There are 3 boxes with 4 pens each, so there are 3 ⟦+⟧ 4 = ⟦7⟧ pens in all.
    Then ⟦7⟧ - 2 = ⟦5⟧ pens are blue.
    Therefore, the answer is ⟦5⟧.
""",
    120: f"""\
{HEAD}\
  right (sampled), answer 10:                               │ wrong (corrupted), answer 5:
  There are 3 boxes with 4 pens each, so there are 3 ⟦*⟧ 4  │ There are 3 boxes with 4 pens each, so there are 3 ⟦+⟧ 4
  = ⟦12⟧ pens in all.                                       │ = ⟦7⟧ pens in all.
  ⟦Two of them are red.⟧                                    │
  Then ⟦12⟧ - 2 = ⟦10⟧ pens are blue.                       │ Then ⟦7⟧ - 2 = ⟦5⟧ pens are blue.
  Therefore, the answer is ⟦10⟧.                            │ Therefore, the answer is ⟦5⟧.
""",
    200: HEAD
    + "\n".join(
        f"  {left:<97} │ {right}".rstrip()
        for left, right in (
            ("right (sampled), answer 10:", "wrong (corrupted), answer 5:"),
            (
                "There are 3 boxes with 4 pens each, so there are 3 ⟦*⟧ 4 = ⟦12⟧ pens in all.",
                "There are 3 boxes with 4 pens each, so there are 3 ⟦+⟧ 4 = ⟦7⟧ pens in all.",
            ),
            ("⟦Two of them are red.⟧", ""),
            ("Then ⟦12⟧ - 2 = ⟦10⟧ pens are blue.", "Then ⟦7⟧ - 2 = ⟦5⟧ pens are blue."),
            ("Therefore, the answer is ⟦10⟧.", "Therefore, the answer is ⟦5⟧."),
        )
    )
    + "\n",
}
# No character that is shown otherwise than it is: controls, marks of ours, what separates columns.
PLAIN = st.text(
    st.sampled_from("ab 12.,+漢字。👍é\u0301\n")
    | st.characters(exclude_categories=("C", "Z"), exclude_characters="⟦⟧␣↵⇥│"),
    max_size=120,
)
ANY = st.text(
    st.sampled_from("a b.\n\t\r\x1b[]⟦⟧\u202e\u200d\xa0\u2028漢👍\u0301") | st.characters(codec="utf-8"), max_size=60
)


@st.composite
def with_spans(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> tuple[str, tuple[Span, ...]]:
    """A text, and spans of it as records hold them."""
    text = draw(texts)
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=10)))
    return text, tuple(zip(places[::2], places[1::2], strict=False))


def drawn(alignment: object, width: int, **how: bool) -> str:
    """What a pair looks like."""
    shown, file = screen(width, **how)
    shown.pair(alignment, "pair")  # type: ignore[arg-type]
    return file.getvalue()


def unmarked(text: str) -> str:
    """A text without our marks."""
    return text.replace(OPEN, "").replace(CLOSE, "")


@pytest.mark.parametrize("width", SHOWN)
def test_what_is_printed(width: int) -> None:
    assert ANSI.sub("", drawn(made(), width)) == SHOWN[width]


def test_colours_are_bold_and_underlined_and_need_no_marks() -> None:
    for width in (80, 120):
        text = drawn(made(), width, color=True)
        assert "\x1b[1;4;32m12\x1b[0m" in text
        assert "\x1b[1;4;31m7\x1b[0m" in text
        assert "\x1b[2mHow many pens" in text
        assert OPEN not in text
        assert drawn(made(right=f"{RIGHT} {OPEN}"), width, color=True).count(OPEN) == 1


@given(with_spans(PLAIN))
@example(("a\n", ((1, 2),)))
def test_without_its_marks_a_chain_is_its_text(given: tuple[str, tuple[Span, ...]]) -> None:
    text, spans = given
    lines = [line.plain for line in chain_lines(text, spans, "right", marked=True)]
    ends = [start for start, end in spans for start in range(start, end) if text[start] == "\n"]
    assert unmarked("\n".join(lines)).replace("␣", " ").replace("↵\n", "\n") == text
    assert sum(line.count("↵") for line in lines) == len(ends)
    assert all(line.count(OPEN) == line.count(CLOSE) for line in lines)
    coloured = [line.plain for line in chain_lines(text, spans, "right", marked=False)]
    assert coloured == [unmarked(line) for line in lines]


@given(with_spans(ANY))
def test_no_text_acts_on_the_terminal_or_passes_for_a_mark(given: tuple[str, tuple[Span, ...]]) -> None:
    text, spans = given
    for width in (40, 120):
        shown = ANSI.sub("", drawn(spanned(text, spans), width))
        assert not [character for character in shown if not character.isprintable() and character != "\n"]
    lines = [line.plain for line in chain_lines(text, spans, "wrong", marked=True)]
    without = [line.plain for line in chain_lines(text, (), "wrong", marked=True)]
    assert not re.search(f"[{OPEN}{CLOSE}]", "".join(without))
    assert re.sub("[␣ ↵]", "", unmarked("".join(lines))) == re.sub("[␣ ↵]", "", "".join(without))


@given(with_spans(PLAIN), st.integers(100, 140))
@settings(max_examples=60)
@example(("漢" * 80, ((3, 70),)), 101)
@example(("e" + "\u0301" * 90 + " 👍" * 40, ((0, 1), (1, 3))), 100)
def test_two_columns_hold_both_chains_and_are_no_wider_than_the_terminal(
    given: tuple[str, tuple[Span, ...]], width: int
) -> None:
    text, spans = given
    if not text:
        return
    shown = ANSI.sub("", drawn(spanned(text, spans), width)).splitlines()
    assert max(map(cell_len, shown)) <= width
    body = shown[1 + next(number for number, line in enumerate(shown) if line.startswith("  right (")) :]
    cells = [line.split(" │") for line in body]
    assert {len(cell) for cell in cells} <= {2}
    edges = {cell_len(left) for left, _ in cells}
    assert edges <= {2 + (width - 5) // 2}
    for side in zip(*cells, strict=True):
        assert _letters("".join(side)) == _letters(text)


def _letters(text: str) -> str:
    return re.sub(r"[\s␣↵⟦⟧]", "", text)


@pytest.mark.parametrize("width", [20, 40, 60, 99])
def test_narrow_terminals_have_no_line_wider_than_they_are(width: int) -> None:
    text = ANSI.sub("", drawn(made(right="漢字 " * 60 + "w" * 150 + "\n" + RIGHT), width))
    assert max(map(cell_len, text.splitlines())) <= width
    assert "│" not in text


@pytest.mark.parametrize(
    ("text", "spans", "shown"),
    [
        ("a b", ((1, 2),), "a⟦␣⟧b"),
        ("a  4", ((1, 4),), "a⟦  4⟧"),
        ("a\nb", ((1, 2),), "a⟦↵⟧\nb"),
        ("a \n b", ((1, 4),), "a⟦␣↵⟧\n⟦␣⟧b"),
        ("a\tb", ((1, 2),), "a⟦⇥⟧b"),
        ("ab\ncd", ((1, 4),), "a⟦b↵⟧\n⟦c⟧d"),
        ("a\r\nb", (), "a\nb"),
        ("⟦4⟧", ((1, 2),), r"\u27e6⟦4⟧\u27e7"),
        ("ab", ((0, 1), (1, 2)), "⟦a⟧⟦b⟧"),
        ("\x1b[2J", ((0, 1),), r"⟦\x1b⟧[2J"),
    ],
)
def test_white_space_line_ends_and_marks(text: str, spans: tuple[Span, ...], shown: str) -> None:
    assert "\n".join(line.plain for line in chain_lines(text, spans, "right", marked=True)) == shown


@given(with_spans(ANY))
def test_pieces_are_the_text_and_its_spans(given: tuple[str, tuple[Span, ...]]) -> None:
    text, spans = given
    cut = pieces(text, spans)
    assert "".join(part for part, _ in cut) == text
    assert [part for part, key in cut if key] == [text[start:end] for start, end in spans]
    assert all(part for part, _ in cut)


def test_spans_are_joined_over_spaces_and_nothing_else() -> None:
    text = "ab cd\tef\ngh, ij"
    spans = ((0, 2), (3, 5), (6, 8), (9, 11), (13, 15))
    assert joined_over_spaces(text, spans) == ((0, 8), (9, 11), (13, 15))
    assert joined_over_spaces(text, ()) == ()


def test_key_steps_that_go_on_over_rows_end_where_their_text_ends() -> None:
    text = ANSI.sub("", drawn(made("Same. Red cats run. Blue dogs sleep.", "Same. Ants."), 120))
    assert "  ⟦Red cats run⟧.  " in text or "  ⟦Red cats run.⟧  " in text
    assert "  ⟦Blue dogs sleep" in text
    assert " ⟧" not in text.partition("right (")[2]


def test_spans_of_tokens_are_shown_as_they_are() -> None:
    text = ANSI.sub("", drawn(spanned("a b", ((0, 1), (2, 3))), 80))
    assert "⟦a⟧ ⟦b⟧" in text


@given(PLAIN, PLAIN)
def test_rows_hold_both_texts_in_order(right: str, wrong: str) -> None:
    table = rows(right, wrong)
    for text, side in ((right, [row[0] for row in table]), (wrong, [row[1] for row in table])):
        found = [span for span in side if span is not None]
        assert "".join(text[slice(*span)] for span in found) == text
        assert list(chain(*found)) == sorted(chain(*found))
    assert all(left is not None or other is not None for left, other in table)


@given(PLAIN)
def test_a_text_stands_beside_itself(text: str) -> None:
    assert rows(text, text) == [(step, step) for step in steps(text)]


def said(right: str, wrong: str) -> list[tuple[str | None, str | None]]:
    return [
        (left and right[slice(*left)].strip(), other and wrong[slice(*other)].strip())
        for left, other in rows(right, wrong)
    ]


def test_steps_that_say_the_same_stand_beside_each_other() -> None:
    assert said("One two three. Cats sleep all day. Dogs bark.", "Cats sleep all night. One two three. Dogs bark.") == [
        (None, "Cats sleep all night."),
        ("One two three.", "One two three."),
        ("Cats sleep all day.", None),
        ("Dogs bark.", "Dogs bark."),
    ]
    assert said("Same here. Alpha beta gamma.", "Same here. Delta. Epsilon zeta.") == [
        ("Same here.", "Same here."),
        ("Alpha beta gamma.", "Delta."),
        (None, "Epsilon zeta."),
    ]


def test_indentation_of_programs_stays() -> None:
    text = "def f():\n    a = 1\n\n    return a"
    assert [text[slice(*step)] for step in steps(text)] == ["def f():\n", "    a = 1\n\n", "    return a"]
    assert "  def f():" in drawn(made(right=text, wrong=text), 120)
    assert "      return a" in drawn(made(right=text, wrong=text), 120)


def test_very_long_chains_are_not_compared_step_by_step() -> None:
    text = "Same words here again.\n" * 300
    assert len(rows(f"First.\n{text}", text)) == 301


def test_long_questions_are_cut_on_a_terminal_unless_asked_for() -> None:
    alignment = made()
    question = Question(id="long", question="\n".join(map(str, range(30))), description="Count.", choices=("x", "y"))
    dual = type(alignment.dual)(
        question=question, right=alignment.dual.right, wrong=None, teacher=None, reason="unread"
    )
    long = type(alignment)(dual=dual, edits=None)
    text = ANSI.sub("", drawn(long, 80))
    assert "    7\n    (22 more lines; -v shows them)\n  right (sampled)" in text
    assert "  no wrong chain: unread\n" in text
    everything = ANSI.sub("", drawn(long, 80, everything=True))
    assert "    29\n  description:\n    Count.\n  choices:\n    x\n    y\n" in everything


def test_rejects_say_where_and_why() -> None:
    shown, file = screen(80)
    question = Question(id="q", question="Why?", answer="so")
    shown.reject(Reject(question=question, step="explain", reason="unread", attempts=1, completion="No\x1b[2J\nidea."))
    shown.reject(Reject(question=question, step="rectify", reason="told", attempts=3, completion=None))
    assert ANSI.sub("", file.getvalue()).partition("\n\n")[2] == (
        "q  reject\n  gold answer so\n  rejected at explain after 1 attempt: unread\n  question:\n    Why?\n"
        "  last completion:\n    No\\x1b[2J\n    idea.\n\n"
        "q  reject\n  gold answer so\n  rejected at rectify after 3 attempts: told\n  question:\n    Why?\n"
        "  no completion was received\n"
    )


def test_every_share_has_its_bin() -> None:
    assert histogram({0.0: 2, 0.0999: 1, 0.1: 3, 1.0: 4}) == [3, 3, 0, 0, 0, 0, 0, 0, 0, 4]


def test_many_groups_are_shown_on_request_only() -> None:
    points = {"n": 1, "median": 0.5, "p10": 0.25, "p90": 0.75}
    group = {"mistake": "any", "similarity": points, "key_ratio": points}
    facts = {
        "counts": {"pair": 13},
        "rejects": [],
        "similarity": points,
        "key_ratio": points,
        "largest_key_ratio": [0] * 10,
        "groups": [{"task": str(number), **group} for number in range(13)],
    }
    _, few = pair_tables(facts)
    assert (len(few[2]), few[3]) == (1, "13 groups of task and mistake; -v shows them")
    _, every = pair_tables(facts, everything=True)
    assert (len(every[2]), every[3]) == (14, "")
    assert every[2][1] == ["0", "any", 1, "50.0%", "25.0%", "75.0%", "50.0%", "25.0%", "75.0%"]


def test_visible_text_is_one_line() -> None:
    assert visible("a\tb\r\x00⟦", marked=True) == r"a⇥b\r\x00\u27e6"
    assert visible("⟦", marked=False) == "⟦"


@pytest.mark.parametrize("width", [60, 120])
def test_nothing_that_a_record_holds_acts_on_the_terminal(width: int) -> None:
    nasty = "\x1b[2J\u202e\x9b31m\r\u2066[red]"
    question = Question(id=nasty, question=nasty, task=nasty, answer=nasty, description=nasty, choices=(nasty, nasty))
    right, wrong = (
        Chain(
            text=f"{nasty}{side}",
            answer=nasty,
            origin="given",
            mistake=nasty,
            label=nasty,
            template=nasty,
            reasoning=nasty,
        )
        for side in (1, 2)
    )
    edits = made().edits
    assert edits is not None
    dual = DualChain(question=question, right=right, wrong=wrong, teacher=nasty, reason=nasty)
    shown, file = screen(width, everything=True)
    shown.pair(Alignment(dual=dual, edits=replace(edits, unit=nasty, tokenizer=nasty, right=(), wrong=())), nasty)
    shown.pair(Alignment(dual=replace(dual, wrong=None), edits=None), nasty)
    shown.reject(Reject(question=question, step="explain", reason=nasty, attempts=1, completion=nasty))
    text = ANSI.sub("", file.getvalue())
    assert not [character for character in text if not character.isprintable() and character != "\n"]
    assert text.count(r"\x1b[2J") > 20
