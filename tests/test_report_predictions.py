"""Scores, comparisons, answers and pooled seeds of `editctl report`, against what `score` prints."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editctl.errors import UsageError
from editctl.rows import prediction_to_row
from tests.support_cli import dual_rows, lines, read
from tests.support_predictions import many, prediction
from tests.support_report import call, inside, page_of, run_file


def predictions(folder: Path, name: str, letters: str, **more: Any) -> None:
    """A file of predictions: r right, w wrong, n without an answer, f failed."""
    texts = {"r": "Therefore, the answer is 4.", "w": "Therefore, the answer is 5.", "n": "Well.", "f": ""}
    rows = [prediction(f"q{number}", one, **{"steps": (texts[one],), **more}) for number, one in enumerate(letters)]
    (folder / name).write_text(lines(map(prediction_to_row, rows)))


def test_totals_are_those_of_score_where_tasks_differ_in_size(tmp_path: Path) -> None:
    texts = {letter: f"Therefore, the answer is {answer}." for letter, answer in (("4", 4), ("5", 5))}
    rows = [replace(one, steps=(texts.get(one.prediction or "", "Well."),)) for one in many(add="rrrrrrwn", take="wr")]
    (tmp_path / "p.jsonl").write_text(lines(map(prediction_to_row, rows)))
    told = json.loads(call(tmp_path, "score", "p.jsonl", "--json").out)
    micro, macro, add, take = page_of(tmp_path, "p.jsonl").scores
    assert (micro.task, macro.task, add.task, take.task) == ("all (micro)", "all (macro)", "add", "take")
    assert (micro.accuracy, macro.accuracy) == (told["accuracy"]["micro"], told["accuracy"]["macro"]) == (0.7, 0.625)
    assert [micro.low, micro.high] == told["interval"] != told["macro_interval"] == [macro.low, macro.high]
    assert [add.low, add.high] == told["tasks"]["add"]["interval"]
    assert (micro.n, micro.correct, micro.unanswered, take.correct) == (10, 7, 1, 1)


def test_questions_on_which_methods_disagree_come_first(tmp_path: Path) -> None:
    predictions(tmp_path, "one.jsonl", "rrwrfn")
    predictions(tmp_path, "two.jsonl", "rwwrrr")
    page = page_of(tmp_path, "one.jsonl", "two.jsonl", questions=3)
    assert [one.id for one in page.outcomes] == ["q1", "q5", "q0"]
    assert page.outcomes_total == 6
    assert page.notes[-1].startswith("3 of 6 test questions are shown, those on which methods disagree first")
    whole = page_of(tmp_path, "one.jsonl", "two.jsonl")
    failed = next(one for one in whole.outcomes if one.id == "q4").answered[0]
    assert (failed.method, failed.verdict, failed.reason) == ("one", "none", "failed:timeout")
    assert whole.comparisons[0].n == 5
    assert "questions left out of the comparison, since they failed on one side: 1" in whole.notes[0]


def test_of_several_samples_the_first_is_shown_with_how_many_were_right(tmp_path: Path) -> None:
    rows = [
        prediction("q0", one, steps=(f"{number}: Therefore, the answer is {4 if one == 'r' else 5}.",), sample=number)
        for number, one in enumerate("wrr")
    ]
    (tmp_path / "p.jsonl").write_text(lines(map(prediction_to_row, rows)))
    (outcome,) = page_of(tmp_path, "p.jsonl").outcomes
    (one,) = outcome.answered
    assert (one.verdict, one.prediction) == ("wrong", "5")
    assert one.reason == "2 of 3 samples right; the first is shown"
    assert one.text.startswith("0: ")


def test_predictions_of_different_questions_are_shown_and_not_compared(tmp_path: Path) -> None:
    predictions(tmp_path, "one.jsonl", "rw")
    rows = [{**row, "id": f"other-{row['id']}"} for row in read(tmp_path / "one.jsonl")]
    (tmp_path / "two.jsonl").write_text(lines(rows))
    same = [{**row, "question": "Else?", "answer": "7"} for row in read(tmp_path / "one.jsonl")]
    (tmp_path / "three.jsonl").write_text(lines(same))
    page = page_of(tmp_path, "one.jsonl", "two.jsonl")
    assert page.comparisons == ()
    assert page.notes == ("two and one are not compared: their predictions share no question",)
    assert len(page.outcomes) == 4
    page = page_of(tmp_path, "one.jsonl", "three.jsonl")
    assert page.comparisons == ()
    assert "not compared: one.jsonl" in page.notes[0]
    assert len(page.outcomes) == 4


def test_a_baseline_is_named_by_method_or_file(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        predictions(tmp_path, f"{name}.jsonl", "rw")
    names = [f"{name}.jsonl" for name in ("one", "two", "three")]
    for baseline in ("two", "two.jsonl", str(tmp_path / "two.jsonl")):
        found = page_of(tmp_path, *names, baseline=baseline).comparisons
        assert [(one.method, one.baseline) for one in found] == [("one", "two"), ("three", "two")]
    with pytest.raises(UsageError, match="did you mean two"):
        page_of(tmp_path, *names, baseline="twoo")
    (tmp_path / "d.jsonl").write_text(lines(dual_rows()))
    with pytest.raises(UsageError, match="no predictions to compare"):
        page_of(tmp_path, "d.jsonl", baseline="two")


def evaluated(folder: Path, name: str, student: str, letters: str, **more: Any) -> None:
    """Predictions with the manifest of an evaluation of a student."""
    predictions(folder, name, letters)
    place = folder / name
    place.write_text(place.read_text() + "\n" * len(student))  # so that no two files are of the same bytes
    sha256 = hashlib.sha256(place.read_bytes()).hexdigest()
    run = {"recipe": "edit", **more}
    manifest = {"command": "eval", "status": "complete", "options": {"student": student}, "student_run": run}
    outputs = [{"name": name, "sha256": sha256}]
    (folder / f"{place.stem}.manifest.json").write_text(json.dumps({**manifest, "outputs": outputs}))


def test_two_files_of_one_student_keep_its_name(tmp_path: Path) -> None:
    for name, letters in (("test", "rw"), ("ood", "wr")):
        evaluated(tmp_path, f"{name}.jsonl", "runs/edit", letters)
    page = page_of(tmp_path, "test.jsonl", "ood.jsonl")
    assert list(dict.fromkeys(row.method for row in page.scores)) == ["edit (test)", "edit (ood)"]


def seeds(folder: Path) -> list[str]:
    """Three runs that differ in their seed, one of other options, and predictions of each."""
    told = {"recipe": "edit", "stages": [{"name": "imitate", "training data": "x"}]}
    for number, letters in enumerate(("rrwrw", "rwwrr", "rrrrw", "wwwwr")):
        same = {**told, "seed": number, "max_steps": 5 if number < 3 else 6, "student's weights": str(number)}
        run_file(folder, f"edit-{number}", seed=number, run=same)
        evaluated(folder, f"p{number}.jsonl", f"edit-{number}", letters, stages=[])
    return [*(f"edit-{number}" for number in range(4)), *(f"p{number}.jsonl" for number in range(4))]


def test_seeds_are_pooled_where_that_is_asked_for(tmp_path: Path) -> None:
    names = seeds(tmp_path)
    apart, page = page_of(tmp_path, *names), page_of(tmp_path, *names, pool=True)
    assert len({row.method for row in apart.scores}) == 4
    assert list(dict.fromkeys(row.method for row in page.scores)) == ["edit (3 seeds)", "edit-3"]
    assert "edit (3 seeds) pools edit-0, edit-1, edit-2" in page.notes
    words = (
        "score",
        "p3.jsonl",
        "--baseline",
        "p0.jsonl",
        "--baseline",
        "p1.jsonl",
        "--baseline",
        "p2.jsonl",
        "--json",
    )
    compared = json.loads(call(tmp_path, *words).out)["comparison"]
    (one,) = page.comparisons
    assert (one.method, one.baseline, one.p) == ("edit-3", "edit (3 seeds)", compared["p"])
    assert [one.low, one.high] == compared["interval"]
    told = json.loads(call(tmp_path, "score", "p0.jsonl", "--run", "p1.jsonl", "--run", "p2.jsonl", "--json").out)
    micro = page.scores[0]
    assert micro.accuracy == told["accuracy"]["micro"]
    assert [micro.low, micro.high] == told["runs"]["interval"] != told["interval"]
    assert {one.method for one in page.outcomes[0].answered} == {f"edit-{number}" for number in range(4)}
    for baseline in ("edit (3 seeds)", "edit-1", "p2.jsonl"):
        with inside(tmp_path):
            (one,) = page_of(tmp_path, *names, pool=True, baseline=baseline).comparisons
        assert one.baseline == "edit (3 seeds)"


def test_what_is_no_other_seed_of_the_same_is_not_pooled(tmp_path: Path) -> None:
    names = seeds(tmp_path)
    evaluated(tmp_path, "p1.jsonl", "edit-1", "rrwrwr", stages=[])  # one question more
    run_file(tmp_path, "twin", seed=0, run=json.loads((tmp_path / "edit-0/editctl.json").read_text())["run"])
    evaluated(tmp_path, "twin.jsonl", "twin", "rrrrr", stages=[])
    page = page_of(tmp_path, *names, "twin", "twin.jsonl", pool=True)
    assert list(dict.fromkeys(row.method for row in page.scores)) == ["edit (2 seeds)", "edit-1", "edit-3", "twin"]
    alone = page_of(tmp_path, "p0.jsonl", pool=True)
    assert "--pool: no two predictions are of runs (given too) that differ in nothing but the seed" in alone.notes


@pytest.mark.parametrize("other", [{}, {"sha256": "other"}, {"question": "Else?"}, {"id": "q9"}], ids=str)
def test_seeds_are_pooled_where_data_and_questions_are_the_same(tmp_path: Path, other: dict[str, str]) -> None:
    for number in range(2):
        own = other if number else {}
        lineage = {"inputs": [{"name": "aligned.jsonl", "sha256": own.get("sha256", "same")}]}
        run_file(tmp_path, f"edit-{number}", seed=number, run={"recipe": "edit"}, lineage=lineage)
        evaluated(tmp_path, f"p{number}.jsonl", f"edit-{number}", "rw", stages=[])
        rows = [json.loads(text) for text in (tmp_path / f"p{number}.jsonl").read_text().split("\n") if text]
        rows[0] |= {key: value for key, value in own.items() if key in rows[0]}
        place = tmp_path / f"p{number}.jsonl"
        place.write_text(lines(rows) + "\n" * number)
        manifest = json.loads((tmp_path / f"p{number}.manifest.json").read_text())
        manifest["outputs"][0]["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
        (tmp_path / f"p{number}.manifest.json").write_text(json.dumps(manifest))
    page = page_of(tmp_path, "edit-0", "edit-1", "p0.jsonl", "p1.jsonl", pool=True)
    methods = {row.method for row in page.scores}
    assert methods == ({"edit-0", "edit-1"} if other else {"edit (2 seeds)"})
