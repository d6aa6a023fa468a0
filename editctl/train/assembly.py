"""One stage's trainer, put together from its parts. Assembles; computes nothing."""

import inspect
from typing import Any

from editctl.models import Student, decoder_start
from editctl.recipe import Stage
from editctl.tokens import Codec
from editctl.train.checkpoints import COMPLETE, END, Progress, StageFolder
from editctl.train.engine.batch import Collator, Step
from editctl.train.engine.schedule import Order, Schedule
from editctl.train.engine.selfcheck import Finding, check
from editctl.train.engine.trainer import Updates, WeightedTrainer
from editctl.train.engine.watch import Report, Watch
from editctl.train.keeper import Keeper
from editctl.train.plan import Planned, Settings
from editctl.train.surroundings import Surroundings


def assemble(
    student: Student,
    item: Planned,
    codec: Codec,
    around: Surroundings,
    folder: StageFolder,
    progress: Progress,
) -> tuple[WeightedTrainer, Keeper, str]:
    """The trainer of a stage, its keeper, and how its rows are made and why."""
    from transformers import PrinterCallback

    settings, stage = around.settings, item.data.stage
    updates = sum("loss" in record for record in progress.history)
    watch = Watch(
        stage.name,
        stage.wrong_limit,
        total_tokens=progress.tokens,
        updates=updates,
        advice=lambda: _advice(folder, stage),
    )
    arguments = training_arguments(item, settings, around.device, str(folder.path))
    room = settings.room(student.model.config.get_text_config().vocab_size)
    finding = _finding(student, item, settings, room, codec.end, str(arguments.device))
    collator = Collator(
        stage.normaliser,
        codec.end,  # what padding is made of is never looked at; a pad token may have no row in the embeddings
        room,
        packed=finding.attention is not None,
        opening=(decoder_start(student), *codec.start) if student.encoder_decoder else None,
        process=arguments.process_index,
        processes=arguments.world_size,
    )
    keeper = Keeper(
        folder,
        progress,
        watch,
        around.stop,
        every=item.steps_per_epoch if settings.save_every is None else settings.save_every,
        keep=settings.keep_checkpoints,
        patience=settings.early_stop,
        dev=lambda: _dev_steps(item, settings, collator),
        show=around.show,
    )
    trainer = WeightedTrainer(
        model=student.model,
        args=arguments,
        train_dataset=Updates(
            Order(item.data.groups, settings.batch_questions, item.steps, f"{settings.seed} {stage.name}")
        ),
        callbacks=[Report(watch, progress.history, around.show, item.steps_per_epoch), keeper],
        schedule=_schedule(item, settings),
        collator=collator,
        watch=watch,
        attention=finding.attention,
    )
    trainer.remove_callback(PrinterCallback)
    keeper.trainer = trainer
    return trainer, keeper, _rows_in_words(finding, settings)


def _schedule(item: Planned, settings: Settings) -> Schedule:
    return Schedule(
        shape=settings.schedule,
        warmup_steps=settings.warmup_steps,
        steps=item.steps,
        steps_per_epoch=item.steps_per_epoch,
        decay=item.data.stage.decay,
    )


def _advice(folder: StageFolder, stage: Stage) -> str:
    """What is left of a run that had to stop: this stage's newest checkpoint, or the end of the one it goes on from."""
    before = f"[0-9]*-{stage.starts_from}/{END}/{COMPLETE}"
    ends = [one.parent for one in folder.path.parent.glob(before)] if stage.starts_from else []
    newest = folder.newest() or (ends[-1] if ends else None)
    return f". The last good checkpoint is {newest}" if newest else ". There is no checkpoint yet"


def _finding(student: Student, item: Planned, settings: Settings, room: Any, pad: int, device: str) -> Finding:
    if settings.packing == "off":
        return Finding(None, None, "--packing off")
    student.model.to(device)
    return check(student.model, item.data.groups, item.data.stage.normaliser, room, pad, device)


def _rows_in_words(finding: Finding, settings: Settings) -> str:
    if finding.attention is None:
        return f"padded: {finding.reason}"
    return f"packed ({finding.attention.form}): the same losses as one by one to {finding.difference:.1g} nats"


def _dev_steps(item: Planned, settings: Settings, collator: Collator) -> list[Step]:
    groups = item.dev.groups
    size = settings.batch_questions
    return [collator(groups[start : start + size])["step"] for start in range(0, len(groups), size)]


def _fsdp_choices(settings: Settings) -> dict[str, Any]:
    """A whole state put together in one process can't be loaded again where the optimizer keeps none (torch 2.13's
    set_optimizer_state_dict finds no device in it), and takes more memory. FSDP's own checkpointing gathers less."""
    return {
        "version": 2,
        "state_dict_type": "SHARDED_STATE_DICT",
        "activation_checkpointing": settings.gradient_checkpointing,
    }


def training_arguments(item: Planned, settings: Settings, device: str, folder: str) -> Any:
    """What the Trainer is told. A step is one batch to it: how a step is cut into rows is ours."""
    from transformers import TrainingArguments

    known = inspect.signature(TrainingArguments).parameters
    # The old name warns where the new one is known.
    again = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    more: dict[str, Any] = {f"{again}_kwargs": {"use_reentrant": False}}
    if settings.shard:
        more |= {"fsdp": True, "fsdp_config": _fsdp_choices(settings)}
    else:
        more[again] = settings.gradient_checkpointing
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=1,
        max_steps=item.steps,
        learning_rate=item.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim=settings.optimizer,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=settings.report_to,
        seed=settings.seed,
        bf16=settings.bf16,
        use_cpu=device == "cpu",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        **more,
    )
    # A process has one device: over several of them torch's DataParallel would cut our rows to pieces.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
