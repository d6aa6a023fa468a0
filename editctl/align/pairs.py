"""Rows of dual chains, ours or anybody's: `right`/`wrong` or `chosen`/`rejected` as plain texts are `given` chains."""

from dataclasses import replace
from typing import Any

from editctl.answers.verdicts import read_answer, same_answer
from editctl.fields import Fields
from editctl.jsonl import FieldError, Row
from editctl.questions import QuestionReader
from editctl.records import Chain, DualChain, Question
from editctl.rows import DUAL_KEYS, dual_from_row, refuse_other_stage, stage_of

SIDES = (("right", "wrong"), ("chosen", "rejected"))


class PairReader:
    """Turns rows into dual chains."""

    def __init__(self, mapping: tuple[str, ...] = ()) -> None:
        self._names = QuestionReader(mapping) if mapping else None
        self._questions = QuestionReader(need_answer=False)
        self.has_seen_alignments = False
        """Whether a row held an alignment, which is dropped: it is aligned again."""

    def convert(self, row: Row) -> DualChain:
        """Raises FieldError where the row is no pair, or its id was given before."""
        dual = self.read(row)
        self.claim(dual.question.id)
        return dual

    def read(self, row: Row) -> DualChain:
        """As `convert`, but the id may have been given before. Raises FieldError where the row is no pair."""
        if self._names is not None:
            row = self._names.renamed(row)
        return self._given(row) if self._is_foreign(row) else self._own(row)

    def claim(self, identifier: str) -> None:
        """Raises FieldError where the id was given before."""
        self._questions.claim(identifier)

    @property
    def has_made_ids(self) -> bool:
        """Whether rows without an id were given one: such ids depend on all rows before."""
        return self._questions.has_made_ids

    @staticmethod
    def _is_foreign(row: Row) -> bool:
        (right, wrong), theirs = SIDES
        if right in row or wrong in row:
            return isinstance(row.get(right), str) or isinstance(row.get(wrong), str)
        return any(name in row for name in theirs)

    def _own(self, row: Row) -> DualChain:
        if "edits" in row and (stage_of(row) or "").startswith("alignments"):
            self.has_seen_alignments = True
            row = {key: value for key, value in row.items() if key != "edits"}  # aligned again, in other units
        refuse_other_stage(row, "dual chains")
        dual = dual_from_row(row)
        fault = None if dual.reason else pair_fault(dual)
        return replace(dual, reason=fault) if fault else dual

    def _given(self, row: Row) -> DualChain:
        right_name, wrong_name = next(names for names in SIDES if names[0] in row or names[1] in row)
        fields = Fields(row)
        texts = [_text(fields, name) for name in (right_name, wrong_name)]
        rest = {key: value for key, value in row.items() if key not in (right_name, wrong_name, *DUAL_KEYS)}
        question = self._questions.convert(_asked(rest))
        right, wrong = (_given_chain(text, question) for text in texts)
        if question.answer is None and right is not None:
            question = replace(question, answer=right.answer)
        dual = DualChain(question=question, right=right, wrong=wrong, teacher=fields.optional_text("teacher"))
        return replace(dual, reason=pair_fault(dual))


def _asked(row: Row) -> Row:
    """A row whose prompt is chat turns, with the last user's turn as its question and the system's as description."""
    turns = row.get("prompt")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return row
    said: dict[object, object] = {turn.get("role"): turn.get("content") for turn in turns}
    if "user" not in said:
        raise FieldError("prompt", "is a conversation without a turn of the role user")
    return {**row, "prompt": said["user"], "description": row.get("description", said.get("system"))}


def _text(fields: Fields, name: str) -> str | None:
    """A chain given as text, as a chain object, or as chat turns of which the last is meant."""
    value: Any = fields.row.get(name)
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        return Fields(value[-1], f"{name}[-1].").text("content")
    if isinstance(value, dict):
        return Fields(value, f"{name}.").text("text")
    return fields.optional_text(name)


def _given_chain(text: str | None, question: Question) -> Chain | None:
    if text is None:
        return None
    if not text.strip():
        raise FieldError(None, "holds a blank chain")
    return Chain(text=text, answer=read_answer(text, question).answer, origin="given")


def pair_fault(dual: DualChain) -> str | None:
    """Why a pair shows no difference (same-text, same-answer) or is none (no-right-chain, no-wrong-chain)."""
    right, wrong = dual.right, dual.wrong
    if right is None or wrong is None:
        return "no-right-chain" if right is None else "no-wrong-chain"
    if right.text == wrong.text:
        return "same-text"
    if right.answer is not None and wrong.answer is not None:
        return "same-answer" if same_answer(right.answer, wrong.answer, dual.question) else None
    return None
