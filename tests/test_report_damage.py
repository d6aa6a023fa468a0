"""`editctl report` and `inspect` where something is twice, damaged or in the way."""

from pathlib import Path
from typing import Any

import pytest

from editctl.files import sha256_of
from editctl.jsonl import FieldError
from editctl.report.facts.lineage import Root, finished, lineages
from editctl.report.facts.losses import card
from editctl.report.facts.sources import Run
from editctl.rows import reject_from_row
from tests.support_cli import lines, read
from tests.support_report import call, page_of, run_file

BROKEN = {"cut short": '{"base_model_name_', "a list": "[]", "without a base": "{}", "no text": "\xff"}


@pytest.mark.parametrize("name", ["aligned", "dual.rejects"])
def test_a_copy_is_counted_once_and_named(work: Path, name: str) -> None:
    (work / "copy.jsonl").write_bytes((work / f"{name}.jsonl").read_bytes())
    (work / "state").rename(work / "former")
    for manifest in work.glob("*.manifest.json"):
        manifest.unlink()
    alone = page_of(work, "aligned.jsonl", "dual.rejects.jsonl")
    twice = page_of(work, "aligned.jsonl", "dual.rejects.jsonl", "copy.jsonl")
    assert [funnel.steps for funnel in twice.funnels] == [funnel.steps for funnel in alone.funnels]
    assert (twice.pairs, twice.distributions) == (alone.pairs, alone.distributions)
    assert f"copy.jsonl holds the same bytes as {name}.jsonl, and is left out" in twice.notes


def test_two_students_that_wrote_the_same_are_two_methods(tmp_path: Path) -> None:
    from editctl.rows import prediction_to_row
    from tests.support_predictions import prediction

    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(lines([prediction_to_row(prediction("q", "r"))]))
    assert {row.method for row in page_of(tmp_path, "one.jsonl", "two.jsonl").scores} == {"one", "two"}


def names_in(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(one.name for one in folder.iterdir())


def test_a_plot_that_cannot_be_put_in_its_place_leaves_all_as_it_was(work: Path) -> None:
    words = ("report", "aligned.jsonl", "-o", "report.html", "--png", "plots")
    call(work, *words, "-q")
    names = names_in(work / "plots")
    last = work / "plots" / names[-1]
    for name in names[:-1]:
        (work / "plots" / name).write_text("mine")
    last.unlink()
    last.mkdir()
    page = (work / "report.html").read_bytes()
    done = call(work, *words, "--title", "other", code=2)
    assert done.err.startswith(f"editctl: plots/{last.name}: is a folder")
    assert done.err.count("\n") == 1
    assert (work / "report.html").read_bytes() == page
    assert all((work / "plots" / name).read_text() == "mine" for name in names[:-1])
    assert names_in(work / "plots") == names


def test_a_plot_that_cannot_be_drawn_leaves_all_as_it_was(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("report", "aligned.jsonl", "-o", "report.html", "--png", "plots")
    call(work, *words, "-q")
    names = names_in(work / "plots")
    drawn: list[Path] = []

    def full(plot: object, path: Path) -> None:
        if drawn:
            raise OSError(28, "No space left on device")
        drawn.append(path)
        path.write_bytes(b"new")

    before = {name: (work / "plots" / name).read_bytes() for name in names}
    monkeypatch.setattr("editctl.report.page.plots.png", full)
    done = call(work, *words, code=2)
    assert done.err == "editctl: plots: can't be written: No space left on device; free some space and run again\n"
    assert {name: (work / "plots" / name).read_bytes() for name in names_in(work / "plots")} == before


def told_by(work: Path, **more: Any) -> dict[str, Any]:
    """What a run of these alignments tells, so that its examples are looked at."""
    given = {"name": "aligned.jsonl", "sha256": sha256_of(work / "aligned.jsonl")}
    lineage = {"command": "train", "status": "complete", "options": {}, "inputs": [given], "outputs": []}
    stages = [{"name": "imitate", "questions": 20, "held_out": 0, "left_out": {}, "updates": 1}]
    return {"settings": {"max_length": 100}, "prompt_style": "plain", "lineage": lineage, "stages": stages, **more}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_adapter_is_a_note(work: Path, text: str) -> None:
    place = run_file(work, "run", **told_by(work))
    (place / "adapter_config.json").write_text(text, encoding="latin-1")
    (note,) = page_of(work, "run").notes
    assert note.startswith("run: what the trainer saw can't be shown: run/adapter_config.json: ")


def test_a_run_without_a_recipe_is_a_note(work: Path) -> None:
    run_file(work, "run", **told_by(work, recipe=None))
    said = "run: what the trainer saw can't be shown: its editctl.json names no recipe"
    assert page_of(work, "run").notes == (said,)


@pytest.mark.parametrize("words", [False, True], ids=["words of the base", "words of its own"])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_inspect_says_which_adapter_is_broken(work: Path, text: str, words: bool) -> None:
    from editctl.scratch import train_tokenizer

    (work / "run").mkdir()
    (work / "run/adapter_config.json").write_text(text, encoding="latin-1")
    if words:
        train_tokenizer(["What is 1 + 1?"], 300).save_pretrained(work / "run")
    done = call(work, "inspect", "aligned.jsonl", "-s", "run", "-r", "edit", code=2)
    assert done.err.startswith("editctl: run/adapter_config.json: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("seconds", [1e30, -1e30, float("inf"), float("nan")])
def test_a_time_that_no_calendar_has_is_left_out(seconds: float) -> None:
    manifest = {"command": "train", "started": "2026-01-02T03:04:05Z", "seconds": seconds}
    assert finished([manifest]) == "2026-01-02T03:04:05Z"
    assert finished([{**manifest, "seconds": 55}]) == "2026-01-02T03:05:00Z"
    assert len(lineages([Root("run", manifest)])[0].steps) == 1


def test_a_run_of_no_calendar_gives_a_page(work: Path) -> None:
    told = told_by(work)
    told["lineage"] |= {"started": "2026-01-02T03:04:05Z", "seconds": 1e30}
    run_file(work, "run", **told)
    call(work, "report", "run", "-q", "-o", "report.html")
    assert (work / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_secrets_among_the_options_of_a_run_are_not_on_its_card() -> None:
    options = {"api_key": "plain-1", "own": {"password": "plain-2"}, "rate": 3}
    facts = {"recipe": "edit", "recipe_options": options, "settings": {"schedule": {"token": "plain-3"}}}
    told = dict(card(Run(name="run", folder=Path("run"), facts=facts), None).facts)
    assert "plain" not in str(told)
    assert told["options of the recipe"] == "api-key (secret), own {'password': '(secret)'}, rate 3"


def test_half_a_surrogate_pair_in_a_manifest_is_shown_by_a_sign(work: Path) -> None:
    told = told_by(work)
    told["lineage"]["options"] = {"teacher": "half \ud800 of a pair"}
    run_file(work, "run", **told, student="\udfff")
    call(work, "report", "run", "-q", "-o", "report.html", "--title", "t")
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "half [U+D800] of a pair" in page
    assert "[U+DFFF]" in page


def test_rows_of_another_stage_are_no_rejects(work: Path) -> None:
    row = read(work / "dual.rejects.jsonl")[0]
    assert reject_from_row(row).step == row["step"]
    with pytest.raises(FieldError, match="rejects are needed here"):
        reject_from_row({**row, **read(work / "aligned.jsonl")[0]})
