"""A planned run, carried out: its slots one after the other, and in each its stages, each on the student that the one
before left."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from editctl.errors import EditctlError, UsageError, near_misses
from editctl.models import Student
from editctl.tokens import Codec
from editctl.train.adapters import add_adapter, merge_adapters
from editctl.train.checkpoints import Progress, StageFolder, writing
from editctl.train.plan import Planned, Settings, by_slot
from editctl.train.sides import check_sides
from editctl.train.stopping import told
from editctl.train.surroundings import Surroundings, process


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    history: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    packing: dict[str, str] = field(default_factory=dict)
    """By stage: how its rows were made, and why."""
    best: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By stage: the update that was chosen on the questions held out, and its loss there."""


def train(student: Student, planned: Sequence[Planned], codec: Codec, around: Surroundings) -> tuple[Student, Outcome]:
    """Run all stages, going on from whatever the run's folder holds; the trained student and what the run came to.

    The students of several slots are trained one after the other, so that only one is in memory; `students` gives them
    back, and what is returned here is whichever came last.

    Raises:
        UsageError: a student that can't take these examples or options.
        EditctlError: the loss is no number, or the wrong side runs away.
        KeyboardInterrupt, Terminated: the run was told to stop; a checkpoint is written.
    """
    check_room(student, planned)
    check_names(around.settings)
    around.meet()
    outcome, slots, used = Outcome(), by_slot(planned), False
    for slot, items in slots.items():
        if len(slots) > 1 and all(_is_done(item, around) for item in items):
            _recall(items, around, outcome)
            continue
        if used:
            student = _replaced(student, around.fresh)
        if len(slots) > 1:
            around.say(f"slot {slot}: {', '.join(item.name for item in items)}")
        student, used = _slot(student, items, codec, around, outcome), True
    # One that came during the last update: the stage is kept, the rest is left to --resume.
    if told(around.stop, around.device):
        around.stop.leave()
    return student, outcome


def students(student: Student, planned: Sequence[Planned], around: Surroundings) -> Iterator[tuple[str, Student]]:
    """Each slot of a run that is trained to its end, with its student. `student` is what `train` returned.

    With several slots each student is made anew from the ends of its stages and takes the place of the one before:
    whoever goes on must not keep one.
    """
    slots = by_slot(planned)
    for slot, items in slots.items():
        if len(slots) > 1:
            student = _replaced(student, partial(_made_anew, items, around))
        yield slot, student


def _replaced(student: Student, make: Callable[[], Student]) -> Student:
    """Another student in the place of one whose weights go first, whoever else still holds it."""
    import gc

    import torch

    student.model, student.adapters = None, ()
    gc.collect()  # a trainer and its callbacks hold each other, and the model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return make()


def _slot(student: Student, items: Sequence[Planned], codec: Codec, around: Surroundings, outcome: Outcome) -> Student:
    """Run the stages of one slot on a student from the start."""
    if around.settings.full and student.adapters:
        merge_adapters(student)
    for place, item in enumerate(items, 1):
        if told(around.stop, around.device):
            around.stop.leave()
        prepare(student, place, around.settings)
        if item.steps:
            _stage(student, item, codec, around, outcome)
            # What is spread over processes can't take another adapter, nor be written: the student is made anew.
            student = _made_anew(items[:place], around) if around.sharded else student
    return student


def _made_anew(items: Sequence[Planned], around: Surroundings) -> Student:
    """A slot's student after these stages of its own, the first ones, from their ends."""
    from editctl.train.engine.weights import load_trainable

    student = around.fresh()
    if around.settings.full and student.adapters:
        merge_adapters(student)
    for place, item in enumerate(items, 1):
        prepare(student, place, around.settings)
        if item.steps:
            load_trainable(student.model, _folder(item, around).end)
    return student


def prepare(student: Student, place: int, settings: Settings) -> None:
    """What the place-th stage of a slot trains: a fresh adapter, or the student's own weights.

    Other slots have no part in it: a slot's weights are the same with them and without.
    """
    from transformers import set_seed

    set_seed(settings.seed + place - 1)  # before adapters are made: their first values are part of the run
    if not settings.full and student.origin != "scratch":
        add_adapter(student, f"stage{place}", settings.lora)


def check_room(student: Student, planned: Sequence[Planned]) -> None:
    """Raises UsageError where an example has more tokens than the student has positions, or tokens it doesn't know."""
    groups = [group for item in planned for group in (*item.data.groups, *item.dev.groups)]
    longest = max(example.length for group in groups for example in group.examples)
    positions = getattr(student.model.config, "max_position_embeddings", None)
    if student.encoder_decoder:
        check_sides(student, [example for group in groups for example in group.examples])
    elif positions is not None and longest > positions:
        raise UsageError(
            f"student {student.name}: has {positions} positions, but the longest example takes {longest} tokens; "
            f"use --max-length {positions}"
        )
    rows = student.model.get_input_embeddings().weight.shape[0]
    largest = max(max(example.prompt + example.target) for group in groups for example in group.examples)
    # Embeddings of 4 bits are laid out otherwise; a model knows its own size.
    if largest >= max(rows, student.model.config.get_text_config().vocab_size):
        raise UsageError(
            f"student {student.name}: its tokenizer writes token {largest} "
            f"({student.tokenizer.convert_ids_to_tokens(largest)!r}), but its embeddings have {rows} rows; resize the "
            "model's embeddings, or use the tokenizer it was made with"
        )


def check_names(settings: Settings) -> None:
    """Raises UsageError for a tracker or an optimizer that transformers doesn't know."""
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )
    from transformers.training_args import OptimizerNames

    for flag, name, known in (
        ("--report-to", settings.report_to, ["none", "all", *INTEGRATION_TO_CALLBACK]),
        ("--optimizer", settings.optimizer, [one.value for one in OptimizerNames]),
    ):
        if name not in known:
            raise UsageError(f"{flag} {name!r} is unknown; {near_misses(name, known)}")
    if settings.report_to not in ("none", "all", *get_available_reporting_integrations()):
        raise UsageError(f"--report-to {settings.report_to}: is not installed; pip install {settings.report_to}")


def _folder(item: Planned, around: Surroundings) -> StageFolder:
    return around.state.stage(item.number, item.name)


def _is_done(item: Planned, around: Surroundings) -> bool:
    return not item.steps or _folder(item, around).is_done()


def _recall(items: Sequence[Planned], around: Surroundings, outcome: Outcome) -> None:
    """Of a slot that is trained already: what its stages came to."""
    for item in items:
        if item.steps:
            folder = _folder(item, around)
            _note(item, folder.progress(folder.end), outcome)
            _say_done(item, around)


def _say_done(item: Planned, around: Surroundings) -> None:
    around.say(f"stage {item.name} is done already")
    around.skip(item.steps)


def _stage(student: Student, item: Planned, codec: Codec, around: Surroundings, outcome: Outcome) -> None:
    from editctl.train.engine.weights import load_trainable

    folder = _folder(item, around)
    if folder.is_done():
        progress = folder.progress(folder.end)
        load_trainable(student.model, folder.end)
        _say_done(item, around)
    else:
        progress = _run(student, item, codec, around, folder)
    _note(item, progress, outcome)


def _note(item: Planned, progress: Progress, outcome: Outcome) -> None:
    outcome.packing[item.name] = progress.rows
    outcome.history += progress.history
    outcome.tokens += progress.tokens
    if progress.best_step is not None:
        outcome.best[item.name] = {"update": progress.best_step, "dev_loss": progress.best_loss}


def _run(student: Student, item: Planned, codec: Codec, around: Surroundings, folder: StageFolder) -> Progress:
    """Train one stage to its end and keep its weights, the best ones where questions are held out."""
    from editctl.train.assembly import assemble
    from editctl.train.engine.weights import load_trainable

    newest = folder.newest()
    progress = folder.progress(newest) if newest else Progress()
    if newest:
        step = int(newest.name.rpartition("-")[2])
        around.say(f"stage {item.data.stage.name} goes on after update {step}")
        around.skip(step)
    if process() == 0:
        folder.drop(around.settings.keep_checkpoints, progress.best_step)  # what was left half written
    cached = getattr(student.model.config, "use_cache", True)
    with writing(folder.path), _memory_errors(around.settings):
        trainer, keeper, progress.rows = assemble(student, item, codec, around, folder, progress)
        if newest and progress.ended:
            load_trainable(student.model, newest)
        else:
            trainer.train(resume_from_checkpoint=str(newest) if newest else None)
        if keeper.interrupted:
            around.stop.leave()
        progress.tokens = keeper.watch.total_tokens
        _end(trainer, student, folder, progress)
    student.model.config.use_cache = cached  # the Trainer switches it off, and a saved model would generate slowly
    return progress


def _end(trainer: Any, student: Student, folder: StageFolder, progress: Progress) -> None:
    """Keep the weights of a stage that is done; the student has them too."""
    from editctl.train.engine.weights import take_trainable

    best = progress.best_step
    if best is None or best == trainer.state.global_step:
        trainer.save_model(str(folder.end))
    else:
        take_trainable(student.model, folder.checkpoint(best), folder.end, write=trainer.args.should_save)
    if trainer.args.should_save:
        folder.seal(folder.end, progress)
    trainer.accelerator.wait_for_everyone()
    _release(student.model)


def _release(model: Any) -> None:
    """Take off what accelerate put on: the next stage begins on the student as a run does that goes on there.

    Mixed precision stands around the forward, where it would blur the next stage's self-check, and a mark says that
    the model is prepared already, which would keep accelerate from doing it for the next stage.
    """
    own = vars(model)
    own.pop("_is_accelerate_prepared", None)
    plain = own.pop("_original_forward", None)
    if plain is not None:
        model.forward = plain


@contextmanager
def _memory_errors(settings: Settings) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        again = "" if settings.gradient_checkpointing else ", or use --gradient-checkpointing"
        raise EditctlError(
            f"the device is out of memory: lower --row-tokens (now {settings.row_tokens}){again}; --resume goes on"
        ) from error
