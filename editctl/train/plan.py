"""Alignments and settings in, the stages of a run with all their figures settled out. Trains nothing."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any, Literal

from editctl.errors import InputError, UsageError
from editctl.models import RATE_FACTORS, Student
from editctl.questions import content_hash
from editctl.recipe import Recipe, Stage
from editctl.records import Alignment, Example
from editctl.scratch import build_tiny
from editctl.slots import ONLY
from editctl.student import render
from editctl.tokens import Codec
from editctl.train.adapters import Lora
from editctl.train.engine.groups import StageData, build
from editctl.train.engine.layout import Room

LOGITS = 1 << 28
"""Numbers that the logits of one row may have: 1 GiB in float32, of which the loss makes about three copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Choices of a training run that are not the recipe's."""

    epochs: float | None = None
    """Epochs of the first stage in place of the recipe's; later stages keep their proportion."""
    max_steps: int | None = None
    """Updates of all stages together, shared out by their length."""
    learning_rate: float | None = None
    """Peak rate of the first stage as it is used; later stages keep their proportion."""
    batch_questions: int = 32
    """Questions of one optimizer step."""
    row_tokens: int = 512
    """Tokens of one forward pass, padding included."""
    packing: str = "auto"
    """auto: packed rows where the student can take them; off: padded rows."""
    max_length: int = 1024
    """Longest example, in tokens; longer ones are dropped and counted."""
    max_grad_norm: float = 1.0
    warmup_steps: int = 0
    schedule: str = "epochs"
    """Shape of the learning rate over a stage; see schedule.Schedule."""
    weight_decay: float = 0.0
    optimizer: str = "adamw_torch"
    """As transformers names it."""
    full: bool = False
    """Train all weights rather than LoRA adapters."""
    lora: Lora = field(default_factory=Lora)
    seed: int = 0
    bf16: bool = False
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: slower, and much less memory."""
    shard: bool = False
    """Spread weights, gradients and optimizer over the processes (FSDP)."""
    dev_fraction: float = 0.0
    """Share of the questions held out to choose the checkpoint by."""
    early_stop: int | None = None
    """Looks at the held-out questions without a new best after which a stage ends."""
    save_every: int | None = None
    """Updates between checkpoints (and looks at the held-out questions); None is an epoch, 0 never."""
    keep_checkpoints: int = 2
    """Newest checkpoints that stay; the best one stays besides."""
    report_to: str = "none"

    def room(self, vocabulary: int) -> Room:
        """What one row may hold for a student with so many tokens."""
        return Room(tokens=self.row_tokens, places=max(1, LOGITS // vocabulary))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One stage with its figures settled."""

    number: int
    """Place among all stages, from 1: a part of its folder's name."""
    data: StageData
    dev: StageData
    """Questions held out of this stage; empty where none are."""
    steps: int
    steps_per_epoch: int
    learning_rate: float

    @property
    def name(self) -> str:
        """Of the stage."""
        return self.data.stage.name

    @property
    def slot(self) -> str:
        """Which student it trains."""
        return self.data.stage.slot


def by_slot(planned: Sequence[Planned]) -> dict[str, list[Planned]]:
    """The stages of each student, in the order they are trained."""
    found: dict[str, list[Planned]] = {}
    for item in planned:
        found.setdefault(item.slot, []).append(item)
    return found


def default_row_tokens(device: str) -> int:
    """Attention costs the square of a row; a CPU gains nothing from long ones, a GPU needs them to be busy."""
    return 512 if device == "cpu" else 4096


def texts_of(recipe: Recipe, options: Any, alignments: Sequence[Alignment]) -> list[str]:
    """Every prompt and target a recipe shows: what a student from scratch learns its tokenizer on."""
    texts: dict[str, None] = {}
    for stage in recipe.stages(options):
        for alignment in alignments:
            for item in recipe.examples(stage.name, alignment, options):
                if isinstance(item, Example):
                    texts[f"{render(item.prompt, 'plain', None)} {item.target}"] = None
    return list(texts)


def scratch_student(recipe: Recipe, options: Any, alignments: Sequence[Alignment], seed: int) -> Student:
    """The tiny student for these alignments."""
    return build_tiny(texts_of(recipe, options, alignments), seed)


def plan(
    recipe: Recipe,
    options: Any,
    alignments: Sequence[Alignment],
    codec: Codec,
    settings: Settings,
    weights: str,
) -> list[Planned]:
    """Data, updates and learning rate of each stage. `weights` is lora, full or scratch.

    Raises:
        InputError: a stage without any question to train on (or to choose the checkpoint by), with the reasons.
    """
    stages = recipe.stages(options)
    dev = held_out(alignments, settings.dev_fraction, settings.seed)
    kept = [one for one in alignments if one.dual.question.id not in dev]
    aside = [one for one in alignments if one.dual.question.id in dev]
    data = [build(recipe, options, stage, kept, codec, settings.max_length) for stage in stages]
    checks = [build(recipe, options, stage, aside, codec, settings.max_length) for stage in stages]
    for item, check in zip(data, checks, strict=True):
        _need(item, "no question is left to train on")
        if dev:
            _need(check, "none of the questions held out can be used; raise --dev-fraction")
    per_epoch = [ceil(len(item.groups) / settings.batch_questions) for item in data]
    steps = _steps(stages, per_epoch, settings)
    rates = [_rate(stage, stages[0], settings, weights) for stage in stages]
    figures = zip(data, checks, steps, per_epoch, rates, strict=True)
    return [
        Planned(number=number, data=item, dev=check, steps=count, steps_per_epoch=epoch, learning_rate=rate)
        for number, (item, check, count, epoch, rate) in enumerate(figures, 1)
    ]


def _need(item: StageData, what: str) -> None:
    if not item.groups:
        reasons = ", ".join(f"{reason} {count}" for reason, count in item.skipped.most_common())
        raise InputError(f"stage {item.stage.name}: {what} ({reasons or 'none given'})")


def held_out(alignments: Sequence[Alignment], fraction: float, seed: int) -> set[str]:
    """Ids of the questions held out: the share asked for, at least one, the same in every stage.

    Chosen by a hash of their content, so that repeats of a question are on one side.
    """
    if not fraction:
        return set()
    contents: dict[str, list[str]] = {}
    for alignment in alignments:
        question = alignment.dual.question
        contents.setdefault(content_hash(question), []).append(question.id)
    order = sorted(contents, key=lambda content: hashlib.sha256(f"{seed} {content}".encode()).digest())
    chosen = order[: max(1, round(fraction * len(order)))]
    return {identifier for content in chosen for identifier in contents[content]}


def _steps(stages: Sequence[Stage], per_epoch: Sequence[int], settings: Settings) -> list[int]:
    epochs = [stage.epochs * _epoch_factor(stages[0], settings) for stage in stages]
    wanted = [max(1, round(passes * each)) if passes else 0 for passes, each in zip(epochs, per_epoch, strict=True)]
    if settings.max_steps is None or not sum(wanted):
        return wanted
    # Cumulative rounding: the parts add up to max_steps exactly.
    parts: list[int] = []
    total, done = sum(wanted), 0
    for count in wanted:
        done += count
        parts.append(round(settings.max_steps * done / total) - sum(parts))
    return parts


def _epoch_factor(first: Stage, settings: Settings) -> float:
    if settings.epochs is None:
        return 1.0
    if not first.epochs:
        raise UsageError(f"--epochs: stage {first.name} has 0 epochs, so there is no proportion to keep")
    return settings.epochs / first.epochs


def _rate(stage: Stage, first: Stage, settings: Settings, weights: str) -> float:
    if settings.learning_rate is not None:
        return settings.learning_rate * stage.learning_rate / first.learning_rate
    return stage.learning_rate * RATE_FACTORS[weights]


def weight_mode(student: Student, settings: Settings) -> Literal["lora", "full", "scratch"]:
    """Which weights are trained: this scales the recipe's learning rate."""
    if student.origin == "scratch":
        return "scratch"
    return "full" if settings.full else "lora"


def skipped(planned: Sequence[Planned]) -> dict[str, dict[str, int]]:
    """Questions left out, by stage and reason."""
    return {item.data.stage.name: dict(Counter(item.data.skipped).most_common()) for item in planned}


_FREE = ("row_tokens", "packing", "report_to", "save_every", "keep_checkpoints", "shard", "gradient_checkpointing")
"""Settings that only say how the same updates are computed: a run may go on with others."""


def fingerprint(
    planned: Sequence[Planned], settings: Settings, student: Student, told: Mapping[str, Any]
) -> dict[str, Any]:
    """What must be the same for a run to go on: the settings, a hash of the student's first values, and by stage its
    plan and a hash of every token and weight. `told`: what the user said besides, such as the recipe's options."""
    own = {key: value for key, value in asdict(settings).items() if key not in _FREE}
    return {
        "student": student.name,
        **told,
        **own,
        "student's weights": _weights_mark(student),
        "stages": [_stage_mark(item) for item in planned],
    }


def _stage_mark(item: Planned) -> dict[str, Any]:
    digest = hashlib.sha256()
    for group in (*item.data.groups, *item.dev.groups):
        digest.update(repr(group).encode())
    stage = item.data.stage
    slot = {} if stage.slot == ONLY else {"slot": stage.slot}
    return {
        "name": stage.name,
        **slot,
        "updates": item.steps,
        "learning_rate": item.learning_rate,
        "normaliser": stage.normaliser,
        "decay": stage.decay,
        "wrong_limit": stage.wrong_limit,
        "training data": digest.hexdigest(),
    }


def _weights_mark(student: Student) -> str:
    """A hash of a few values of each weight: another model under the same name has others."""
    import torch

    digest = hashlib.sha256()
    for name, parameter in student.model.named_parameters():
        if parameter.device.type != "meta":
            values = parameter.detach().flatten()[:32].to("cpu", torch.float64)
            digest.update(repr((name, tuple(parameter.shape), values.tolist())).encode())
    return digest.hexdigest()
