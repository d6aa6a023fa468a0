"""Worked examples for the teacher's prompts."""

import pytest

from editctl.generate.shots import Shot, Shots, shot_from
from editctl.jsonl import FieldError
from editctl.records import Question


def shot(name: str, task: str | None = None, wrong: str | None = "wrong") -> Shot:
    return Shot(question=name, answer="1", right="right", wrong=wrong, task=task)


def names(shots: list[Shot]) -> list[str]:
    return [shot.question for shot in shots]


def asked(text: str = "asked", task: str | None = None) -> Question:
    return Question(id="q", question=text, answer="1", task=task)


def test_the_question_s_own_task_comes_first_and_order_is_kept() -> None:
    shots = Shots([shot("a", "add"), shot("x"), shot("b", "add"), shot("c", "mul")], most=5)
    assert names(shots.choose(asked(task="add"))) == ["a", "b"]
    assert names(shots.choose(asked(task="mul"))) == ["c"]
    assert names(shots.choose(asked(task="div"))) == ["x"]
    assert names(shots.choose(asked())) == ["x"]


def test_no_more_than_asked_for_and_never_the_question_itself() -> None:
    shots = Shots([shot("asked"), shot("a"), shot("b"), shot("c")], most=2)
    assert names(shots.choose(asked())) == ["a", "b"]
    assert names(Shots([shot("a")], most=0).choose(asked())) == []


def test_corrupting_needs_a_wrong_chain() -> None:
    shots = Shots([shot("a", wrong=None), shot("b")])
    assert names(shots.choose(asked(), with_wrong=True)) == ["b"]
    assert names(shots.choose(asked())) == ["a", "b"]


def test_texts_and_chains_are_both_taken() -> None:
    row = {"question": "2 + 2?", "answer": 4, "right": "r", "wrong": {"text": "w", "answer": "5"}, "task": "add"}
    assert shot_from(row) == Shot(question="2 + 2?", answer="4", right="r", wrong="w", task="add")


def test_a_shot_shows_its_options_and_is_still_known_for_the_question() -> None:
    row = {"question": "Legs?", "answer": "(B)", "right": "r", "choices": ["four", "six"]}
    made = shot_from(row)
    assert made.question == "Legs?\nOptions:\n(A) four\n(B) six"
    question = Question(id="q", question="Legs?", answer="(B)", choices=("four", "six"))
    assert Shots([made]).choose(question) == []


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"question": "2?", "answer": "2"}, "right"),
        ({"question": "2?", "answer": "2", "right": None}, "right"),
        ({"answer": "2", "right": "r"}, "question"),
        ({"question": "2?", "answer": "2", "right": {"answer": "2"}}, "right.text"),
        ({"question": "2?", "answer": "2", "right": ["r"]}, "right"),
    ],
)
def test_a_bad_row_names_its_field(row: dict[str, object], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        shot_from(row)
    assert caught.value.field == field
