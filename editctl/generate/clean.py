"""A raw completion -> a chain that ends in the canonical conclusion, or the reason why it is none. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from editctl.answers.conclusion import canonicalise, find_conclusion
from editctl.answers.verdicts import Verdict, judge_conclusion
from editctl.generate.settings import Settings
from editctl.interfaces import Completion
from editctl.records import Question
from editctl.student import with_options

# Some servers' chat templates open the block themselves, so that the completion only closes it.
_THINKING = re.compile(r"\A\s*(?:<think(?:ing)?>)?(.*?)</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_UNENDING_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>(.*)\Z", re.DOTALL | re.IGNORECASE)

_BOTH_SOLUTIONS = re.compile(
    r"\A\W*(?:Right|Correct) (?:solution|response|answer)\b.*?"
    r"^\W*(?=(?:Wrong|Incorrect) (?:solution|response|answer)\W*:)",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_QUESTION_LABEL = re.compile(r"\A\W*(?:Q|Question)\W*:\W*", re.IGNORECASE)
_HINT_LINE = re.compile(r"\A\s*The final answer is [^\n]*\n\s*(?=A:|Let['’]s think)", re.IGNORECASE)
_LABEL = re.compile(
    r"\A\s*(?:\*\*)?(?:A|Answer|Response|Solution|(?:Right|Wrong|Correct|Incorrect) (?:response|answer|solution))"
    r"(?:\*\*)?\s*:(?:\*\*)?[ \t]*",
    re.IGNORECASE,
)
_CUE = re.compile(r"\A\s*Let['’]s think step by step[.:!]?\s*", re.IGNORECASE)

_REFUSAL = re.compile(
    r"\A\W*(?:I(?:['’]m| am) (?:very )?sorry|I apologi[sz]e|Sorry|As an AI"
    r"|I (?:can(?:no|['’])t|am (?:not able|unable) to|won['’]t) (?:help|assist|provide|comply|answer|do that))",
    re.IGNORECASE,
)

_THE_ANSWER = r"the (?:final |correct |right )?answer\b(?! (?:choice|option|sheet)s?\b)"
_HINT_LEAK = re.compile(
    # The answer is spoken of as something handed over ...
    r"\b(?:given|provided|stated|supplied|expected|known|reference|gold)(?: (?:final|correct))? answer\b"
    r"(?! (?:choice|option|sheet)s?\b)"
    r"|\banswer (?:key\b|(?:that )?(?:I|we) (?:was|were|am|are|have been) (?:given|told|provided))"
    r"|\banswer (?:is|was|has been) (?:already )?(?:given|provided|told|stated|supplied)\b(?! by| in terms)"
    r"|\banswer (?:given|provided|stated|supplied) (?:above|here|in|to|is)\b"
    # ... or somebody was told it, knows it beforehand, or works towards it;
    rf"|\b(?:told|informed|given|know) (?:that )?{_THE_ANSWER}(?! (?:must|should|can|may|will|depends))"
    rf"|\b(?:match(?:es|ing)?|agrees? with|consistent with|confirms|backwards? from) {_THE_ANSWER}"
    # or the prompt itself is spoken of.
    r"|\b(?:the|this|your|given|provided) hint\b(?! (?:of|that|at)\b)|\bhint (?:says|tells|given|provided)\b"
    r"|\bas (?:told|given|stated|provided|instructed) in the (?:prompt|instructions?|hint)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a completion came to."""

    text: str
    """The chain, ending in the canonical conclusion sentence where it concludes."""
    verdict: Verdict
    reasoning: str | None
    """What the model thought before it wrote the chain."""
    reason: str | None
    """Why it can't be used: truncated, refusal, empty, over-long, unread; None when it can."""
    sections: Mapping[str, str] | None = None
    """The chain's named sections, for formats other than cot."""


def check_steps(completion: Completion, question: Question, settings: Settings) -> Checked:
    """Clean a completion in format cot and read its answer (methods: clean)."""
    text, reasoning = split_thinking(completion)
    text = strip_recap(text, question)
    alone = read_steps(text, question, settings)
    if settings.reasoning != "use" or reasoning is None:
        kept = None if settings.reasoning == "drop" else reasoning
        return _checked(completion, *alone, kept, settings)
    whole = read_steps(f"{reasoning}\n\n{text}", question, settings)
    # A thought that concludes too early, and otherwise than the model did in the end, is no chain of that answer.
    if alone[1].verdict in ("none", whole[1].verdict):
        return _checked(completion, *whole, None, settings)
    return _checked(completion, *alone, reasoning, settings)


def read_steps(text: str, question: Question, settings: Settings) -> tuple[str, Verdict]:
    """The chain, cut after its conclusion in the canonical form, and the verdict on it."""
    conclusion = find_conclusion(text, settings.conclusion)
    if conclusion is not None:
        canonical = canonicalise(text, conclusion, settings.conclusion)
        if canonical != text:
            # What was rewritten is read anew: the verdict is on the text that is kept.
            text, conclusion = canonical, find_conclusion(canonical, settings.conclusion)
    return text, judge_conclusion(conclusion, question)


def _checked(completion: Completion, text: str, verdict: Verdict, reasoning: str | None, settings: Settings) -> Checked:
    return Checked(text=text, verdict=verdict, reasoning=reasoning, reason=_fault(completion, text, verdict, settings))


def strip_recap(text: str, question: Question) -> str:
    """Drop what the completion repeats of the prompt before its chain: question, options, labels, the cue."""
    text = _BOTH_SOLUTIONS.sub("", text)
    bare = _QUESTION_LABEL.sub("", text)
    for recap in dict.fromkeys((with_options(question), question.question)):
        rest = _after(bare, recap)
        # A chain may well begin with the words of a short question and go on in the same line.
        if rest is not None and (bare != text or rest.lstrip(" \t")[:1] in ("\n", "")):
            text = rest
            break
    for pattern in (_HINT_LINE, _LABEL, _CUE):
        text = pattern.sub("", text)
    return text.strip()


def speaks_of_hint(text: str, question: Question) -> bool:
    """True where a rectified chain talks about having been told the answer."""
    asked = question.question.lower()
    # A question that itself speaks of hints may be answered in its own words.
    return any(found.group().lower() not in asked for found in _HINT_LEAK.finditer(text))


def _after(text: str, opening: str) -> str | None:
    """What follows `opening` in a text that begins with it, white space aside; None where it doesn't."""
    at = 0
    for word in opening.split():
        while text[at : at + 1].isspace():
            at += 1
        if not text.startswith(word, at):
            return None
        at += len(word)
    return text[at:]


def split_thinking(completion: Completion) -> tuple[str, str | None]:
    """The text without a leading block of thoughts, and all hidden reasoning."""
    found = _THINKING.match(completion.text) or _UNENDING_THOUGHT.match(completion.text)
    if found is None:
        return completion.text, completion.reasoning
    thoughts = [part for part in (completion.reasoning, found[1].strip()) if part]
    return completion.text[found.end() :], "\n\n".join(thoughts) or None


def unusable(completion: Completion, text: str, *, read: bool, settings: Settings) -> str | None:
    """What is wrong with a completion whatever its format: truncated, refusal, empty, over-long; else None.

    `text` is what is to be kept of it; `read`: it holds what was asked for, so that an apology is no refusal.
    """
    if completion.finish_reason == "length":
        return "truncated"
    if completion.finish_reason == "content_filter" or (not read and _REFUSAL.match(text)):
        return "refusal"
    if not text:
        return "empty"
    return "over-long" if len(text) > settings.max_characters else None


def _fault(completion: Completion, text: str, verdict: Verdict, settings: Settings) -> str | None:
    read = verdict.verdict != "none"
    return unusable(completion, text, read=read, settings=settings) or (None if read else "unread")
