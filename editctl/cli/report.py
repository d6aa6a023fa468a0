"""`editctl report`: runs and files in, one self-contained page out."""

from typing import Annotated

import typer

from editctl.cli import options as shared
from editctl.cli.session import Session, talk_of


def report(
    context: typer.Context,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN_OR_FILES",
            help="Run folders, dual chains, alignments, predictions, rejects, in any order; - for stdin.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="The page, such as report.html; stdout where that is no terminal."),
    ] = None,
    png: Annotated[
        str | None, typer.Option("--png", metavar="FOLDER", help="Write the plots as PNG files too, for papers.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Heading of the page; default: what it shows.")] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="NAME", help="Method that the others are compared with: its name, run or file."
        ),
    ] = None,
    pool: Annotated[
        bool, typer.Option("--pool", help="Take runs that differ in nothing but their seed as one method.")
    ] = False,
    pairs: Annotated[
        int, typer.Option("--pairs", min=0, help="Pairs to browse, spread evenly over tasks and mistakes; 0: none.")
    ] = 400,
    questions: Annotated[
        int,
        typer.Option("--questions", min=0, help="Test questions to browse, those first on which methods disagree."),
    ] = 300,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Questions of each stage to show as the trainer saw them.")
    ] = 3,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Write one page that shows a whole experiment: data, key steps, training, scores, answers, lineage."""
    from editctl.cli.reporting import check_options, write_report

    values = dict(context.params)
    check_options(values)
    talk = talk_of(quiet, verbose, no_color)
    with Session("report", values, talk, allow_partial=True) as session:
        said = write_report(session, talk, values)
    talk.say(said)
