"""Rows of a Hugging Face dataset -> questions: labels by their names, choices in the forms that datasets give them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from editctl.answers.choices import lettered, listed_options
from editctl.jsonl import FieldError, Row
from editctl.questions import ALIASES, QuestionReader
from editctl.records import Question
from editctl.tables import json_value

Labelled = tuple[tuple[str, str], ...]
"""Label and text of each choice."""


def question_of(row: Mapping[str, Any], features: Mapping[str, Any], reader: QuestionReader, name: str) -> Question:
    """One row's question; `name` is its id where the row brings none.

    `features` is what the dataset says of its columns; empty where it says nothing.

    Raises:
        FieldError: a missing or wrong field, or an answer that is none of the choices.
    """
    plain = {key: json_value(key, _named(features.get(key), value, key)) for key, value in row.items()}
    if "id" not in reader.mapping and plain.get("id") in (None, ""):
        plain["id"] = name
    labelled = _take_labels(plain, _column(plain, "choices", reader.mapping))
    question = reader.convert(plain)
    options = listed_options(question.choices, question.question) if question.choices else ()
    if _is_place(plain, reader.mapping) and question.answer not in {label for label, _ in options or labelled}:
        reason = f"{question.answer} is a mere place among the choices, and what it counts from is nowhere said"
        raise FieldError("answer", f"{reason}; write the choice's label or text")
    return question if options else _with_choices(question, labelled)


def _named(feature: Any, value: Any, key: str) -> Any:
    """A value with the numbers of class labels replaced by the labels' names, however deep they stand."""
    if value is None or feature is None:
        return value
    if hasattr(feature, "int2str"):
        return _label_name(feature, value, key)
    if isinstance(feature, Mapping) and isinstance(value, Mapping):
        return {name: _named(feature.get(name), inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        inner_feature = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", None)
        return [_named(inner_feature, inner, key) for inner in value]
    return value


def _label_name(feature: Any, value: Any, key: str) -> str | None:
    if value == -1:
        return None  # how datasets spell a label that is kept secret
    try:
        return str(feature.int2str(value))
    except ValueError as error:
        raise FieldError(key, f"is the label {value!r}, which the dataset gives no name") from error


def _column(row: Row, ours: str, mapping: Mapping[str, str]) -> str:
    """The row's own name of a field."""
    known = (name for name in ALIASES[ours] if row.get(name) is not None and name not in mapping.values())
    return mapping.get(ours) or next(known, ours)


def _is_place(row: Row, mapping: Mapping[str, str]) -> bool:
    """Whether the answer is a number, and the choices are not: one of them is not what it spells."""
    answer, choices = (row.get(_column(row, ours, mapping)) for ours in ("answer", "choices"))
    return _is_number(answer) and isinstance(choices, list) and bool(choices) and not any(map(_is_number, choices))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _take_labels(row: Row, column: str) -> Labelled:
    """Turn the row's `{"text": [...], "label": [...]}` into a list of texts; its labels and texts, if it had both."""
    value = row.get(column)
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict) and isinstance(value.get("text"), list) and isinstance(value.get("label"), list):
        if len(value["text"]) != len(value["label"]):
            raise FieldError(column, f"has {len(value['text'])} texts for {len(value['label'])} labels")
        pairs = list(zip(value["label"], value["text"], strict=True))
    elif (
        isinstance(value, list)
        and value
        and all(isinstance(one, dict) and {"text", "label"} <= {*one} for one in value)
    ):
        pairs = [(one["label"], one["text"]) for one in value]
    if pairs:
        row[column] = [text for _, text in pairs]
    return tuple((str(label), str(text)) for label, text in pairs)


def _with_choices(question: Question, labelled: Labelled) -> Question:
    """The choices are put under the question; the answer is one of them, as `(B)`."""
    if not question.choices:
        return question
    options = labelled or lettered(question.choices)
    answer = question.answer
    if answer is not None:
        answer = _chosen(answer.strip(), options)
    lines = [f"({label}) {text}" for label, text in options]
    return replace(question, question="\n".join([question.question, "Options:", *lines]), answer=answer)


def _chosen(answer: str, options: Labelled) -> str:
    found = [label for label, text in options if answer in (label, f"({label})")]
    found = found or [label for label, text in options if answer == text.strip()]
    if len(found) != 1:
        raise FieldError("answer", f"{answer!r} is not the label or the text of one of the {len(options)} choices")
    return f"({found[0]})"
