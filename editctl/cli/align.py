"""`editctl align`: dual chains in, alignments out."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.session import Session, talk_of
from editctl.errors import UsageError

if TYPE_CHECKING:
    from editctl.align.stage import Figures
    from editctl.align.units import Cutter
    from editctl.progress import Talk

Dual = Annotated[
    str | None,
    typer.Argument(metavar="DUAL", help="Dual chains, or right/wrong or chosen/rejected pairs; - for stdin."),
]


def align(
    context: typer.Context,
    dual: Dual = None,
    output: shared.Output = None,
    unit: Annotated[
        str | None, typer.Option("--unit", help="word or token; token where --tokenizer is given, else word.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="Student whose tokens are compared: a folder or hub id.")
    ] = None,
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
    talk = talk_of(quiet, verbose, no_color)
    with Session("align", dict(context.params), talk, allow_partial=allow_partial) as session:
        cut, unit = _cutter(unit, tokenizer)
        _run(session, talk, dual, output, tuple(map or ()), limit, (cut, unit, tokenizer))


def _cutter(unit: str | None, tokenizer: str | None) -> tuple["Cutter", str]:
    from editctl.align.units import token_cutter, words

    unit = unit or ("token" if tokenizer else "word")
    if unit == "word":
        if tokenizer:
            raise UsageError("--unit word takes no --tokenizer")
        return words, unit
    if unit != "token":
        raise UsageError(f"unknown unit {unit!r}; use word or token")
    if not tokenizer:
        raise UsageError("--unit token needs --tokenizer MODEL")
    from editctl.models import load_tokenizer

    return token_cutter(load_tokenizer(tokenizer)), unit


def _run(
    session: Session,
    talk: "Talk",
    dual: str | None,
    output: str | None,
    mapping: tuple[str, ...],
    limit: int | None,
    how: tuple["Cutter", str, str | None],
) -> None:
    import itertools

    from editctl.align.pairs import PairReader
    from editctl.align.stage import Figures
    from editctl.align.stage import align as run
    from editctl.jsonl import read_records, write_row
    from editctl.rows import alignment_to_row

    figures = Figures()
    records = read_records(session.open_input(dual), PairReader(mapping).convert)
    target = session.open_output(output)
    for alignment in talk.track(run(itertools.islice(records, limit), *how), "align"):
        figures.add(alignment)
        write_row(target, alignment_to_row(alignment))
    session.note(**figures.render())
    _summary(talk, figures)


def _summary(talk: "Talk", figures: "Figures") -> None:
    facts: dict[str, Any] = figures.render()
    talk.table("", ["outcome", "rows"], [[name, count] for name, count in figures.outcomes.most_common()])
    rows: list[list[object]] = [
        [name, *(facts[key][point] for point in ("n", "mean", "p10", "median", "p90"))]
        for name, key in (("similarity", "similarity"), ("key ratio (right)", "key_ratio"))
        if facts[key]
    ]
    rows += [
        [f"  {group['task']}, {group['mistake']}: key ratio", *group["key_ratio"].values()]
        for group in (facts["groups"] if talk.verbose or len(facts["groups"]) <= 12 else [])
    ]
    talk.table("", ["", "n", "mean", "p10", "median", "p90"], rows)
    share = facts["key_share_in_conclusion"]
    if share is not None:
        talk.say(f"{share:.1%} of the right chains' key characters lie in the conclusion sentence")
