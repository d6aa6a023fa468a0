"""Predictions -> scores: pure, and the same whoever asks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from editctl.evaluate.ask import judged_again, verdict_on
from editctl.evaluate.score import score, wilson
from editctl.records import Prediction, Question
from editctl.rows import prediction_to_row
from tests.support_cli import Cli, lines

CONTRACT_KEYS = {"n", "correct", "unanswered", "accuracy", "interval", "tasks"}


def prediction(number: int, verdict: Any, task: str | None = "add", **more: Any) -> Prediction:
    """A prediction with its verdict settled."""
    question = Question(id=f"q{number}", question="?", answer="4", task=task)
    reason = "no-conclusion" if verdict == "none" else None
    return Prediction(
        question=question, **{"steps": ("x",), "prediction": None, "verdict": verdict, "reason": reason, **more}
    )


def many(**tasks: str) -> list[Prediction]:
    """`add="rwn"`: a right, a wrong and an unanswered prediction of task add."""
    words = {"r": "right", "w": "wrong", "n": "none"}
    return [
        prediction(number, words[letter], task)
        for task, letters in tasks.items()
        for number, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # Wilson's formula by hand with z = 1.959964; 81 of 263 is Newcombe's (1998) example.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval(correct: int, n: int, low: float, high: float) -> None:
    assert wilson(correct, n) == pytest.approx([low, high], abs=5.1e-5)


@given(st.integers(1, 300), st.data())
def test_an_interval_holds_its_share(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n + 5e-5
    assert correct / n - 5e-5 <= high <= 1
    exact = binomtest(correct, n).proportion_ci(method="exact")
    assert exact.low - 0.05 <= low <= high <= exact.high + 0.05


def test_micro_counts_questions_and_macro_counts_tasks() -> None:
    figures = score(many(add="rrrrrrrr", sort="rwww"))
    assert (figures["n"], figures["correct"], figures["unanswered"]) == (12, 9, 0)
    assert figures["accuracy"] == {"micro": 0.75, "macro": 0.625}
    assert {task: cell["accuracy"]["micro"] for task, cell in figures["tasks"].items()} == {"add": 1.0, "sort": 0.25}
    assert figures["interval"] == wilson(9, 12)
    low, high = figures["macro_interval"]
    assert 0 < low < 0.625 < high < 1


def test_a_task_that_is_always_right_keeps_some_width() -> None:
    low, high = score(many(add="rrrr"))["macro_interval"]
    assert low < 0.8
    assert high == 1.0


def test_the_unanswered_are_never_right_and_counted_by_reason() -> None:
    predictions = [*many(add="rwnn"), prediction(9, "none", reason="empty"), prediction(10, "none", reason=None)]
    figures = score(predictions)
    assert (figures["correct"], figures["unanswered"], figures["accuracy"]["micro"]) == (1, 4, round(1 / 6, 4))
    assert figures["reasons"] == {"no-conclusion": 2, "empty": 1, "unread": 1}


def test_the_keys_are_those_of_the_contract() -> None:
    figures = score(many(add="rw", sort="n"))
    assert figures.keys() >= CONTRACT_KEYS
    assert set(figures["accuracy"]) == {"micro", "macro"}
    assert len(figures["interval"]) == 2
    for cell in figures["tasks"].values():
        assert cell.keys() >= CONTRACT_KEYS - {"tasks"}
    json.dumps(figures, allow_nan=False)


def test_questions_without_a_task_are_one_group() -> None:
    assert list(score([prediction(0, "right", None)])["tasks"]) == ["-"]


def test_tokens_are_those_written() -> None:
    figures = score([prediction(0, "right", tokens=3), prediction(1, "wrong", tokens=4), prediction(2, "none")])
    assert figures["tokens_per_question"] == round(7 / 3, 1)


@given(st.permutations(range(12)))
def test_the_order_changes_nothing(order: list[int]) -> None:
    predictions = many(add="rrrwwn", sort="rwwwnn")
    assert score(predictions[number] for number in order) == score(predictions)


def test_answers_are_read_from_the_last_step() -> None:
    question = Question(id="q", question="?", answer="4")
    steps = ("Therefore, the answer is 5.", "Therefore, the answer is 4.")
    found = verdict_on(question, steps)
    assert (found.prediction, found.verdict, found.steps) == ("4", "right", steps)
    assert verdict_on(question, ()).verdict == "none"


def test_judging_again_reads_the_texts_and_nothing_else() -> None:
    question = Question(id="q", question="?", answer="4")
    old = Prediction(
        question=question,
        steps=("Therefore, the answer is 5.",),
        prediction="4",
        verdict="right",
        sample=3,
        tokens=8,
    )
    (new,) = judged_again([old], None, "Therefore, the answer is")
    assert (new.prediction, new.verdict, new.sample, new.tokens) == ("5", "wrong", 3, 8)


def test_another_opening_can_be_read() -> None:
    question = Question(id="q", question="?", answer="4")
    old = verdict_on(question, ("Die Antwort lautet 4.",))
    assert old.verdict == "none"
    (new,) = judged_again([old], None, "Die Antwort lautet")
    assert new.verdict == "right"


def write(path: Any, *answers: str) -> None:
    """A file of predictions; the gold answer is 4."""
    rows = [
        prediction_to_row(
            verdict_on(
                Question(id=f"q{number}", question=f"{number}?", answer="4", task="add"),
                (f"Therefore, the answer is {answer}.",),
            )
        )
        for number, answer in enumerate(answers)
    ]
    path.write_text(lines(rows))


def test_the_command_scores_as_the_function_does(cli: Cli, tmp_path: Any) -> None:
    write(tmp_path / "p.jsonl", "4", "5", "")
    done = cli("score", "p.jsonl", "--json")
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    figures = json.loads(done.out)
    assert (figures["n"], figures["correct"], figures["unanswered"]) == (3, 1, 1)
    assert figures["interval"] == wilson(1, 3)


def test_questions_given_override_the_gold_answers(cli: Cli, tmp_path: Any) -> None:
    write(tmp_path / "p.jsonl", "4", "5")
    gold = [{"id": f"q{number}", "question": f"{number}?", "answer": "5"} for number in range(3)]
    (tmp_path / "gold.jsonl").write_text(lines(gold))
    before = (tmp_path / "p.jsonl").read_bytes()
    assert json.loads(cli("score", "p.jsonl", "--json").out)["correct"] == 1
    (tmp_path / "gold.jsonl").write_text(lines([{**row, "answer": "4.0"} for row in gold]))
    assert json.loads(cli("score", "p.jsonl", "gold.jsonl", "--json").out)["correct"] == 1
    (tmp_path / "gold.jsonl").write_text(lines([{**gold[0], "answer": "6"}, {**gold[1], "answer": "5"}]))
    figures = json.loads(cli("score", "p.jsonl", "gold.jsonl", "--json").out)
    assert (figures["n"], figures["correct"], list(figures["tasks"])) == (2, 1, ["-"])
    assert (tmp_path / "p.jsonl").read_bytes() == before


def test_a_prediction_to_none_of_the_questions_given_is_refused(cli: Cli, tmp_path: Any) -> None:
    write(tmp_path / "p.jsonl", "4", "5")
    (tmp_path / "gold.jsonl").write_text(lines([{"id": "q0", "question": "?", "answer": "4"}]))
    done = cli("score", "p.jsonl", "gold.jsonl")
    assert done.code == 2
    assert "'q1' answers none of the questions given" in " ".join(done.err.split())


@pytest.mark.parametrize(("gate", "code"), [("0.5", 0), ("0.51", 5)])
def test_the_gate(cli: Cli, tmp_path: Any, gate: str, code: int) -> None:
    write(tmp_path / "p.jsonl", "4", "5")
    assert cli("score", "p.jsonl", "--fail-under", gate).code == code
