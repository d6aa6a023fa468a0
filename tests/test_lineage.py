"""Manifests: beside outputs, by hash, through copies and shell pipes; and what a broken pipe leads to."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support_cli import TEACHER, Cli, Row, dual_rows, lines, questions, read, shell, snapshot


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Five questions and some teachers."""
    (tmp_path / "q.jsonl").write_text(lines(questions(5)))
    (tmp_path / "bad.py").write_text(TEACHER)
    return tmp_path


def manifest(name: str) -> Row:
    """A manifest that lies beside an output."""
    value: Row = json.loads(Path(name).read_text())
    return value


def ancestry(of: Row) -> list[str]:
    """Commands that made an output, last first."""
    chain = [of["command"]]
    while of["inputs"] and of["inputs"][0]["made_by"]:
        of = of["inputs"][0]["made_by"]
        chain.append(of["command"])
    return chain


def test_manifest_says_what_was_read_made_and_counted(cli: Cli, place: Path) -> None:
    assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Fails", "-o", "dual.jsonl", "--seed", "7").code == 3
    found = manifest("dual.manifest.json")
    assert found["command"] == "gen-dual"
    assert found["status"] == "complete"
    assert found["options"]["seed"] == 7
    assert found["inputs"][0]["name"] == "q.jsonl"
    assert [(one["name"], one["rows"]) for one in found["outputs"]] == [("dual.jsonl", 4), ("dual.rejects.jsonl", 1)]
    assert found["counts"] == {"pair: corrupted wrong chain": 4, "reject: explain provider-error": 1}
    assert found["versions"]["editctl"] == "0.1.0"


def test_chain_of_manifests_survives_copies_and_renames(cli: Cli, place: Path) -> None:
    assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "dual.jsonl").code == 0
    shutil.copy("dual.jsonl", "copy.txt")
    Path("dual.jsonl").rename("other.jsonl")
    Path("dual.manifest.json").unlink()
    for name in ("copy.txt", "other.jsonl"):
        assert cli("align", name, "-o", "aligned.jsonl").code == 0
        assert ancestry(manifest("aligned.manifest.json")) == ["align", "gen-dual"]
    with Path("copy.txt").open("a") as file:
        file.write(lines(dual_rows(1)).replace('"q0"', '"mine"'))
    assert cli("align", "copy.txt", "-o", "aligned.jsonl").code == 0
    assert ancestry(manifest("aligned.manifest.json")) == ["align"]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_packed_files_keep_their_lineage_and_their_bytes(ending: str, cli: Cli, place: Path) -> None:
    bytes_of = []
    for _ in range(2):
        assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", f"dual.jsonl{ending}").code == 0
        bytes_of.append(Path(f"dual.jsonl{ending}").read_bytes())
    assert bytes_of[0] == bytes_of[1]
    assert cli("align", f"dual.jsonl{ending}", "-o", "aligned.jsonl").code == 0
    assert ancestry(manifest("aligned.manifest.json")) == ["align", "gen-dual"]
    assert Path("dual.manifest.json").exists()


def test_lineage_passes_a_shell_pipe(place: Path) -> None:
    outcome = shell("editctl gen-dual q.jsonl -t bad.py:Good -q | editctl align -q -o aligned.jsonl", place)
    assert (outcome.out, outcome.err) == ("0 0\n", "")
    found = json.loads((place / "aligned.manifest.json").read_text())
    assert ancestry(found) == ["align", "gen-dual"]
    assert found["inputs"][0]["name"] == "stdin"
    assert len(read(place / "aligned.jsonl")) == 5


def test_lineage_passes_two_pipes_and_tee(place: Path) -> None:
    script = (
        "editctl gen-dual q.jsonl -t bad.py:Good -q | tee dual.jsonl | editctl align -q | editctl align -q -o a.jsonl"
    )
    assert shell(script, place).out == "0 0 0 0\n"
    assert ancestry(json.loads((place / "a.manifest.json").read_text())) == ["align", "align", "gen-dual"]


@pytest.mark.parametrize(
    ("teacher", "code", "more"), [("Refuses", 1, ""), ("Dies", 137, ""), ("Refuses", 1, "| editctl align -q ")]
)
def test_pipe_whose_first_command_dies_leaves_no_output(teacher: str, code: int, more: str, place: Path) -> None:
    (place / "out.jsonl").write_text("former\n")
    before = snapshot(place)
    first = f"editctl gen-dual q.jsonl -t bad.py:{teacher} -q --max-concurrency 1"
    outcome = shell(f"{first} {more}| editctl align -q -o out.jsonl", place)
    codes = outcome.out.split()
    assert (codes[0], codes[-1]) == (str(code), "2")
    assert "stdin: is partial: the command that made it did not finish" in outcome.err
    assert snapshot(place) == before
    if not more:
        outcome = shell(f"{first} | editctl align -q --allow-partial -o out.jsonl", place)
        assert outcome.out.split()[-1] == "0"
        assert [row["id"] for row in read(place / "out.jsonl")] == ["q0", "q1", "q2"]


def test_train_at_the_end_of_a_broken_pipe_makes_no_run(place: Path) -> None:
    first = "editctl gen-dual q.jsonl -t bad.py:Dies -q --max-concurrency 1"
    assert shell(f"{first} | editctl align -q | editctl train -o run", place).out == "137 2 2\n"
    assert not (place / "run").exists()


def test_first_rows_of_a_pipe_are_enough_with_limit(place: Path) -> None:
    script = "editctl gen-dual 'toy:chain?n=3000' -t oracle -q | editctl align -q --limit 3 -o a.jsonl"
    outcome = shell(script, place)
    assert (outcome.out, outcome.err) == ("0 0\n", "")
    assert len(read(place / "a.jsonl")) == 3


def test_a_pipe_leaves_no_mark_behind(place: Path, own_state: Path) -> None:
    for script in (
        "editctl gen-dual q.jsonl -t bad.py:Good -q | editctl align -q -o a.jsonl",
        "editctl gen-dual 'toy:chain?n=2000' -t oracle -q | head -n 1",
        "editctl gen-dual q.jsonl -t bad.py:Dies -q | editctl align -q -o a.jsonl",
    ):
        shell(script, place)
        assert list((own_state / "pipes").iterdir()) == [], script


def test_secrets_are_in_no_manifest(cli: Cli, place: Path, own_state: Path) -> None:
    extra = {"api_key": "hunter2a", "headers": {"Authorization": "hunter2b"}, "api_base": "http://me:hunter2c@host/v1"}
    words = ["-T", "api_key=hunter2d", "-T", f"extra={json.dumps(extra)}", "--api-base", "https://me:hunter2e@host/v1"]
    Path("c.yaml").write_text("teacher-option: [api-key=hunter2f]\n")
    text = TEACHER.replace('extra: str = "{}"', 'extra: str = "{}"\n    api_base: str | None = None')
    Path("bad.py").write_text(text)
    assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "a.jsonl", *words).code == 0
    assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "b.jsonl", "-c", "c.yaml").code == 0
    written = [path.read_text() for path in [*place.glob("*.json*"), *own_state.rglob("*.json")]]
    assert len(written) > 5
    assert [text for text in written if "hunter2" in text] == []
    options = manifest("a.manifest.json")["options"]
    assert options["teacher_option"][0] == "api_key=(secret)"
    assert json.loads(options["teacher_option"][1].removeprefix("extra="))["headers"] == {"Authorization": "(secret)"}
    assert options["api_base"] == "https://(secret)@host/v1"


def test_state_that_cannot_be_written_is_a_warning(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITCTL_STATE", str(place / "q.jsonl" / "state"))
    outcome = cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "a.jsonl", "-q")
    assert outcome.code == 0
    assert outcome.err.startswith("warning: the manifest can't be written")
    assert "EDITCTL_STATE" in outcome.err
    assert len(read("a.jsonl")) == 5


def test_manifest_of_damaged_state_is_no_manifest(cli: Cli, place: Path, own_state: Path) -> None:
    assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "dual.jsonl").code == 0
    for path in own_state.rglob("*.json"):
        path.write_text("{")
    assert cli("align", "dual.jsonl", "-o", "a.jsonl").code == 0
    assert ancestry(manifest("a.manifest.json")) == ["align", "gen-dual"], "the manifest beside the file is whole"
    Path("dual.manifest.json").write_text("{")
    assert cli("align", "dual.jsonl", "-o", "b.jsonl").code == 0
    assert ancestry(manifest("b.manifest.json")) == ["align"]


def test_another_command_that_writes_the_same_bytes_does_not_change_what_made_a_file(cli: Cli, place: Path) -> None:
    assert cli("gen-dual", "q.jsonl", "-t", "bad.py:Good", "-o", "dual.jsonl").code == 0
    for source, target, unit in (
        ("dual.jsonl", "word.jsonl", "word"),
        ("dual.jsonl", "step.jsonl", "step"),
        ("step.jsonl", "again.jsonl", "word"),
        ("word.jsonl", "last.jsonl", "step"),
    ):
        assert cli("align", source, "--unit", unit, "-o", target).code == 0
    assert Path("word.jsonl").read_bytes() == Path("again.jsonl").read_bytes()
    made = manifest("last.manifest.json")["inputs"][0]["made_by"]
    assert (made["options"]["unit"], made["inputs"][0]["name"]) == ("word", "dual.jsonl")
