"""`editctl inspect`: pairs and their key steps, or what the trainer will see of them."""

from typing import Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.session import talk_of

TRAINERS = {
    "student": "-s",
    "recipe": "-r",
    "recipe_option": "-R",
    "preset": "--preset",
    "prompt_style": "--prompt-style",
    "gap": "--gap",
    "max_length": "--max-length",
    "stage": "--stage",
}
"""Options any of which chooses the trainer's view."""
PAIRS = ("rejects", "mistake", "min_key_ratio", "max_key_ratio", "sort", "unit", "tokenizer", "match", "map")
"""Options that this view has no use for."""


def inspect(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Dual chains, alignments, rejects or foreign pairs; - for stdin."),
    ] = None,
    id: Annotated[list[str] | None, typer.Option("--id", help="Show this question only; repeatable.")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", help="Show questions of this task only; repeatable.")
    ] = None,
    mistake: Annotated[
        list[str] | None,
        typer.Option("--mistake", "-m", help="Show this mistake only (pattern, origin or label); repeatable."),
    ] = None,
    min_key_ratio: Annotated[
        float | None,
        typer.Option("--min-key-ratio", min=0, max=1, help="Least key ratio (of the side with more)."),
    ] = None,
    max_key_ratio: Annotated[
        float | None,
        typer.Option("--max-key-ratio", min=0, max=1, help="Largest key ratio (of the side with more)."),
    ] = None,
    rejects: Annotated[
        bool, typer.Option("--rejects", help="Show rejects: those of FILE, or NAME.rejects.jsonl beside it.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=0, help="Show the first N of these only; 0 shows the figures.")
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="file, key-ratio (most key steps first) or similarity (most alike first).")
    ] = "file",
    unit: Annotated[
        str | None, typer.Option("--unit", help="Align again by word, token or step; word where FILE has no edits.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="Align again by this student's tokens: a folder or hub id.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option("--match", help="Align again: units (all at once) or steps (first, then units inside)."),
    ] = None,
    map: shared.Map = None,
    student: Annotated[
        str,
        typer.Option(
            "--student",
            "-s",
            help="Trainer's view: tiny, a model folder, a hub id or a run folder; only its tokenizer is read.",
        ),
    ] = "tiny",
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Trainer's view: method; `editctl plugins` lists them.")
    ] = "edit",
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
    pager: Annotated[
        bool, typer.Option("--pager/--no-pager", help="Whether to show it through $PAGER, or less, on a terminal.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, the figures last.")] = False,
    allow_partial: shared.AllowPartial = False,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="All a record holds; for the trainer, a row for each token.")
    ] = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Show pairs with their key steps or, with -s or -r, what the trainer will see.

    Any of -s, -r, -R, --preset, --prompt-style, --gap, --max-length and --stage chooses the trainer's view: each
    token with its weight, and figures of the whole file.
    """
    values = dict(context.params)
    given = {name for name in values if _is_given(context, name)}
    talk = talk_of(quiet, verbose, no_color)
    if _is_trainers(given):
        from editctl.cli.inspect_trained import show_trained

        show_trained(talk, values, given)
    else:
        from editctl.cli.inspect_pairs import show_pairs

        show_pairs(talk, values, given)


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether a flag, a variable or the configuration set an option."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _is_trainers(given: set[str]) -> bool:
    """Whether the trainer's view is asked for.

    Raises:
        UsageError: options of both views.
    """
    from editctl.errors import UsageError

    chosen: Any = next((flag for name, flag in TRAINERS.items() if name in given), None)
    unfit = next((f"--{name.replace('_', '-')}" for name in PAIRS if name in given), None)
    if chosen and unfit:
        raise UsageError(f"{unfit} is for pairs, and {chosen} shows what the trainer will see; leave out one of them")
    return chosen is not None
