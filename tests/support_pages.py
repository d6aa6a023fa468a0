"""Pages of a report made by hand: a full one, parts of it, and one whose every text is hostile."""

import dataclasses
import math
from typing import Any

from editctl.report.facts.pairs import cut
from editctl.report.page.model import (
    Answered,
    ChainView,
    Comparison,
    Distribution,
    Funnel,
    FunnelStep,
    Lineage,
    LineageStep,
    LossCurve,
    LossPoint,
    Outcome,
    Page,
    PairView,
    Reason,
    RunView,
    ScoreRow,
    TrainedView,
)
from editctl.views import ExampleView, LeftOut, Unit

TASKS = ("date_understanding", "boolean_expressions", "object_counting")
MISTAKES = ("logical", "calculation", "sampled (carry)")
METHODS = ("runs/edit", "runs/std-cot")
QUESTION = "Today is 3 May 2021.\nWhat is the date one week from today?\nOptions:\n(A) 05/10/2021\n(B) 05/04/2021"
RIGHT = (("Today is 3 May 2021. A week has ", False), ("seven", True), (" days: 3 + 7 = ", False), ("10", True))
WRONG = (("Today is 3 May 2021. A week has ", False), ("one", True), (" days: 3 + 1 = ", False), ("4", True))


def chain(parts: tuple[tuple[str, bool], ...], answer: str, origin: str, ratio: float | None = 0.18) -> ChainView:
    """A chain of pieces, with a conclusion behind them."""
    text, spans = "", []
    for part, key in parts:
        spans += [(len(text), len(text) + len(part))] if key else []
        text += part
    pieces = cut(f"{text} May. So the answer is ({answer}).", spans)
    return ChainView(pieces=pieces, answer=answer, origin=origin, key_ratio=ratio)


def pair(number: int, **changes: Any) -> PairView:
    """A pair whose similarity and key ratios grow with its number."""
    share = (number % 40) / 40
    given: dict[str, Any] = {
        "id": f"question-{number:04d}", "file": "pairs.jsonl", "task": TASKS[number % 3],
        "question": f"({number}) {QUESTION}", "answer": "A", "mistake": MISTAKES[number % 2], "similarity": 1 - share,
        "unit": "word", "outcome": "pair", "right": chain(RIGHT, "A", "sampled", share),
        "wrong": chain(WRONG, "B", "corrupted", share / 2),
    }  # fmt: skip
    return PairView(**{**given, **changes})


def distribution(task: str, mistake: str, measure: str = "similarity", place: int = 0) -> Distribution:
    """A distribution with one hill whose place shifts with `place`."""
    top = 12 - place % 7
    bins = tuple(round(20 * math.exp(-((bin_ - top) ** 2) / 8)) for bin_ in range(20))
    middle = (top + 0.5) / 20
    return Distribution(
        measure=measure, file="pairs.jsonl", task=task, mistake=mistake, n=sum(bins), mean=middle - 0.01,
        p10=middle - 0.14, median=middle, p90=middle + 0.13, bins=bins,
    )  # fmt: skip


def distributions(tasks: int = 3, mistakes: int = 2) -> tuple[Distribution, ...]:
    """Three measures over so many groups."""
    names = [TASKS[number] if number < 3 else f"task_number_{number}" for number in range(tasks)]
    patterns = [MISTAKES[number] if number < 3 else f"pattern {number}" for number in range(mistakes)]
    return tuple(
        distribution(task, mistake, measure, 3 * place + number + shift)
        for shift, measure in enumerate(("similarity", "key ratio (right)", "key ratio (wrong)"))
        for place, task in enumerate(names)
        for number, mistake in enumerate(patterns)
    )


def curve(stage: str, updates: int, *, sides: bool, run: str = "runs/edit") -> LossCurve:
    """A falling curve with ripples; with sides also a right and a wrong part, and a held-out loss now and then."""
    points = []
    for step in range(1, updates + 1):
        loss = 0.3 + 2 * math.exp(-step / (updates / 4)) + 0.08 * math.sin(7.3 * step)
        points.append(
            LossPoint(
                step=step, loss=loss, right=loss * 1.05 if sides else None, wrong=-0.05 * loss if sides else None,
                held_out=loss * 1.1 if step % max(updates // 5, 1) == 0 else None,
            )
        )  # fmt: skip
    return LossCurve(run=run, stage=stage, normaliser="tokens", points=tuple(points))


def unit(text: str, weight: float = 0.0, **changes: Any) -> Unit:
    """One token that the trainer keeps."""
    given: dict[str, Any] = {
        "text": text, "before": "", "ids": (7,), "weights": (weight,), "part": "key" if weight else "rationale",
        "kept": 1, "unknown": False,
    }  # fmt: skip
    return Unit(**{**given, **changes})


def example(side: str, weight: float) -> ExampleView:
    """A short target with two key tokens, a weak one, a token of two ids, a cut tail."""
    units = (
        unit("A"), unit(" week"), unit(" has"), unit(" sev" if weight > 0 else " o", weight),
        unit("en" if weight > 0 else "ne", weight), unit(" days"), unit(".\n", weight / 100),
        unit("😀", weight / 5, ids=(8, 9), weights=(weight / 5, weight / 5), kept=2),
        unit(" So", kept=0), unit("<end>", kept=0, part="end"),
    )  # fmt: skip
    return ExampleView(
        question_id="question-0001", task=TASKS[0], stage="key-steps", number=0,
        side="right" if weight > 0 else "wrong", share=1.0, normaliser="target", start="<s>",
        prompt=f"Q: {QUESTION}\n\nA:", prompt_ids=(1, 2, 3), units=units, trained=True,
    )  # fmt: skip


def scores(tasks: int = 3, methods: tuple[str, ...] = METHODS) -> tuple[ScoreRow, ...]:
    """Accuracies of methods on tasks and as totals."""
    names = ["all (micro)", "all (macro)", *(TASKS[n] if n < 3 else f"task_number_{n}" for n in range(tasks))]
    return tuple(
        score(method, task, 0.45 + 0.06 * ((3 * place + number) % 7))
        for place, task in enumerate(names)
        for number, method in enumerate(methods)
    )


def score(method: str, task: str, accuracy: float | None) -> ScoreRow:
    """A row with an interval of 6 points on each side."""
    low, high = (None, None) if accuracy is None else (accuracy - 0.06, accuracy + 0.06)
    return ScoreRow(
        method=method, task=task, n=250, correct=250 * (accuracy or 0), accuracy=accuracy, low=low, high=high,
        unanswered=4, failed=1, tokens=87.25,
    )  # fmt: skip


def outcome(number: int) -> Outcome:
    """A question that the first method answers rightly, the second wrongly or not at all."""
    first = Answered(method=METHODS[0], verdict="right", prediction="A", reason=None, text=f"It is ({number}) (A).")
    none = number % 3 == 0
    second = Answered(
        method=METHODS[1], verdict="none" if none else "wrong", prediction=None if none else "B",
        reason="no conclusion" if none else None, text="One day later, so (B).",
    )  # fmt: skip
    return Outcome(
        id=f"test-{number:04d}", task=TASKS[number % 3], question=QUESTION, answer="A", answered=(first, second)
    )


FUNNEL = Funnel(
    name="runs/edit",
    steps=(
        FunnelStep(label="questions", count=1250),
        FunnelStep(
            label="with a right chain", count=1100,
            lost=(Reason(label="no right chain after 4 samples", count=120), Reason(label="hint leaked", count=30)),
        ),
        FunnelStep(
            label="pairs", count=780, lost=(Reason(label="no wrong chain", count=320),),
            kinds=(Reason(label="corrupted", count=500), Reason(label="sampled", count=280)),
        ),
        FunnelStep(label="aligned pairs", count=778, lost=(Reason(label="texts are equal", count=2),)),
        FunnelStep(label="edit: key-steps", count=640, lost=(Reason(label="over-max-key-ratio", count=138),)),
    ),
    costs=(("calls", "6 120"), ("tokens in", "3.1 M"), ("tokens out", "1.2 M"), ("cost", "1.84 US dollars")),
)  # fmt: skip
COMPARISON = Comparison(
    method=METHODS[0], baseline=METHODS[1], n=250, difference=0.032, low=-0.004, high=0.068, p=0.081, won=21, lost=13,
    summary="No difference is shown: runs/edit is 3.2 points above runs/std-cot, 95 % from -0.4 to 6.8, p = 0.081.",
)  # fmt: skip
LINEAGE = Lineage(
    name="runs/edit",
    steps=(
        LineageStep(
            number=1, command="editctl gen-dual questions.jsonl -o dual.jsonl", status="complete",
            started="2026-03-01 12:00:00", seconds=812.4, inputs=("questions.jsonl 4f1c20aa",),
            outputs=("dual.jsonl 99aa01bc", "dual.rejects.jsonl 1177dd00"),
            options=(("--teacher", "openai/gpt-4o-mini"), ("--samples", "4")), counts=(("pairs", "780"),),
            versions="editctl 0.1.0, python 3.12",
        ),
        LineageStep(
            number=2, command="editctl align dual.jsonl -o pairs.jsonl", status="complete",
            started="2026-03-01 12:20:00", seconds=None, inputs=("dual.jsonl 99aa01bc (step 1)",),
            outputs=("pairs.jsonl 0c0c11ff",), options=(), counts=(), versions="",
        ),
    ),
)  # fmt: skip


def full_page(pairs: int = 78, outcomes: int = 40) -> Page:
    """A page with something in every part."""
    views = (example("right", 1.0), example("wrong", -0.025))
    left_out = LeftOut(question_id="question-0009", task=None, stage="key-steps", reason="too long", tokens=1300)
    return Page(
        title="Two runs on date questions", version="0.1.0", made="2026-03-01 14:00:00",
        notes=("pairs.jsonl is partial: 778 of 780 rows.",), funnels=(FUNNEL,), distributions=distributions(),
        pairs=tuple(pair(number) for number in range(pairs)), pairs_total=778,
        trained=(
            TrainedView(run="runs/edit", stage="key-steps", examples=views),
            TrainedView(run="runs/edit", stage="key-steps", examples=(), left_out=left_out),
        ),
        runs=(
            RunView(name="runs/edit", facts=(("student", "Qwen2.5-0.5B"), ("recipe", "edit"), ("updates", "600"))),
            RunView(name="runs/std-cot", facts=(("student", "Qwen2.5-0.5B"), ("recipe", "std-cot"))),
        ),
        curves=(
            curve("imitation", 600, sides=False), curve("key-steps", 60, sides=True),
            curve("imitation", 40, sides=False, run="runs/std-cot"),
        ),
        scores=scores(), comparisons=(COMPARISON,), outcomes=tuple(outcome(number) for number in range(outcomes)),
        outcomes_total=250, lineages=(LINEAGE,),
    )  # fmt: skip


def with_text(value: Any, text: str) -> Any:
    """The same records with `text` in place of every text in them; fields of few words (`Literal`s) stay."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(with_text(one, text) for one in value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    fields = [field.name for field in dataclasses.fields(value) if field.name not in ("verdict", "side", "part")]
    return dataclasses.replace(value, **{name: with_text(getattr(value, name), text) for name in fields})
