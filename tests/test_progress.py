"""What stands on stderr where nobody watches: plain lines without codes, harmless whatever they hold."""

import io
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from editctl import progress
from editctl.progress import Bar, Talk, clean, print_table

HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\r\n\x00\x9b1m"


@given(st.text(st.characters()))
def test_clean_text_is_one_printable_line(text: str) -> None:
    shown = clean(text)
    assert shown == "" or shown.isprintable()
    assert clean(shown) == shown
    if text.isprintable():
        assert shown == text


def test_hostile_text_is_shown_as_escapes() -> None:
    assert clean(HOSTILE) == "\\x1b]0;owned\\x07\\x1b[2J\\u202e\\r\\n\\x00\\x9b1m"


@pytest.mark.parametrize("force", [False, True], ids=["plain", "colour asked for"])
def test_everything_said_is_plain_where_stderr_is_no_terminal(
    force: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not force:
        monkeypatch.delenv("NO_COLOR")
    talk = Talk(verbose=True, color=force)
    talk.say(f"said {HOSTILE} [red]not red[/red] " + "long " * 100)
    talk.detail("detail")
    talk.warn("careful [bold]")
    talk.table("title", ["name", "n"], [[HOSTILE, 1], ["[red]x", 20]])
    with Bar(talk, "work", 3) as bar:
        bar.advance(3, fields="loss 1")
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    lines = err.splitlines()
    assert len(lines) == 7
    assert lines[0].endswith("long ")
    assert "[red]not red[/red]" in lines[0]
    assert lines[1:3] == ["detail", "warning: careful [bold]"]
    assert lines[3] == "title"
    assert lines[6] == "[red]x" + " " * (len(clean(HOSTILE)) - len("[red]x")) + "  20"


def test_quiet_leaves_only_warnings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    talk = Talk(quiet=True, verbose=True)
    talk.say("a")
    talk.detail("b")
    talk.table("c", ["d"], [["e"]])
    assert list(talk.track([1, 2], "work")) == [1, 2]
    assert capsys.readouterr().err == ""
    talk.warn("f")
    assert capsys.readouterr().err == "warning: f\n"


def test_detail_needs_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    Talk().detail("a")
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Looks like somebody were watching."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that a test sets forward."""
    now = [100.0]
    monkeypatch.setattr("editctl.progress.time.monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_plain_line_comes_now_and_then(clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(Talk(), "train", 100) as bar:
        for _ in range(50):
            clock(0.5)
            bar.advance(fields="loss 0.5")
    assert capsys.readouterr().err.splitlines() == [
        "train: 20/100, 0:40 left, 2/s  loss 0.5",
        "train: 40/100, 0:30 left, 2/s  loss 0.5",
    ]


def test_line_without_a_total_and_long_times(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Bar(Talk(), "align") as bar:
        clock(20)
        bar.advance(9)
        bar.advance(1)
    with Bar(Talk(), "train", 1000) as bar:
        clock(3600)
        bar.advance(99)
        bar.advance(1)
    assert capsys.readouterr().err.splitlines() == ["align: 10, 0.5/s", "train: 100/1000, 9:00:00 left, 0.0278/s"]


def table(console_width: int | None, rows: list[list[object]], title: str = "") -> str:
    """A table as a terminal of some width shows it, or a file."""
    file = io.StringIO()
    console = Console(file=file, width=console_width, force_terminal=console_width is not None, color_system=None)
    print_table(console, title, ["name", "n", "share"], rows)
    return file.getvalue()


def test_table_in_a_pipe_is_neither_folded_nor_padded() -> None:
    rows: list[list[object]] = [["a" * 200, 5, "7.5%"], ["é漢", 12, ""]]
    assert table(None, rows).splitlines() == [
        "name" + " " * 198 + " n  share",
        "a" * 200 + "   5   7.5%",
        "é漢" + " " * 197 + "  12",
    ]


def test_table_on_a_terminal_is_folded() -> None:
    shown = table(40, [["a" * 100, 5, "7.5%"]])
    assert max(map(len, shown.splitlines())) <= 40
    assert [line.split()[0] for line in shown.splitlines()[1:]] == ["a" * 30] * 3 + ["a" * 10]


def test_columns_of_figures_stand_right_and_columns_of_text_left() -> None:
    lines = table(None, [["x", "built-in", -5], ["y", "mine", "+10 %"]]).splitlines()
    assert lines == ["name  n         share", "x     built-in     -5", "y     mine      +10 %"]


def test_no_color_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(**environment: str) -> str:
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        Talk().warn("careful")
        return terminal.getvalue()

    assert "\x1b[33m" in warned(TERM="xterm")
    assert warned(TERM="xterm", NO_COLOR="1") == "warning: careful\n"


@pytest.mark.parametrize(("term", "live"), [("xterm", True), ("dumb", False)])
def test_bar_is_live_on_a_terminal_only(term: str, live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    assert not Talk().live
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert Talk().live == live
    assert not Talk(quiet=True).live
    if live:
        with Bar(Talk(), "work", 2) as bar:
            bar.advance(2, fields="[red]loss")
        assert "2/2" in terminal.getvalue()
        assert "[red]loss" in terminal.getvalue()


def test_first_answer_of_a_batch_foretells_nothing(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with Bar(Talk(), "eval", 400) as bar:
        clock(30)
        bar.advance()
        assert capsys.readouterr().err == ""
        bar.advance(199)
        assert capsys.readouterr().err == "eval: 200/400, 0:30 left, 6.67/s\n"


def test_slow_items_are_told_all_the_same(clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(Talk(), "train", 4) as bar:
        for _ in range(2):
            clock(20)
            bar.advance()
        assert capsys.readouterr().err == "train: 2/4, 0:40 left, 0.05/s\n"
