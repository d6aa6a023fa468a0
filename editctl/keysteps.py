"""From where two chains part to what a recipe weights: facts in the record, choices here. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from editctl.answers.conclusion import CANONICAL, find_conclusion
from editctl.records import Alignment, DualChain, Span, WeightedSpan
from editctl.steps import step_spans
from editctl.words import is_number, joined, touching, word_spans

Control = Literal["none", "random", "numbers", "conclusion", "all"]


@dataclass(frozen=True, slots=True)
class Weighing:
    """The spans of one side that are given weight."""

    spans: tuple[Span, ...]
    factor: float = 1.0
    """On the weight of each, so that the side's units weigh as much together as its key steps would."""


def side_weighing(
    text: str,
    key_spans: Sequence[Span],
    control: Control,
    *,
    seed: str,
    first_step: bool = False,
    skip_conclusion: bool = False,
    opening: str = CANONICAL,
) -> Weighing | None:
    """Key spans of one chain, or the spans of a control in their place; None where the control finds no unit.

    The units of a control are words, as `words.word_spans` cuts them: exactly the units of an alignment in words. Of
    an alignment in tokens, whose tokenizer is not at hand here, a word is key when a key span touches it, and a key
    span of white space alone counts as one unit. A side without key units weighs nothing, under any control.

    random: as many other words as are key, those whose hash with `seed` is smallest (all others, where there are
    fewer); numbers: every number; conclusion: the words of the conclusion sentence; all: every word. Numbers,
    conclusion and all take key words too. With `skip_conclusion` both key steps and control stay outside it. With
    `first_step` only the key steps in the first step that has any (outside the conclusion, with both) are kept.
    """
    kept = outside_conclusion(text, key_spans, opening) if skip_conclusion else tuple(key_spans)
    kept = in_first_step(text, kept) if first_step else kept
    if control == "none" or not kept:
        return Weighing(kept)
    words = word_spans(text)
    concluding = _in_conclusion(words, text, opening)
    left_out = set(concluding) if skip_conclusion else set()
    allowed = [word for word in words if word not in left_out]
    count = _unit_count(allowed, kept)
    if control == "random":
        units = _drawn(allowed, key_spans, count, seed)
    elif control == "conclusion":
        units = () if skip_conclusion else concluding
    else:
        units = tuple(word for word in allowed if control == "all" or is_number(text[slice(*word)]))
    return Weighing(joined(units), count / len(units)) if units else None


def outside_conclusion(text: str, spans: Sequence[Span], opening: str = CANONICAL) -> tuple[Span, ...]:
    """The parts of the spans that lie before or after the conclusion sentence."""
    conclusion = find_conclusion(text, opening)
    if conclusion is None:
        return tuple(spans)
    parts = []
    for start, end in spans:
        parts += [(start, min(end, conclusion.start)), (max(start, conclusion.end), end)]
    return tuple((start, end) for start, end in parts if start < end)


def in_first_step(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The parts of the spans that lie in the first step that they touch; all of them where they touch none.

    A step is a sentence or a line, as `steps.step_spans` cuts them; white space between steps is of none.
    """
    step = next(iter(touching(step_spans(text), spans)), None)
    if step is None:
        return tuple(spans)
    parts = ((max(start, step[0]), min(end, step[1])) for start, end in spans)
    return tuple((start, end) for start, end in parts if start < end)


def _unit_count(words: Sequence[Span], spans: Sequence[Span]) -> int:
    """Words that the spans touch, and spans that touch none."""
    return len(touching(words, spans)) + len(spans) - len(touching(spans, words))


def _drawn(words: Sequence[Span], key_spans: Sequence[Span], count: int, seed: str) -> tuple[Span, ...]:
    key = set(touching(words, key_spans))
    others = [word for word in words if word not in key]
    return tuple(sorted(sorted(others, key=lambda word: _chance(seed, word))[:count]))


def _in_conclusion(words: Sequence[Span], text: str, opening: str) -> tuple[Span, ...]:
    found = find_conclusion(text, opening)
    return touching(words, [(found.start, found.end)]) if found else ()


def _chance(seed: str, word: Span) -> bytes:
    """The same in every process and Python version, unlike `hash` and `random`."""
    return hashlib.sha256(f"{seed} {word[0]}".encode("utf-8", "surrogatepass")).digest()


def weigh(key_spans: Sequence[Span], text: str, key_weight: float, other_weight: float) -> tuple[WeightedSpan, ...]:
    """Key spans first, so that a token which touches one is key; the whole text after them."""
    spans = tuple((start, end, key_weight) for start, end in key_spans)
    return (*spans, (0, len(text), other_weight)) if other_weight else spans


def same_reason(dual: DualChain) -> str:
    """Why two chains without an edit between them are no pair: the same text, or nothing that the alignment counts."""
    same = dual.right is not None and dual.wrong is not None and dual.right.text == dual.wrong.text
    return "same-text" if same else "no-key-steps"


def pair_fault(alignment: Alignment, *, max_key_ratio: float, min_similarity: float) -> str | None:
    """Why an alignment can't teach a difference, or None when it can."""
    dual, edits = alignment.dual, alignment.edits
    if dual.right is None:
        return "no-right-chain"
    if dual.wrong is None or edits is None:
        return "no-wrong-chain"
    if dual.reason:
        return dual.reason
    if not edits.distance:
        return same_reason(dual)
    if max(edits.key_ratio) > max_key_ratio:
        return "over-max-key-ratio"
    return "under-min-similarity" if edits.similarity < min_similarity else None
