"""What a plugin is: teachers, tasks and recipes as Protocols, and the values they exchange.

A plugin class needs no base class. Options are a frozen dataclass of its own (see `options.py`).
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypedDict

from editctl.errors import EditctlError
from editctl.records import Alignment, Example, Prompt, Question, Skip, Step


class Message(TypedDict):
    """One chat turn, as every provider takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a teacher: rendered messages and, beside them, what they ask for."""

    question: Question
    step: Step
    messages: tuple[Message, ...]
    template: str
    """Name of the template the messages were rendered from."""
    mistake: str | None = None
    """Mistake pattern, for step corrupt."""
    chain: str | None = None
    """The right chain to corrupt."""
    sample: int = 0
    attempt: int = 1
    """Counts from 1 within a step and sample."""
    temperature: float = 0.2
    max_tokens: int = 1024
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a teacher answered."""

    text: str
    reasoning: str | None = None
    """Hidden reasoning, where the provider returns it apart."""
    finish_reason: str = "stop"
    """`length` means that the text was cut at max_tokens."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None
    """Price of the call; None is unknown, never 0."""


class CallFailed(EditctlError):
    """One call could not be answered; the question is counted as failed, with this reason."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class Teacher(Protocol):
    """Turns requests into completions and does nothing else: it reads no template, parses no answer."""

    name: str
    """Written into every dual chain."""
    offline: bool
    """True where a call costs nothing and always answers the same."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request. Raises CallFailed for this call, EditctlError for the whole run."""
        ...

    async def close(self) -> None:
        """Give back connections and models."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzle:
    """One generated question with its worked solution.

    The solution is a tuple of pieces; joined they are the right chain. A wrong chain of the same puzzle has the
    same number of pieces: the first piece that differs is the slip, the others are its consequences.
    """

    question: str
    answer: str
    right: tuple[str, ...]
    kind: str | None = None
    choices: tuple[str, ...] | None = None


class Task(Protocol):
    """A family of generated questions: a pure function of options and a number."""

    description: str
    """One line, shown to student and teacher before the question."""
    patterns: tuple[str, ...]
    """Mistake patterns it can write."""
    Options: type[Any]
    """Frozen dataclass with at least `difficulty: int`."""

    def size(self, options: Any) -> int:
        """How many different questions there are at these options."""
        ...

    def puzzle(self, options: Any, code: int) -> Puzzle:
        """The question of a number in [0, size). Different numbers give different question texts."""
        ...

    def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
        """Pieces of a wrong chain that makes one mistake of this pattern, or None where none fits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One training stage of a recipe."""

    name: str
    epochs: float
    learning_rate: float
    """Peak rate for LoRA; students that train all weights scale it (see models.py)."""
    normaliser: Literal["tokens", "target", "weighted", "sum"]
    decay: float = 0.95
    """Factor on the learning rate after each epoch."""
    wrong_limit: float | None = None
    """Mean negative log-likelihood of the wrong side, in nats a token, above which the run stops."""
    slot: str = "student"
    starts_from: str | None = None
    """Name of the stage whose student this one goes on with; None is the base student."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeStep:
    """One thing the student is asked to write; a recipe's decode plan is a tuple of them."""

    name: str
    prompt: Callable[[Question, Sequence[str]], Prompt]
    """From the question and the raw texts of the earlier steps to what the student reads."""
    slot: str = "student"


class Recipe(Protocol):
    """A method: what the student is shown, which characters count and how much, how it is asked afterwards."""

    Options: type[Any]
    title: ClassVar[str]
    """One line with the source."""

    def stages(self, options: Any) -> Sequence[Stage]:
        """The training stages, in order."""
        ...

    def examples(self, stage: str, alignment: Alignment, options: Any) -> Iterator[Example | Skip]:
        """What one stage trains on for one question: examples, or one Skip with the reason."""
        ...

    def plan(self, options: Any) -> Sequence[DecodeStep]:
        """How a student trained by this recipe is asked."""
        ...
