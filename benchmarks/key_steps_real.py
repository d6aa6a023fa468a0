"""What alignments of real pairs look like, where nobody knows the truth."""

import json
import statistics
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from key_steps_measure import flag

from editctl.align.edits import key_units
from editctl.align.steps import matched_steps
from editctl.align.units import Cutter, words
from editctl.answers.conclusion import find_conclusion
from editctl.keysteps import outside_conclusion
from editctl.records import Span
from editctl.steps import label_span, step_spans
from editctl.words import joined, word_spans

Match = tuple[Span, Span]
PAIRS = "bbh/dual.gpt-3.5-turbo.jsonl"
NEGATIONS = "not no never none neither nor cannot can't isn't doesn't only all some true false yes valid invalid"
"""Words that change what a step says, whatever stands around them."""
MARKS = frozenset(".,;:\"'“”‘’!?")
_SHORT = 4


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its two chains."""

    question: str
    right: str
    wrong: str


def read_pairs(folder: Path) -> list[Pair]:
    """The pairs of a data folder."""
    lines = (folder / PAIRS).read_text(encoding="utf-8").splitlines()
    return [Pair(row["question"], row["right"], row["wrong"]) for row in map(json.loads, lines)]


def real_figures(pairs: Sequence[Pair], cutters: dict[str, Cutter]) -> dict[str, Any]:
    """Distributions by unit and match, and how often steps are moved, renumbered, reworded or without counterpart."""
    distributions = {
        f"{unit}, match {match}": _distribution(pairs, cut, match)
        for unit, cut in cutters.items()
        for match in ("units", "steps")
    }
    return {"pairs": len(pairs), "distributions": distributions, "differences": differences(pairs)}


def _distribution(pairs: Sequence[Pair], cut: Cutter, match: str) -> dict[str, Any]:
    similar, ratios, counts, concluding = [], [], [], []
    for pair in pairs:
        flagged = flag((pair.right, pair.wrong), cut, match)
        spans = joined([flagged.units[0].spans[key] for key in flagged.keys[0]])
        similar.append(flagged.similarity)
        ratios.append(len(flagged.keys[0]) / max(1, len(flagged.units[0].values)))
        counts.append(float(sum(key - 1 not in flagged.keys[0] for key in flagged.keys[0])))
        concluding.append(_share_in_conclusion(pair.right, spans))
    known = [share for share in concluding if share is not None]
    figures = {"similarity": similar, "key ratio": ratios, "runs of key units": counts, "share in conclusion": known}
    return {name: _quantiles(values) for name, values in figures.items()}


def _share_in_conclusion(text: str, spans: Sequence[Span]) -> float | None:
    """Share of the key characters that lie in the conclusion sentence."""
    found, total = find_conclusion(text), sum(end - start for start, end in spans)
    if found is None or not total:
        return None
    return sum(max(0, min(end, found.end) - max(start, found.start)) for start, end in spans) / total


def _quantiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    cuts = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    points = {"mean": statistics.fmean(values), "p10": cuts[0], "median": cuts[4], "p90": cuts[8]}
    return {name: round(value, 4) for name, value in points.items()}


def differences(pairs: Iterable[Pair]) -> dict[str, dict[str, int]]:
    """How many steps (and pairs with at least one) differ in a way that need not be a mistake, by fixed rules.

    steps: of the right chains. changed: matched steps that are not the same. reworded: changed steps in which no
    differing word is a number, a sign, an option's letter, a negation or the like, or a longer or capitalised word of
    the question. renumbered: matched steps with different numbering. moved: matched steps outside the longest run that
    keeps its order. alone: steps of the right chain without a counterpart. nothing but the conclusion: 1 where all key
    words of both sides lie in the conclusion sentence.
    """
    rules: dict[str, Callable[[Pair, list[Match]], int]] = {
        "steps": lambda pair, matches: len(step_spans(pair.right)),
        "changed": lambda pair, matches: sum(_changed(pair, match) for match in matches),
        "reworded": lambda pair, matches: sum(_reworded(pair, match) for match in matches),
        "renumbered": lambda pair, matches: sum(_renumbered(pair, match) for match in matches),
        "moved": lambda pair, matches: len(matches) - _longest_run([other for _, other in matches]),
        "alone": lambda pair, matches: len(step_spans(pair.right)) - len(matches),
        "nothing but the conclusion": lambda pair, matches: int(_concludes_otherwise(pair)),
    }
    found = {name: {"steps": 0, "pairs": 0} for name in rules}
    for pair in pairs:
        matches = matched_steps(pair.right, pair.wrong)
        for name, rule in rules.items():
            count = rule(pair, matches)
            found[name]["steps"] += count
            found[name]["pairs"] += count > 0
    return found


def _words(text: str, span: Span) -> list[str]:
    """The words of a step, without its numbering."""
    start, end = label_span(text, span)[1], span[1]
    return [text[start:end][slice(*word)] for word in word_spans(text[start:end])]


def _changed(pair: Pair, match: Match) -> bool:
    return _words(pair.right, match[0]) != _words(pair.wrong, match[1])


def _renumbered(pair: Pair, match: Match) -> bool:
    return pair.right[slice(*label_span(pair.right, match[0]))] != pair.wrong[slice(*label_span(pair.wrong, match[1]))]


def _reworded(pair: Pair, match: Match) -> bool:
    sides = _words(pair.right, match[0]), _words(pair.wrong, match[1])
    _, *keys = key_units(*sides)
    differing = {own[key] for own, side in zip(sides, keys, strict=True) for key in side} - MARKS
    asked = {pair.question[slice(*span)].lower() for span in word_spans(pair.question)}
    return bool(differing) and not any(_means_something(word, asked) for word in differing)


def _means_something(word: str, asked: Collection[str]) -> bool:
    if not any(map(str.isalpha, word)) or word.lower() in NEGATIONS.split() or (len(word) == 1 and word.isupper()):
        return True
    return word.lower() in asked and (len(word) >= _SHORT or word[0].isupper())


def _concludes_otherwise(pair: Pair) -> bool:
    flagged = flag((pair.right, pair.wrong), words, "units")
    return not any(
        outside_conclusion(text, [units.spans[key] for key in keys])
        for text, units, keys in zip((pair.right, pair.wrong), flagged.units, flagged.keys, strict=True)
    )


def _longest_run(spans: Sequence[Span]) -> int:
    """Length of the longest subsequence that goes forward."""
    ends: list[Span] = []
    for span in spans:
        at = bisect_left(ends, span)
        ends[at : at + 1] = [span]
    return len(ends)
