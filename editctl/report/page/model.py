"""What a report shows, as plain records: gathered by report/facts/, drawn by plots.py and render.py.

They open nothing and hold no mark-up: every text is as it was found, and is escaped where it is written.
"""

from dataclasses import dataclass

from editctl.views import ExampleView, LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why some of a funnel's questions went no further."""

    label: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelStep:
    """How many questions came this far, and what became of those that did not."""

    label: str
    """For example `questions`, `with a right chain`, `pairs`, `aligned pairs`, `edit: key-steps`."""
    count: int
    lost: tuple[Reason, ...] = ()
    """Lost on the way from the step before, by reason."""
    kinds: tuple[Reason, ...] = ()
    """What those that came this far are made of: for example pairs by the origin of the wrong chain."""
    after: str = ""
    """Label of the step it comes after, whose count is `count` and all of `lost`; empty: the step before. The stages of
    a run all come after what `train` read, which may be more than the pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """From questions to what was trained on, for one chain of files."""

    name: str
    """The file or run folder it ends in."""
    steps: tuple[FunnelStep, ...]
    costs: tuple[tuple[str, str], ...] = ()
    """What it took, as name and text: calls, tokens, US dollars, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A share between 0 and 1 over the pairs of one task and mistake pattern."""

    measure: str
    """similarity, key ratio (right) or key ratio (wrong)."""
    file: str
    task: str
    mistake: str
    n: int
    mean: float
    p10: float
    median: float
    p90: float
    bins: tuple[int, ...]
    """Counts of 20 equal bins from 0 to 1; 1 itself lies in the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a chain's text."""

    text: str
    key: bool
    """Whether it is a key step."""
    begins: bool = False
    """Whether a step of reasoning begins with it in the middle of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainView:
    """One chain, cut into key steps and what lies between them; the pieces in order are the whole text."""

    pieces: tuple[Piece, ...]
    answer: str | None
    origin: str
    key_ratio: float | None
    """Share of its units that are key; None without an alignment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairView:
    """A question with its two chains."""

    id: str
    file: str
    task: str
    question: str
    answer: str | None
    """Gold answer."""
    mistake: str
    """Mistake pattern, or the wrong chain's origin where it has none; a label in parentheses behind it."""
    similarity: float | None
    unit: str
    """What was compared: word, token or step, and how; empty without an alignment."""
    outcome: str
    """`pair`, or why there is none."""
    right: ChainView | None
    wrong: ChainView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedView:
    """What the trainer saw of one question in one stage of a run."""

    run: str
    stage: str
    examples: tuple[ExampleView, ...]
    left_out: LeftOut | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossPoint:
    """One update."""

    step: int
    """Counted over all stages of the run."""
    loss: float | None
    right: float | None
    wrong: float | None
    held_out: float | None = None
    """Loss on held-out training questions, where it was measured at this update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """The losses of one stage of one run, in order."""

    run: str
    stage: str
    normaliser: str
    points: tuple[LossPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run's card."""

    name: str
    facts: tuple[tuple[str, str], ...]
    """Name and text: student, recipe, options that differ from the defaults, updates, seconds, ..."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One method on one task."""

    method: str
    task: str
    """`all (micro)` and `all (macro)` for the totals."""
    n: int
    correct: float
    accuracy: float | None
    low: float | None
    high: float | None
    """95 % interval of the accuracy."""
    unanswered: float
    failed: float
    tokens: float | None
    """Tokens written for a question, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two methods on the questions that both have."""

    method: str
    baseline: str
    n: int
    difference: float
    low: float
    high: float
    """95 % interval of the difference of micro accuracies."""
    p: float | None
    won: float
    lost: float
    summary: str
    """One sentence that says what may be concluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one method said to a question."""

    method: str
    verdict: str
    """right, wrong or none."""
    prediction: str | None
    reason: str | None
    """Why there is no answer."""
    text: str
    """Everything the student wrote, decode step after decode step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A test question and what each method said."""

    id: str
    task: str
    question: str
    answer: str | None
    answered: tuple[Answered, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageStep:
    """One command of the chain that led to a file or run."""

    number: int
    """From 1, each after everything it was made from."""
    command: str
    status: str
    started: str
    seconds: float | None
    inputs: tuple[str, ...]
    """Names of files, each with the beginning of its hash, and the number of the step that made it where known."""
    outputs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, str], ...]
    versions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The manifests behind one input of the report."""

    name: str
    steps: tuple[LineageStep, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole report. A part without content is left out of the page."""

    title: str
    version: str
    made: str
    """Time of the newest thing shown, so that the same inputs give the same page; empty where none is known."""
    notes: tuple[str, ...] = ()
    """What the reader should know of the page as a whole: inputs that are partial, files not found any more."""
    funnels: tuple[Funnel, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    pairs: tuple[PairView, ...] = ()
    pairs_total: int = 0
    """How many there are; `pairs` may be a sample."""
    trained: tuple[TrainedView, ...] = ()
    runs: tuple[RunView, ...] = ()
    curves: tuple[LossCurve, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    outcomes_total: int = 0
    lineages: tuple[Lineage, ...] = ()
