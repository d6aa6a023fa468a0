"""`editctl inspect` with -r or -s, what the trainer will see: exact texts, colours, filters, JSON, pipes, bad input."""

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from editctl.records import Alignment
from editctl.report.screen import Screen
from editctl.rows import alignment_to_row
from editctl.views import ExampleView, LeftOut, Unit
from tests.support_cli import Cli, aligned_rows, dual_rows, lines, shell
from tests.support_models import byte_level, pair, pairs

LEGEND = """\
⟦+1 one¦ two⟧ tokens of weight 1, ¦ between tokens; ␣ space, ↵ line end; ✂ here the trainer cuts the tail
"""
FIRST = """
q0  [add]
  imitate, right side: share 1, normaliser tokens (a mean over the step's weighted tokens)
    prompt, 11 tokens:
      Q:What is 0 + 1?↵
      ↵
      A:
    target, 14 tokens, 14 weighted:
      ⟦+1 ␣3¦ +¦ 1¦ =¦ 4¦.¦ Therefore¦,¦ the¦ answer¦ is¦ 4¦.¦<|end|>⟧
  key-steps, right side: share 1, normaliser target (divided by 14 target tokens, then by the step's questions)
    prompt, 11 tokens, as above
    target, 14 tokens, 2 weighted, 2 cut:
      ␣3 + 1 =⟦+1 ␣4⟧. Therefore, the answer is⟦+1 ␣4⟧ ✂ .<|end|>
  key-steps, wrong side: share 1, normaliser target (divided by 14 target tokens, then by the step's questions)
    prompt, 11 tokens, as above
    target, 14 tokens, 2 weighted, 2 cut:
      ␣3 + 1 =⟦-0.025 ␣5⟧. Therefore, the answer is⟦-0.025 ␣5⟧ ✂ .<|end|>
"""
FIGURES = """
figures of all 3 questions (1 shown): recipe edit, student tiny, plain prompts, at most 1024 tokens

tokens
stage      side   examples  prompt  target  cut  weighted  sum of weights
imitate    right         3      33      42    0        42              42
key-steps  right         2      22      24    4         4               4
key-steps  wrong         2      22      24    4         4            -0.1

one pass: tokens read, and positions whose logits are needed
stage      questions  read one by one  in tries  logits one by one  in tries
imitate            3               72        72                 42        42
key-steps          2               88        58                  8         6

where the weight lies: stage imitate, normaliser tokens
side   part                    weighted tokens  a question  share of weight
right  rationale, not key                   16         5.3            38.1%
right  key steps                             2         0.7             4.8%
right  key, in the conclusion                2         0.7             4.8%
right  conclusion, not key                  19         6.3            45.2%
right  end token                             3         1.0             7.1%
in all: key steps 9.5% on 1.3 tokens a question; the conclusion 50.0% on 7.0 tokens a question \
(tokens that are both count in both)

where the weight lies: stage key-steps, normaliser target
side   part                    weighted tokens  a question  share of weight
right  key steps                             2         1.0            48.8%
right  key, in the conclusion                2         1.0            48.8%
wrong  key steps                             2         1.0             1.2%
wrong  key, in the conclusion                2         1.0             1.2%
in all: key steps 100.0% on 4.0 tokens a question; the conclusion 50.0% on 2.0 tokens a question \
(tokens that are both count in both)

left out
stage      reason          questions  which
key-steps  no-wrong-chain          1  q2
"""


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    """Three questions; the last has no wrong chain."""
    rows = aligned_rows(3)
    rows[2] |= {"wrong": None, "edits": None, "reason": "unread"}
    path = tmp_path / "a.jsonl"
    path.write_text(lines(rows))
    return path


def written(folder: Path, *alignments: Alignment) -> str:
    """A file of alignments."""
    (folder / "b.jsonl").write_text(lines(alignment_to_row(one) for one in alignments))
    return "b.jsonl"


def test_what_is_printed(cli: Cli, aligned: Path) -> None:
    outcome = cli("inspect", "a.jsonl", "-r", "edit", "-s", "tiny", "--limit", "1")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == LEGEND + FIRST + FIGURES
    assert cli("inspect", "a.jsonl", "-r", "edit", "--limit", "0").out == FIGURES[1:].replace("(1 shown)", "(0 shown)")


def test_questions_left_out_say_why(cli: Cli, aligned: Path) -> None:
    text = cli("inspect", "a.jsonl", "--id", "q2", "--stage", "key-steps").out
    assert "q2  [add]\n  key-steps: left out, no-wrong-chain\n" in text
    long = cli("inspect", "a.jsonl", "--id", "q1", "--max-length", "20").out
    assert "  imitate: left out, over-max-length (25 tokens)\n" in long
    assert "imitate    over-max-length          3  q0, q1, q2\n" in long
    assert "stage imitate: no question is left, `train` would refuse to start\n" in long


def test_filters_choose_what_is_shown_and_never_what_is_counted(cli: Cli, tmp_path: Path) -> None:
    rows = aligned_rows(6)
    rows[4]["task"] = "other"
    (tmp_path / "a.jsonl").write_text(lines(rows))

    def shown(*words: str) -> tuple[list[str], str]:
        out = cli("inspect", "a.jsonl", "--stage", "imitate", *words).out
        names = [line.partition(" ")[0] for line in out.splitlines() if line.endswith(("[add]", "[other]"))]
        return names, out.partition("\ntokens\n")[2]

    everything, figures = shown()
    assert everything == [f"q{number}" for number in range(6)]
    for words, names in (
        (["--id", "q3", "--id", "q1"], ["q1", "q3"]),
        (["--task", "other"], ["q4"]),
        (["--task", "add", "-n", "2"], ["q0", "q1"]),
        (["--task", "other", "--id", "q1"], []),
    ):
        assert shown(*words) == (names, figures)


def test_each_token_has_a_row_with_its_label(cli: Cli, aligned: Path) -> None:
    text = cli("inspect", "a.jsonl", "--id", "q0", "--stage", "key-steps", "-v").out
    rows = [line.split() for line in text.splitlines() if line[:5].strip().isdigit()]
    assert len(rows) == 28
    assert rows[4][2:] == [rows[4][1], "␣4", "+1", "key"]
    assert rows[5][2:] == ["-", ".", "0", "rationale"]
    assert rows[13][2:] == ["-", "<|end|>", "0", "end,", "cut"]
    assert rows[25][4:] == ["-0.025", "key-conclusion"]


def test_json_has_examples_first_and_the_figures_last(cli: Cli, aligned: Path) -> None:
    outcome = cli("inspect", "a.jsonl", "-r", "edit", "--json")
    rows: list[dict[str, Any]] = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["kind"] for row in rows] == ["example"] * 7 + ["left-out", "summary"]
    wrong = rows[2]
    assert (wrong["question_id"], wrong["stage"], wrong["side"], wrong["cut"]) == ("q0", "key-steps", "wrong", 2)
    key = wrong["units"][4]
    assert (key["text"], key["weights"], key["part"], key["kept"]) == (" 5", [-0.025], "key", 1)
    assert rows[7] == {
        "kind": "left-out",
        "question_id": "q2",
        "task": "add",
        "stage": "key-steps",
        "reason": "no-wrong-chain",
        "tokens": None,
    }
    summary = rows[-1]
    assert (summary["questions"], summary["shown"], summary["student"]) == (3, 3, "tiny")
    imitate, key_steps = summary["stages"]
    assert imitate["sides"][0]["weighted_tokens"] == 42
    assert key_steps["left_out"] == {"no-wrong-chain": ["q2"]}
    assert sum(part["share"] for part in key_steps["parts"]) == pytest.approx(1)


def test_preset_sets_what_tokens_depend_on_and_flags_win(cli: Cli, aligned: Path) -> None:
    def summary(*words: str) -> dict[str, Any]:
        outcome = cli("inspect", "a.jsonl", "-s", "tiny", "--json", "-n", "0", *words)
        assert outcome.code == 0, outcome.err
        return dict(json.loads(outcome.out))

    assert summary()["gap"] is True
    assert summary("--no-gap")["gap"] is False
    assert summary("--preset", "paper")["gap"] is False
    assert summary("--preset", "paper", "--gap")["gap"] is True
    assert len(summary("--preset", "paper", "-R", "key_steps=false")["stages"]) == 1


def test_tiny_reads_as_the_student_that_train_makes(cli: Cli, aligned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from editctl import scratch
    from editctl.files import InputFile
    from editctl.jsonl import read_records
    from editctl.recipes.edit import Edit, EditOptions
    from editctl.rows import alignment_from_row
    from editctl.train.plan import scratch_student

    made: list[tuple[list[str], int]] = []
    train_tokenizer = scratch.train_tokenizer

    def noted(texts: Iterable[str], vocabulary: int) -> Any:
        made.append((list(texts), vocabulary))
        return train_tokenizer(made[-1][0], vocabulary)

    monkeypatch.setattr("editctl.scratch.train_tokenizer", noted)
    alignments = list(read_records(InputFile(str(aligned)), alignment_from_row))
    student = scratch_student(Edit(), EditOptions(), alignments, 0)
    row = json.loads(cli("inspect", "a.jsonl", "-r", "edit", "--json", "-n", "1").out.splitlines()[0])
    ids = [token for unit in row["units"] for token in unit["ids"]]
    assert student.tokenizer.decode(ids) == " 3 + 1 = 4. Therefore, the answer is 4.<|end|>"
    assert made[0] == made[1]


def test_only_the_tokenizer_of_a_student_is_read(cli: Cli, aligned: Path, tmp_path: Path) -> None:
    byte_level(bos=True).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "model"}))
    for student in ("./model", "./run"):
        outcome = cli("inspect", "a.jsonl", "-s", student, "-n", "1")
        assert outcome.code == 0, outcome.err
        assert "      <|begin|>Q:What is 0 + 1?↵\n" in outcome.out


def test_text_of_data_never_acts_on_the_terminal(cli: Cli, tmp_path: Path) -> None:
    nasty = "one\x1b[31m\ttwo\r\n\u202ethree. Therefore, the answer is {}."
    one = pair(0, right=nasty.format(2), wrong=nasty.format(3))
    for words in ([], ["-v"]):
        out = cli("inspect", written(tmp_path, one), "-r", "edit", *words).out
        assert not [character for character in out if not character.isprintable() and character != "\n"]
        assert "\\x1b" in out
        assert "⇥" in out
        assert "\\u202e" in out


def view(**more: Any) -> ExampleView:
    """Four tokens of weights 0, 1, 1, -0.025; one of two bytes."""
    plain: dict[str, Any] = {"part": "rationale", "kept": 1, "unknown": False}
    units = (
        Unit(before=" ", text="a", ids=(1,), weights=(0.0,), **plain),
        Unit(before="", text=" b", ids=(2,), weights=(1.0,), **plain),
        Unit(before="", text=" c", ids=(3,), weights=(1.0,), **plain),
        Unit(before="", text="é", ids=(4, 5), weights=(-0.025, -0.025), **(plain | {"kept": 2})),
        Unit(before="", text="<end>", ids=(6,), weights=(0.0,), **(plain | {"kept": 0, "part": "end"})),
    )
    values: dict[str, Any] = {
        "question_id": "q\x1b[2J",
        "task": None,
        "stage": "only",
        "number": 0,
        "side": "right",
        "share": 0.5,
        "normaliser": "mine",
        "start": "<s>",
        "prompt": "P" * 50,
        "prompt_ids": (7, 8),
        "units": units,
        "trained": True,
    }
    return ExampleView(**(values | more))


def drawn(width: int = 40, *, color: bool = True) -> str:
    """The view on a terminal."""
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, color_system="256", width=width, no_color=not color, highlight=False
    )
    Screen(console).question([[view()]])
    return file.getvalue()


def test_colours_tell_sign_strength_and_tokens_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    text = drawn()
    strong, other, weak = "\x1b[37;48;5;32m b", "\x1b[37;48;5;68m c", "\x1b[37;48;5;94mé(×2)"
    assert strong in text
    assert other in text
    assert weak in text
    assert "⟦" not in text
    assert "target, 6 tokens, 4 weighted +1, -0.025, 1 cut:\n" in drawn(80)
    assert "\x1b[2m<s>PPP" in text
    assert "\x1b[2J" not in text


def test_without_colour_marks_stand_on_a_terminal_too() -> None:
    text = drawn(color=False)
    assert "48;5" not in text
    assert "␣a⟦+1 ␣b¦ c⟧⟦-0.025 é(×2)⟧" in text
    assert "\x1b[1monly, right side\x1b[0m: share 0.5" in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    from rich.text import Text

    text = Text.from_ansi(drawn(width)).plain
    assert max(map(len, text.splitlines())) <= width


def test_an_example_that_is_not_trained_on_says_so() -> None:
    console = Console(file=io.StringIO(), width=200)
    Screen(console).question([[view(trained=False)], LeftOut(question_id="q", task=None, stage="s", reason="r")])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "only, right side: not trained on, no token has a weight\n" in text
    assert "  s: left out, r\n" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jsonl", "--id", "q9"], "--id 'q9': no such row; did you mean"),
        (["a.jsonl", "--task", "ad"], "--task 'ad': no such row; did you mean add?"),
        (["a.jsonl", "--stage", "key"], "--stage 'key' is unknown; did you mean key-steps?"),
        (["a.jsonl", "--preset", "papr"], "recipe edit has no preset 'papr'; did you mean paper?"),
        (["a.jsonl", "-r", "edti"], "unknown recipe 'edti'"),
        (["a.jsonl", "-R", "alpa=1"], "edit has no option 'alpa'; did you mean alpha?"),
        (["a.jsonl", "-s", "tinny"], "unknown student 'tinny'; did you mean tiny?"),
        (["a.jsonl", "--prompt-style", "cat"], "prompt style 'cat' is unknown"),
        (["a.jsonl", "--prompt-style", "chat"], "has no chat template"),
        (["none.jsonl"], "none.jsonl: no such file"),
        (["empty.jsonl"], "empty.jsonl: is empty"),
        (["dual.jsonl"], "dual.jsonl, line 1: holds dual chains"),
        ([], "inspect: name an input file, or pipe rows in"),
    ],
)
def test_bad_input_is_one_line_and_2(
    words: list[str], said: str, cli: Cli, aligned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editctl.cli.session.stdin_is_piped", lambda: False)
    Path("empty.jsonl").write_text("")
    Path("dual.jsonl").write_text(lines(dual_rows(1)))
    outcome = cli("inspect", *words, *(() if {"-s", "-r"} & {*words} else ("-s", "tiny")))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("editctl: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_rows_come_through_a_pipe(tmp_path: Path) -> None:
    written(tmp_path, *pairs(20))
    outcome = shell("cat b.jsonl | editctl inspect -s tiny --json | tail -n 1", tmp_path)
    summary, codes = outcome.out.splitlines()
    assert (codes, outcome.err) == ("0 0 0", "")
    assert json.loads(summary)["questions"] == 20


def test_the_page_shows_what_the_trainers_view_prints(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "inspect.md").read_text(encoding="utf-8")
    command = (
        "editctl gen-dual 'toy:chain?n=20' -t oracle | editctl align | editctl inspect -r edit -s tiny --limit 2\n"
    )
    _, _, behind = page.partition(f"{command}```\n\n```text\n")
    printed = shell(command.replace(" | ", " -q | "), tmp_path).out
    parts = re.split(r"^ *\.\.\.\n", behind.partition("```")[0], flags=re.MULTILINE)
    assert len(parts) == 3
    assert [part for part in parts if part not in printed] == []


def test_the_reader_may_go_away(tmp_path: Path) -> None:
    written(tmp_path, *pairs(200))
    for words in ("", "--json"):
        outcome = shell(f"editctl inspect b.jsonl -s tiny {words} | head -n 1", tmp_path)
        assert (outcome.out.splitlines()[-1], outcome.err) == ("0 0", "")
