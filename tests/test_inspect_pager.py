"""`editctl inspect` on a real terminal: pagers, pagers that are quit, colours, Ctrl-C; and `| head`."""

import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest

from tests.support_cli import aligned_rows, lines, shell
from tests.support_terminal import Terminal

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Many pairs, and few."""
    few = aligned_rows(2)
    (tmp_path / "many.jsonl").write_text(lines({**few[0], "id": f"q{number}"} for number in range(600)))
    (tmp_path / "few.jsonl").write_text(lines(few))
    return tmp_path


def script(folder: Path, text: str) -> str:
    """A pager of our own."""
    path = folder / "pager"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_pager_gets_all_with_colours(folder: Path) -> None:
    pager = script(folder, 'echo "LESS=$LESS $1"\ncat > got\necho end of pager')
    done = Terminal("inspect", "few.jsonl", folder=folder, width=120, PAGER=f"'{pager}' option").end()
    assert (done.code, done.out) == (0, "LESS=FRX option\nend of pager\n")
    got = (folder / "got").read_text()
    assert "\x1b[1;4;32m4" in got or "\x1b[1;4m\x1b[32m4" in got
    plain = COLOUR.sub("", got)
    assert "│ 3 + 1 = 5." in plain
    assert plain.splitlines()[-1].split() == ["90-100%", "0"]


def test_what_less_is_told_already_stays(folder: Path) -> None:
    pager = script(folder, 'echo "LESS=$LESS"; cat > /dev/null')
    assert Terminal("inspect", "few.jsonl", folder=folder, PAGER=pager, LESS="S").end().out == "LESS=S\n"


@pytest.mark.parametrize("pager", [None, "less", "less -S"])
@pytest.mark.parametrize("own", [None, "", "-i"])
def test_less_shows_colours_whatever_it_is_told_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pager: str | None, own: str | None
) -> None:
    for name in ("PAGER", "LESS"):
        monkeypatch.delenv(name, raising=False)
    (folder / "bin").mkdir()
    less = folder / "bin" / "less"
    less.write_text('#!/bin/sh\necho "$*"; cat >/dev/null\n')
    less.chmod(0o755)
    for name, text in (("PAGER", pager), ("LESS", own)):
        if text is not None:
            monkeypatch.setenv(name, text)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = Terminal("inspect", "few.jsonl", folder=folder, PATH=path).end()
    assert done.out.split() == [*(pager or "less").split()[1:], "-R"]


@pytest.mark.parametrize("view", [(), ("-r", "edit")])
def test_a_pager_that_is_quit_early_ends_quietly(folder: Path, view: tuple[str, ...]) -> None:
    pager = script(folder, "head -n 3; exit 0")
    done = Terminal("inspect", "many.jsonl", *view, folder=folder, PAGER=pager).end()
    assert done.code == 0
    assert len(done.out.splitlines()) == 3, done.out[-2000:]


@pytest.mark.parametrize(
    ("words", "pager"),
    [
        (("--no-pager",), "false"),
        ((), ""),
        ((), "cat"),
        ((), "no-such-pager -x"),
        ((), "'half a quote"),
        (("--json",), "false"),
        (("-q",), "BROKEN"),
    ],
)
def test_without_a_pager_it_just_prints(folder: Path, words: tuple[str, ...], pager: str) -> None:
    if pager == "BROKEN":
        pager = script(folder, "")
        Path(pager).write_text("#!/no/such/shell\n")
    done = Terminal("inspect", "few.jsonl", *words, folder=folder, PAGER=pager).end()
    assert done.code == 0, done.out
    assert "q1" in done.out


def test_a_dumb_terminal_has_no_pager(folder: Path) -> None:
    done = Terminal("inspect", "few.jsonl", folder=folder, PAGER=script(folder, "echo paged"), TERM="dumb").end()
    assert "paged" not in done.out
    assert "3 + 1 = ⟦4⟧" in done.out


def test_no_colour_means_marks_on_a_terminal_too(folder: Path) -> None:
    plain = Terminal("inspect", "few.jsonl", "--no-pager", folder=folder, NO_COLOR="1").end()
    for done in (plain, Terminal("inspect", "few.jsonl", "--no-pager", "--no-color", folder=folder).end()):
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", done.out)
        assert "3 + 1 = ⟦4⟧" in COLOUR.sub("", done.out)


def test_a_fault_is_told_when_the_pager_is_left(folder: Path) -> None:
    with (folder / "few.jsonl").open("a") as file:
        file.write("no json\n")
    done = Terminal("inspect", "few.jsonl", folder=folder, PAGER=script(folder, "cat >got; echo left")).end()
    assert done.code == 2
    first, second = done.out.splitlines()
    assert (first, second.partition(":")[0]) == ("left", "editctl")
    assert "few.jsonl, line 3" in second
    assert "q1" in (folder / "got").read_text()


def test_no_pager_starts_where_there_is_nothing_to_show(folder: Path) -> None:
    pager = script(folder, "echo started; cat")
    done = Terminal("inspect", "few.jsonl", "--id", "q9", folder=folder, PAGER=pager).end()
    assert (done.code, "started" in done.out) == (2, False)
    assert "--id 'q9': no such row; did you mean" in done.out


def test_ctrl_c_leaves_the_pager_time_and_ends_with_130(folder: Path) -> None:
    # The pager reads a little, so that we wait for it, and does not mind Ctrl-C.
    pager = script(folder, "trap '' INT\nread line; echo reading; while [ ! -e go ]; do sleep 0.1; done; echo left")
    terminal = Terminal("inspect", "many.jsonl", folder=folder, PAGER=pager)
    assert "reading\n" in terminal.read_until(lambda text: "reading\n" in text)
    terminal.interrupt()
    (folder / "go").touch()
    done = terminal.end()
    assert (done.code, done.out) == (130, "reading\nleft\neditctl: interrupted\n")


def test_ctrl_c_while_all_is_in_the_pager_is_the_pagers_affair(folder: Path) -> None:
    pager = script(folder, "trap '' INT\ncat >got; echo reading; while [ ! -e go ]; do sleep 0.1; done; echo left")
    terminal = Terminal("inspect", "few.jsonl", folder=folder, PAGER=pager)
    assert "reading\n" in terminal.read_until(lambda text: "reading\n" in text)
    for _ in range(3):
        terminal.interrupt()
        time.sleep(0.2)
    (folder / "go").touch()
    done = terminal.end()
    assert (done.code, done.out) == (0, "reading\nleft\n")


def test_a_pager_that_reads_no_more_is_waited_for(folder: Path) -> None:
    pager = script(folder, "head -n 3; exec <&-; while [ ! -e go ]; do sleep 0.1; done; echo left")
    terminal = Terminal("inspect", "many.jsonl", folder=folder, PAGER=pager)
    terminal.read_until(lambda text: text.count("\n") == 3)
    time.sleep(1)
    assert terminal.process.poll() is None
    (folder / "go").touch()
    done = terminal.end()
    assert (done.code, done.out.splitlines()[3:]) == (0, ["left"])


def test_sigterm_ends_the_pager_too(folder: Path) -> None:
    pager = script(folder, "cat >got; echo reading; while :; do sleep 0.1; done")
    terminal = Terminal("inspect", "few.jsonl", folder=folder, PAGER=pager)
    assert "reading\n" in terminal.read_until(lambda text: "reading\n" in text)
    terminal.process.send_signal(signal.SIGTERM)
    done = terminal.end()
    assert (done.code, done.out) == (143, "reading\neditctl: terminated\n")


def test_ctrl_c_without_a_pager_ends_with_130(folder: Path) -> None:
    terminal = Terminal("inspect", "many.jsonl", "--no-pager", folder=folder)
    terminal.read_until(lambda text: "q1" in text)
    terminal.interrupt()
    done = terminal.end()
    assert done.code == 130
    assert done.out.splitlines()[-1].endswith("editctl: interrupted")
    assert "Traceback" not in done.out


@pytest.mark.parametrize("words", ["", "--json", "--sort key-ratio"])
def test_the_reader_may_go_away(folder: Path, words: str) -> None:
    outcome = shell(f"editctl inspect many.jsonl {words} | head -n 2", folder)
    assert (outcome.out.splitlines()[-1], outcome.err) == ("0 0", "")
