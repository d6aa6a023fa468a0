"""What the result of a program or of equations is worth as an answer. Runs nothing."""

import math
from dataclasses import replace

from editctl.answers.verdicts import Verdict, judge_surface, kind_of
from editctl.records import Question
from editctl.sandbox.programs import Outcome

_ROUNDING = 1e-6
"""Relative difference that a program's floating-point result may have from a gold number."""


def judge_outcome(outcome: Outcome | None, question: Question) -> Verdict:
    """Compare what was run with the question's gold answer; None is a text that was not run.

    What has no value is no answer: the reason is `program-` and its status (`program-timeout`, …).

    Raises:
        UsageError: the question names a kind that does not exist.
    """
    if outcome is None or outcome.value is None:
        return Verdict("none", None, f"program-{outcome.status if outcome else 'error'}")
    verdict = judge_surface(outcome.value, question)
    if verdict.verdict == "wrong" and kind_of(question) == "number" and _close(outcome.value, question.answer or ""):
        return replace(verdict, verdict="right")
    return verdict


def _close(value: str, gold: str) -> bool:
    """Whether a result is the gold number but for floating-point rounding."""
    try:
        return "." in value and math.isclose(float(value), float(gold.replace(",", "")), rel_tol=_ROUNDING)
    except ValueError:
        return False
