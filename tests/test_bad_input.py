"""Every kind of bad input: one line that says where and what to do, exit code 2, and nothing on disk has changed."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from tests.support_cli import (
    TEACHER,
    Cli,
    Outcome,
    aligned_rows,
    command,
    dual_rows,
    lines,
    prediction_rows,
    questions,
    reject_rows,
    snapshot,
)

GEN = ["gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "out.jsonl"]
TOY = ["gen-dual", "toy:chain?n=2", "-t", "oracle", "-o", "out.jsonl"]
ALIGN = ["align", "bad.jsonl", "-o", "out.jsonl"]
TRAIN = ["train", "aligned.jsonl", "-o", "fresh"]


def changed(rows: list[dict[str, object]], **values: object) -> str:
    """Rows whose last one holds other values."""
    return lines([*rows[:-1], {**rows[-1], **values}])


def inner(row: dict[str, object], **values: object) -> dict[str, object]:
    """A nested object with other values."""
    return {**row, **values}


def reading(text: str | bytes, *says: str, name: str = "bad.jsonl") -> tuple[list[str], str | bytes, tuple[str, ...]]:
    """A question file that gen-dual must refuse."""
    return ["gen-dual", name, "-t", "bad.py:Good", "-o", "out.jsonl"], text, (name, *says)


A = aligned_rows(2)
FILES: dict[str, tuple[list[str], str | bytes, tuple[str, ...]]] = {
    "empty": reading("", "is empty"),
    "blank lines only": reading("\n\n  \n", "is empty"),
    "broken JSON": reading('{"question":"a","answer":"b"}\n{"question":\n', "line 2", "mend or remove"),
    "not an object": reading('{"question":"a","answer":"b"}\n\n[1]\n', "line 3", "not an object"),
    "NaN": reading('{"question":"a","answer":"b","x":NaN}\n', "line 1", "NaN is no JSON value"),
    "too large a number": reading('{"question":"a","answer":"b","x":1e999}\n', "line 1", "1e999 is too large"),
    "nested too deeply": reading('{"question":' + "[" * 100_000 + "\n", "line 1", "nested too deeply"),
    "not UTF-8, in the right line": reading(
        b'{"question":"a","answer":"b"}\n' * 3 + b'{"q":"\xff"}\n', "line 4", "UTF-8"
    ),
    "no archive": reading("{}\n", "line 1", "can't be unpacked", name="bad.jsonl.gz"),
    "no zst archive": reading("{}\n", "line 1", "can't be unpacked", name="bad.jsonl.zst"),
    "missing question": reading('{"answer":"b"}\n', "line 1", "field 'question'", "is missing", "--map question=FIELD"),
    "missing answer": reading('{"question":"a"}\n', "line 1", "field 'answer'", "is missing", "--map answer=FIELD"),
    "blank question": reading('{"question":" ","answer":"b"}\n', "line 1", "field 'question'", "is blank"),
    "wrong type": reading(
        '{"question":["a"],"answer":"b"}\n', "line 1", "field 'question'", "must be text, not a list"
    ),
    "choices no list": reading('{"question":"a","answer":"b","choices":"x"}\n', "field 'choices'", "list of texts"),
    "half a character": reading('{"question":"\\ud83d","answer":"b"}\n', "line 1", "field 'question'", "surrogate"),
    "half a character in choices": reading(
        '{"question":"a","answer":"b","choices":["\\ud83d"]}\n', "field 'choices'", "surrogate"
    ),
    "an id twice": reading(
        '{"id":"x","question":"a","answer":"b"}\n{"id":"x","question":"c","answer":"d"}\n',
        "line 2",
        "field 'id'",
        "'x' stands twice",
    ),
    "our own key": reading('{"question":"a","answer":"b","reason":"c"}\n', "field 'reason'", "--map my_reason=reason"),
    "list of what": reading('{"a": 1, "b": 2}', "must hold a list of objects", name="bad.json"),
    "broken list": reading('[{"question": "a",\n "answer": }]', "line 2", "is no JSON", name="bad.json"),
    "NaN in a list": reading('[{"question":"a","answer":"b","x":NaN}]', "NaN is no JSON value", name="bad.json"),
    "empty list": reading("[]", "is empty", name="bad.json"),
    "row of a list": reading(
        '[{"question":"a","answer":"b"},{"question":1}]', "row 2", "field 'answer'", name="bad.json"
    ),
    "cells": reading("question,answer\na,b\nc\n", "line 3", "another number of fields", name="bad.csv"),
    "quotes": reading('question,answer\n"a"b,c\n', "line 2", "is no CSV", name="bad.csv"),
    "header only": reading("question,answer\n", "is empty", name="bad.csv"),
    "choices in a cell": reading(
        "question,answer,choices\na,b,[1\n", "line 2", "field 'choices'", "JSON list", name="bad.csv"
    ),
    "no parquet": reading("PAR1", "is no parquet file", name="bad.parquet"),
    "unknown format": reading("", ".jsonl, .json, .csv and .parquet", name="bad.txt"),
    "dual chains are no questions": reading(lines(dual_rows()), "line 1", "holds dual chains", "questions are needed"),
    "alignments are no questions": reading(lines(A), "holds alignments", "questions are needed"),
    "predictions are no questions": reading(lines(prediction_rows("4")), "holds predictions", "questions are needed"),
    "rejects are no questions": reading(lines(reject_rows()), "holds rejects", "questions are needed"),
    "questions are no dual chains": (
        ALIGN,
        lines(questions(1)),
        ("bad.jsonl, line 1", "holds questions", "dual chains"),
    ),
    "predictions are no dual chains": (
        ALIGN,
        lines(prediction_rows("4")),
        ("bad.jsonl, line 1", "holds predictions", "dual chains"),
    ),
    "a pair twice": (
        ALIGN,
        lines([*dual_rows(2), dual_rows(1)[0]]),
        ("bad.jsonl, line 3", "field 'id'", "stands twice"),
    ),
    "chain without text": (
        ALIGN,
        changed(dual_rows(), right={"answer": "4", "origin": "sampled"}),
        ("bad.jsonl, line 2", "field 'right.text'", "is missing"),
    ),
    "chain of unknown origin": (
        ALIGN,
        changed(dual_rows(), wrong=inner(dual_rows()[0]["wrong"], origin="dreamt")),
        ("bad.jsonl, line 2", "field 'wrong.origin'", "sampled, rectified"),
    ),
    "blank given chain": (
        ALIGN,
        '{"question":"a","chosen":" ","rejected":"b"}\n',
        ("bad.jsonl, line 1", "blank chain"),
    ),
    "dual chains are no alignments": (
        ["train", "bad.jsonl", "-o", "fresh"],
        lines(dual_rows()),
        ("bad.jsonl, line 1", "holds dual chains", "alignments are needed"),
    ),
    "questions are no alignments": (
        ["train", "bad.jsonl", "-o", "fresh"],
        lines(questions(1)),
        ("bad.jsonl, line 1", "holds questions", "alignments are needed"),
    ),
    "span outside the text": (
        ["train", "bad.jsonl", "-o", "fresh"],
        changed(A, edits=inner(A[1]["edits"], right=[[0, 999]])),
        ("bad.jsonl, line 2", "field 'edits.right'", "[0, 999] lies outside the text, which has 38 characters"),
    ),
    "spans out of order": (
        ["train", "bad.jsonl", "-o", "fresh"],
        changed(A, edits=inner(A[1]["edits"], wrong=[[4, 6], [2, 3]])),
        ("bad.jsonl, line 2", "field 'edits.wrong'", "out of order"),
    ),
    "span of texts": (
        ["train", "bad.jsonl", "-o", "fresh"],
        changed(A, edits=inner(A[1]["edits"], wrong=[["4", 6]])),
        ("bad.jsonl, line 2", "field 'edits.wrong'", "no [start, end] pair"),
    ),
    "alignments are no predictions": (["score", "bad.jsonl"], lines(A), ("line 1", "holds alignments", "predictions")),
    "unknown verdict": (
        ["score", "bad.jsonl"],
        changed(prediction_rows("4"), verdict="maybe"),
        ("bad.jsonl, line 1", "field 'verdict'", "right, wrong, none"),
    ),
    "questions are no recordings": (
        ["gen-dual", "q.jsonl", "-t", "recorded:bad.jsonl", "-o", "out.jsonl"],
        lines(questions(1)),
        ("bad.jsonl, line 1", "field 'completion'", "is missing"),
    ),
    "unknown key in the configuration": (
        [*TOY, "--config", "bad.yaml"],
        "atempts: 2\n",
        ("bad.yaml", "unknown key 'atempts'", "did you mean attempts"),
    ),
    "unknown key of the command": (
        [*TOY, "--config", "bad.yaml"],
        "gen-dual:\n  limmit: 2\n",
        ("bad.yaml", "unknown key 'limmit'", "did you mean limit?"),
    ),
    "bad value in the configuration": (
        [*TOY, "--config", "bad.yaml"],
        "attempts: many\n",
        ("--config", "attempts", "valid integer"),
    ),
    "no YAML": ([*TOY, "--config", "bad.yaml"], "a: [1\n", ("bad.yaml", "is no YAML")),
    "no keys": ([*TOY, "--config", "bad.yaml"], "- a\n", ("bad.yaml", "option: value")),
    "configuration that is no text": ([*TOY, "--config", "bad.yaml"], b"\xff\xfe", ("bad.yaml", "UTF-8")),
}

WORDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "missing file": (["gen-dual", "none.jsonl", "-t", "oracle", "-o", "out.jsonl"], ("none.jsonl: no such file",)),
    "missing alignments": (["train", "none.jsonl", "-o", "fresh"], ("none.jsonl: no such file",)),
    "missing configuration": ([*TOY, "--config", "none.yaml"], ("none.yaml", "can't be read")),
    "folder as input": (["align", "run", "-o", "out.jsonl"], ("run", "directory")),
    "unknown teacher": ([*TOY[:2], "-t", "orcale", "-o", "out.jsonl"], ("'orcale'", "did you mean oracle")),
    "no teacher": (["gen-dual", "q.jsonl", "-o", "out.jsonl"], ("-t oracle",)),
    "missing plugin file": ([*TOY[:2], "-t", "none.py:Good", "-o", "out.jsonl"], ("no such file none.py",)),
    "missing class": ([*TOY[:2], "-t", "bad.py:Goood", "-o", "out.jsonl"], ("'Goood'", "did you mean Good?")),
    "labels for questions": ([*TOY[:2], "-t", "oracle", "--label"], ("holds questions", "dual chains")),
    "no teacher class": ([*TOY[:2], "-t", "bad.py:NoTeacher", "-o", "out.jsonl"], ("is no teacher", "complete")),
    "unknown teacher option": ([*TOY, "-T", "eror-rate=1"], ("'eror-rate'", "did you mean error-rate?")),
    "bad teacher option": ([*TOY, "-T", "error-rate=often"], ("error-rate", "'often'", "takes a number")),
    "not a number": ([*TOY, "-T", "error-rate=nan"], ("error-rate", "takes a number")),
    "teacher option out of range": ([*TOY, "-T", "error-rate=2"], ("error-rate must lie between 0 and 1",)),
    "teacher option without value": ([*TOY, "-T", "error-rate"], ("-T 'error-rate'", "key=value")),
    "no key for an API teacher": ([*TOY[:2], "-t", "openai/gpt-4o-mini", "-o", "out.jsonl"], ("set OPENAI_API_KEY",)),
    "missing recordings": ([*GEN[:2], "-t", "recorded:none.jsonl", "-o", "out.jsonl"], ("none.jsonl: no such file",)),
    "unknown mistake": ([*TOY, "-m", "logicla"], ("mistake pattern 'logicla'", "did you mean logical?")),
    "bad weight of a mistake": ([*TOY, "-m", "logical=x"], ("logical=x", "whole number")),
    "unknown task": (["gen-dual", "toy:chian", "-t", "oracle", "-o", "out.jsonl"], ("'chian'", "did you mean chain?")),
    "unknown task option": ([*TOY[:1], "toy:chain?difficult=1", *TOY[2:]], ("'difficult'", "did you mean difficulty")),
    "unknown option": ([*TOY, "--mistak", "any"], ("--mistak", "--mistake", "gen-dual --help")),
    "bad number": ([*TOY, "--attempts", "0"], ("--attempts", "greater than or equal to 1")),
    "unknown command": (["algin"], ("No such command 'algin'", "'align'")),
    "bad map": ([*TOY, "--map", "question"], ("--map 'question'", "key=value")),
    "map without name": ([*TOY, "--map", "question="], ("--map", "both sides")),
    "map to nothing": ([*GEN, "--map", "question=body"], ("q.jsonl, line 1", "field 'body'", "--map question=body")),
    "missing templates": ([*TOY, "--templates", "none"], ("--templates none", "no such folder")),
    "unknown unit": (["align", "dual.jsonl", "--unit", "wrod", "-o", "out.jsonl"], ("--unit", "did you mean word")),
    "unit without tokenizer": (["align", "dual.jsonl", "--unit", "token", "-o", "out.jsonl"], ("--tokenizer MODEL",)),
    "unknown recipe": ([*TRAIN, "-r", "eidt"], ("unknown recipe 'eidt'", "did you mean edit")),
    "unknown recipe option": ([*TRAIN, "-R", "aplha=1"], ("'aplha'", "did you mean alpha?")),
    "recipe option out of list": ([*TRAIN, "-R", "pairs=some"], ("pairs", "'some'", "all, corrupted, rectified")),
    "unknown student": ([*TRAIN, "-s", "tniy"], ("unknown student 'tniy'", "did you mean tiny?")),
    "missing student": ([*TRAIN, "-s", "./none"], ("student ./none", "no such folder")),
    "student without a model": ([*TRAIN, "-s", "other"], ("student other", "holds no model")),
    "unknown prompt style": ([*TRAIN, "--prompt-style", "chta"], ("--prompt-style", "did you mean chat")),
    "untrained student asked": (["eval", "tiny", "q.jsonl"], ("tiny has no weights",)),
    "missing student asked": (["eval", "./none", "q.jsonl"], ("student ./none", "no such folder")),
    "output in no folder": ([*TOY[:-1], "none/out.jsonl"], ("none/out.jsonl", "no folder none", "make it first")),
    "output below a file": ([*TOY[:-1], "q.jsonl/out.jsonl"], ("q.jsonl/out.jsonl", "no folder q.jsonl")),
    "output is a folder": ([*TOY[:-1], "other"], ("other", "is a folder", "name a file")),
    "output can't be made": ([*TOY[:-1], "/proc/out.jsonl"], ("/proc/out.jsonl", "can't be written", "another place")),
    "output on a full disk": ([*TOY[:-1], "/dev/full"], ("/dev/full", "No space left", "free some space")),
    "two outputs at one place": ([*TOY, "--rejects", "./out.jsonl"], ("out.jsonl", "two outputs")),
    "run folder of another run": (["train", "aligned.jsonl", "-o", "run"], ("run", "another run", "--force")),
    "run folder with other files": (["train", "aligned.jsonl", "-o", "other"], ("other", "other files", "--force")),
    "other files and --force": (["train", "aligned.jsonl", "-o", "other", "--force"], ("other", "no run of editctl")),
    "run folder is a file": (["train", "aligned.jsonl", "-o", "q.jsonl"], ("q.jsonl", "is a file", "name a folder")),
    "run folder below a file": (["train", "aligned.jsonl", "-o", "q.jsonl/run"], ("q.jsonl/run", "can't be made")),
    "run folder can't be made": (
        ["train", "aligned.jsonl", "-o", "/proc/none/run"],
        ("/proc/none/run", "can't be made"),
    ),
    "unknown plugin": (["plugins", "show", "logicl"], ("unknown plugin 'logicl'", "did you mean logical")),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with good files, and outputs of an earlier run."""
    (tmp_path / "q.jsonl").write_text(lines(questions(3)))
    (tmp_path / "dual.jsonl").write_text(lines(dual_rows()))
    (tmp_path / "aligned.jsonl").write_text(lines(A))
    (tmp_path / "bad.py").write_text(TEACHER)
    for name in ("out.jsonl", "out.rejects.jsonl", "out.manifest.json"):
        (tmp_path / name).write_text("of an earlier run\n")
    for name, file in (("run", "editctl.json"), ("other", "notes.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    return tmp_path


def check(outcome: Outcome, says: tuple[str, ...], before: dict[str, bytes | None], place: Path) -> None:
    """One line with all that must be said, exit code 2, an untouched folder."""
    assert outcome.code == 2, outcome
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith("editctl: ")
    assert "Traceback" not in outcome.err
    assert [part for part in says if part not in outcome.err] == [], outcome.err
    assert outcome.out == ""
    assert snapshot(place) == before


@pytest.mark.parametrize("case", FILES)
def test_bad_file_is_refused(case: str, cli: Cli, place: Path) -> None:
    words, text, says = FILES[case]
    name = next(word for word in " ".join(words).replace(":", " ").split() if word.startswith("bad."))
    (place / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = snapshot(place)
    check(cli(*words), says, before, place)


@pytest.mark.parametrize("case", WORDS)
def test_bad_words_are_refused(case: str, cli: Cli, place: Path) -> None:
    words, says = WORDS[case]
    before = snapshot(place)
    check(cli(*words), says, before, place)


@pytest.mark.parametrize("words", [TOY, ["align", "dual.jsonl", "-o", "out.jsonl"]], ids=["gen-dual", "align"])
def test_the_same_words_without_a_mistake_are_taken(words: list[str], cli: Cli, place: Path) -> None:
    outcome = cli(*words)
    assert outcome.code == 0
    assert (place / "out.jsonl").read_text() != "of an earlier run\n"


def test_bad_file_in_a_process_of_its_own(place: Path) -> None:
    words, text, says = FILES["broken JSON"]
    (place / "bad.jsonl").write_text(str(text))
    before = snapshot(place)
    check(command(*words, folder=place), says, before, place)


def test_closed_stdout_and_stdin_are_named(place: Path) -> None:
    before = snapshot(place)
    from tests.support_cli import shell

    for script, says in (
        ("editctl gen-dual toy:chain -t oracle >&-", "stdout is closed"),
        ("editctl align - -o out.jsonl <&-", "stdin is closed"),
    ):
        outcome = shell(script, place)
        assert outcome.out.split()[-1] == "2"
        check(Outcome(2, "", outcome.err), (says,), before, place)


def test_nothing_named_and_nothing_piped(place: Path) -> None:
    outcome = command("align", "-o", "out.jsonl", folder=place)
    assert (outcome.code, outcome.err) == (2, "editctl: stdin: is empty: no rows to work on\n")


def test_full_disk_behind_stdout(place: Path) -> None:
    from tests.support_cli import shell

    outcome = shell("editctl gen-dual toy:chain?n=2 -t oracle -q > /dev/full", place)
    assert outcome.out == "2\n"
    assert outcome.err == "editctl: stdout: can't be written: No space left on device; free some space and run again\n"


def test_full_disk_while_a_table_is_printed(place: Path) -> None:
    from tests.support_cli import shell

    outcome = shell("editctl plugins > /dev/full", place)
    assert outcome.out == "2\n"
    assert outcome.err.startswith("editctl: stdout: can't be written: No space left on device")


def test_bad_value_of_a_variable_names_the_variable(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITCTL_GEN_DUAL_ATTEMPTS", "many")
    before = snapshot(place)
    check(cli(*TOY), ("EDITCTL_GEN_DUAL_ATTEMPTS='many'", "valid integer"), before, place)


def test_too_little_disk(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    before = snapshot(place)
    outcome = cli(*TRAIN, "--max-steps", "1", "-q")
    check(outcome, ("fresh", "too little disk", "MB are needed", "0 MB are free"), before, place)


def test_debug_shows_where_and_ends_the_same(cli: Cli, place: Path) -> None:
    outcome = cli("align", "none.jsonl", "--debug")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1] == "editctl: none.jsonl: no such file"


def test_hostile_text_does_not_reach_the_terminal(cli: Cli, place: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202e\r\nfake line"
    (place / "q.jsonl").write_text(json.dumps({"id": evil, "question": "a", "answer": "1"}) + "\n", encoding="utf-8")
    with (place / "q.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": evil, "question": "b", "answer": "1"}) + "\n")
    before = snapshot(place)
    outcome = cli(*GEN)
    check(outcome, ("line 2", "stands twice"), before, place)
    assert all(character.isprintable() for character in outcome.err.rstrip("\n"))
    outcome = cli("align", "no\x1b[31mfile.jsonl")
    assert outcome.err == "editctl: no\\x1b[31mfile.jsonl: no such file\n"
