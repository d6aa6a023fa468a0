"""Records <-> rows: nothing is lost on the way, every key always stands there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.jsonl import FieldError, dumps
from editctl.records import Alignment, Chain, DualChain, Edits, Prediction, Question, Reject, Span
from editctl.rows import (
    DUAL_KEYS,
    LATER_KEYS,
    PREDICTION_KEYS,
    QUESTION_KEYS,
    REJECT_KEYS,
    alignment_from_row,
    alignment_to_row,
    dual_from_row,
    dual_to_row,
    prediction_from_row,
    prediction_to_row,
    refuse_other_stage,
    reject_to_row,
    stage_of,
)
from tests.support_cli import aligned_rows, dual, dual_rows, prediction_rows, questions, reject_rows
from tests.support_models import pair

TEXT = st.text()
MAYBE = st.none() | TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
EXTRA = st.dictionaries(TEXT.filter(lambda key: key not in LATER_KEYS | set(QUESTION_KEYS)), JSON, max_size=3)
QUESTIONS = st.builds(
    Question,
    id=TEXT,
    question=TEXT,
    task=MAYBE,
    answer=MAYBE,
    kind=MAYBE,
    description=MAYBE,
    choices=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    extra=EXTRA,
)
CHAINS = st.builds(
    Chain,
    text=TEXT,
    answer=MAYBE,
    origin=st.sampled_from(["sampled", "rectified", "corrupted", "mined", "given"]),
    mistake=MAYBE,
    template=MAYBE,
    reasoning=MAYBE,
    sections=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
)
DUALS = st.builds(
    DualChain,
    question=QUESTIONS,
    right=st.none() | CHAINS,
    wrong=st.none() | CHAINS,
    teacher=MAYBE,
    reason=MAYBE,
)
VERDICTS = st.sampled_from(["right", "wrong", "none"])
PREDICTIONS = st.builds(
    Prediction,
    question=QUESTIONS,
    steps=st.lists(TEXT, max_size=3).map(tuple),
    prediction=MAYBE,
    verdict=VERDICTS,
    reason=MAYBE,
    sample=st.integers(min_value=0),
    tokens=st.none() | st.integers(min_value=0),
)


@st.composite
def spans(draw: st.DrawFn, length: int) -> tuple[Span, ...]:
    """Ascending, disjoint spans of a text."""
    ends = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
    return tuple(zip(ends[::2], ends[1::2], strict=False))


@st.composite
def alignments(draw: st.DrawFn) -> Alignment:
    """Alignments, with edits where both chains are there."""
    pair = draw(DUALS)
    if pair.right is None or pair.wrong is None or draw(st.booleans()):
        return Alignment(dual=pair, edits=None)
    share = st.floats(0, 1)
    edits = Edits(
        unit=draw(st.sampled_from(["word", "token"])),
        tokenizer=draw(MAYBE),
        right=draw(spans(len(pair.right.text))),
        wrong=draw(spans(len(pair.wrong.text))),
        distance=draw(st.integers(0)),
        similarity=draw(share),
        key_ratio=(draw(share), draw(share)),
    )
    return Alignment(dual=pair, edits=edits)


def through_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the next stage reads it."""
    value: dict[str, Any] = json.loads(dumps(row))
    return value


@given(DUALS)
def test_dual_chain_comes_back(pair: DualChain) -> None:
    row = through_json(dual_to_row(pair))
    assert dual_from_row(row) == pair
    assert list(row)[: len(QUESTION_KEYS) + len(DUAL_KEYS)] == [*QUESTION_KEYS, *DUAL_KEYS]


@given(alignments())
def test_alignment_comes_back(alignment: Alignment) -> None:
    row = through_json(alignment_to_row(alignment))
    assert alignment_from_row(row) == alignment
    assert {*QUESTION_KEYS, *DUAL_KEYS, "edits"} <= row.keys()


@given(PREDICTIONS)
def test_prediction_comes_back(prediction: Prediction) -> None:
    row = through_json(prediction_to_row(prediction))
    assert prediction_from_row(row) == prediction
    assert {*QUESTION_KEYS, *PREDICTION_KEYS} <= row.keys()


@given(QUESTIONS, MAYBE)
def test_reject_keeps_the_question_whole(question: Question, completion: str | None) -> None:
    row = reject_to_row(Reject(question=question, step="explain", reason="unread", attempts=3, completion=completion))
    assert {*QUESTION_KEYS, *REJECT_KEYS} <= row.keys()
    assert {key: row[key] for key in question.extra} == question.extra


def test_all_keys_stand_there_when_all_is_empty() -> None:
    row = dual_to_row(DualChain(question=Question(id="a", question="b"), right=None, wrong=None, teacher=None))
    assert row == dict.fromkeys([*QUESTION_KEYS, *DUAL_KEYS]) | {"id": "a", "question": "b"}
    right = dual_to_row(dual())["right"]
    assert set(right) == {"text", "answer", "origin", "mistake", "template", "reasoning", "sections", "label"}


def test_stages_are_told_apart() -> None:
    rows = [questions(1), dual_rows(1), aligned_rows(1), prediction_rows("4"), reject_rows()]
    names = [stage_of(one[0]) for one in rows]
    assert [name and name.split(" (")[0] for name in names] == [
        None,
        "dual chains",
        "alignments",
        "predictions",
        "rejects",
    ]
    for wanted in ("dual chains", "alignments", "predictions"):
        for one, name in zip(rows, names, strict=True):
            if (name or "").startswith(wanted):
                refuse_other_stage(one[0], wanted)
            else:
                with pytest.raises(FieldError, match=f"{wanted} are needed here"):
                    refuse_other_stage(one[0], wanted)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "must be a list of"),
        ([[0]], "no \\[start, end\\] pair"),
        ([[0.0, 1.0]], "no \\[start, end\\] pair"),
        ([[False, True]], "no \\[start, end\\] pair"),
        ([[-1, 2]], "out of order"),
        ([[2, 2]], "out of order or empty"),
        ([[3, 5], [4, 6]], "out of order"),
        ([[30, 39]], "outside the text, which has 38 characters"),
    ],
)
@pytest.mark.parametrize("side", ["right", "wrong"])
def test_spans_that_do_not_fit_the_text(side: str, value: Any, says: str) -> None:
    row = aligned_rows(1)[0]
    row["edits"][side] = value
    with pytest.raises(FieldError, match=says) as caught:
        alignment_from_row(row)
    assert caught.value.field == f"edits.{side}"


def test_spans_that_touch_and_end_with_the_text_are_taken() -> None:
    row = aligned_rows(1)[0]
    row["edits"]["right"] = [[0, 5], [5, 38]]
    edits = alignment_from_row(row).edits
    assert edits is not None
    assert edits.right == ((0, 5), (5, 38))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("wrong", None, "stands without a right and a wrong chain"),
        ("edits", [], "must be an object or null"),
        ("right", "text", "must be an object or null, not text"),
        ("task", {"a": 1}, "must be text, not an object"),
        ("id", None, "is null; text is needed"),
        ("choices", "ab", "must be a list of texts"),
        ("choices", [["a"]], "must be a list of texts"),
    ],
)
def test_wrong_types_are_named(field: str, value: Any, says: str) -> None:
    with pytest.raises(FieldError, match=says):
        alignment_from_row({**aligned_rows(1)[0], field: value})


def test_numbers_are_taken_as_they_are_written() -> None:
    row = {**dual_rows(1)[0], "id": 7, "answer": 4.5, "choices": [1, "b"]}
    question = dual_from_row(row).question
    assert (question.id, question.answer, question.choices) == ("7", "4.5", ("1", "b"))


@pytest.mark.parametrize("key", ["task", "answer", "kind", "description"])
def test_half_characters_are_refused_in_every_text(key: str) -> None:
    row = dual_to_row(pair().dual)
    row[key] = "half \ud83d"
    with pytest.raises(FieldError, match="half a surrogate pair") as caught:
        dual_from_row(row)
    assert caught.value.field == key
