"""The loop of rounds that the docs show, as it stands there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support_cli import Row, read
from tests.test_docs import blocks


def script(folder: Path) -> Path:
    """The script of the docs."""
    place = folder / "rounds.sh"
    place.write_text(blocks("rounds.md")["rounds.sh"], encoding="utf-8")
    return place


def test_the_script_is_sound_shell_and_sound_python(tmp_path: Path) -> None:
    place = script(tmp_path)
    subprocess.run(["bash", "-n", str(place)], check=True)
    inner = place.read_text().partition("<< 'PYTHON'\n")[2].partition("\nPYTHON\n")[0]
    rows: dict[str, list[Row]] = {
        "dual-0.jsonl": [{"id": "a", "wrong": {}, "n": 0}, {"id": "b", "wrong": {"text": "x"}, "n": 0}],
        "dual-2.jsonl": [{"id": "b", "wrong": None, "n": 2}, {"id": "c", "wrong": {"text": "y"}, "n": 2}],
        "dual-10.jsonl": [{"id": "a", "wrong": None, "n": 10}, {"id": "c", "wrong": {"text": "z"}, "n": 10}],
    }
    for name, some in rows.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    words = [sys.executable, "-", *sorted(rows)]
    done = subprocess.run(words, cwd=tmp_path, input=inner, capture_output=True, text=True, check=True)
    assert [(row["id"], row["n"]) for row in map(json.loads, done.stdout.splitlines())] == [
        ("a", 10),
        ("b", 0),
        ("c", 10),
    ]


@pytest.mark.full
def test_a_student_is_its_own_teacher_round_after_round(tmp_path: Path) -> None:
    """A student that has just learnt the form of boolean chains is right by chance: it makes pairs."""
    binary = tmp_path / "bin"
    binary.mkdir()
    (binary / "editctl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m editctl "$@"\n')
    (binary / "editctl").chmod(0o755)
    sizes = {"ROUNDS": "1", "SAMPLES": "4", "TOKENS": "96", "UNION": "1"}
    train = {"TRAIN": "-q --max-steps 40 --batch-questions 16"}
    subprocess.run(
        ["bash", str(script(tmp_path)), "toy:boolean?n=120&difficulty=1", "rounds"],
        cwd=tmp_path,
        env={**os.environ, **sizes, **train, "PATH": f"{binary}:{os.environ['PATH']}"},
        check=True,
        timeout=1200,
    )
    folder = tmp_path / "rounds"
    pairs = read(folder / "dual-1.jsonl")
    assert sum((row["wrong"] or {}).get("origin") == "mined" for row in pairs) > 20
    assert {row["teacher"] for row in pairs} == {"local:run-0"}
    assert len(read(folder / "union-1.jsonl")) == 120
    facts = json.loads((folder / "run-1" / "editctl.json").read_text())
    assert facts["recipe"] == "edit"
    assert sum(stage["updates"] for stage in facts["stages"]) == 40
