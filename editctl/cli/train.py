"""`editctl train`: alignments in, a run folder out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.session import Session, talk_of

if TYPE_CHECKING:
    from editctl.models import Student
    from editctl.progress import Talk
    from editctl.records import Alignment
    from editctl.train.stage import Outcome, Planned, Settings


def train(
    context: typer.Context,
    aligned: Annotated[str | None, typer.Argument(metavar="ALIGNED", help="Alignments; - for stdin.")] = None,
    student: Annotated[
        str, typer.Option("--student", "-s", help="tiny, a model folder, a hub id or a run folder.")
    ] = "tiny",
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Method; `editctl plugins` lists them.")] = "edit",
    recipe_option: shared.RecipeOptions = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Run folder to make.")] = "run",
    epochs: Annotated[
        float | None,
        typer.Option("--epochs", min=0, help="Epochs of the first stage; later ones in proportion."),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option("--max-steps", min=0, help="Updates of all stages together; 0 saves the student as is."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="Peak rate of the first stage; later ones in proportion."),
    ] = None,
    batch_questions: Annotated[int, typer.Option("--batch-questions", min=1, help="Questions of an update.")] = 32,
    row_tokens: Annotated[int, typer.Option("--row-tokens", min=1, help="Tokens of one forward pass.")] = 8192,
    max_length: Annotated[
        int,
        typer.Option("--max-length", min=2, help="Longest example in tokens; longer ones are dropped and counted."),
    ] = 1024,
    warmup_steps: Annotated[int, typer.Option("--warmup-steps", min=0, help="Updates of linear warm-up.")] = 0,
    schedule: Annotated[
        str,
        typer.Option("--schedule", help="Learning rate after warm-up: epochs (x 0.95 each), linear, cosine, constant."),
    ] = "epochs",
    weight_decay: Annotated[float, typer.Option("--weight-decay", min=0, help="AdamW weight decay.")] = 0.0,
    max_grad_norm: Annotated[float, typer.Option("--max-grad-norm", min=0, help="Gradient clipping.")] = 1.0,
    full: Annotated[bool, typer.Option("--full", help="Train all weights rather than LoRA.")] = False,
    lora_r: Annotated[int, typer.Option("--lora-r", min=1, help="Rank of the adapters.")] = 64,
    lora_alpha: Annotated[int, typer.Option("--lora-alpha", min=1, help="Scale of the adapters.")] = 32,
    lora_dropout: Annotated[float, typer.Option("--lora-dropout", min=0, max=1, help="Adapter dropout.")] = 0.05,
    lora_targets: Annotated[
        str | None,
        typer.Option("--lora-targets", help="Modules, or all-linear; default: query and value projections."),
    ] = None,
    prompt_style: Annotated[
        str,
        typer.Option("--prompt-style", help="auto, plain or chat; auto is chat where there is a template."),
    ] = "auto",
    device: shared.Device = "auto",
    dtype: shared.Dtype = "auto",
    report_to: Annotated[
        str, typer.Option("--report-to", help="Tracker transformers knows: wandb, tensorboard.")
    ] = "none",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that a hub model brings along.")
    ] = False,
    limit: shared.Limit = None,
    seed: shared.Seed = 0,
    force: shared.Force = False,
    allow_partial: shared.AllowPartial = False,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Train a student and print its run folder."""
    values = dict(context.params)
    talk = talk_of(quiet, verbose, no_color)
    with Session("train", values, talk, allow_partial=allow_partial) as session:
        _run(session, talk, values)
    typer.echo(output)


def _run(session: Session, talk: "Talk", values: dict[str, Any]) -> None:
    from editctl import options, registry
    from editctl.models import check_name
    from editctl.train.folder import check_place

    folder = Path(values["output"])
    check_place(folder, values["force"])
    method = registry.load("recipes", values["recipe"])()
    chosen = options.fill(method.Options, options.parse_pairs(values["recipe_option"] or (), "-R"), values["recipe"])
    check_name(values["student"])
    _check_choices(values)
    alignments = _read(session, values)
    talk.detail(f"{len(alignments)} alignments read; loading the student")
    _train(session, talk, values, method, chosen, alignments)


def _check_choices(values: dict[str, Any]) -> None:
    from editctl.errors import UsageError, near_misses

    for name, allowed in (
        ("schedule", ("epochs", "linear", "cosine", "constant")),
        ("prompt_style", ("auto", "plain", "chat")),
        ("dtype", ("auto", "float32", "bfloat16", "float16")),
    ):
        if values[name] not in allowed:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} {values[name]!r} is unknown; {near_misses(values[name], allowed)}")
    if values["learning_rate"] is not None and values["learning_rate"] <= 0:
        raise UsageError("--learning-rate must be above 0")


def _read(session: Session, values: dict[str, Any]) -> list["Alignment"]:
    """The whole input, before anything begins: a pipe that breaks off must not train a student."""
    from itertools import islice

    from editctl.jsonl import read_records
    from editctl.rows import alignment_from_row

    records = read_records(session.open_input(values["aligned"]), alignment_from_row)
    alignments = list(islice(records, values["limit"]))
    session.finish_inputs()
    return alignments


def _settings(values: dict[str, Any], device: str) -> "Settings":
    from editctl.train.adapters import Lora
    from editctl.train.stage import Settings

    targets = values["lora_targets"]
    own = {name: values[name] for name in Settings.__slots__ if name in values}
    lora = Lora(
        r=values["lora_r"],
        alpha=values["lora_alpha"],
        dropout=values["lora_dropout"],
        targets=tuple(part.strip() for part in targets.split(",")) if targets else None,
    )
    return Settings(**own, lora=lora, bf16=device.startswith("cuda") and values["dtype"] in ("auto", "bfloat16"))


def _student(values: dict[str, Any], device: str, method: Any, chosen: Any, alignments: list["Alignment"]) -> "Student":
    from editctl.models import TINY, load
    from editctl.train.stage import scratch_student

    if values["student"] == TINY:
        return scratch_student(method, chosen, alignments, values["seed"])
    # All weights are trained in float32 under autocast: bfloat16 steps would round small updates away.
    dtype = "float32" if values["full"] else values["dtype"]
    return load(values["student"], device=device, dtype=dtype, trust_remote_code=values["trust_remote_code"])


def _train(
    session: Session,
    talk: "Talk",
    values: dict[str, Any],
    method: Any,
    chosen: Any,
    alignments: list["Alignment"],
) -> None:
    from editctl.models import pick_device, quietly
    from editctl.progress import Bar
    from editctl.student import choose_style
    from editctl.tokens import Codec
    from editctl.train import stage as stages
    from editctl.train.adapters import adapter_rank
    from editctl.train.folder import bytes_needed, check_space

    quietly()
    device = pick_device(values["device"])
    settings = _settings(values, device)
    student = _student(values, device, method, chosen, alignments)
    codec = Codec(student.tokenizer, choose_style(values["prompt_style"], bool(student.tokenizer.chat_template)))
    weights = stages.weight_mode(student, settings)
    planned = stages.plan(method, chosen, alignments, codec, settings, weights)
    _note_tokenizer(talk, values, alignments)
    _say_plan(talk, planned, weights, settings)
    rank = settings.lora.r * len(planned) + adapter_rank(student) if weights == "lora" else None
    check_space(Path(values["output"]), bytes_needed(student, rank))
    with Bar(talk, "train", sum(item.steps for item in planned)) as bar:
        outcome = stages.train(student, planned, codec, settings, device, _shower(bar))
    _write(session, values, student, codec, chosen, (alignments, planned, outcome, weights), method.title)
    _say_outcome(talk, planned, outcome)


def _note_tokenizer(talk: "Talk", values: dict[str, Any], alignments: list["Alignment"]) -> None:
    used = {alignment.edits.tokenizer for alignment in alignments if alignment.edits and alignment.edits.tokenizer}
    if used - {values["student"]}:
        talk.say(
            f"key steps were found in the tokens of {', '.join(sorted(used))}; mapped to the student's by characters"
        )


def _say_plan(talk: "Talk", planned: list["Planned"], weights: str, settings: "Settings") -> None:
    rows: list[list[object]] = [
        [
            item.data.stage.name,
            len(item.data.groups),
            item.steps,
            f"{item.learning_rate:g}",
            item.data.tokens(),
            item.data.weighted_tokens(),
            item.data.stage.normaliser,
        ]
        for item in planned
    ]
    columns = ["stage", "questions", "updates", "peak rate", "tokens", "weighted", "normaliser"]
    talk.table(f"{weights} training, {settings.batch_questions} questions an update", columns, rows)
    for item in planned:
        for reason, count in item.data.skipped.most_common():
            talk.say(f"stage {item.data.stage.name} leaves out {count}: {reason}")


def _shower(bar: Any) -> Any:
    def show(record: dict[str, Any]) -> None:
        parts = [f"{record['stage']} loss {record['loss']:.4f}"]
        parts += [f"{name} {record[name]:.3f}" for name in ("right", "wrong") if record[name] is not None]
        parts += [f"gradient {record['grad_norm']:.2f}", f"{record['tokens_per_second']:.0f} tokens/s"]
        bar.advance(fields="  ".join(parts))

    return show


def _say_outcome(talk: "Talk", planned: list["Planned"], outcome: "Outcome") -> None:
    for item in planned:
        own = [record for record in outcome.history if record["stage"] == item.data.stage.name]
        if own:
            talk.say(
                f"stage {item.data.stage.name}: loss {own[0]['loss']:.4f} -> {own[-1]['loss']:.4f} "
                f"in {len(own)} updates, {outcome.tokens} tokens in all"
            )


def _write(
    session: Session,
    values: dict[str, Any],
    student: "Student",
    codec: Any,
    chosen: Any,
    made: tuple[list["Alignment"], list["Planned"], "Outcome", str],
    title: str,
) -> None:
    from dataclasses import asdict

    from editctl.train.folder import model_card, write_run
    from editctl.train.run_file import run_facts

    alignments, planned, outcome, weights = made
    facts = run_facts(values, asdict(chosen), codec.style, weights, alignments, planned, outcome)
    session.note(recipe=values["recipe"], stages=facts["stages"])
    facts["lineage"] = session.lineage.render("complete", [])
    lines = [
        f"stage {stage['name']}: {stage['questions']} questions, {stage['updates']} updates, "
        f"peak learning rate {stage['learning_rate']:g}"
        for stage in facts["stages"]
    ]
    write_run(
        Path(values["output"]),
        student,
        facts,
        model_card(values["student"], values["recipe"], title, facts, lines),
    )
