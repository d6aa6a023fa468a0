"""What `train` says: its plan, each update, and what came of it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editctl.cli.training import Job
    from editctl.progress import Talk
    from editctl.records import Alignment
    from editctl.train.memory import Estimate
    from editctl.train.plan import Planned, Settings
    from editctl.train.stage import Outcome


def note_tokenizer(talk: "Talk", values: dict[str, Any], alignments: list["Alignment"]) -> None:
    """Say so where key steps were found with another tokenizer than the student's."""
    used = {alignment.edits.tokenizer for alignment in alignments if alignment.edits and alignment.edits.tokenizer}
    if used - {values["student"]}:
        talk.say(
            f"key steps were found in the tokens of {', '.join(sorted(used))}; mapped to the student's by characters"
        )


def note_lost(talk: "Talk", job: "Job") -> None:
    """Warn of targets that the student's tokenizer can't write.

    Raises:
        UsageError: they are programs.
    """
    from editctl.train.writable import check_writable

    lost = check_writable(job.method, job.chosen, job.alignments, job.codec)
    if lost:
        talk.warn(lost)


def say_plan(talk: "Talk", planned: list["Planned"], weights: str, settings: "Settings") -> None:
    """A table of the stages, and what each leaves out."""
    title = f"{weights} training, {settings.batch_questions} questions an update"
    talk.table(title, *_stage_table(planned))
    for item in planned:
        for reason, count in item.data.skipped.most_common():
            talk.say(f"stage {item.name} leaves out {count}: {reason}")
        if not item.steps:
            talk.say(f"stage {item.name} gets no update")


_COLUMNS = ["stage", "questions", "held out", "updates", "peak rate", "tokens", "merged", "weighted", "normaliser"]


def _stage_table(planned: list["Planned"]) -> tuple[list[str], list[list[object]]]:
    """Columns and rows; where there are several students, each row begins with its slot."""
    from editctl.slots import is_single

    rows = [_stage_row(item) for item in planned]
    if is_single(item.slot for item in planned):
        return _COLUMNS, rows
    return ["slot", *_COLUMNS], [[item.slot, *row] for item, row in zip(planned, rows, strict=True)]


def _stage_row(item: "Planned") -> list[object]:
    return [
        item.name,
        len(item.data.groups),
        len(item.dev.groups),
        item.steps,
        f"{item.learning_rate:g}",
        item.data.tokens(),
        item.data.merged_tokens(),
        item.data.weighted_tokens(),
        item.data.stage.normaliser,
    ]


def _print_stages(console: Any, planned: list["Planned"]) -> None:
    from editctl.progress import print_table

    print_table(console, "", *_stage_table(planned))


def print_plan(
    values: dict[str, Any],
    planned: list["Planned"],
    weights: str,
    settings: "Settings",
    memory: "Estimate",
) -> None:
    """What `--dry-run` prints, on stdout: a table, or one JSON object."""
    import typer

    from editctl.jsonl import dumps
    from editctl.progress import stdout_console

    if values["json"]:
        typer.echo(dumps(_plan_facts(values, planned, weights, settings, memory)))
        return
    console = stdout_console(color=not values["no_color"])
    for line in [*_settings_lines(values, weights, settings), *_students_lines(planned)]:
        console.print(line, markup=False, soft_wrap=True)
    _print_stages(console, planned)
    for item in planned:
        for reason, count in item.data.skipped.most_common():
            console.print(f"stage {item.name} leaves out {count}: {reason}", markup=False, soft_wrap=True)
    console.print(memory.in_words(), markup=False, soft_wrap=True)


def _settings_lines(values: dict[str, Any], weights: str, settings: "Settings") -> list[str]:
    preset = f", preset {values['preset']}" if values["preset"] else ""
    lora = settings.lora
    adapters = f", rank {lora.r}, alpha {lora.alpha}, dropout {lora.dropout:g}" if weights == "lora" else ""
    return [
        f"recipe {values['recipe']}{preset}, student {values['student']}, {weights} training{adapters}",
        f"{settings.batch_questions} questions an update, rows of at most {settings.row_tokens} tokens, examples of at "
        f"most {settings.max_length}",
        f"learning rate: {settings.schedule}, {settings.warmup_steps} updates of warm-up; weight decay "
        f"{settings.weight_decay:g}; gradients clipped at {settings.max_grad_norm:g}; seed {settings.seed}",
    ]


def _students_lines(planned: list["Planned"]) -> list[str]:
    from editctl.slots import is_single
    from editctl.train.plan import by_slot

    slots = by_slot(planned)
    told = [f"{slot} ({', '.join(item.name for item in items)})" for slot, items in slots.items()]
    return [] if is_single(slots) else [f"{len(slots)} students, one after the other: {', '.join(told)}"]


def _plan_facts(
    values: dict[str, Any], planned: list["Planned"], weights: str, settings: "Settings", memory: "Estimate"
) -> dict[str, Any]:
    from dataclasses import asdict

    stages = [
        {
            "name": item.name,
            "slot": item.slot,
            "questions": len(item.data.groups),
            "held_out": len(item.dev.groups),
            "left_out": dict(item.data.skipped),
            "updates": item.steps,
            "updates_an_epoch": item.steps_per_epoch,
            "learning_rate": item.learning_rate,
            "tokens_an_epoch": item.data.tokens(),
            "computed_an_epoch": item.data.merged_tokens(),
            "weighted_tokens_an_epoch": item.data.weighted_tokens(),
            "normaliser": item.data.stage.normaliser,
        }
        for item in planned
    ]
    return {
        "recipe": values["recipe"],
        "preset": values["preset"],
        "student": values["student"],
        "weights": weights,
        "settings": asdict(settings),
        "stages": stages,
        "memory_mb": memory.megabytes(),
    }


def show_on(bar: Any) -> Any:
    """What is called after each update: the line behind the bar."""

    def show(record: dict[str, Any]) -> None:
        if "dev" in record:
            bar.talk.say(f"stage {record['stage']}, update {record['step']}: held out {record['dev']:.4f} nats a token")
            return
        parts = [f"{record['stage']} loss {record['loss']:.4f}"]
        parts += [f"{name} {record[name]:.3f}" for name in ("right", "wrong") if record[name] is not None]
        parts += [f"gradient {record['grad_norm']:.2f}", f"{record['tokens_per_second']:.0f} tokens/s"]
        parts += [f"{record['memory_mb'] / 1024:.1f} GiB"] if record.get("memory_mb") else []
        bar.advance(fields="  ".join(parts))

    return show


def say_outcome(talk: "Talk", planned: list["Planned"], outcome: "Outcome") -> None:
    """What each stage came to, over its first and its last epoch, and which update was chosen."""
    from editctl.slots import is_single

    single = is_single(item.slot for item in planned)
    for item in planned:
        name = item.name
        said = f"stage {name}" if single else f"slot {item.slot}, stage {name}"
        own = [record for record in outcome.history if record["stage"] == name and "loss" in record]
        if own:
            # Single updates differ by their questions more than by what was learnt.
            many = min(item.steps_per_epoch, max(1, len(own) // 2))
            sides = [f"{side} {_moved(own, side, many)}" for side in ("right", "wrong") if own[0][side] is not None]
            talk.say(
                f"{said}: {len(own)} updates; nats a token, first {many} to last {many}: {', '.join(sides)}; "
                f"rows {outcome.packing.get(name) or 'as before'}"
            )
        if name in outcome.best:
            best = outcome.best[name]
            talk.say(f"{said}: took update {best['update']}, held out {best['dev_loss']:.4f} nats a token")


def _moved(records: list[dict[str, Any]], side: str, many: int) -> str:
    values = [record[side] for record in records if record[side] is not None]
    first, last = values[:many], values[-many:]
    return f"{sum(first) / len(first):.4f} -> {sum(last) / len(last):.4f}"
