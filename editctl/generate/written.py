"""A raw completion in a chain format -> a chain whose result is known, or the reason why it is none.

Programs and equations are run; everything else is as pure as clean.py, which checks what every format shares.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from editctl.answers.conclusion import find_conclusion
from editctl.answers.results import judge_outcome
from editctl.answers.verdicts import Verdict
from editctl.formats import COT, Format, FormatFault, format_of, program_tree
from editctl.generate.clean import (
    Checked,
    check_steps,
    read_steps,
    speaks_of_hint,
    split_thinking,
    strip_recap,
    unusable,
)
from editctl.generate.settings import Settings
from editctl.interfaces import Completion
from editctl.records import Question

_ANS = re.compile(r"^[ \t]*ans[ \t]*=(?!=)[ \t]*([^%#\n]*)", re.MULTILINE)
_WORK = (
    *(ast.BinOp, ast.BoolOp, ast.Not, ast.AugAssign, ast.Compare, ast.For, ast.While),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)
"""What a program that finds something out holds at least one of."""
_IDLE_CALLS = frozenset({"int", "float", "str", "round", "abs", "Fraction", "Decimal", "print"})
"""Functions that hand on what they are given."""


def check(completion: Completion, question: Question, settings: Settings) -> Checked:
    """Clean a completion in the run's format and find its answer. May take as long as a program may run.

    Raises:
        UsageError: there is no such format, or the question names a kind that does not exist.
    """
    if settings.format == COT:
        return check_steps(completion, question, settings)
    checked = _written(completion, question, settings, format_of(settings.format))
    return replace(checked, reasoning=None) if settings.reasoning == "drop" else checked


def leaks_hint(checked: Checked, question: Question) -> bool:
    """True where a rectified chain speaks of having been told the answer, or merely sets it."""
    if speaks_of_hint(checked.text, question):
        return True
    sections = checked.sections or {}
    if "equations" in sections:
        return not _calculates_by_equations(sections["equations"])
    program = sections.get("program", sections.get("solution", ""))
    tree = program_tree(program)
    if tree is not None and tree.body:
        return not _calculates(tree)
    found = _ANS.findall(checked.text) if sections else []
    return len(found) == 1 and found[0].strip().strip("\"'") == (question.answer or "").strip()


def _calculates(program: ast.Module) -> bool:
    """Whether a program does more than name what it holds already."""
    nodes = list(ast.walk(program))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    return any(isinstance(node, _WORK) for node in nodes) or any(
        _called(one) not in _IDLE_CALLS | own for one in called
    )


def _called(function: ast.expr) -> str:
    """The last part of a function's name: `Fraction` of `fractions.Fraction`."""
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _calculates_by_equations(text: str) -> bool:
    """Whether an equation joins two numbers or names, by an operator or by standing side by side.

    Raises EquationError where the equations can't be read; what came to a result can.
    """
    from editctl.sandbox.equation_texts import equation_lines, parsed

    joined = ("sum", "term", "beside", "power", "named", "grouped")
    trees = (tree for line in equation_lines(text) for tree in parsed(line).iter_subtrees())
    return any((tree.data in joined and len(tree.children) > 1) or _is_root(tree) for tree in trees)


def _is_root(tree: Any) -> bool:
    return bool(tree.data == "call" and str(tree.children[0]) == "sqrt")


def _written(completion: Completion, question: Question, settings: Settings, format: Format) -> Checked:
    text, reasoning = split_thinking(completion)
    stripped = strip_recap(text, question)
    # An indented program keeps its first indentation where there is nothing to strip.
    text = text if stripped == text.strip() else stripped
    # What was cut off or is over-long is not even parsed: the time that takes is the reader's, not the teacher's.
    fault = unusable(completion, stripped, read=True, settings=settings)
    if fault is not None:
        return _none(stripped, reasoning, fault)
    try:
        sections, verdict = _read(format.parse(text), question, settings, format)
        text = format.render(sections)
        fault = unusable(completion, text, read=True, settings=settings)
    except FormatFault as error:
        fault = unusable(completion, stripped, read=False, settings=settings) or error.reason
        return _none(stripped, reasoning, fault)
    if fault is None and format.runner is not None:
        verdict = _run(sections[format.sections[-1]], question, format)
    elif fault is None and not _concludes_once(text, sections, settings):
        fault = "ambiguous"
    return Checked(
        text=text,
        verdict=verdict,
        reasoning=reasoning,
        reason=fault or _why_none(verdict, format),
        sections=sections,
    )


def _none(text: str, reasoning: str | None, reason: str) -> Checked:
    return Checked(text=text, verdict=Verdict("none", None, reason), reasoning=reasoning, reason=reason)


def _read(
    sections: Mapping[str, str], question: Question, settings: Settings, format: Format
) -> tuple[dict[str, str], Verdict]:
    """The sections, steps in words cut after their conclusion, and the verdict on that."""
    if format.runner is not None:
        return dict(sections), Verdict("none", None, "unread")
    solution, verdict = read_steps(sections["solution"], question, settings)
    return {**sections, "solution": solution}, verdict


def _concludes_once(text: str, sections: Mapping[str, str], settings: Settings) -> bool:
    """Whether readers of the whole text find the solution's conclusion, and none in the sections before it."""
    whole, own = (find_conclusion(one, settings.conclusion) for one in (text, sections["solution"]))
    return whole is None or own is None or len(text) - whole.start == len(sections["solution"]) - own.start


def _run(program: str, question: Question, format: Format) -> Verdict:
    """The verdict on what a program comes to; its answer is the result as it came."""
    from editctl.sandbox.programs import run

    assert format.runner is not None
    outcome = run(format.runner, program)
    verdict = judge_outcome(outcome, question)
    return verdict if verdict.verdict == "none" else replace(verdict, answer=outcome.value)


def _why_none(verdict: Verdict, format: Format) -> str | None:
    """A program that failed says how; what ran and can't be read is `unread`, as steps without an answer are."""
    if verdict.verdict != "none":
        return None
    return verdict.reason if (verdict.reason or "").startswith("program-") else "unread"
