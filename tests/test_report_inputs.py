"""What `editctl report` takes: files by their content, runs with what they lead to, and what it refuses."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard

from editctl.errors import InputError, UsageError
from tests.support_cli import aligned_rows, lines, prediction_rows, questions, read, reject_rows
from tests.support_report import call, check_sums, inside, lost, page_of, run_file, steps


def trained_on(folder: Path, name: str = "aligned.jsonl", **options: Any) -> dict[str, Any]:
    """The lineage of a training on a file."""
    made_by = json.loads((folder / "aligned.manifest.json").read_text())
    sha256 = made_by["outputs"][0]["sha256"]
    given = {"name": name, "sha256": sha256, "made_by": made_by}
    return {"command": "train", "status": "complete", "options": options, "inputs": [given], "outputs": []}


def stage(name: str, count: int, **left_out: int) -> dict[str, Any]:
    """What a run says of a stage."""
    return {"name": name, "questions": count, "held_out": 0, "left_out": left_out, "updates": 1, "normaliser": "tokens"}


# What is told apart by its content


def test_files_are_told_apart_by_what_they_hold(work: Path) -> None:
    names = {"aligned": "rejects.txt", "dual.rejects": "aligned.txt", "labelled": "predictions.txt", "dual": "dual"}
    for old, new in names.items():
        (work / f"{old}.jsonl").rename(work / new)
    page = page_of(work, *names.values())
    assert {pair.file for pair in page.pairs} == {"rejects.txt", "aligned.txt"}
    assert page.pairs_total == 24
    (funnel,) = page.funnels
    check_sums(funnel)
    assert funnel.name == "rejects.txt"
    assert list(steps(funnel).values()) == [24, 22, 20, 20]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_packed_files_are_read(work: Path, ending: str) -> None:
    data = (work / "aligned.jsonl").read_bytes()
    packed = gzip.compress(data) if ending == ".gz" else zstandard.ZstdCompressor().compress(data)
    (work / f"a.jsonl{ending}").write_bytes(packed)
    page = page_of(work, f"a.jsonl{ending}")
    assert len(page.pairs) == 22
    check_sums(page.funnels[0])


def test_a_file_that_is_named_twice_is_shown_once(work: Path) -> None:
    (work / "link.jsonl").symlink_to(work / "aligned.jsonl")
    page = page_of(work, "aligned.jsonl", "./aligned.jsonl", "link.jsonl", str(work / "aligned.jsonl"))
    assert page.pairs_total == 24
    assert {one.file for one in page.distributions} == {"aligned.jsonl"}


def test_dual_chains_are_aligned_as_align_does_it(work: Path) -> None:
    page = page_of(work, "labelled.jsonl")
    aligned = page_of(work, "aligned.jsonl")
    for one, other in zip(page.distributions, aligned.distributions, strict=True):
        assert (one.measure, one.mistake, one.bins, one.mean) == (other.measure, other.mistake, other.bins, other.mean)
    pairs = {pair.id: pair for pair in aligned.pairs}
    for pair in page.pairs:
        assert (pair.right, pair.wrong, pair.outcome) == (
            pairs[pair.id].right,
            pairs[pair.id].wrong,
            pairs[pair.id].outcome,
        )
        assert pair.unit == ("word, aligned for this report" if pair.similarity is not None else "")
    assert page.notes == (
        "labelled.jsonl holds dual chains without an alignment; they were aligned in words for this report",
    )
    assert page.funnels[0].steps == aligned.funnels[0].steps
    assert list(steps(page.funnels[0])) == ["questions", "with a right chain", "pairs", "aligned pairs that differ"]
    assert dict(page.funnels[0].costs)["labels: calls"] == "20"


def test_pairs_of_plain_texts_are_taken(tmp_path: Path) -> None:
    rows = [
        {"question": f"What is {number}?", "chosen": f"So {number}.", "rejected": f"So {number + number % 2}."}
        for number in range(4)
    ]
    (tmp_path / "p.jsonl").write_text(lines(rows))
    page = page_of(tmp_path, "p.jsonl")
    assert [pair.outcome for pair in page.pairs] == ["same-text", "pair"] * 2
    assert {pair.mistake for pair in page.pairs} == {"given"}
    check_sums(page.funnels[0])
    assert list(steps(page.funnels[0]).values()) == [4, 4, 4, 2]
    assert lost(page.funnels[0].steps[3]) == {"same-text": 2}


def test_pairs_of_a_dual_file_that_do_not_differ_are_lost(work: Path) -> None:
    rows = read(work / "dual.jsonl")
    rows[2]["wrong"]["text"] = rows[2]["right"]["text"]
    (work / "other.jsonl").write_text(lines(rows))
    (funnel,) = page_of(work, "other.jsonl").funnels
    check_sums(funnel)
    assert lost(funnel.steps[3]) == {"same-text": 1}


def test_a_pipe_is_read_once_for_everything(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (work / "aligned.jsonl").open("rb") as pipe:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": pipe, "fileno": pipe.fileno})())
        page = page_of(work, "-")
    assert page_of(work, "aligned.jsonl").funnels[0].steps == page.funnels[0].steps
    assert {pair.file for pair in page.pairs} >= {"stdin"}


# Without manifests, and with some of them


def test_without_manifests_the_rows_are_counted(work: Path) -> None:
    shutil.rmtree(work / "state")
    for place in work.glob("*.manifest.json"):
        place.unlink()
    page = page_of(work, "dual.jsonl", "dual.rejects.jsonl")
    (funnel,) = page.funnels
    check_sums(funnel)
    assert list(steps(funnel).values()) == [24, 22, 20, 20]
    assert lost(funnel.steps[1]) == {"rectify other-answer": 2}
    assert lost(funnel.steps[2]) == {"same-text": 2}
    (alone,) = page_of(work, "aligned.jsonl").funnels
    check_sums(alone)
    assert list(steps(alone).values()) == [22, 22, 20, 20]
    assert page.made == ""
    assert page.lineages == ()


def test_a_manifest_beside_a_file_is_read_where_the_state_folder_knows_none(work: Path) -> None:
    shutil.rmtree(work / "state")
    page = page_of(work, "aligned.jsonl")
    assert [one.command for one in page.lineages[0].steps] == ["gen-dual", "gen-dual", "align"]
    (work / "aligned.jsonl").write_text(lines(read(work / "aligned.jsonl")[:3]))
    assert page_of(work, "aligned.jsonl").lineages == ()


def test_limits_and_reasons_add_up(work: Path) -> None:
    rows = read(work / "dual.jsonl")
    rows[2]["wrong"]["text"] = rows[2]["right"]["text"]
    (work / "other.jsonl").write_text(lines(rows))
    call(work, "align", "other.jsonl", "-q", "-o", "same.jsonl")
    call(work, "align", "dual.jsonl", "--limit", "9", "-q", "-o", "nine.jsonl")
    same, nine = page_of(work, "same.jsonl", "nine.jsonl").funnels
    for funnel in (same, nine):
        check_sums(funnel)
    assert lost(same.steps[3]) == {"same-text": 1}
    assert lost(nine.steps[3]) == {"beyond align's --limit": 12}
    lineage = trained_on(work, limit=4)
    lineage["inputs"][0]["made_by"] = json.loads((work / "nine.manifest.json").read_text())
    run_file(work, stages=[stage("imitate", 4)], lineage=lineage)
    (funnel,) = page_of(work, "run", examples=0).funnels
    check_sums(funnel)
    assert lost(funnel.steps[4]) == {"beyond train's --limit": 5, "not in the file that was read": 13}


def test_a_run_that_tells_another_story_than_its_files_is_believed(work: Path) -> None:
    run_file(work, stages=[stage("imitate", 50, other=3)], lineage=trained_on(work))
    (funnel,) = page_of(work, "run", examples=0).funnels
    check_sums(funnel)
    assert steps(funnel) == {"read by train": 53, "edit: imitate": 50}


# Runs and what they lead to


def test_alignments_that_are_gone_or_changed_are_told(work: Path) -> None:
    run_file(work, stages=[stage("imitate", 20)], lineage=trained_on(work))
    assert page_of(work, "run", examples=0).notes == ()
    with (work / "aligned.jsonl").open("a") as file:
        file.write("\n")
    changed = page_of(work, "run")
    (work / "aligned.jsonl").unlink()
    gone = page_of(work, "run")
    for page, what in ((changed, "has changed since"), (gone, "is not there any more")):
        assert page.notes == (
            f"run: the file of alignments it was trained on, aligned.jsonl, {what}; name the file to see its pairs",
        )
        assert not page.distributions
        check_sums(page.funnels[0])
        assert steps(page.funnels[0])["aligned pairs that differ"] == 20


def test_alignments_from_a_pipe_are_told_and_taken_once_they_are_named(work: Path) -> None:
    run_file(work, stages=[stage("imitate", 20)], lineage=trained_on(work, "stdin"))
    said = "run: the file of alignments it was trained on came through a pipe; name the file to see its pairs"
    assert page_of(work, "run").notes == (said,)
    named = page_of(work, "run", "aligned.jsonl", examples=0)
    assert named.notes == ()
    assert [funnel.name for funnel in named.funnels] == ["run"]
    run_file(work, "bare")
    assert page_of(work, "bare").notes[0].startswith("bare: the file of alignments it was trained on is not told")


def test_alignments_under_another_name_are_known_by_their_hash(work: Path) -> None:
    run_file(work, stages=[stage("imitate", 20)], lineage=trained_on(work))
    (work / "aligned.jsonl").rename(work / "moved.jsonl")
    page = page_of(work, "moved.jsonl", "run", examples=0)
    assert page.notes == ()
    assert [funnel.name for funnel in page.funnels] == ["run"]
    assert {pair.file for pair in page.pairs} == {"moved.jsonl", "dual.rejects.jsonl"}


def test_a_run_whose_tokenizer_or_recipe_is_gone_is_told_without_what_the_trainer_saw(work: Path) -> None:
    more = {"settings": {"max_length": 100}, "prompt_style": "plain", "lineage": trained_on(work)}
    run_file(work, "one", stages=[stage("imitate", 20)], **more)
    run_file(work, "two", stages=[stage("imitate", 20)], **{**more, "recipe": "gone"})
    run_file(work, "three", stages=[stage("imitate", 20)], **{**more, "settings": None})
    page = page_of(work, "one", "two", "three")
    assert not page.trained
    assert len(page.runs) == 3
    one, two, three = page.notes
    assert one.startswith("one: what the trainer saw can't be shown: its tokenizer is not in one")
    assert "'gone'" in two
    assert "max_length" in three


def test_a_partial_input_is_told_on_top_and_not_refused(work: Path) -> None:
    for place in (work / "aligned.manifest.json", *(work / "state/manifests").glob("*/*.json")):
        text = place.read_text()
        if json.loads(text)["command"] == "align":
            place.write_text(text.replace('"complete"', '"partial"', 1))
    page = page_of(work, "aligned.jsonl")
    assert page.notes == ("`align` did not finish: aligned.jsonl is partial",)
    assert page.lineages[0].steps[-1].status == "partial"


def test_an_empty_file_of_rejects_is_no_error(tmp_path: Path) -> None:
    call(tmp_path, "gen-dual", "toy:chain?n=3", "-t", "oracle", "-q", "-o", "d.jsonl")
    assert (tmp_path / "d.rejects.jsonl").read_bytes() == b""
    page = page_of(tmp_path, "d.jsonl", "d.rejects.jsonl")
    assert len(page.pairs) == 3
    assert page.notes[0] == "d.rejects.jsonl has no rows: the command that wrote it had none to write"


# What is refused

GOOD = lines(aligned_rows())
REFUSED = {
    "empty": ("", "x.jsonl: is empty"),
    "broken": (GOOD + '{"id": \n', "x.jsonl, line 3: is no JSON object"),
    "no object": ("[1]\n", "x.jsonl, line 1: is a list"),
    "questions": (lines(questions(2)), "x.jsonl, line 1: holds questions; name run folders, dual chains"),
    "a manifest": ('{"editctl": "0.1.0", "command": "align", "outputs": []}\n', "holds a manifest"),
    "two kinds": (GOOD + lines(prediction_rows("4")), "x.jsonl, line 3: holds predictions"),
    "no span": (GOOD.replace('"right": [[', '"right": [[900, 901], [', 1), "x.jsonl, line 1, field 'edits.right'"),
    "reject": (lines([{**reject_rows()[0], "step": "wish"}]), "x.jsonl, line 1, field 'step'"),
    "twice": (lines(prediction_rows("4") * 2), "x.jsonl, line 2, field 'sample'"),
    "no packed file": None,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    text, says = REFUSED[name] or (GOOD, "x.jsonl.gz, line 1: can't be unpacked")
    place = says.partition(",")[0].partition(":")[0]
    place = place if place.startswith("x") else "x.jsonl"
    (tmp_path / place).write_text(text)
    with pytest.raises(InputError) as error:
        page_of(tmp_path, place)
    assert says in str(error.value)


def test_a_folder_that_is_no_run_is_refused(work: Path) -> None:
    (work / "empty").mkdir()
    run_file(work)
    (work / "run/slots/core").mkdir(parents=True)
    (work / "broken").mkdir()
    (work / "broken/editctl.json").write_text("{")
    for name, says in (
        ("empty", "empty: is a folder without editctl.json; name the run folder"),
        ("run/slots/core", "run/slots/core: is one student of a run; name the run: run"),
        ("broken", "broken/editctl.json: is no JSON"),
        ("missing.jsonl", "missing.jsonl: no such file"),
    ):
        with pytest.raises(InputError) as error:
            page_of(work, name)
        assert says in str(error.value)


def test_stdin_is_named_once(work: Path) -> None:
    with inside(work), pytest.raises(UsageError, match="stdin can be read once"):
        page_of(work, "-", "-")
