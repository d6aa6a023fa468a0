"""Text of models, data, files and servers is data: nothing of it acts on a terminal, whichever command shows it."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from editctl.jsonl import dumps
from editctl.progress import Bar, Talk, clean, print_table, stdout_console
from editctl.report.screen import Screen
from editctl.train.handover.card import model_card
from editctl.views import StageFigures
from tests.support_cli import Cli, Outcome, Row, aligned_rows, lines, prediction_rows, read

ACTING = "\x1b]0;owned\x07\x1b[2J\x9b31m\x85\x90q\x9c\x08\x7f\r\u202eback\u2066\u200f\u061c\u2028"
"""Window title, clear screen, colours and string controls of C1, backspace, return, marks of direction."""
HOSTILE = f"{ACTING}[red]r[/red][link=http://x.example]l[/link]:skull:\\"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m"
"""How it looks where it was shown."""
NAME = f"q{ACTING}[red].jsonl".replace("\x00", "")
TEACHER = f'''
"""Teachers {HOSTILE!r}."""
from dataclasses import dataclass
from editctl.errors import EditctlError
from editctl.interfaces import CallFailed, Completion

HOSTILE = {HOSTILE!r}


@dataclass(frozen=True)
class Options:
    """None."""

    extra: str = HOSTILE


class Good:
    __doc__ = "Says " + HOSTILE
    name = HOSTILE
    offline = True
    Options = Options

    def __init__(self, argument, options):
        pass

    async def complete(self, request):
        await self.trouble(request)
        number = 2 if request.step == "corrupt" else 1
        return Completion(text=f"{{HOSTILE}} So. Therefore, the answer is {{number}}.")

    async def trouble(self, request):
        pass

    async def close(self):
        pass


class Online(Good):
    offline = False


class Fails(Good):
    async def trouble(self, request):
        raise CallFailed(HOSTILE, HOSTILE)


class Stops(Good):
    async def trouble(self, request):
        raise EditctlError(HOSTILE)
'''


def questions() -> list[Row]:
    return [
        {
            "id": f"{HOSTILE}{number}",
            "question": f"1? {HOSTILE}",
            "answer": "1",
            "task": HOSTILE,
            "description": HOSTILE,
        }
        for number in range(3)
    ]


def hostile(rows: list[Row]) -> list[Row]:
    """Rows of a stage with hostile words wherever a user or a model has a say."""
    for number, row in enumerate(rows):
        row |= {"id": f"{HOSTILE}{number}", "task": HOSTILE, "question": f"What? {HOSTILE}", "teacher": HOSTILE}
    return rows


def aligned() -> list[Row]:
    rows = hostile(aligned_rows(3))
    for row in rows:
        for side, end in (("right", 8), ("wrong", 8)):
            row[side]["text"] += f" {HOSTILE}"
            row["edits"][side] = [[0, end], *row["edits"][side]] if row["edits"][side][0][0] > end else [[0, end]]
    rows[1] |= {"wrong": None, "edits": None, "reason": HOSTILE}
    return rows


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(TEACHER)
    (tmp_path / NAME).write_text(lines(questions()))
    (tmp_path / "aligned.jsonl").write_text(lines(aligned()))
    (tmp_path / "predictions.jsonl").write_text(lines(hostile(prediction_rows("4", HOSTILE, "5"))))


def harmless(done: Outcome, code: int = 0, shows: str | None = SHOWN) -> Outcome:
    """Nothing but printable characters and line ends on both streams; by default hostile words were shown."""
    assert done.code == code, done
    for stream in (done.out, done.err):
        assert {character for character in stream if not character.isprintable()} <= {"\n"}, stream
    assert shows is None or shows in done.out + done.err, done
    return done


@pytest.mark.parametrize("colour", [(), ("--no-color",)])
def test_gen_dual(cli: Cli, colour: tuple[str, ...]) -> None:
    words = ("gen-dual", NAME, "-t", "bad.py:Good", "-v", *colour)
    done = harmless(cli(*words, "--show-prompts", "2"))
    assert "[red]r[/red][link=http://x.example]l[/link]:skull:" in done.out
    rows = [json.loads(row) for row in harmless(cli(*words)).out.splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in questions()]
    assert HOSTILE in rows[0]["right"]["text"]


def test_a_teachers_faults(cli: Cli) -> None:
    harmless(cli("gen-dual", NAME, "-t", "bad.py:Fails", "-o", "out.jsonl", "--retries", "0", "-v"), 3)
    harmless(cli("gen-dual", NAME, "-t", "bad.py:Stops", "-o", "out.jsonl"), 1)
    harmless(cli("gen-dual", NAME, "-t", "bad.py:Stops", "-o", "out.jsonl", "--debug"), 1)


def test_inspect_and_align(cli: Cli) -> None:
    for view in ((), ("-r", "edit")):
        done = harmless(cli("inspect", "aligned.jsonl", "-v", *view))
        assert "[red]r[/red]" in done.out
        harmless(cli("inspect", "aligned.jsonl", "--json", *view), shows=json.dumps(ACTING)[1:7])
        harmless(cli("inspect", "aligned.jsonl", "--id", f"{HOSTILE}9", *view), 2)
    harmless(cli("inspect", "aligned.jsonl", "--mistake", HOSTILE), 2)
    harmless(cli("inspect", "aligned.jsonl", "--stage", HOSTILE), 2)
    pairs = [{"question": HOSTILE, "answer": "1", "task": HOSTILE, "chosen": HOSTILE, "rejected": HOSTILE}]
    Path(f"{NAME}.pairs").write_text(lines(pairs))
    harmless(cli("align", f"{NAME}.pairs"), shows="\\u202e")


def test_train_its_model_card_and_eval(cli: Cli) -> None:
    harmless(cli("train", NAME, "-s", f"./{HOSTILE}", "-o", "run"), 2)
    Path("q.jsonl").write_text(lines(questions()))
    Path(NAME).write_text(lines(aligned()))
    words = ("train", NAME, "-s", "tiny", "-o", "run", "--max-length", "2048", "-R", f"conclusion={HOSTILE}")
    harmless(cli(*words, "--dry-run"), shows=None)
    harmless(cli(*words, "--max-steps", "2", "-v"), shows=None)
    card = Path("run/README.md").read_text(encoding="utf-8")
    assert {character for character in card if not character.isprintable()} <= {"\n"}
    assert "owned" in card
    harmless(cli("eval", "run", "q.jsonl", "--max-new-tokens", "2", "-o", "out.jsonl", "-v"))
    assert [row["task"] for row in read("out.jsonl")] == [HOSTILE] * 3


@pytest.mark.parametrize("name", [f"org/{HOSTILE}", HOSTILE, f"/models/{HOSTILE}"])
def test_a_model_card_of_hostile_facts(name: str) -> None:
    manifest = {
        "command": HOSTILE, "options": {"teacher": HOSTILE, "map": [HOSTILE]}, "counts": {HOSTILE: HOSTILE},
        "inputs": [{"name": HOSTILE}], "started": HOSTILE,
    }  # fmt: skip
    facts = {
        "preset": HOSTILE, "license": HOSTILE, "settings": {HOSTILE: HOSTILE}, "weights": "lora",
        "lineage": {"inputs": [{"name": HOSTILE, "made_by": manifest}]},
        "stages": [{"name": HOSTILE, "left_out": {HOSTILE: 1}}],
    }  # fmt: skip
    card = model_card(name, HOSTILE, HOSTILE, facts)
    assert {character for character in card if not character.isprintable()} <= {"\n"}
    heading, data, figures = card.split("## ")[:3]
    for part in (heading.split("---\n")[2], data, figures):
        assert not re.search(r"(?<!\\)[\[<]", re.sub(r"`[^`]*`", "", part))
    assert yaml.safe_load(card.split("---\n")[1])["license"] == HOSTILE


def test_score(cli: Cli) -> None:
    done = harmless(cli("score", "predictions.jsonl"))
    assert "[red]r[/red]" in done.out
    figures = json.loads(harmless(cli("score", "predictions.jsonl", "--json"), shows="\\u202e").out)
    assert list(figures["tasks"]) == [HOSTILE]
    harmless(cli("score", "predictions.jsonl", NAME, "--baseline", "predictions.jsonl", "--scorer", "official"))
    harmless(cli("score", "predictions.jsonl", "--kind", f"{HOSTILE}={HOSTILE}"), 2)
    harmless(cli("score", "--self-test", NAME))


def test_plugins(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / f"t{ACTING}" / "mistakes"
    folder.mkdir(parents=True)
    (folder / f"m{ACTING}.jinja").write_text(f"{{# {HOSTILE} #}}\nDo {HOSTILE}\nand more")
    listed = harmless(cli("plugins", "--templates", str(folder.parent)))
    assert "[red]r[/red]" in listed.out
    harmless(cli("plugins", "--templates", str(folder.parent), "--json"), shows="\\u202e")
    shown = harmless(cli("plugins", "show", f"m{ACTING}", "--templates", str(folder.parent)))
    assert shown.out.endswith("\nand more\n")
    harmless(cli("plugins", "show", "bad.py:Good"))
    harmless(cli("plugins", "show", HOSTILE), 2)


def test_ledger(cli: Cli) -> None:
    place = f"l{ACTING}.sqlite"
    harmless(cli("gen-dual", NAME, "-t", "bad.py:Online", "-o", "out.jsonl", "--ledger", place))
    done = harmless(cli("ledger", "show", place))
    harmless(cli("ledger", "show", place, "--json"), shows="\\u202e")
    assert "completions" in done.out
    harmless(cli("ledger", "show", f"no{place}"), 2)


BROKEN = {
    "no json": "{" + HOSTILE, "wrong type": lines([{"id": HOSTILE, "question": [HOSTILE]}]),
    "missing field": lines([{"id": HOSTILE, HOSTILE: 1}]), "an id twice": lines([*questions(), *questions()]),
    "unknown kind": lines([{**questions()[0], "kind": HOSTILE}]), "empty": "",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_errors_in_files(cli: Cli, text: str) -> None:
    Path(NAME).write_text(text)
    harmless(cli("gen-dual", NAME, "-t", "bad.py:Good", "-o", "out.jsonl"), 2)


@pytest.mark.parametrize(
    "words",
    [
        ("gen-dual", f"no{NAME}", "-t", "bad.py:Good"), 
        ("gen-dual", f"toy:{HOSTILE}", "-t", "oracle"),
        ("gen-dual", NAME, "-t", "bad.py:Good", "-m", HOSTILE), (HOSTILE,), ("score", f"--{HOSTILE}"),
        ("score", f"no{NAME}"),
        ("gen-dual", NAME, "-t", "bad.py:Good", "--map", f"answer={HOSTILE}"),
        ("train", "aligned.jsonl", "-r", HOSTILE),
        ("train", "aligned.jsonl", "-s", "tiny", "-R", f"{HOSTILE}=1"), ("score", "--config", f"no{NAME}"),
    ],
    ids=lambda words: ascii(words)[:60],
)  # fmt: skip
def test_errors_in_words(cli: Cli, words: tuple[str, ...]) -> None:
    harmless(cli(*words), 2)


def test_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDITCTL_STATE", str(tmp_path / HOSTILE.replace("/", "")))
    harmless(cli("env"))


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text()), max_size=3))
def test_a_row_keeps_its_values_and_has_nothing_that_acts(row: Row) -> None:
    text = dumps(row)
    assert json.loads(text) == row
    assert not any(character < " " or character in set(ACTING) - set(clean(ACTING)) for character in text)


def test_a_row_without_such_characters_is_written_as_it_is() -> None:
    assert dumps({"a": "é\xa0\u3000漢😀"}) == '{"a":"é\xa0\u3000漢😀"}'


class Terminal(io.StringIO):
    """Looks like somebody were watching."""

    def isatty(self) -> bool:
        return True


def test_talk_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich's own codes reach it, nobody else's; markup and names of emoji stay text."""
    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    monkeypatch.setattr(sys, "stdout", seen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "400")
    talk = Talk(verbose=True)
    talk.say(HOSTILE)
    talk.warn(HOSTILE)
    talk.table(HOSTILE, [HOSTILE, "n"], [[HOSTILE, 1]])
    with Bar(talk, HOSTILE, 2) as bar:
        bar.advance(2, fields=HOSTILE)
    print_table(stdout_console(), HOSTILE, [HOSTILE], [[HOSTILE]])
    stdout_console().print(HOSTILE)
    shown = seen.getvalue()
    for acting in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\x85", "\x90", "\x08", "\x7f", "\u202e", "\u2066", "\u2028"):
        assert acting not in shown, ascii(acting)
    assert shown.count("[red]r[/red][link=http://x.example]l[/link]:skull:") >= 9
    assert "\x1b]8;" not in shown


def test_a_run_folder_is_data_for_a_program_and_shown_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    from editctl.cli.train import _shown

    assert _shown(HOSTILE) == HOSTILE
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert _shown(HOSTILE) == clean(HOSTILE)


def test_figures_of_hostile_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", seen)
    facts = dict.fromkeys(("preset", "recipe", "student", "prompt_style", "gap"), HOSTILE)
    stage = StageFigures(
        stage=HOSTILE, normaliser=HOSTILE, questions=0, sides=(), parts=(), read_plain=0, read_trie=0, logits_plain=0,
        logits_trie=0, left_out={HOSTILE: (HOSTILE,)},
    )  # fmt: skip
    Screen(stdout_console()).figures({**facts, "questions": 1, "shown": 0, "max_length": 9}, [stage])
    shown = seen.getvalue()
    assert shown.count(SHOWN) >= 6
    assert {character for character in shown if not character.isprintable()} <= {"\n"}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals to open here")
def test_a_real_terminal(tmp_path: Path) -> None:
    for words in (["score", "predictions.jsonl"], ["gen-dual", NAME, "-t", "bad.py:Fails", "--retries", "0"]):
        shown = _on_a_terminal(words, tmp_path)
        assert "owned" in shown
        for acting in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\x85", "\x08", "\u202e", "\u2066", "\u2028"):
            assert acting not in shown, ascii(acting)


def _on_a_terminal(words: list[str], folder: Path) -> str:
    """What a terminal would be sent by a command of its own."""
    reading, writing = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "editctl", *words],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, env=environment,
    ):  # fmt: skip
        os.close(writing)
        shown = b""
        while part := _part(reading):
            shown += part
    os.close(reading)
    return shown.decode("utf-8")


def _part(reading: int) -> bytes:
    try:
        return os.read(reading, 1 << 16)
    except OSError:  # Linux says so where the other side has closed
        return b""
