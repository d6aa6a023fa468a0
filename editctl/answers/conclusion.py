"""Find the sentence in which a text gives its answer, and write it in its canonical form.

Knows nothing of questions, answer kinds or right and wrong: see `answers.py` for those.

Forms, tried in this order; within a form the first occurrence counts:

1. canonical: the opening itself, `Therefore, the answer is` unless another one is given;
2. so: so/thus/hence/therefore ... the (final) answer is; else a sentence that begins `The answer is`;
3. answer-line: a last line `A: X`, `Answer: X` or `Final answer: X`;
4. hashes: `#### X`;
5. boxed: `\\boxed{X}`.

A text that runs on into an invented new question, or into another chat turn, is read only up to there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from editctl.answers.surfaces import seen_places, sentence_end, settle, visible

Form = Literal["canonical", "so", "answer-line", "hashes", "boxed"]

CANONICAL = "Therefore, the answer is"
"""The opening that conclusion sentences are rewritten to."""

_LONGEST_LEAD = 160


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Where a text concludes. Positions are indices into that text."""

    start: int
    """Where the conclusion sentence begins."""
    end: int
    """Where it ends, full stop and closing markup included."""
    answer: str
    """The answer without the sentence's full stop and without wrappers; empty where none is given."""
    answer_start: int
    answer_end: int
    """Equal to `answer_start` for an empty answer. The span holds `answer` unless that was written on several
    lines, which are then joined by spaces, or has escapes in it."""
    form: Form


_RUN_ON = re.compile(
    r"\n[ \t>*]*+(?:Q ?[0-9]*+[ \t]*+[:.]|Question[ \t]*+[0-9:#*]|Task Description:"
    r"|(?:Human|User|Assistant|System)[*_]*+:|#+[ \t*]*+(?:Question|Problem|Instruction|Human|User|Input)\b)"
)
_TURN = re.compile(r"<(?:\|[\w ]{1,40}+\|>|/s>|(?:start|end)_of_turn>)|\[/?INST\]")
_TURN_SIGNS = ("<|", "</s>", "_of_turn>", "INST]")
"""What `_TURN` can't match without: found many times as fast."""
_ODD_CASE = "\u0130\u0131\u017f\u212a"
"""What a pattern without letter case takes for a letter of ASCII."""
_ANSWER_IS = re.compile(
    r"\banswer(?:[ *_]+(?:choice|option))?(?:[ *_]+to[ ]+(?:the|this)[ ]+(?:question|problem))?[*_]*"
    r"(?:,?[ ]+(?:therefore|thus|then|hence),?)?"
    r"(?:[ \t\n*_]+(?P<verb>is)\b(?:,?[ ]+(?:therefore|thus|then|hence)\b,?)?|[*_ ]*:)",
    re.IGNORECASE,
)
_LEAD_WORDS = re.compile(
    r"(?:\b(?:the|my|our)[\s*_]{1,4})?(?:\b(?:final|correct|right)[\s*_]{1,4}){0,2}\Z", re.IGNORECASE
)
_SENTENCE_BREAK = re.compile(r"[.!?。][*_\"'”’)\]]*+\s|\n|\A")
_WEAK_BREAK = re.compile(r"(?:[.!?。:][*_\"'”’)\]]*+\s|\n|\A)[\s*_\"'“(>#]*+\Z")
_SO = re.compile(r"\b(?:so(?! (?:far|that)\b)|thus|hence|therefore)\b", re.IGNORECASE)
_DOUBT = re.compile(r"\b(?:whether|if|what|which|when|until|unless|where|once)\b", re.IGNORECASE)
_ANSWER_LINE = re.compile(r"[ \t>*#_]*+(?:A|(?i:(?:the )?(?:final |correct )?answer))[*_ \t]*+:")
_HASHES = re.compile(r"(?<!#)####(?!#)[ \t*_]*+(?!(?i:steps?|part|solution|explanation|question|problem)\b)")
_BOX = re.compile(r"\\(?:boxed|fbox)[ ]?\{|[{}]")
_BOX_INTRODUCTION = re.compile(r"(?:[#* ]*Final Answer:?[* ]*\s+|\\\[\s*|\$\$\s*)+\Z", re.IGNORECASE)
_BOX_TAIL = re.compile(r"\s*+(?:\\\]|\$\$|\\\)|\$)?[*_]*+[.。]?")
_DASHED = re.compile(r"[ \t]*+[-•*][ \t]++(?=\S)")
_NUMBERED = re.compile(r"[ \t]*+[0-9]{1,2}[.)][ \t]++(?=\S)")
_WORD_LINE = re.compile(r"[ \t]*+(?=[A-Za-z][\w'&-]+[ \t,;]*(?:\n|\Z))")
_REST_EMPTY = re.compile(r"[ \t:*_]*+\n(?:[ \t]*+\n)*+")


def find_conclusion(text: str, opening: str = CANONICAL) -> Conclusion | None:
    """The first conclusion of the first form that the text holds, or None where it concludes nothing.

    Terminal escapes and marks without width are passed over, and are not part of the answer.
    """
    shown = visible(text)
    found = _find(shown, opening)
    return found if found is None or len(shown) == len(text) else _placed(found, seen_places(text))


def _placed(found: Conclusion, places: list[int]) -> Conclusion:
    """The conclusion of a text's visible part, by its places in the text."""
    begin = places[found.answer_start]
    end, answer_end = (places[at - 1] + 1 if at else 0 for at in (found.end, found.answer_end))
    return replace(
        found, start=places[found.start], end=max(begin, end), answer_start=begin, answer_end=max(begin, answer_end)
    )


def _find(text: str, opening: str) -> Conclusion | None:
    limit = _searched_until(text)
    return (
        _canonical(text, limit, opening)
        or _so(text, limit)
        or _answer_line(text, limit)
        or _hashes(text, limit)
        or _boxed(text, limit)
    )


def canonicalise(text: str, conclusion: Conclusion, opening: str = CANONICAL) -> str:
    """The text up to its conclusion, as it is, then the conclusion in canonical form, then nothing."""
    return text[: conclusion.start] + opening + _answer_part(conclusion)


def split_conclusion(text: str, opening: str = CANONICAL) -> tuple[str, str] | None:
    """What stands before the conclusion sentence, and the answer as in ` (D).`; None without a conclusion.

    The first part, the opening and the second part joined are the canonical form of the text.
    """
    conclusion = find_conclusion(text, opening)
    return (text[: conclusion.start], _answer_part(conclusion)) if conclusion else None


def _answer_part(conclusion: Conclusion) -> str:
    return f" {conclusion.answer}."


def _searched_until(text: str) -> int:
    limit = _first_behind_text(_RUN_ON, text, len(text))
    if ("<" in text or "[" in text) and any(sign in text for sign in _TURN_SIGNS):
        return _first_behind_text(_TURN, text, limit)
    return limit


def _first_behind_text(pattern: re.Pattern[str], text: str, limit: int) -> int:
    """Where the first match begins that has more than white space before it; the limit where there is none."""
    found = pattern.search(text, 0, limit)
    while found and not text[: found.start()].strip():
        found = pattern.search(text, found.end(), limit)
    return found.start() if found else limit


@lru_cache(maxsize=32)
def _opening_pattern(opening: str) -> re.Pattern[str]:
    words = r"[*_]*\s+[*_]*".join(re.escape(word) for word in opening.split())
    return re.compile(words + (r"(?!\w)" if opening[-1:].isalnum() else ""), re.IGNORECASE)


def _canonical(text: str, limit: int, opening: str) -> Conclusion | None:
    found = _first_opening(text, limit, opening) if opening.strip() else None
    return found and _conclude(text, found.start(), found.end(), limit, "canonical")


def _first_opening(text: str, limit: int, opening: str) -> re.Match[str] | None:
    pattern = _opening_pattern(opening)
    if not (text.isascii() or (opening.isascii() and not any(odd in text for odd in _ODD_CASE))):
        return pattern.search(text, 0, limit)
    # Finding the first word alone is many times as fast as the pattern.
    lowered, word = text.lower(), opening.split()[0].lower()
    at = lowered.find(word)
    while at >= 0:
        if found := pattern.match(text, at, limit):
            return found
        at = lowered.find(word, at + 1)
    return None


def _so(text: str, limit: int) -> Conclusion | None:
    weak: Conclusion | None = None
    for found in _ANSWER_IS.finditer(text, 0, limit):
        window_start = max(0, found.start() - _LONGEST_LEAD)
        window = text[window_start : found.start()]
        lead = _LEAD_WORDS.search(window)
        before = window[: lead.start()] if lead else window
        start = _so_word(before)
        if start is not None:
            return _conclude(text, window_start + start, found.end(), limit, "so")
        if weak is None and found["verb"] and _WEAK_BREAK.search(before):
            weak = _conclude(text, window_start + len(before), found.end(), limit, "so")
    return weak


def _so_word(before: str) -> int | None:
    """Where `so` stands in the sentence that `before` breaks off in, or None where it has none."""
    sentence = 0
    for boundary in _SENTENCE_BREAK.finditer(before):
        sentence = boundary.end()
    words = list(_SO.finditer(before, sentence))
    if not words or _DOUBT.search(before, words[0].end()):
        return None
    leads = not before[sentence : words[0].start()].strip(" *_\"'“(>#-")
    return words[0].start() if leads else words[-1].start()


def _answer_line(text: str, limit: int) -> Conclusion | None:
    end = len(text[:limit].rstrip())
    for _ in range(2):
        start = text.rfind("\n", 0, end) + 1
        found = _ANSWER_LINE.match(text, start, end)
        if found:
            return _conclude(text, start, found.end(), limit, "answer-line")
        # The answer may stand alone on the line after `Answer:`.
        end = len(text[:start].rstrip())
        if not text[:end].endswith((":", ":**", ":*")):
            return None
    return None


def _hashes(text: str, limit: int) -> Conclusion | None:
    found = _HASHES.search(text, 0, limit)
    return found and _conclude(text, found.start(), found.end(), limit, "hashes")


def _boxed(text: str, limit: int) -> Conclusion | None:
    box = min(_boxes(text, limit), default=None)
    if box is None:
        return None
    opened, inside, closed = box
    start = max(text.rfind("\n", 0, opened) + 1, opened - _LONGEST_LEAD)
    for boundary in _SENTENCE_BREAK.finditer(text, start, opened):
        start = boundary.end()
    introduction = _BOX_INTRODUCTION.search(text, max(0, start - 60), start)
    start = introduction.start() if introduction else start
    tail = _BOX_TAIL.match(text, closed, limit)
    end = max(tail.end() if tail else closed, sentence_end(text, closed, limit))
    content = text[inside : closed - 1]
    answer = settle(" ".join(content.split()) if "\n" in content else content)
    answer_start, answer_end = _locate(text, answer, inside, closed - 1)
    return Conclusion(start, end, answer, answer_start, answer_end, "boxed")


def _boxes(text: str, limit: int) -> Iterator[tuple[int, int, int]]:
    """Every box with balanced braces: where it begins, where its content begins, where it ends."""
    opened: list[re.Match[str]] = []
    for brace in _BOX.finditer(text, 0, limit):
        if brace[0] != "}":
            opened.append(brace)
        elif opened and len((begin := opened.pop())[0]) > 1:
            yield begin.start(), begin.end(), brace.end()


def _conclude(text: str, start: int, answer_from: int, limit: int, form: Form) -> Conclusion:
    furthest = max(0, start - 8)
    while start > furthest and text[start - 1] in "*_":
        start -= 1
    items = _items(text, answer_from, limit)
    if items:
        answer_from, end, answer = items
        return Conclusion(start, end, answer, *_locate(text, answer, answer_from, end), form)
    while answer_from < limit and (text[answer_from].isspace() or text[answer_from] in ":*_"):
        answer_from += 1
    # Markup belongs to the answer where it wraps only that; `settle` takes off what has no partner.
    while answer_from > 0 and text[answer_from - 1] in "*_" and answer_from - 1 > start:
        answer_from -= 1
    end = sentence_end(text, answer_from, limit)
    answer = settle(text[answer_from:end])
    return Conclusion(start, end, answer, *_locate(text, answer, answer_from, end), form)


def _items(text: str, opened: int, limit: int) -> tuple[int, int, str] | None:
    """Where an answer written as a list begins and ends, and its items joined by commas."""
    rest = _REST_EMPTY.match(text, opened, limit)
    kinds = (_DASHED, _NUMBERED, _WORD_LINE)
    bullet = rest and next((found for kind in kinds if (found := kind.match(text, rest.end(), limit))), None)
    if not rest or not bullet:
        return None
    at, end, items = rest.end(), rest.end(), []
    while found := bullet.re.match(text, at, limit):
        line_end = text.find("\n", at, limit)
        end = limit if line_end < 0 else line_end
        items.append(settle(text[found.end() : end].rstrip(" \t,;")))
        at = end + 1
    # A single numbered line is rather a number that ends a sentence, and one word an answer of its own.
    alone = bullet.re is not _DASHED and len(items) == 1
    return None if alone else (rest.end(), end, settle(", ".join(items)))


def _locate(text: str, answer: str, start: int, end: int) -> tuple[int, int]:
    found = text.find(answer, start, end)
    if found >= 0:
        return found, found + len(answer)
    return start, end
