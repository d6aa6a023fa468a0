"""A raw completion -> a chain that ends in the canonical conclusion, or the reason why it is none. Pure."""

import re
from dataclasses import dataclass

from editctl.answers import Verdict, judge
from editctl.conclusion import canonicalise, find_conclusion
from editctl.generate.settings import Settings
from editctl.interfaces import Completion
from editctl.records import Question

_THINKING = re.compile(r"\A\s*<think(?:ing)?>(.*?)</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(
    r"\A\s*(?:\*\*)?(?:A|Answer|Response|Solution|(?:Right|Wrong|Correct|Incorrect) (?:response|answer|solution))"
    r"(?:\*\*)?\s*:(?:\*\*)?[ \t]*",
    re.IGNORECASE,
)
_QUESTION_LABEL = re.compile(r"\A\s*(?:Q|Question)\s*:\s*", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\A\W*(?:I(?:'m| am) (?:very )?sorry|I apologi[sz]e|Sorry|I (?:can(?:no|')t|am (?:not able|unable) to|won't) "
    r"(?:help|assist|provide|comply|answer|do that)|As an AI)",
    re.IGNORECASE,
)
_HINT_LEAK = re.compile(
    r"\b(?:hint|(?:correct|right|given|provided|expected|gold|reference) answer (?:is |was )?(?:given|provided|told|"
    r"stated|known|says|key|already)|(?:as|since|because) (?:I|we) (?:was|were|am|are|have been) told|(?:given|provided|told) "
    r"(?:that )?the (?:correct|right|final) answer|according to the (?:given |provided |correct )?answer key|"
    r"answer key|(?:the )?(?:given|provided|stated) (?:correct )?answer\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a completion came to."""

    text: str
    """The chain, ending in the canonical conclusion sentence."""
    verdict: Verdict
    reasoning: str | None
    reason: str | None
    """Why it can't be used: truncated, empty, refusal, over-long, unread; None when it can."""


def check(completion: Completion, question: Question, settings: Settings) -> Checked:
    """Clean a completion and read its answer (methods: clean)."""
    text, reasoning = _split_thinking(completion)
    text = strip_recap(text, question)
    conclusion = find_conclusion(text, settings.conclusion)
    verdict = judge(text, question, settings.conclusion)
    reason = _fault(completion, text, verdict, settings)
    if conclusion is not None and reason is None:
        text = canonicalise(text, conclusion, settings.conclusion)
        verdict = judge(text, question, settings.conclusion)
        reason = "unread" if verdict.verdict == "none" else None
    return Checked(text=text, verdict=verdict, reasoning=reasoning, reason=reason)


def strip_recap(text: str, question: Question) -> str:
    """Drop the question where the completion begins by repeating it, and a label before the chain."""
    bare = _QUESTION_LABEL.sub("", text)
    if bare.startswith(question.question.strip()):
        text = bare[len(question.question.strip()) :]
    return _LABEL.sub("", text).strip()


def speaks_of_hint(text: str, question: Question) -> bool:
    """True where a rectified chain talks about having been told the answer."""
    found = _HINT_LEAK.search(text)
    # A question that itself speaks of hints may be answered in its own words.
    return found is not None and found.group().lower() not in question.question.lower()


def _split_thinking(completion: Completion) -> tuple[str, str | None]:
    found = _THINKING.match(completion.text)
    if found is None:
        return completion.text, completion.reasoning
    return completion.text[found.end() :], completion.reasoning or found.group(1).strip()


def _fault(completion: Completion, text: str, verdict: Verdict, settings: Settings) -> str | None:
    if completion.finish_reason == "length":
        return "truncated"
    if not text:
        return "empty"
    if completion.finish_reason == "content_filter" or (verdict.verdict == "none" and _REFUSAL.match(text)):
        return "refusal"
    if len(text) > settings.max_characters:
        return "over-long"
    return "unread" if verdict.verdict == "none" else None
