"""Raw texts -> verdicts: the answer is read from the last step, or its program is run; no model, no files."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from editctl.answers.conclusion import CANONICAL
from editctl.answers.results import judge_outcome
from editctl.answers.verdicts import Verdict, judge, kind_of
from editctl.errors import InputError, UsageError
from editctl.evaluate.foreign.texts import raw_steps
from editctl.records import Prediction, Question, Runner
from editctl.sandbox.programs import Outcome, run_many

FAILED = "failed:"
"""Begins the reason of a prediction whose text could not be had."""
CUT = "cut"
"""Reason of a text without an answer that was ended by the limit of new tokens."""
_TOGETHER = 256
"""Programs run in one go."""


def judged(predictions: Iterable[Prediction], conclusion: str = CANONICAL) -> Iterator[Prediction]:
    """Predictions with their answers read and compared, in order.

    An opening of a decode step is itself the conclusion's canonical opening there, whatever `conclusion` is. What
    stands in a `<think>` block is no conclusion. A text that could not be had stays `none`.

    Raises:
        UsageError: a question names a kind that does not exist.
    """
    remaining = iter(predictions)
    while group := list(itertools.islice(remaining, _TOGETHER)):
        outcomes = _outcomes(group)
        for number, prediction in enumerate(group):
            verdict = _verdict(prediction, outcomes.get(number), conclusion)
            yield replace(prediction, prediction=verdict.answer, verdict=verdict.verdict, reason=verdict.reason)


def _outcomes(group: list[Prediction]) -> dict[int, Outcome]:
    """What the programs among them come to, by place."""
    found: dict[int, Outcome] = {}
    runners: set[Runner] = {one.runner for one in group if one.runner is not None}
    for runner in sorted(runners):
        places = [number for number, one in enumerate(group) if one.runner == runner and not _failed(one)]
        texts = [group[number].steps[-1] if group[number].steps else "" for number in places]
        found.update(zip(places, run_many(runner, texts), strict=True))
    return found


def _failed(prediction: Prediction) -> bool:
    return (prediction.reason or "").startswith(FAILED)


def _verdict(prediction: Prediction, outcome: Outcome | None, conclusion: str) -> Verdict:
    if _failed(prediction):
        return Verdict("none", None, prediction.reason)
    question = prediction.question
    if prediction.runner is not None:
        kind_of(question)
        verdict = judge_outcome(outcome, question)
    else:
        said = raw_steps(prediction.judged)[-1]
        verdict = judge(said, question, (prediction.opening or "").strip() or conclusion)
    unfinished = verdict.verdict == "none" and prediction.cut and verdict.reason != "no-gold"
    return replace(verdict, reason=CUT) if unfinished else verdict


def judged_again(
    predictions: Iterable[Prediction],
    gold: Mapping[str, Question] | None,
    conclusion: str,
    file: str | None = None,
) -> Iterator[Prediction]:
    """Predictions with their answers read anew, against other gold answers where they are given.

    `file` is the predictions' name, for messages.

    Raises:
        InputError: a prediction whose question is not among those given, or that names no kind there is.
    """
    renewed = (replace(old, question=_question_of(old, gold, file)) for old in predictions)
    try:
        yield from judged(renewed, conclusion)
    except UsageError as error:
        raise InputError(str(error), file=file if gold is None else None, field="kind") from error


def _question_of(old: Prediction, gold: Mapping[str, Question] | None, file: str | None) -> Question:
    question = old.question if gold is None else gold.get(old.question.id)
    if question is None:
        message = (
            f"prediction {old.question.id!r} answers none of the questions given; "
            "name the questions it was made for, or none to use its own"
        )
        raise InputError(message, file=file, field="id")
    return question if gold is None else replace(question, extra={**old.question.extra, **question.extra})
