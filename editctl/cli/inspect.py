"""`editctl inspect`: what the trainer will see, token by token, without a model."""

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.session import Session, talk_of

if TYPE_CHECKING:
    from editctl.progress import Talk
    from editctl.recipe import Stage
    from editctl.records import Alignment
    from editctl.report.lines import Lines
    from editctl.report.screen import Screen
    from editctl.train.sight.figures import Tally
    from editctl.train.sight.view import Lens
    from editctl.views import ExampleView, LeftOut

_MANY = 500
"""Questions whose counting is worth a progress bar."""


def inspect(
    context: typer.Context,
    aligned: Annotated[str | None, typer.Argument(metavar="ALIGNED", help="Alignments; - for stdin.")] = None,
    student: Annotated[
        str,
        typer.Option(
            "--student", "-s", help="tiny, a model folder, a hub id or a run folder; only its tokenizer is read."
        ),
    ] = "tiny",
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Method; `editctl plugins` lists them.")] = "edit",
    recipe_option: shared.RecipeOptions = None,
    preset: shared.Preset = None,
    prompt_style: Annotated[
        str,
        typer.Option("--prompt-style", help="auto, plain or chat; auto is chat where there is a template."),
    ] = "auto",
    gap: shared.Gap = True,
    max_length: Annotated[
        int,
        typer.Option("--max-length", min=2, help="Longest example in tokens; longer ones are dropped and counted."),
    ] = 1024,
    stage: Annotated[str | None, typer.Option("--stage", help="One stage only.")] = None,
    id: Annotated[list[str] | None, typer.Option("--id", help="Show this question only; repeatable.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Show questions of this task only.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=0, help="Show the first N of these only; 0 shows the figures.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, the figures last.")] = False,
    allow_partial: shared.AllowPartial = False,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="A row for each token, with its label.")] = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Show what the trainer will see: each token with its weight, and figures of the whole file."""
    values = dict(context.params)
    given = {name for name in values if _is_given(context, name)}
    talk = talk_of(quiet, verbose, no_color)
    with Session("inspect", values, talk, allow_partial=allow_partial) as session:
        alignments, lens, stages = _prepare(session, values, given)
        shown = _shown(alignments, values)
    _show(talk, values, lens, stages, alignments, shown)


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether a flag, a variable or the configuration set an option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _prepare(
    session: Session, values: dict[str, Any], given: Set[str]
) -> tuple[list["Alignment"], "Lens", Sequence["Stage"]]:
    from editctl import registry
    from editctl.cli.training import recipe_options
    from editctl.models import check_name, reads_apart
    from editctl.student import choose_style
    from editctl.tokens import Codec
    from editctl.train.sight.view import Lens

    method = registry.load("recipes", values["recipe"])()
    chosen = recipe_options(values, given, method)
    stages = _stages(method.stages(chosen), values["stage"])
    check_name(values["student"])
    choose_style(values["prompt_style"], True)
    alignments = _read(session, values["aligned"])
    tokenizer = _tokenizer(values["student"], method, chosen, alignments)
    apart = reads_apart(values["student"])
    style = choose_style(values["prompt_style"], bool(tokenizer.chat_template), apart)
    codec = Codec(tokenizer, style, gap=values["gap"], encoder_decoder=apart)
    return alignments, Lens(method, chosen, codec, values["max_length"]), stages


def _stages(stages: Sequence["Stage"], name: str | None) -> Sequence["Stage"]:
    from editctl.errors import UsageError, near_misses

    chosen = [stage for stage in stages if name in (None, stage.name)]
    if not chosen:
        raise UsageError(f"--stage {name!r} is unknown; {near_misses(str(name), [stage.name for stage in stages])}")
    return chosen


def _read(session: Session, path: str | None) -> list["Alignment"]:
    from editctl.jsonl import read_records
    from editctl.rows import alignment_from_row

    alignments = list(read_records(session.open_input(path), alignment_from_row))
    session.finish_inputs()
    return alignments


def _tokenizer(student: str, method: Any, chosen: Any, alignments: Sequence["Alignment"]) -> Any:
    """The student's tokenizer as training would have it; no weights are read."""
    from editctl.models import TINY, load_tokenizer
    from editctl.scratch import train_tokenizer
    from editctl.train.plan import texts_of

    if student == TINY:
        return train_tokenizer(texts_of(method, chosen, alignments), 2048)
    return load_tokenizer(_tokenizer_place(student))


def _tokenizer_place(student: str) -> str:
    """Where the tokenizer lies: an adapter's folder may leave it to its base."""
    import json
    from pathlib import Path

    from editctl.models import ADAPTER_FILE

    place = Path(student) / ADAPTER_FILE
    if not place.is_file() or (place.parent / "tokenizer_config.json").is_file():
        return student
    return str(json.loads(place.read_text(encoding="utf-8"))["base_model_name_or_path"])


def _shown(alignments: Sequence["Alignment"], values: dict[str, Any]) -> list[int]:
    """Numbers of the questions to show.

    Raises:
        UsageError: an id or a task that no row has.
    """
    from editctl.errors import UsageError

    questions = [alignment.dual.question for alignment in alignments]
    for flag, wanted, known in (
        ("--id", values["id"] or [], {question.id for question in questions}),
        ("--task", [values["task"]] if values["task"] else [], {question.task for question in questions}),
    ):
        for name in wanted:
            if name not in known:
                raise UsageError(f"{flag} {name!r}: no such row; {_near(name, known)}")
    found = [
        number
        for number, question in enumerate(questions)
        if (not values["id"] or question.id in values["id"]) and values["task"] in (None, question.task)
    ]
    return found[: values["limit"]]


def _near(name: str, known: set[Any]) -> str:
    """Near misses; of the many ids of a file only a few."""
    from editctl.errors import near_misses

    said = near_misses(name, [str(one) for one in known if one is not None])
    return said if len(known) <= 12 or said.startswith("did you mean") else f"the file has {len(known)} others"


def _show(
    talk: "Talk",
    values: dict[str, Any],
    lens: "Lens",
    stages: Sequence["Stage"],
    alignments: Sequence["Alignment"],
    shown: Sequence[int],
) -> None:
    from editctl.train.sight.figures import Tally

    tallies = [Tally(stage) for stage in stages]
    screen = _screen(values)
    for number in shown:
        screen.question(_looked(lens, tallies, alignments[number], number))
    rest = sorted(set(range(len(alignments))) - set(shown))
    for number in talk.track(rest, "count", len(rest)) if len(rest) >= _MANY else rest:
        _looked(lens, tallies, alignments[number], number)
    facts = {
        "student": values["student"],
        "recipe": values["recipe"],
        "preset": values["preset"],
        "prompt_style": lens.codec.style,
        "gap": lens.codec.gap,
        "max_length": lens.max_length,
        "questions": len(alignments),
        "shown": len(shown),
    }
    screen.figures(facts, [tally.figures() for tally in tallies])


def _looked(
    lens: "Lens", tallies: Sequence["Tally"], alignment: "Alignment", number: int
) -> list["LeftOut | Sequence[ExampleView]"]:
    """What each stage makes of a question, which is added to the stage's figures too."""
    from editctl.train.sight.view import look
    from editctl.views import LeftOut

    seen = [look(lens, tally.stage, alignment) for tally in tallies]
    for tally, one in zip(tallies, seen, strict=True):
        tally.add(number, one)
    return [one if isinstance(one, LeftOut) else one.views for one in seen]


def _screen(values: dict[str, Any]) -> "Screen | Lines":
    from editctl.progress import stdout_console
    from editctl.report.lines import Lines
    from editctl.report.screen import Screen

    if values["json"]:
        return Lines(typer.echo)
    return Screen(stdout_console(color=not values["no_color"]), each_token=values["verbose"])
