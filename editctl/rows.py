"""Records <-> flat rows. Each stage adds its keys to the row before and keeps every key it does not know.

All keys of a row always stand there, null where empty, so that readers that guess a schema from the first
rows guess right.
"""

from collections.abc import Collection
from typing import Any, get_args

from editctl.fields import Fields
from editctl.jsonl import FieldError, Row
from editctl.records import (
    Alignment,
    Chain,
    DualChain,
    Earlier,
    Edits,
    Match,
    Origin,
    Prediction,
    Question,
    Reject,
    Runner,
    Step,
    VerdictName,
)

QUESTION_KEYS = ("id", "task", "question", "answer", "kind", "description", "choices")
DUAL_KEYS = ("right", "wrong", "teacher", "reason")
PREDICTION_KEYS = (
    *("sample", "steps", "opening", "runner", "earlier"),
    *("prediction", "verdict", "reason", "tokens", "cut"),
)
REJECT_KEYS = ("step", "reason", "attempts", "completion")
_KNOWN = frozenset(QUESTION_KEYS)
_DUAL, _ALIGNMENT = frozenset(DUAL_KEYS), frozenset((*DUAL_KEYS, "edits"))
_OWN_TEXTS = ("task", "answer", "kind", "description")
_CHAIN_TEXTS = ("answer", "mistake", "template", "reasoning", "label")
_ORIGINS = get_args(Origin)
LATER_KEYS = {*DUAL_KEYS, "edits", *PREDICTION_KEYS, *REJECT_KEYS}
"""Keys that stages write: a user's own key of that name would be lost."""
_KEYS_TOLD = 5

_STAGE_MARKS = (
    ("alignments (made by `editctl align`)", frozenset(("edits", "right"))),
    ("predictions (made by `editctl eval`)", frozenset(("steps", "verdict"))),
    ("rejects (made by `editctl gen-dual`)", frozenset(("step", "attempts", "completion"))),
    ("dual chains (made by `editctl gen-dual`)", frozenset(("right", "wrong"))),
    ("chosen/rejected pairs (which `editctl align` takes)", frozenset(("chosen", "rejected"))),
)


def stage_of(row: Row) -> str | None:
    """What a row is, judged by its keys; None for a question."""
    keys = row.keys()
    return next((name for name, marks in _STAGE_MARKS if keys >= marks), None)


def holding(row: Row) -> str:
    """What a row is, for messages: a stage's, a question, or whatever keys it has."""
    found = stage_of(row) or ("questions" if "question" in row else None)
    if found is not None:
        return found
    rest = ", ..." if len(row) > _KEYS_TOLD else ""
    return f"rows with the keys {', '.join(list(row)[:_KEYS_TOLD])}{rest}" if row else "rows without a key"


def refuse_other_stage(row: Row, wanted: str) -> None:
    """Raises FieldError when the row is another stage's."""
    if not (stage_of(row) or "").startswith(wanted):
        raise FieldError(None, f"holds {holding(row)}; {wanted} are needed here")


def question_row(question: Question) -> Row:
    """The question's own keys, in contract order."""
    return {
        "id": question.id,
        "task": question.task,
        "question": question.question,
        "answer": question.answer,
        "kind": question.kind,
        "description": question.description,
        "choices": _plain(question.choices),
    }


def question_from(row: Row, own_keys: Collection[str]) -> Question:
    """A question from a row a stage wrote; `own_keys` are the stage's keys, the rest is kept as extra."""
    fields = Fields(row)
    name, text = fields.text("id"), fields.text("question")
    task, answer, kind, description = fields.texts_or_null(_OWN_TEXTS)
    return Question(
        id=name,
        question=text,
        task=task,
        answer=answer,
        kind=kind,
        description=description,
        choices=fields.optional_texts("choices"),
        extra={key: value for key, value in row.items() if key not in _KNOWN and key not in own_keys},
    )


def dual_row(dual: DualChain) -> Row:
    """A dual chain's row, without the user's extra keys."""
    row = question_row(dual.question)
    row["right"] = _chain_row(dual.right)
    row["wrong"] = _chain_row(dual.wrong)
    row["teacher"] = dual.teacher
    row["reason"] = dual.reason
    return row


def dual_to_row(dual: DualChain) -> Row:
    """A dual chain as it is written."""
    return {**dual_row(dual), **dual.question.extra}


def dual_from_row(row: Row, own_keys: Collection[str] = _DUAL) -> DualChain:
    """Raises FieldError where a field is missing or wrong."""
    fields = Fields(row)
    return DualChain(
        question=question_from(row, own_keys),
        right=_chain(fields.optional_inner("right")),
        wrong=_chain(fields.optional_inner("wrong")),
        teacher=fields.optional_text("teacher"),
        reason=fields.optional_text("reason"),
    )


def chains_from_row(row: Row) -> DualChain:
    """The dual chain of a dual chain's or an alignment's row. Raises FieldError where it is neither."""
    found = stage_of(row)
    if found is None or not found.startswith(("dual chains", "alignments")):
        raise FieldError(None, f"holds {holding(row)}; dual chains or alignments are needed here")
    return dual_from_row(row, _ALIGNMENT)


def alignment_to_row(alignment: Alignment) -> Row:
    """An alignment as it is written."""
    row = alignment_for_json(alignment)
    if row["edits"] is not None:
        row["edits"] |= {side: list(map(list, row["edits"][side])) for side in ("right", "wrong")}
    return row


def alignment_for_json(alignment: Alignment) -> Row:
    """As `alignment_to_row`, with spans as tuples, which JSON writes as lists."""
    edits = alignment.edits
    row = dual_row(alignment.dual)
    row["edits"] = edits and {
        "unit": edits.unit,
        "tokenizer": edits.tokenizer,
        "match": edits.match,
        "right": edits.right,
        "wrong": edits.wrong,
        "distance": edits.distance,
        "similarity": edits.similarity,
        "key_ratio": {"right": edits.key_ratio[0], "wrong": edits.key_ratio[1]},
    }
    row.update(alignment.dual.question.extra)
    return row


def alignment_from_row(row: Row) -> Alignment:
    """Raises FieldError where the row is no alignment, or a span lies outside its text."""
    refuse_other_stage(row, "alignments")
    dual = dual_from_row(row, _ALIGNMENT)
    fields = Fields(row).optional_inner("edits")
    return Alignment(dual=dual, edits=None if fields is None else _edits(fields, dual))


def _edits(fields: Fields, dual: DualChain) -> Edits:
    if dual.right is None or dual.wrong is None:
        raise FieldError("edits", "stands without a right and a wrong chain; run `editctl align` again")
    ratio = fields.optional_inner("key_ratio")
    if ratio is None:
        raise FieldError("edits.key_ratio", "is missing")
    return Edits(
        unit=fields.text("unit"),
        tokenizer=fields.optional_text("tokenizer"),
        right=fields.spans("right", len(dual.right.text)),
        wrong=fields.spans("wrong", len(dual.wrong.text)),
        distance=fields.whole("distance"),
        similarity=fields.number("similarity"),
        key_ratio=(ratio.number("right"), ratio.number("wrong")),
        match=fields.optional_one_of("match", get_args(Match)) or "units",  # files of earlier versions lack it
    )


def prediction_to_row(prediction: Prediction) -> Row:
    """A prediction as it is written."""
    row = question_row(prediction.question)
    row |= {key: _plain(getattr(prediction, key)) for key in PREDICTION_KEYS}
    return {**row, **prediction.question.extra}


def prediction_from_row(row: Row) -> Prediction:
    """Raises FieldError where the row is no prediction."""
    refuse_other_stage(row, "predictions")
    fields = Fields(row)
    steps = fields.optional_texts("steps")
    return Prediction(
        question=question_from(row, PREDICTION_KEYS),
        sample=fields.whole("sample"),
        steps=steps or (),
        opening=fields.optional_text("opening"),  # files of earlier versions lack these three keys, and cut
        runner=fields.optional_one_of("runner", get_args(Runner)),
        earlier=fields.optional_one_of("earlier", get_args(Earlier)) or "own",
        prediction=fields.optional_text("prediction"),
        verdict=fields.one_of("verdict", get_args(VerdictName)),
        reason=fields.optional_text("reason"),
        tokens=fields.optional_whole("tokens"),
        cut=fields.optional_flag("cut") or False,
    )


def reject_to_row(reject: Reject) -> Row:
    """A reject as it is written."""
    row = question_row(reject.question)
    row |= {key: getattr(reject, key) for key in REJECT_KEYS}
    return {**row, **reject.question.extra}


def reject_from_row(row: Row) -> Reject:
    """A reject as `gen-dual` writes it. Raises FieldError where the row is none."""
    refuse_other_stage(row, "rejects")
    fields = Fields(row)
    return Reject(
        question=question_from(row, REJECT_KEYS),
        step=fields.one_of("step", get_args(Step)),
        reason=fields.text("reason"),
        attempts=fields.whole("attempts"),
        completion=fields.optional_text("completion"),
    )


def _chain_row(chain: Chain | None) -> Row | None:
    if chain is None:
        return None
    return {
        "text": chain.text,
        "answer": chain.answer,
        "origin": chain.origin,
        "mistake": chain.mistake,
        "template": chain.template,
        "reasoning": chain.reasoning,
        "sections": None if chain.sections is None else dict(chain.sections),
        "label": chain.label,
    }


def _chain(fields: Fields | None) -> Chain | None:
    if fields is None:
        return None
    sections = fields.optional_inner("sections")
    text, origin = fields.text("text"), fields.one_of("origin", _ORIGINS)
    answer, mistake, template, reasoning, label = fields.texts_or_null(_CHAIN_TEXTS)
    return Chain(
        text=text,
        answer=answer,
        origin=origin,
        mistake=mistake,
        template=template,
        reasoning=reasoning,
        sections=None if sections is None else {key: sections.text(key) for key in sections.row},
        label=label,
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
