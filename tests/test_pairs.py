"""Rows of dual chains, ours and anybody's."""

from typing import Any

import pytest

from editctl.align.aligner import aligner_for
from editctl.align.pairs import PairReader
from editctl.align.stage import align
from editctl.jsonl import FieldError
from editctl.rows import alignment_from_row, alignment_to_row, dual_to_row
from tests.support_models import pair

RIGHT = "17 + 25 = 42. Therefore, the answer is 42."
WRONG = "17 + 25 = 32. Therefore, the answer is 32."


def read(**row: Any) -> Any:
    """One row's dual chain."""
    return PairReader().convert({"question": "17 + 25?", **row})


@pytest.mark.parametrize("names", [("right", "wrong"), ("chosen", "rejected")])
def test_plain_texts_are_given_chains_and_the_answer_is_read_from_the_right_one(names: tuple[str, str]) -> None:
    dual = read(**dict(zip(names, (RIGHT, WRONG), strict=True)), source="mine")
    assert [dual.right.text, dual.right.answer, dual.right.origin] == [RIGHT, "42", "given"]
    assert [dual.wrong.text, dual.wrong.answer, dual.wrong.origin] == [WRONG, "32", "given"]
    assert dual.question.answer == "42"
    assert dual.question.extra == {"source": "mine"}
    assert dual.reason is None


def test_a_gold_answer_that_is_given_stays() -> None:
    assert read(right=RIGHT, wrong=WRONG, answer="43").question.answer == "43"


def test_chat_turns_end_in_the_chain() -> None:
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": RIGHT}]
    assert read(chosen=turns, rejected=[{"role": "assistant", "content": WRONG}]).right.text == RIGHT


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        (RIGHT, RIGHT, "same-text"),
        (RIGHT, "It is 40 + 2. Therefore, the answer is 42.", "same-answer"),
        (RIGHT, "It is 40 + 2. Therefore, the answer is 42.0.", "same-answer"),
        (RIGHT, WRONG, None),
        (RIGHT, "I do not know.", None),
        (RIGHT, None, "no-wrong-chain"),
        (None, WRONG, "no-right-chain"),
    ],
)
def test_a_pair_without_a_difference_is_kept_with_a_reason(
    right: str | None, wrong: str | None, reason: str | None
) -> None:
    dual = read(right=right, wrong=wrong)
    assert dual.reason == reason
    assert [dual.right and dual.right.text, dual.wrong and dual.wrong.text] == [right, wrong]


def test_a_side_may_be_left_out() -> None:
    dual = read(chosen=RIGHT)
    assert dual.wrong is None
    assert dual.reason == "no-wrong-chain"


@pytest.mark.parametrize("row", [{"right": "  ", "wrong": WRONG}, {"right": RIGHT, "wrong": ["a"]}, {"right": 5.5j}])
def test_what_is_no_chain_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        read(**row)


def test_questions_alone_are_refused() -> None:
    with pytest.raises(FieldError, match="holds questions; dual chains"):
        read(answer="42")


def test_an_id_given_twice_is_refused() -> None:
    reader = PairReader()
    reader.convert({"id": "a", "question": "?", "right": RIGHT, "wrong": WRONG})
    with pytest.raises(FieldError, match="stands twice"):
        reader.convert({"id": "a", "question": "?!", "right": RIGHT, "wrong": WRONG})


def test_rows_without_an_id_get_one_of_their_own() -> None:
    reader = PairReader()
    ids = [reader.convert({"question": "?", "right": RIGHT, "wrong": WRONG}).question.id for _ in range(3)]
    assert len(set(ids)) == 3


def test_our_own_rows_come_back_as_they_were() -> None:
    dual = pair().dual
    row = {**dual_to_row(dual), "chosen": "a user's own", "rejected": "key"}
    again = PairReader().convert(row)
    assert (again.right, again.wrong, again.reason) == (dual.right, dual.wrong, None)
    assert again.question.extra == {"chosen": "a user's own", "rejected": "key"}


def test_aligned_rows_are_aligned_again() -> None:
    row = alignment_to_row(pair())
    row["edits"]["right"] = [[0, 1]]
    (alignment,) = align([PairReader().convert(row)], aligner_for("word"))
    assert alignment_to_row(alignment) == alignment_to_row(pair())
    assert alignment_from_row(alignment_to_row(alignment)) == alignment


def test_our_own_rows_without_a_difference_get_the_reason() -> None:
    row = dual_to_row(pair().dual)
    row["wrong"]["text"] = row["right"]["text"]
    assert PairReader().convert(row).reason == "same-text"


def test_our_own_reason_stays() -> None:
    row = {**dual_to_row(pair().dual), "wrong": None, "reason": "attempts"}
    assert PairReader().convert(row).reason == "attempts"


def test_names_of_ones_own_are_mapped() -> None:
    reader = PairReader(("right=good", "wrong=bad", "question=asked"))
    found = reader.convert({"asked": "1 + 1?", "good": "It is 2.", "bad": "It is 3.", "note": "kept"})
    assert found.right is not None
    assert found.wrong is not None
    assert (found.question.question, found.right.text, found.wrong.text) == ("1 + 1?", "It is 2.", "It is 3.")
    assert found.question.extra == {"note": "kept"}


def test_a_mapped_field_that_is_missing_is_told_for_our_own_rows_too() -> None:
    with pytest.raises(FieldError, match="is missing") as caught:
        PairReader(("question=asked",)).convert(dual_to_row(pair().dual))
    assert caught.value.field == "asked"


def test_conversations_are_read() -> None:
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "1 + 1?"}]
    sides = {name: [{"role": "assistant", "content": text}] for name, text in (("chosen", "2."), ("rejected", "3."))}
    found = PairReader().convert({"prompt": turns, **sides})
    assert found.right is not None
    assert (found.question.question, found.question.description, found.right.text) == ("1 + 1?", "Be short.", "2.")


def test_a_conversation_in_which_nobody_asks_is_refused() -> None:
    with pytest.raises(FieldError, match="without a turn of the role user"):
        PairReader().convert({"prompt": [{"role": "system", "content": "x"}], "chosen": "a", "rejected": "b"})
