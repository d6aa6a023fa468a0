"""`editctl align`: dual chains in, alignments out."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.session import Session, talk_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from editctl.align.lines import LineAligner
    from editctl.align.stage import Figures
    from editctl.files import InputFile
    from editctl.progress import Talk
    from editctl.records import Alignment

_OF_EXPORTS = ("recipe", "recipe_option", "prompt_style", "gap", "max_length")
"""Options that mean nothing without --format."""
Dual = Annotated[
    str | None,
    typer.Argument(metavar="DUAL", help="Dual chains, or right/wrong or chosen/rejected pairs; - for stdin."),
]


def align(
    context: typer.Context,
    dual: Dual = None,
    output: shared.Output = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="word, token or step; token where --tokenizer is given, else word.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="Student whose tokens are compared: a folder or hub id.")
    ] = None,
    match: Annotated[
        str,
        typer.Option("--match", help="units: the fewest edits of all; steps: match steps first, then units in them."),
    ] = "units",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0 takes all processors once a file is large.")
    ] = 0,
    format: Annotated[
        str | None, typer.Option("--format", help="Write for another tool instead: trl, axolotl or parquet.")
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Method whose weights axolotl and parquet rows carry.")
    ] = "edit",
    recipe_option: shared.RecipeOptions = None,
    prompt_style: Annotated[str, typer.Option("--prompt-style", help="auto, plain or chat, for --format.")] = "auto",
    gap: shared.Gap = True,
    max_length: Annotated[
        int, typer.Option("--max-length", min=2, help="Longest example in tokens, for --format parquet.")
    ] = 1024,
    map: shared.Map = None,
    limit: shared.Limit = None,
    allow_partial: shared.AllowPartial = False,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Find where the right and the wrong chain of each pair part."""
    values = dict(context.params)
    values["unit"] = unit or ("token" if tokenizer else "word")
    talk = talk_of(quiet, verbose, no_color)
    told = {name: value for name, value in values.items() if format or name not in _OF_EXPORTS}
    with Session("align", told, talk, allow_partial=allow_partial) as session:
        _run(session, talk, values)


def _run(session: Session, talk: "Talk", values: dict[str, Any]) -> None:
    from editctl.align.aligner import aligner_for
    from editctl.align.lines import LineAligner
    from editctl.cli.exporting import check_export

    check_export(values)
    setup = _setup(values)
    source = session.open_input(values["dual"])
    own = LineAligner(source.name, tuple(values["map"] or ()), aligner_for(*setup))
    write = _export if values["format"] else _rows
    figures = write(session, talk, values, (source, own))
    session.note(**figures.render())
    _summary(talk, figures)


def _setup(values: dict[str, Any]) -> tuple[str, str | None, Any]:
    """Unit, tokenizer and way of matching. Raises UsageError where they don't go together."""
    from editctl.align.aligner import check_choice

    unit, tokenizer, match = (values[name] for name in ("unit", "tokenizer", "match"))
    if values["format"] in ("parquet", "axolotl") and unit != "token":
        tokenizer = None  # named for the tokens that are written
    check_choice(unit, tokenizer, match)
    return unit, tokenizer, match


def _rows(session: Session, talk: "Talk", values: dict[str, Any], what: tuple["InputFile", "LineAligner"]) -> "Figures":
    """Write the alignments of a file."""
    from pathlib import Path

    from editctl.align.lines import gathered
    from editctl.align.stage import Figures
    from editctl.align.workers import Setup, done_in_order
    from editctl.progress import Bar

    source, own = what
    unit, tokenizer, match = _setup(values)
    setup = Setup(
        name=own.name,
        is_stream=not Path(source.path).is_file(),
        mapping=tuple(values["map"] or ()),
        unit=unit,
        tokenizer=tokenizer,
        match=match,
    )
    target = session.open_output(values["output"])
    figures, again = Figures(), False
    with Bar(talk, "align") as bar:
        for done in done_in_order(gathered(source.line_groups(), values["limit"]), own, setup, values["workers"]):
            target.write_bytes(done.data)
            target.rows += done.rows
            figures.merge(done.figures)
            again = again or done.again
            bar.advance(done.rows)
    if again:
        told = f"by {unit}" + (", steps matched first" if match == "steps" else "")
        talk.say(f"{own.name} holds alignments: its pairs were aligned again, {told}")
    _refuse_empty(figures, own.name, values["limit"])
    return figures


def _export(
    session: Session, talk: "Talk", values: dict[str, Any], what: tuple["InputFile", "LineAligner"]
) -> "Figures":
    """Write the alignments of a file as another tool reads them."""
    from editctl.align.lines import gathered
    from editctl.align.stage import Figures
    from editctl.cli.exporting import export_rows

    source, own = what
    figures = Figures()

    def counted() -> "Iterator[Alignment]":
        for lines in gathered(source.line_groups(), values["limit"]):
            for alignment in own.records(lines):
                figures.add(alignment)
                yield alignment
        _refuse_empty(figures, own.name, values["limit"])

    export_rows(session, talk, values, talk.track(counted(), "align"))
    return figures


def _refuse_empty(figures: "Figures", name: str, limit: int | None) -> None:
    from editctl.errors import InputError

    if not figures.outcomes and limit != 0:
        raise InputError("is empty: no rows to work on", file=name)


def _summary(talk: "Talk", figures: "Figures") -> None:
    facts: dict[str, Any] = figures.render()
    talk.table("", ["outcome", "rows"], [[name, count] for name, count in figures.outcomes.most_common()])
    rows: list[list[object]] = [
        [name, *(facts[key][point] for point in ("n", "mean", "p10", "median", "p90"))]
        for name, key in (
            ("similarity", "similarity"),
            ("key ratio (right)", "key_ratio"),
            ("key ratio (wrong)", "key_ratio_wrong"),
        )
        if facts[key]
    ]
    rows += [
        [f"  {group['task']}, {group['mistake']}: key ratio (right)", *group["key_ratio"].values()]
        for group in (facts["groups"] if talk.verbose or len(facts["groups"]) <= 12 else [])
    ]
    talk.table("", ["", "n", "mean", "p10", "median", "p90"], rows)
    share = facts["key_share_in_conclusion"]
    if share is not None:
        talk.say(f"{share:.1%} of the right chains' key characters lie in the conclusion sentence")
    _say_limits(talk, facts["limits"], facts["similarity"])


def _say_limits(talk: "Talk", limits: dict[str, dict[str, int]], similarity: dict[str, float] | None) -> None:
    """How many pairs a recipe's limits would leave out."""
    if similarity is None:
        return
    for option, name in (("max-key-ratio", "over_max_key_ratio"), ("min-similarity", "under_min_similarity")):
        said = ", ".join(f"{count} with {limit}" for limit, count in limits[name].items())
        talk.say(f"pairs that `train -R {option}=` would leave out: {said}")
