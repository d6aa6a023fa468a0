"""Asks a teacher what kind of mistake a wrong chain makes (the study of mistake types in EDIT, arXiv 2405.19737).

As `maker.py`: a generator that says what to ask and is told the answer. It knows no teacher and opens nothing.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from editctl.generate.maker import FINAL, question_values, with_system
from editctl.generate.rounds import Asking
from editctl.generate.settings import Settings
from editctl.interfaces import CallFailed, Completion, Message, Rendering, Request
from editctl.jsonl import Row
from editctl.prompts import Templates
from editctl.records import DualChain
from editctl.rows import dual_to_row

STEP = "label"
KINDS = ("logical", "knowledge", "calculation")
OTHER = "other"
CATEGORIES = (*("+".join(some) for count in (1, 2, 3) for some in combinations(KINDS, count)), OTHER)
"""As the paper counts them: each kind alone, every combination, and what is none of them."""
UNLABELLED = "unlabelled"
SETS = {"sampled": "D- sampled", "corrupted": "D+- corrupted", "mined": "mined", "given": "given"}
"""Wrong chains by how they came to be, under the names of their sets."""

_LINE = re.compile(
    r"^[^\w\n]{0,200}+(?:(?:the|final)[ \t]{1,9}){0,2}categor(?:y|ies)(?:[ \t]{1,9}is)?[^\w\n]{0,9}?[:=]"
    r"[^\w\n]{0,200}+\n?[^\w\n]{0,200}+(\w.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(r"\\boxed\{(?:\\(?:text|textbf|mathrm)\{)?([^{}\n]{0,80})\}{1,2}")
_ITEM = re.compile(r"\A\s*\(?[a-z0-9][.)]\s+", re.IGNORECASE)
_LONGEST_BARE = 80
_APART = re.compile(r"(?:\+|&|,|/|\band\b|\s)+", re.IGNORECASE)
_COMMENT = re.compile(r"(?<=[^\W_])[*_`]*+\s*+\([^()\n]*\)|(?:\s[-–—]+\s|[.:;](?:\s|\Z)).*\Z", re.DOTALL)
_WORDS = {
    **dict.fromkeys(("logical", "logic", "reasoning", "le"), "logical"),
    **dict.fromkeys(("knowledge", "factual", "conceptual", "ke"), "knowledge"),
    **dict.fromkeys(("calculation", "arithmetic", "mathematical", "mce"), "calculation"),
    **dict.fromkeys((OTHER, "others", "none"), OTHER),
}
_ARTICLES = ("a", "an", "the")
_NOUN = re.compile(r"\b(?:errors?|mistakes?|slips?)\b", re.IGNORECASE)


def read_label(text: str) -> str | None:
    """The category that an answer names, in its canonical form; None where it names none, or one that is unknown.

    The last line `Category: …` counts; an answer without one may be the bare category. Marks around it, `and` or a
    comma in place of `+`, a box of LaTeX, an article, the word `error` and a comment behind it are overlooked.
    """
    written = text.rpartition("</think>")[2]
    said = _BOXED.sub(r"\1", written)
    lines = _LINE.findall(said) or _BOXED.findall(written)
    if not lines and len(said.strip()) > _LONGEST_BARE:
        return None
    return _category(lines[-1] if lines else said.strip())


def _category(said: str) -> str | None:
    said = _NOUN.sub(" ", _COMMENT.sub("", _ITEM.sub("", said)))
    names = [part.strip("*_`'\"().:;[]$").lower() for part in _APART.split(said)]
    kinds = {_WORDS.get(name) for name in names if name and name not in _ARTICLES}
    if not kinds or None in kinds or (OTHER in kinds and len(kinds) > 1):
        return None
    return OTHER if OTHER in kinds else "+".join(kind for kind in KINDS if kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A row with a wrong chain, or without one; and, once it was asked about, its label."""

    row: Row
    """As it was read."""
    dual: DualChain
    reason: str | None = None
    """Why a wrong chain that was asked about got no label now; one it had stays."""

    def to_row(self) -> Row:
        """The same row with the label in it; a pair of plain texts becomes a dual chain's row."""
        wrong = self.row.get("wrong")
        if self.dual.wrong is None:
            return self.row
        if isinstance(wrong, Mapping) and "origin" in wrong:
            return {**self.row, "wrong": {**wrong, "label": self.dual.wrong.label}}
        return dual_to_row(self.dual)


@dataclass(slots=True)
class Labeller:
    """Turns pairs into labelled pairs."""

    templates: Templates
    settings: Settings = field(default_factory=Settings)

    def make(self, number: int, pair: Pair) -> Asking[Pair]:
        """The same pair, its wrong chain labelled anew where an answer can be read; one without is not asked about."""
        wrong = pair.dual.wrong
        if wrong is None:
            return pair
        label, reason = yield from self._ask(pair.dual)
        return replace(pair, dual=replace(pair.dual, wrong=replace(wrong, label=label or wrong.label)), reason=reason)

    def _ask(self, dual: DualChain) -> Asking[tuple[str | None, str | None]]:
        """The label, or the reason why there is none."""
        messages = Rendering(lambda: self.render(dual))
        reason: str | None = None
        for attempt in range(1, self.settings.attempts + 1):
            (answer,) = yield (self._request(dual, messages, attempt),)
            if isinstance(answer, CallFailed):
                return None, reason if reason and answer.reason == "not-recorded" else answer.reason
            label = read_label(answer.text)
            reason = _fault(answer, label)
            if reason is None:
                return label, None
            if reason in FINAL:
                break
        return None, reason

    def render(self, dual: DualChain) -> tuple[tuple[Message, ...], int]:
        """The prompt, and how many leading characters of its last turn all rows of the task share."""
        values = {
            **question_values(dual.question),
            "right": dual.right and dual.right.text,
            "wrong": dual.wrong and dual.wrong.text,
        }
        return with_system(*self.templates.render(STEP, values), self.settings.system)

    def _request(self, dual: DualChain, messages: Rendering, attempt: int) -> Request:
        assert dual.wrong is not None
        return Request(
            question=dual.question,
            step="label",
            messages=messages,
            template=STEP,
            chain=dual.wrong.text,
            attempt=attempt,
            temperature=self.settings.temperature_of("label", attempt),
            max_tokens=self.settings.max_tokens,
            seed=self.settings.seed,
        )


def _fault(answer: Completion, label: str | None) -> str | None:
    if answer.finish_reason == "length":
        return "truncated"
    if answer.finish_reason == "content_filter":
        return "refusal"
    if not answer.text.strip():
        return "empty"
    return None if label else "unread"


@dataclass(slots=True)
class Labels:
    """Wrong chains counted by set and category."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why some have no label."""
    without: int = 0
    """Rows that have no wrong chain."""

    def add(self, pair: Pair) -> None:
        """Count one row."""
        wrong = pair.dual.wrong
        if wrong is None:
            self.without += 1
            return
        # A label of an earlier run stays in the row; this run's teacher did not give it.
        label = UNLABELLED if pair.reason else wrong.label or UNLABELLED
        self.counts[SETS.get(wrong.origin, wrong.origin), label] += 1
        if pair.reason:
            self.reasons[pair.reason] += 1

    @property
    def labelled(self) -> int:
        """Wrong chains that have a label now."""
        return sum(count for (_, category), count in self.counts.items() if category != UNLABELLED)

    def sets(self) -> list[str]:
        """The sets there are, in the order of `SETS`."""
        found = {name for name, _ in self.counts}
        return [name for name in dict.fromkeys([*SETS.values(), *sorted(found)]) if name in found]

    def facts(self) -> dict[str, Any]:
        """For the manifest: counts by set and category, why labels are missing, rows without a wrong chain."""
        return {
            "labels": {
                name: {category: self.counts[name, category] for category in (*CATEGORIES, UNLABELLED)}
                for name in self.sets()
            },
            "unlabelled": dict(self.reasons.most_common()),
            "without_wrong_chain": self.without,
        }

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and rows for people: a category a row, a set a column, shares of the set's labelled chains."""
        sets = self.sets()
        columns = [*sets, "all"] if len(sets) > 1 else sets
        rows: list[list[object]] = [
            [category, *(self._cell(column, category) for column in columns)]
            for category in (*CATEGORIES, UNLABELLED)
            if category != UNLABELLED or any(self.counts[name, UNLABELLED] for name in sets)
        ]
        return ["category", *columns], rows

    def _cell(self, column: str, category: str) -> str:
        names = self.sets() if column == "all" else [column]
        count = sum(self.counts[name, category] for name in names)
        labelled = sum(self.counts[name, one] for name in names for one in CATEGORIES)
        if category == UNLABELLED or not labelled:
            return f"{count:,}"
        return f"{count:,} ({count / labelled:.1%})"
