"""What teachers and tasks are, as Protocols, and the values they exchange; recipes have `recipe.py`.

A plugin class needs no base class. Options are a frozen dataclass of its own (see `options.py`).
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict, overload, runtime_checkable

from editctl.errors import EditctlError
from editctl.records import Question, Step


class Message(TypedDict):
    """One chat turn, as every provider takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Rendering(Sequence[Message]):
    """Chat turns that are rendered when somebody first looks at them: most offline teachers never do."""

    def __init__(self, render: Callable[[], tuple[tuple[Message, ...], int]]) -> None:
        """`render` gives the turns and how many leading characters of the last one all questions of a task share."""
        self._render = render
        self._done: tuple[tuple[Message, ...], int] | None = None

    def _rendered(self) -> tuple[tuple[Message, ...], int]:
        if self._done is None:
            self._done = self._render()
        return self._done

    @property
    def fixed(self) -> int:
        """Leading characters of the last turn that all questions of a task share."""
        return self._rendered()[1]

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        return self._rendered()[0][index]

    def __len__(self) -> int:
        return len(self._rendered()[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of a teacher: rendered messages and, beside them, what they ask for."""

    question: Question
    step: Step
    messages: Sequence[Message]
    template: str
    """Name of the template the messages were rendered from."""
    format: str = "cot"
    """Chain format that is asked for (see formats.py)."""
    mistake: str | None = None
    """Mistake pattern, for step corrupt."""
    chain: str | None = None
    """The right chain to corrupt, or the wrong one to label."""
    sample: int = 0
    attempt: int = 1
    """Counts from 1 within a step and sample."""
    temperature: float = 0.2
    max_tokens: int = 1024
    seed: int = 0

    @property
    def fixed(self) -> int:
        """Leading characters of the last turn that all questions of the task share; 0 where that is not known."""
        return self.messages.fixed if isinstance(self.messages, Rendering) else 0


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

    def __init__(self, reason: str, detail: str = "", *, answered: bool = False) -> None:
        """`answered`: the provider's last word (a refusal, too long a prompt), which asking again would not change."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.answered = answered


Fault = Literal["rate-limit", "server", "unreachable", "timeout", "connection", "broken"]
"""Why a call may succeed a little later: too many requests, a server error, no connection at all, no answer in time,
a connection lost after the request was sent, an answer that can't be read."""


class TryAgain(EditctlError):
    """The same call may succeed a little later; whoever asks decides when and how often."""

    def __init__(self, fault: Fault, detail: str, *, wait: float | None = None) -> None:
        """`wait`: seconds the provider asks to wait."""
        super().__init__(detail)
        self.fault = fault
        self.wait = wait

    @property
    def may_cost(self) -> bool:
        """True where the provider may have done the work, and charge for it."""
        return self.fault in ("timeout", "connection", "broken")


class TeacherError(EditctlError):
    """No call at all can be answered: a wrong key, an unknown model, no credit. Stops the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What tokens cost, in USD a token."""

    input: float
    output: float
    cached: float | None = None
    """Prompt tokens that the provider had read before; None is the full price."""

    def usd(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """Price of one call; `cached_tokens` are part of the prompt tokens."""
        cached = self.input if self.cached is None else self.cached
        fresh = prompt_tokens - cached_tokens
        return fresh * self.input + cached_tokens * cached + completion_tokens * self.output


class Teacher(Protocol):
    """Turns requests into completions and does nothing else: it reads no template, parses no answer.

    A teacher may also be `Immediate`, `Identified`, `Priced`, `Batching`, `Limited` or `Gathering` (below).
    """

    name: str
    """Written into every dual chain."""
    offline: bool
    """True where a call costs nothing and always answers the same: no ledger, no throttle, no budget."""

    async def complete(self, request: Request) -> Completion:
        """Answer one request, once.

        Raises:
            TryAgain: the same call may succeed a little later.
            CallFailed: this call can't be answered.
            EditctlError: no call can (TeacherError says it best).
        """
        ...

    async def close(self) -> None:
        """Give back connections and models."""
        ...


@runtime_checkable
class Immediate(Protocol):
    """An offline teacher that knows its answers without waiting: asked directly, a million times if need be."""

    def complete_now(self, request: Request) -> Completion:
        """As `complete`, at once."""
        ...


@runtime_checkable
class Identified(Protocol):
    """A teacher that says what its answers depend on. Others are known by name and options."""

    def identity(self, request: Request) -> Mapping[str, Any]:
        """JSON values: address, model and every parameter that is sent. Requests that share messages, sample, attempt
        and this share one completion in the ledger. No secrets, no time limits."""
        ...


@runtime_checkable
class Priced(Protocol):
    """A teacher that knows what its tokens cost."""

    price: Price | None
    """None where it is not known."""


@runtime_checkable
class Limited(Protocol):
    """A teacher that can't be asked everything: a trained student, say, knows one prompt."""

    @property
    def steps(self) -> Collection[Step]:
        """What it can be asked. The other steps of a question are left out, and its outcome says so."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """A teacher that answers calls which wait at the same moment together."""

    at_once: int
    """Calls under way that keep it busy, where the user names no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """How far a provider's batch is."""

    ended: bool
    """No further result will come: completed, expired, cancelled or failed."""
    status: str
    """The provider's own word."""
    done: int = 0
    """Requests finished so far."""
    results: Mapping[str, Completion | CallFailed | TryAgain] = field(default_factory=dict)
    """By the name each request was given; complete only once the batch has ended. A request without a result was not
    answered, and not paid for."""


@runtime_checkable
class Batching(Protocol):
    """A teacher whose provider takes many requests at once, answers within a day and asks less for it."""

    batch_limit: int
    """Most requests in a batch."""
    batch_price: Price | None

    async def send_batch(self, requests: Mapping[str, Request], label: str) -> str:
        """Hand in requests, by name; returns the provider's id of the batch. Raises as `complete` does."""
        ...

    async def find_batch(self, label: str) -> str | None:
        """The id of the batch that was handed in under a label; None where the provider took none."""
        ...

    async def look_at_batch(self, identifier: str) -> BatchState:
        """Raises as `complete` does; CallFailed where the provider knows no such batch any more."""
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


@runtime_checkable
class Formatted(Protocol):
    """A task that can write its chains in other formats than steps in words (see formats.py)."""

    formats: tuple[str, ...]
    """Their names."""

    def sections(
        self, options: Any, code: int, format: str, pattern: str | None, chance: random.Random
    ) -> Mapping[str, str] | None:
        """Sections of the right chain (pattern None), or of a wrong one; None where the format knows no such slip.

        A wrong chain slips where `slip` does by the same chance, and comes to the same answer.
        """
        ...
