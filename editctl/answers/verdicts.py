"""Read the answer a text gives and compare it with another, by answer kind. Pure: opens nothing.

The answer is read from the text's first conclusion (see `conclusion.py`), never from a prompt. What can't be
read is no answer: it is never right, and it is not counted as wrong either.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase

from editctl.answers.choices import exact_choice, options_of, read_beside, read_choice, written_out
from editctl.answers.conclusion import CANONICAL, Conclusion, find_conclusion
from editctl.answers.maths import TooHard, is_maths, read_maths, same_maths
from editctl.answers.readers import (
    comparable,
    pair_of,
    read_boolean,
    read_brackets,
    read_list,
    read_number,
    read_text,
)
from editctl.answers.surfaces import plain, settle, visible
from editctl.errors import UsageError, near_misses
from editctl.records import Question, VerdictName

KINDS = ("choice", "boolean", "number", "list", "brackets", "maths", "text")
"""An option's label, one word of a closed pair, a number, words in order, brackets, LaTeX, free text."""

_LABEL = re.compile(r"\(([A-Z]|[0-9]{1,2})\)|([A-Z])[.)]?")
_GOLD_NUMBER = re.compile(
    r"-?\s?[$€£]?-?[0-9][0-9,]*(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?:\s?/\s?[0-9]+)?\s?%?(?:\s?[A-Za-z/²³°]+){0,2}",
    re.IGNORECASE,
)
_READERS: Mapping[str, Callable[[str], str | None]] = {
    "number": read_number,
    "brackets": read_brackets,
    "maths": read_maths,
    "text": read_text,
}
_COMMAND = re.compile(r"\\[A-Za-z]")
_ASKS_FOR_LIST = re.compile(r"\b(?:sort|alphabetical|arrange|order|list)\w*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer of a text in its kind's canonical form, or why there is none."""

    answer: str | None
    reason: str | None = None
    """`no-conclusion`, `empty` (it concludes, and says nothing), `unread` (nothing of the kind) or `too-hard`
    (mathematics past the limits of time or memory)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a text's answer is worth."""

    verdict: VerdictName
    answer: str | None
    reason: str | None = None
    """Why the verdict is none: a reading's reason, or `no-gold` where there is nothing to compare with."""


def kind_of(question: Question) -> str:
    """The question's answer kind: its own, or the one its gold answer and options suggest.

    Raises:
        UsageError: the question names a kind that does not exist.
    """
    if question.kind is None:
        return infer_kind(question.answer or "", question.choices, question.question)
    if question.kind not in KINDS:
        misses = near_misses(question.kind, KINDS)
        raise UsageError(f"question {question.id}: unknown answer kind {question.kind!r}; {misses}")
    return question.kind


@lru_cache(maxsize=1024)
def infer_kind(answer: str, choices: tuple[str, ...] | None, question_text: str) -> str:
    """The answer kind that a gold answer suggests, with the options and the question it belongs to."""
    gold = answer.strip()
    options = options_of(choices, question_text)
    if is_label(gold, {label for label, _ in options}):
        return "choice"
    if pair_of(gold):
        return "boolean"
    if options and (not gold or exact_choice(gold, options)):
        return "choice"
    if gold and not set(gold) - set("[](){}<> ,"):
        return "brackets"
    # `\frac{1}{2}` is a number to the eye, but students write it in ways that only mathematics reads.
    if _GOLD_NUMBER.fullmatch(plain(gold).strip("$ ")) and not ("\\" in gold and is_maths(gold)):
        return "number"
    if _is_list(gold, question_text):
        return "list"
    return "maths" if is_maths(gold) else "text"


def read_surface(surface: str, question: Question) -> Reading:
    """Read an answer that stands alone, without a conclusion sentence around it."""
    return _read_surface(surface, kind_of(question), question)


def _read_surface(surface: str, kind: str, question: Question) -> Reading:
    settled = settle(visible(surface))
    if not settled:
        return Reading(None, "empty")
    try:
        answer = _read(settled, kind, question)
    except TooHard:
        return Reading(None, "too-hard")
    return Reading(answer) if answer is not None else Reading(None, "unread")


def read_answer(text: str, question: Question, opening: str = CANONICAL) -> Reading:
    """The answer of the text's first conclusion, in canonical form.

    `(D)` for choices, exact decimals for numbers, lower-case words for booleans, words or brackets joined by
    one space for lists and bracket strings, the trimmed text for anything else.
    """
    return _read_conclusion(text, find_conclusion(text, opening), question)


def same_answer(one: str, other: str, question: Question) -> bool:
    """Whether two answers, as written or in canonical form, mean the same; False where one can't be read."""
    kind = kind_of(question)
    left, right = (_read_surface(surface, kind, question).answer for surface in (one, other))
    return left is not None and right is not None and bool(_same(left, right, kind))


def judge(text: str, question: Question, opening: str = CANONICAL) -> Verdict:
    """Compare the text's answer with the question's gold answer.

    Raises:
        UsageError: the question names a kind that does not exist.
    """
    return _judge_reading(_read_conclusion(text, find_conclusion(text, opening), question), question)


def judge_surface(surface: str, question: Question) -> Verdict:
    """As `judge`, of an answer that stands alone."""
    return _judge_reading(read_surface(surface, question), question)


def judge_conclusion(conclusion: Conclusion | None, question: Question) -> Verdict:
    """As `judge`, of a text that ends with the conclusion found in it."""
    reading = read_surface(conclusion.answer, question) if conclusion else Reading(None, "no-conclusion")
    return _judge_reading(reading, question)


def _read_conclusion(text: str, conclusion: Conclusion | None, question: Question) -> Reading:
    if conclusion is None:
        return Reading(None, "no-conclusion")
    reading = read_surface(conclusion.answer, question)
    if reading.reason == "unread" and kind_of(question) == "choice":
        options = options_of(question.choices, question.question)
        label = written_out(text[conclusion.answer_start :], options)
        return Reading(label) if label else reading
    return reading


def _judge_reading(reading: Reading, question: Question) -> Verdict:
    if reading.answer is None:
        return Verdict("none", None, reading.reason)
    kind = kind_of(question)
    gold = _read_surface(question.answer or "", kind, question).answer
    if gold is None:
        return Verdict("none", reading.answer, "no-gold")
    same = _same(reading.answer, gold, kind)
    if same is None:
        return Verdict("none", reading.answer, "too-hard")
    return Verdict("right" if same else "wrong", reading.answer)


def _read(surface: str, kind: str, question: Question) -> str | None:
    if kind == "choice":
        return read_choice(surface, options_of(question.choices, question.question)) or read_beside(surface)
    if kind == "boolean":
        return read_boolean(surface, _pair(question.answer or surface))
    if kind == "list":
        return read_list(surface, question.answer or "")
    if kind == "number" and _COMMAND.search(plain(surface)):
        return read_maths(surface)  # A figure inside `\sqrt{9}` or `\frac12` is not the answer.
    return _READERS[kind](surface)


def _pair(answer: str) -> tuple[str, str]:
    known = pair_of(answer)
    if known is not None:
        return known
    word = plain(answer).casefold().strip(" .")
    return word, f"not {word}"


def _same(one: str, other: str, kind: str) -> bool | None:
    """None where it could not be found out."""
    if kind != "maths" and not (kind == "number" and "\\" in one + other):
        return one == other or comparable(one) == comparable(other)
    try:
        return same_maths(one, other)
    except TooHard:
        return None


def is_label(gold: str, labels: set[str]) -> bool:
    """Whether a gold answer is one of these labels, `(D)` or `D`; where there are none, any letter is one."""
    found = _LABEL.fullmatch(gold)
    return found is not None and (found[1] or found[2]) in (labels or set(ascii_uppercase))


def _is_list(gold: str, question_text: str) -> bool:
    words = gold.replace(",", " ").split()
    if len(words) < 2 or not _ASKS_FOR_LIST.search(question_text):
        return False
    return set(words) <= set(question_text.replace(",", " ").split())
