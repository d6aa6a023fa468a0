"""`align --format`: pairs for TRL, bad input, and what the manifest says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editctl.records import Alignment
from editctl.student import question_prompt
from editctl.tokens import Codec
from tests.support_cli import Cli, lines, read, shell
from tests.support_exports import PAGE, blocks, export, exported, noted, write_pairs
from tests.support_models import byte_level, pair, pairs, with_chat
from tests.support_recipes import lacking

PROMPT = "Q:What is 1 + 2 (0)?\n\nA:"
RIGHT = "1 + 2 = 3. Therefore, the answer is 3."
WRONG = "1 + 2 = 4. Therefore, the answer is 4."


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A folder with a tokenizer."""
    with_chat(byte_level()).save_pretrained(tmp_path / "student")
    return tmp_path / "student"


def test_pairs_for_trl(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, pairs(2))
    first, second = exported(cli, tmp_path, "--format", "trl")
    assert first == {"id": "q0", "task": "add", "prompt": PROMPT, "chosen": f" {RIGHT}", "rejected": f" {WRONG}"}
    assert second["id"] == "q1"
    assert exported(cli, tmp_path, "--format", "trl", "--no-gap")[0]["chosen"] == RIGHT


def test_the_page_shows_a_row_that_its_commands_write(tmp_path: Path) -> None:
    commands = blocks()["trl.sh"].splitlines()[:2]
    shell("\n".join(commands), tmp_path)
    assert (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[0] in PAGE.read_text(encoding="utf-8")


def test_turns_for_trl(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, pairs(1))
    assert exported(cli, tmp_path, "--format", "trl", "--prompt-style", "chat") == [
        {
            "id": "q0",
            "task": "add",
            "prompt": [{"role": "user", "content": PROMPT}],
            "chosen": [{"role": "assistant", "content": RIGHT}],
            "rejected": [{"role": "assistant", "content": WRONG}],
        }
    ]


@pytest.mark.parametrize("gap", ["--gap", "--no-gap"])
def test_prompt_and_answer_are_what_our_student_is_shown(cli: Cli, tmp_path: Path, gap: str) -> None:
    alignments = pairs(3)
    write_pairs(tmp_path, alignments)
    codec = Codec(byte_level(), "plain", gap=gap == "--gap")
    for row, alignment in zip(exported(cli, tmp_path, "--format", "trl", gap), alignments, strict=True):
        prompt = question_prompt(alignment.dual.question)
        for key, chain in (("chosen", alignment.dual.right), ("rejected", alignment.dual.wrong)):
            assert chain is not None
            assert row["prompt"] == codec.text(prompt)
            assert row["prompt"] + row[key] == codec.text(prompt) + codec.lead(prompt, chain.text) + chain.text


def named(name: str, alignment: Alignment) -> Alignment:
    """The same row under another id."""
    dual = alignment.dual
    return replace(alignment, dual=replace(dual, question=replace(dual.question, id=name)))


def test_what_is_no_pair_is_counted_by_reason(cli: Cli, tmp_path: Path) -> None:
    rows = [
        pair(0),
        named("q1", lacking("wrong")),
        named("q2", lacking("right")),
        pair(3, wrong=RIGHT, right=RIGHT),
        pair(4, reason="unread"),
    ]
    write_pairs(tmp_path, rows)
    outcome = export(cli, "--format", "trl", "-o", "out.jsonl")
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["q0"]
    reasons = {"no-wrong-chain": 1, "no-right-chain": 1, "same-text": 1, "unread": 1}
    assert all(f"{reason}" in outcome.err for reason in reasons)
    assert "1 rows written as trl" in outcome.err
    assert noted(tmp_path, "out") == {
        "format": "trl",
        "rows": {"-": 1},
        "left_out": {"-": reasons},
        "examples_left_out": {},
        "rows_with_flattened_weights": {},
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "tlr"], "--format 'tlr' is unknown; did you mean trl?"),
        (
            ["--format", "trl", "-R", "alpha=1"],
            "-R names what a recipe makes of pairs; --format trl writes them as they are",
        ),
        (["-R", "alpha=1"], "-R goes with --format"),
        (["--format", "trl", "-r", "std-cot"], "--recipe names what a recipe makes of pairs"),
        (["-r", "std-cot"], "--recipe goes with --format"),
        (["--prompt-style", "chat"], "--prompt-style goes with --format"),
        (["--no-gap"], "--no-gap goes with --format"),
        (["--max-length", "99"], "--max-length goes with --format"),
        (["--format", "parquet"], "name the student with --tokenizer MODEL"),
        (["--format", "axolotl", "--prompt-style", "plain"], "--format axolotl takes auto or chat"),
        (["--format", "trl", "--prompt-style", "chatty"], "--format trl takes auto or plain or chat"),
        (["--format", "axolotl", "-r", "edti"], "unknown recipe 'edti'; did you mean edit"),
        (["--format", "axolotl", "-R", "alhpa=1"], "edit has no option 'alhpa'; did you mean alpha?"),
        (["--format", "axolotl", "-R", "alpha=x"], "edit: option alpha is 'x'; it takes a number"),
        (["--format", "parquet", "--tokenizer", "nowhere"], "tokenizer nowhere"),
    ],
)
def test_options_that_do_not_go_together(cli: Cli, tmp_path: Path, words: list[str], said: str) -> None:
    write_pairs(tmp_path, pairs(1))
    outcome = cli("align", "dual.jsonl", *words, "-o", "out")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_options_are_looked_at_before_the_input(cli: Cli) -> None:
    outcome = cli("align", "absent.jsonl", "--format", "parquet", "-o", "out")
    assert "--tokenizer MODEL" in outcome.err
    outcome = cli("align", "absent.jsonl", "--format", "axolotl", "-R", "alhpa=1", "-o", "out")
    assert "did you mean alpha?" in outcome.err


@pytest.mark.parametrize("name", ["trl", "axolotl", "parquet"])
def test_nothing_left_is_an_error_and_no_file(cli: Cli, tmp_path: Path, student: Path, name: str) -> None:
    write_pairs(tmp_path, [lacking("right")])
    (tmp_path / "out").write_text("before")
    words = ["--tokenizer", str(student)] if name == "parquet" else []
    outcome = cli("align", "dual.jsonl", "--format", name, *words, "-o", "out")
    assert outcome.code == 2
    assert f"nothing is left to write as {name}: " in outcome.err
    assert "no-right-chain" in outcome.err.splitlines()[-1]
    assert (tmp_path / "out").read_text() == "before"


@pytest.mark.parametrize("name", ["trl", "axolotl", "parquet"])
def test_a_bad_line_leaves_the_former_file(cli: Cli, tmp_path: Path, student: Path, name: str) -> None:
    write_pairs(tmp_path, pairs(3))
    with (tmp_path / "dual.jsonl").open("a") as file:
        file.write("{broken\n")
    (tmp_path / "out").write_text("before")
    words = ["--tokenizer", str(student)] if name == "parquet" else []
    outcome = cli("align", "dual.jsonl", "--format", name, *words, "-o", "out")
    assert outcome.code == 2
    assert "dual.jsonl, line 4: is no JSON object" in outcome.err
    assert (tmp_path / "out").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".out", "out"))] == ["out"]


def test_text_of_models_does_no_harm_to_the_terminal(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, [pair(0), pair(1, reason="bad\x1b[31m")])
    outcome = export(cli, "--format", "trl", "-o", "out.jsonl")
    assert "\x1b" not in outcome.err
    assert "bad\\x1b[31m" in outcome.err


def test_exports_go_through_pipes(cli: Cli, tmp_path: Path, student: Path) -> None:
    write_pairs(tmp_path, pairs(2))
    export(cli, "--format", "trl", "-o", "named.jsonl")
    export(cli, "--format", "parquet", "--tokenizer", "student", "-o", "named.parquet")
    script = (
        "cat dual.jsonl | editctl align -q --format trl | cat > piped.jsonl\n"
        "editctl align -q dual.jsonl --format parquet --tokenizer student | cat > piped.parquet\n"
    )
    outcome = shell(script, tmp_path)
    assert outcome.err == ""
    for name in ("jsonl", "parquet"):
        assert (tmp_path / f"piped.{name}").read_bytes() == (tmp_path / f"named.{name}").read_bytes() != b""


def test_a_table_does_not_go_to_a_terminal(tmp_path: Path, student: Path) -> None:
    import pty
    import subprocess
    import sys

    write_pairs(tmp_path, pairs(1))
    _, inner = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "editctl", "align", "dual.jsonl", "--format", "parquet", "--tokenizer", "student"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=inner,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "name a file with -o" in done.stderr


def test_trl_rows_load_with_datasets(cli: Cli, tmp_path: Path) -> None:
    from datasets import load_dataset

    write_pairs(tmp_path, pairs(3))
    for style, kind in (("plain", str), ("chat", list)):
        rows = exported(cli, tmp_path, "--format", "trl", "--prompt-style", style)
        files = {"data_files": str(tmp_path / "out.jsonl"), "cache_dir": str(tmp_path / "cache")}
        loaded: Any = load_dataset("json", **files, split="train")
        assert [dict(row) for row in loaded] == rows
        assert isinstance(loaded[0]["prompt"], kind)


def test_manifest_names_the_recipe_and_its_options(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, pairs(1))
    export(cli, "--format", "axolotl", "-r", "std-cot", "-R", "rectified=false", "-o", "out.jsonl")
    options = json.loads((tmp_path / "out.manifest.json").read_text())["options"]
    assert (options["format"], options["recipe"], options["recipe_option"]) == (
        "axolotl",
        "std-cot",
        ["rectified=false"],
    )


def test_without_a_format_alignments_are_written(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, pairs(1))
    (row,) = exported(cli, tmp_path)
    assert row["edits"]["unit"] == "word"
    assert lines([row])
