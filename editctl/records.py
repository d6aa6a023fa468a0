"""The record each stage hands to the next. Plain values: they open nothing and know no stage.

Rows on disk are flat and keep every key a user put there; `rows.py` turns one into the other.
Character spans are `[start, end)` over Python string indices of the text they belong to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Span = tuple[int, int]
WeightedSpan = tuple[int, int, float]
Step = Literal["explain", "corrupt", "rectify", "label"]
Origin = Literal["sampled", "rectified", "corrupted", "mined", "given"]
VerdictName = Literal["right", "wrong", "none"]
Match = Literal["units", "steps"]
Runner = Literal["python", "equations"]
"""What a text that is a program is run by (see programs.py)."""
Earlier = Literal["own", "teacher"]
"""Whose texts a student's last step stood on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, and the gold answer."""

    id: str
    """Stable name, unique within a run."""
    question: str
    """The text the student is shown."""
    task: str | None = None
    """Group that scores are reported by."""
    answer: str | None = None
    """Gold answer as written in the source."""
    kind: str | None = None
    """Answer kind (see answers.KINDS); None means inferred from answer and choices."""
    description: str | None = None
    """One line on what the task wants, shown before the question."""
    choices: tuple[str, ...] | None = None
    """Texts of the options, in order, where the question text does not already list them."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Every other key of the row, kept through all stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain of thought and the answer read from it."""

    text: str
    """The whole chain, conclusion sentence included."""
    answer: str | None
    """The answer as it stands in the text."""
    origin: Origin
    """How it came to be."""
    mistake: str | None = None
    """Mistake pattern asked for, for corrupted chains."""
    template: str | None = None
    """Prompt template that produced it."""
    reasoning: str | None = None
    """A reasoning model's hidden text, kept apart."""
    sections: Mapping[str, str] | None = None
    """Named sections, for formats other than cot."""
    label: str | None = None
    """Category of a wrong chain's mistake, where a teacher was asked for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DualChain:
    """A question with a right chain and, where there is one, a wrong chain."""

    question: Question
    right: Chain | None
    wrong: Chain | None
    teacher: str | None
    """Who made the chains."""
    reason: str | None = None
    """Why a side is missing, or why the pair can't serve as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Where two chains part. Facts only: what a span is worth is a recipe's choice."""

    unit: str
    """word, token or step."""
    tokenizer: str | None
    """Name of the tokenizer, for unit token."""
    right: tuple[Span, ...]
    """Spans of the right chain's text that are replaced or deleted on the way to the wrong one."""
    wrong: tuple[Span, ...]
    """Spans of the wrong chain's text that are replaced or inserted."""
    distance: int
    """Minimal number of unit edits."""
    similarity: float
    """1 - distance / the longer side's units."""
    key_ratio: tuple[float, float]
    """Share of key units in the right and in the wrong chain."""
    match: Match = "units"
    """units: all units at once, with the fewest edits; steps: steps were matched first, then units inside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A dual chain and, where both sides exist, where they part."""

    dual: DualChain
    edits: Edits | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the student reads before it writes; `student.render` turns it into text for a prompt style."""

    user: str
    """The user's turn: prefix, task description, question, cue."""
    forced: str = ""
    """Text the student's own turn is made to begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One weighted training text. Weights may be negative."""

    question_id: str
    prompt: Prompt
    target: str
    """What the student should (or, with negative weights, should not) write."""
    spans: tuple[WeightedSpan, ...]
    """Weighted spans of the target. A token takes the weight of the first span in this list that it shares a
    character with, and 0 where there is none: so narrow spans stand before wide ones."""
    end_weight: float = 0.0
    """Weight of the end-of-text token that closes the target."""
    share: float = 1.0
    """Weight of the whole example within its question."""
    side: Literal["right", "wrong"] = "right"
    """Which part of the loss it is reported in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A question that a recipe can't use in a stage, and why."""

    question_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a student wrote for a question, and the verdict on it."""

    question: Question
    steps: tuple[str, ...]
    """Raw text of every decode step."""
    prediction: str | None
    """The answer read from the text."""
    verdict: VerdictName
    reason: str | None = None
    """Why there is no answer."""
    opening: str | None = None
    """What stands before the last step's text when the answer is read (see recipe.DecodeStep)."""
    runner: Runner | None = None
    """What the last step's text is run by, where it is a program; the result is the answer."""
    earlier: Earlier = "own"
    """Whose texts the last step stood on: the student's own, or the teacher's."""
    sample: int = 0
    """Number of the sample, from 0."""
    tokens: int | None = None
    """Tokens the student wrote, all steps together."""
    cut: bool = False
    """Whether the last text was ended by the limit of new tokens."""

    @property
    def judged(self) -> str:
        """The text its answer is read from: the opening, a space where none stands, the last step's raw text."""
        text = self.steps[-1] if self.steps else ""
        if not self.opening:
            return text
        apart = self.opening[-1].isspace() or text[:1].isspace()
        return f"{self.opening}{'' if apart else ' '}{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A question that ended without a usable right chain."""

    question: Question
    step: Step
    reason: str
    attempts: int
    completion: str | None
    """The last raw completion, where one was received."""
