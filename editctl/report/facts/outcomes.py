"""What each method said to a question: questions joined by id, those on which methods disagree first."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from editctl.records import Prediction, Question
from editctl.report.facts.sources import Source
from editctl.report.page.model import Answered, Outcome
from editctl.rows import prediction_from_row


class Key(NamedTuple):
    """A question: files of other question sets may use the same ids."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a method's samples of a question came to."""

    sample: int
    """Number of the one that is shown."""
    verdict: str
    prediction: str | None
    reason: str | None
    share: float | None
    """Share of right answers; None where there was no text."""
    right: int
    count: int


@dataclass(slots=True)
class Method:
    """One file of predictions."""

    name: str
    source: Source
    said: dict[Key, Said] = field(default_factory=dict)
    questions: dict[Key, Question] = field(default_factory=dict)

    def add(self, question: Question, results: Sequence[Any], share: float | None) -> None:
        """Note a question; `results` are its samples as `evaluate` brings them together."""
        key = Key(question.id, question.question)
        first = min(results, key=lambda one: int(one.sample))
        right = sum(one.verdict == "right" for one in results)
        self.questions[key] = question
        self.said[key] = Said(first.sample, first.verdict, first.answer, first.reason, share, right, len(results))


def outcomes(methods: Sequence[Method], count: int) -> tuple[tuple[Outcome, ...], int]:
    """At most `count` questions with everybody's answers, and how many there are.

    The files are read once more, for the texts of what is shown.
    """
    order = _order(methods)
    shown = order[:count]
    texts = [dict(_texts(method, set(shown))) for method in methods] if shown else []
    return tuple(_outcome(key, methods, texts) for key in shown), len(order)


def note(shown: int, total: int, flag: str) -> str | None:
    """What to say where not all are shown."""
    if shown >= total:
        return None
    if not shown:
        return f"none of the {total:,} test questions is shown ({flag} 0)"
    return (
        f"{shown:,} of {total:,} test questions are shown, those on which methods disagree first ({flag} says how many)"
    )


def _order(methods: Sequence[Method]) -> list[Key]:
    """Questions on which methods disagree, then the rest; both in the order of the files."""
    keys = list(dict.fromkeys(key for method in methods for key in method.said))
    agreed = {key: _agree(said for method in methods if (said := method.said.get(key))) for key in keys}
    return sorted(keys, key=agreed.__getitem__)


def _agree(said: Iterable[Said]) -> bool:
    """Whether all who have a text are right to the same share."""
    return len({one.share for one in said if one.share is not None}) < 2


def _texts(method: Method, wanted: set[Key]) -> Iterator[tuple[Key, str]]:
    for _, prediction in method.source.records(prediction_from_row):
        key = Key(prediction.question.id, prediction.question.question)
        own = prediction.earlier == "own" and key in wanted
        if own and prediction.sample == method.said[key].sample:
            yield key, _text(prediction)


def _text(prediction: Prediction) -> str:
    return "\n\n".join(prediction.steps)


def _outcome(key: Key, methods: Sequence[Method], texts: Sequence[Mapping[Key, str]]) -> Outcome:
    question = next(method.questions[key] for method in methods if key in method.questions)
    return Outcome(
        id=question.id,
        task=question.task or "-",
        question=question.question,
        answer=question.answer,
        answered=tuple(
            _answered(method.name, method.said[key], own.get(key, ""))
            for method, own in zip(methods, texts, strict=True)
            if key in method.said
        ),
    )


def _answered(name: str, said: Said, text: str) -> Answered:
    reason = said.reason
    if said.count > 1:
        many = f"{said.right} of {said.count} samples right; the first is shown"
        reason = f"{reason}; {many}" if reason else many
    return Answered(
        method=name,
        verdict=said.verdict,
        prediction=said.prediction,
        reason=reason,
        text=text,
    )
