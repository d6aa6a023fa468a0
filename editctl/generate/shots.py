"""Few-shot examples for the teacher's prompts, by task."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from editctl.fields import Fields
from editctl.formats import COT, FORMATS, Format, FormatFault
from editctl.jsonl import FieldError, Row
from editctl.records import Question
from editctl.student import with_options


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One worked example."""

    question: str
    """With its options, as the student would see them."""
    answer: str
    right: str
    wrong: str | None
    """A wrong chain of the same question; without one the shot can't show how to corrupt."""
    task: str | None


class Shots:
    """The examples of a run; those of a question's own task come first, others only where it has none."""

    def __init__(self, shots: Iterable[Shot] = (), most: int = 3) -> None:
        self.most = most
        self._by_task: dict[str | None, list[Shot]] = defaultdict(list)
        for shot in shots:
            self._by_task[shot.task].append(shot)

    def choose(self, question: Question, *, with_wrong: bool = False) -> list[Shot]:
        """At most `most` examples, never the question itself."""
        pool = self._by_task.get(question.task) or self._by_task.get(None, [])
        own = with_options(question)
        fit = (shot for shot in pool if shot.question != own and (shot.wrong or not with_wrong))
        return [shot for shot, _ in zip(fit, range(self.most), strict=False)]


def shot_from(row: Row, format: Format = FORMATS[COT]) -> Shot:
    """An example from a row of `question, answer, right` and perhaps `wrong, task, choices`.

    `right` and `wrong` are texts or chains in the format, so that a file of dual chains will do. Raises FieldError.
    """
    fields = Fields(row)
    right = _chain_text(fields, "right", format)
    if right is None:
        raise FieldError("right", "is missing: an example needs a right chain")
    question = Question(id="", question=fields.text("question"), choices=fields.optional_texts("choices"))
    return Shot(
        question=with_options(question),
        answer=fields.optional_text("answer") or "",
        right=right,
        wrong=_chain_text(fields, "wrong", format),
        task=fields.optional_text("task"),
    )


def _chain_text(fields: Fields, key: str, format: Format) -> str | None:
    value: Any = fields.row.get(key)
    is_chain = isinstance(value, dict)
    text = Fields(value, f"{key}.").text("text") if is_chain else fields.optional_text(key)
    if text is None or not (format.sections or (is_chain and value.get("sections"))):
        return text
    try:
        if not format.sections:
            raise FormatFault("other-sections", "it has sections")
        return format.render(format.parse(text))
    except FormatFault as error:
        message = f"is no example of format {format.name} ({error}); make them with the same --format"
        raise FieldError(key, message) from error
