"""The facts of a report, against the figures that the commands themselves gave; all files are made by them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from editctl.pieces import joined_over_spaces
from editctl.questions import content_hash
from editctl.records import Question
from editctl.report.page.model import Page
from tests.support_cli import read
from tests.support_report import call, check_sums, lost, make_runs, page_of, steps


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with two runs."""
    return make_runs(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(work: Path) -> Page:
    """Of both runs and both files of predictions."""
    return page_of(work, "edit", "cot", "edit.jsonl", "cot.jsonl")


def manifest(folder: Path, name: str) -> dict[str, Any]:
    """A manifest beside a file."""
    found = json.loads((folder / f"{name}.manifest.json").read_text())
    assert isinstance(found, dict)
    return found


def test_a_funnel_counts_what_the_commands_counted(page: Page) -> None:
    edit, cot = page.funnels
    for funnel in page.funnels:
        check_sums(funnel)
    head = {"questions": 24, "with a right chain": 22, "pairs": 20, "aligned pairs that differ": 20}
    assert edit.name == "edit"
    assert steps(edit).items() >= head.items()
    assert [lost(step) for step in edit.steps[:4]] == [{}, {"rectify other-answer": 2}, {"same-text": 2}, {}]
    assert [(kind.label, kind.count) for kind in edit.steps[2].kinds] == [("corrupted", 16), ("sampled", 4)]
    assert [(kind.label, kind.count) for kind in edit.steps[0].kinds] == [("add", 12), ("take", 12)]
    assert steps(cot).items() >= head.items()


def test_the_stages_of_a_run_come_after_all_rows_that_it_read(work: Path, page: Page) -> None:
    edit, cot = page.funnels
    told = {stage["name"]: stage for stage in json.loads((work / "edit/editctl.json").read_text())["stages"]}
    imitate, keys = edit.steps[4:]
    assert (imitate.label, imitate.after) == ("edit: imitate", "with a right chain")
    assert imitate.count == told["imitate"]["questions"]
    assert lost(imitate) == {"held out": told["imitate"]["held_out"]}
    assert (keys.label, keys.count) == ("edit: key-steps", told["key-steps"]["questions"])
    assert lost(keys)["no-wrong-chain"] == told["key-steps"]["left_out"]["no-wrong-chain"]
    assert lost(keys)["held out"] == told["key-steps"]["held_out"]
    assert [step.label for step in cot.steps[4:]] == ["read by train", "std-cot: imitate"]
    assert lost(cot.steps[4]) == {"beyond train's --limit": 13}
    assert cot.steps[4].count == 9


def test_costs_are_those_of_the_manifests(work: Path, page: Page) -> None:
    costs = dict(page.funnels[0].costs)
    made, labelled = manifest(work, "dual")["cost"], manifest(work, "labelled")["cost"]
    assert costs["calls"] == f"{made['calls']:,}"
    assert costs["prompt tokens"] == f"{made['prompt_tokens']:,}"
    assert float(costs["US dollars"]) == pytest.approx(made["usd"], rel=0.01)
    assert made["usd"] > 0
    assert costs["labels: calls"] == f"{labelled['calls']:,}"
    assert float(costs["labels: US dollars"]) == pytest.approx(labelled["usd"], rel=0.01)
    assert {"gen-dual, seconds", "align, seconds", "train, seconds"} <= costs.keys()


def test_distributions_are_those_that_align_noted(work: Path, page: Page) -> None:
    told = manifest(work, "aligned")
    found = {(one.measure, one.task, one.mistake): one for one in page.distributions}
    groups = [{"task": "all", "mistake": "all", **told}, *told["groups"]]
    for group in groups:
        for measure, key in (("similarity", "similarity"), ("key ratio (right)", "key_ratio")):
            one = found.pop((measure, group["task"], group["mistake"]))
            for point in ("n", "mean", "p10", "median", "p90"):
                assert getattr(one, point) == pytest.approx(group[key][point], abs=1.01e-4), (group, point)
            assert sum(one.bins) == one.n
    assert {key[0] for key in found} == {"key ratio (wrong)"}
    rows = [row["edits"]["key_ratio"]["wrong"] for row in read(work / "aligned.jsonl") if row["edits"]]
    assert found["key ratio (wrong)", "all", "all"].mean == pytest.approx(sum(rows) / len(rows), abs=1e-4)
    assert {one.file for one in page.distributions} == {"aligned.jsonl"}


def test_pairs_show_both_chains_and_their_key_steps(work: Path, page: Page) -> None:
    rows = {row["id"]: row for row in read(work / "aligned.jsonl")}
    rejects = {row["id"] for row in read(work / "dual.rejects.jsonl")}
    assert page.pairs_total == len(page.pairs) == len(rows) + len(rejects) == 24
    for pair in page.pairs:
        if pair.id in rejects:
            assert pair.outcome == "reject: rectify other-answer"
            assert (pair.right and pair.right.origin, pair.file) == (
                "not taken, the last of 3 attempts",
                "dual.rejects.jsonl",
            )
            continue
        row = rows[pair.id]
        for side, view in (("right", pair.right), ("wrong", pair.wrong)):
            chain = row[side]
            assert (view is None) == (chain is None)
            if view is None:
                continue
            assert "".join(piece.text for piece in view.pieces) == chain["text"]
            spans = joined_over_spaces(
                chain["text"], [(start, end) for start, end in (row["edits"] or {side: []})[side]]
            )
            keys = [chain["text"][start:end] for start, end in spans]
            assert [piece.text for piece in view.pieces if piece.key] == keys
            assert view.key_ratio == (row["edits"]["key_ratio"][side] if row["edits"] else None)
        wrong = row["wrong"]
        assert pair.mistake == (f"{wrong['mistake'] or wrong['origin']} (calculation)" if wrong else "")
        assert pair.outcome == ("pair" if wrong else "no-wrong-chain")
        assert pair.unit == ("word" if wrong else "")


def test_the_trainer_is_shown_as_inspect_shows_it(work: Path, page: Page) -> None:
    words = ("inspect", "aligned.jsonl", "-s", "edit", "-r", "edit", "--json")
    told = [json.loads(line) for line in call(work, *words).out.splitlines()]
    asked = {(one["stage"], one["question_id"], one["number"]): one for one in told if one["kind"] == "example"}
    held_out = json.loads((work / "edit/editctl.json").read_text())["held_out_questions"]
    views = [view for view in page.trained if view.run == "edit"]
    assert len(held_out) > 0
    assert [view.stage for view in views] == ["imitate"] * 3 + ["key-steps"] * 3
    for view in views:
        assert view.examples
        for example in view.examples:
            other = asked[view.stage, example.question_id, example.number]
            assert [unit["ids"] for unit in other["units"]] == [list(unit.ids) for unit in example.units]
            assert [unit["weights"] for unit in other["units"]] == [list(unit.weights) for unit in example.units]
    assert {view.stage for view in page.trained if view.run == "cot"} == {"imitate"}


def test_of_a_run_only_what_it_trained_on_is_shown(work: Path) -> None:
    page = page_of(work, "edit", "cot", examples=50)
    facts = {run: json.loads((work / run / "editctl.json").read_text()) for run in ("edit", "cot")}
    texts = {row["id"]: row["question"] for row in read(work / "aligned.jsonl")}
    for run, stage in (("edit", "imitate"), ("edit", "key-steps"), ("cot", "imitate")):
        views = [view for view in page.trained if (view.run, view.stage) == (run, stage)]
        shown = [view.examples[0].question_id for view in views if view.examples]
        told = next(one for one in facts[run]["stages"] if one["name"] == stage)
        assert len(set(shown)) == len(shown) == told["questions"]
        left_out = [view.left_out.reason for view in views if view.left_out]
        assert {reason: left_out.count(reason) for reason in left_out} == told["left_out"]
        hashes = {content_hash(Question(id=name, question=texts[name])) for name in shown}
        assert hashes <= set(facts[run]["training_questions"])


def test_losses_are_the_history_counted_over_the_stages(work: Path, page: Page) -> None:
    facts = json.loads((work / "edit/editctl.json").read_text())
    curves = [curve for curve in page.curves if curve.run == "edit"]
    points = [point for curve in curves for point in curve.points]
    assert [curve.stage for curve in curves] == ["imitate", "key-steps"]
    assert [point.step for point in points] == [1, 2, 3, 4, 5]
    updates = [one for one in facts["history"] if "loss" in one]
    for point, told in zip(points, updates, strict=True):
        assert (point.loss, point.right, point.wrong) == (told["loss"], told["right"], told["wrong"])
    held_out = [point.held_out for point in points if point.held_out is not None]
    assert held_out == [one["dev"] for one in facts["history"] if "dev" in one] != []


def test_a_card_says_what_is_not_the_default(page: Page) -> None:
    edit, cot = (dict(one.facts) for one in page.runs)
    assert [one.name for one in page.runs] == ["edit", "cot"]
    assert (edit["student"], edit["recipe"], cot["recipe"]) == ("tiny", "edit", "std-cot")
    assert "options of the recipe" not in edit
    assert "dev-fraction 0.2" in edit["settings"]
    assert edit["updates"] == "5"
    assert edit["seed"] == "0"
    assert "torch" in edit["versions"]


def test_scores_are_those_of_score(work: Path, page: Page) -> None:
    told = json.loads(call(work, "score", "cot.jsonl", "--baseline", "edit.jsonl", "--json").out)
    rows = {row.task: row for row in page.scores if row.method == "cot"}
    assert list(rows) == ["all (micro)", "all (macro)", "add", "take"]
    micro = rows["all (micro)"]
    assert [micro.low, micro.high] == told["interval"]
    assert [rows["all (macro)"].low, rows["all (macro)"].high] == told["macro_interval"]
    assert (micro.accuracy, rows["all (macro)"].accuracy) == (told["accuracy"]["micro"], told["accuracy"]["macro"])
    for task, own in told["tasks"].items():
        row = rows[task]
        assert (row.n, row.correct, row.unanswered) == (own["n"], own["correct"], own["unanswered"])
        assert row.tokens == own["tokens_per_question"]
    (one,) = page.comparisons
    assert (one.method, one.baseline) == ("cot", "edit")
    comparison = told["comparison"]
    assert (one.n, one.difference, one.p) == (comparison["n"], comparison["difference"]["micro"], comparison["p"])
    assert ([one.low, one.high], one.won, one.lost) == (comparison["interval"], comparison["won"], comparison["lost"])
    assert one.summary.endswith(comparison["summary"])


def test_outcomes_hold_what_the_students_wrote(work: Path, page: Page) -> None:
    texts = {name: {row["id"]: row for row in read(work / f"{name}.jsonl")} for name in ("edit", "cot")}
    assert page.outcomes_total == len(page.outcomes) == 24
    assert {one.id for one in page.outcomes} == set(texts["cot"])
    for outcome in page.outcomes:
        assert [one.method for one in outcome.answered] == ["edit", "cot"]
        for one in outcome.answered:
            row = texts[one.method][outcome.id]
            assert (one.text, one.verdict, one.prediction) == (row["steps"][0], row["verdict"], row["prediction"])


def test_the_lineage_is_told_once_and_in_order(work: Path, page: Page) -> None:
    (lineage,) = page.lineages
    assert [step.number for step in lineage.steps] == list(range(1, 8))
    commands = [step.command for step in lineage.steps]
    assert sorted(commands) == ["align", "eval", "eval", "gen-dual", "gen-dual", "train", "train"]
    for step in lineage.steps:
        for text in step.inputs:
            made = re.findall(r"in step (\d+)$", text)
            assert all(int(number) < step.number for number in made)
            assert made or text.startswith("q.jsonl")
    evals = [step for step in lineage.steps if step.command == "eval"]
    trained = {step.outputs[-1]: step.number for step in lineage.steps if step.command == "train"}
    assert [step.inputs[-1] for step in evals] == [
        f"the student, trained in step {trained[name]}" for name in ("edit", "cot")
    ]
    assert dict(lineage.steps[0].options)["seed"] == "0"
    assert "quiet" not in dict(lineage.steps[0].options)
    assert page.made
    assert page.made >= max(step.started for step in lineage.steps)
    assert page.notes == ()


def test_a_run_alone_finds_its_data_and_all_that_lies_beside_it(work: Path) -> None:
    page = page_of(work, "edit")
    assert {pair.file for pair in page.pairs} == {"aligned.jsonl", "dual.rejects.jsonl"}
    assert page.trained
    assert not page.scores
    assert [one.name for one in page.lineages] == ["edit"]


def test_from_another_folder_the_data_are_found_beside_the_run(work: Path, tmp_path: Path) -> None:
    page = page_of(work, "edit", pairs=5)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = page_of(elsewhere, str(work / "edit"), pairs=5)
    assert [pair.id for pair in other.pairs] == [pair.id for pair in page.pairs]
    assert {Path(pair.file).parent for pair in other.pairs} == {work}
