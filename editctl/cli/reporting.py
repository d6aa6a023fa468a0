"""What `editctl report` does: gathers the facts of its inputs, and has the page drawn and written."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.cli.reporting_inputs import Inputs, named, read_inputs
from editctl.errors import UsageError
from editctl.files import STDIO
from editctl.models import RUN_FILE

if TYPE_CHECKING:
    from editctl.cli.reporting_scores import Scores
    from editctl.cli.session import Session
    from editctl.progress import Talk
    from editctl.report.facts.lineage import Root
    from editctl.report.page.model import Page

LARGE = 5_000_000
"""Bytes of a page from which on it is said how to make it smaller."""


def check_options(values: dict[str, Any]) -> None:
    """Raises UsageError for options that can't be followed, before any input is opened."""
    import sys

    output = values["output"] or STDIO
    if output == STDIO and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("report: the page would fill the terminal; name a file with -o, such as -o report.html")
    if values["png"] and Path(values["png"]).exists() and not Path(values["png"]).is_dir():
        raise UsageError(f"--png {values['png']}: is a file; name a folder")


def write_report(session: "Session", talk: "Talk", values: dict[str, Any]) -> str:
    """Make the page and write it; what to say of it."""
    from editctl.report.page.plots import save_pngs
    from editctl.report.page.render import render

    with tempfile.TemporaryDirectory(prefix="editctl-report-") as aside:
        inputs = read_inputs(session, named(values["inputs"]), Path(aside))
        _refuse_inputs(values["output"], inputs)
        target = session.open_output(values["output"])
        page = gather(talk, values, inputs)
    text = render(page).removesuffix("\n")
    target.write(text)
    plots = 0
    if values["png"]:
        plots = len(save_pngs(page, Path(values["png"])))
    counts = contents(page)
    session.note(counts=counts)
    talk.table("", ["shown", "count"], [[name, count] for name, count in counts.items()])
    return _said(talk, values, len(text.encode()), plots)


def _refuse_inputs(output: str | None, inputs: Inputs) -> None:
    """Raises UsageError where the page would replace something that it is made from, found files among it."""
    read = [source.path for source in inputs.sources] + [str(run.folder / RUN_FILE) for run in inputs.runs]
    if output not in (None, STDIO) and os.path.realpath(str(output)) in map(os.path.realpath, read):
        raise UsageError(f"{output}: is read by this command, and would be replaced; name another output")


def _said(talk: "Talk", values: dict[str, Any], size: int, plots: int) -> str:
    if size > LARGE:
        talk.warn(f"the page has {size / 1e6:.1f} MB; smaller --pairs, --questions or --examples make it smaller")
    where = "stdout" if values["output"] in (None, STDIO) else values["output"]
    drawn = f", and {plots} plots to {values['png']}" if values["png"] else ""
    return f"wrote {where} ({max(1, round(size / 1000)):,} kB){drawn}"


def contents(page: "Page") -> dict[str, int]:
    """How much of each part there is; parts without content are left out."""
    counts = {
        "funnels": len(page.funnels),
        "distributions": len(page.distributions),
        "pairs": page.pairs_total,
        "pairs to browse": len(page.pairs),
        "questions as trained on": len(page.trained),
        "runs": len(page.runs),
        "loss curves": len(page.curves),
        "methods with scores": len({row.method for row in page.scores}),
        "comparisons": len(page.comparisons),
        "test questions": page.outcomes_total,
        "test questions to browse": len(page.outcomes),
        "commands in the lineage": sum(len(one.steps) for one in page.lineages),
    }
    return {name: count for name, count in counts.items() if count}


def gather(talk: "Talk", values: dict[str, Any], inputs: Inputs) -> "Page":
    """All facts of a page."""
    from editctl import __version__
    from editctl.cli.reporting_data import Data
    from editctl.cli.reporting_runs import run_cards, run_views
    from editctl.cli.reporting_scores import Scores
    from editctl.report.facts import lineage, losses
    from editctl.report.page.model import Page

    data = Data.read(talk, values, inputs)
    scores = Scores.read(talk, values, inputs)
    trained, untold = run_views(values, inputs)
    found, total = scores.outcomes(values["questions"])
    roots = _roots(inputs, scores)
    partial = [note for root in roots for note in lineage.unfinished(root.name, root.manifest)]
    said = [*inputs.notes, *data.notes(), *untold, *scores.notes]
    for note in dict.fromkeys(partial):
        talk.warn(note)
    for note in said:
        talk.say(note)
    return Page(
        title=values["title"] or _title(inputs),
        version=__version__,
        made=lineage.finished([root.manifest for root in roots]),
        notes=tuple(dict.fromkeys([*partial, *said])),
        funnels=tuple(data.funnels()),
        distributions=data.distributions.records(),
        pairs=data.sample.views(),
        pairs_total=data.sample.total,
        trained=trained,
        runs=run_cards(inputs),
        curves=tuple(curve for run in inputs.runs for curve in losses.curves(run)),
        scores=scores.rows(),
        comparisons=tuple(scores.comparisons),
        outcomes=found,
        outcomes_total=total,
        lineages=lineage.lineages(roots),
    )


def _title(inputs: Inputs) -> str:
    names = [run.name for run in inputs.runs]
    names = names or [Path(source.name).name for source in inputs.sources if not source.found]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"editctl report: {', '.join(names[:4])}{more}"


def _roots(inputs: Inputs, scores: "Scores") -> "list[Root]":
    from editctl.report.facts.lineage import Root

    roots = [Root(name=run.name, manifest=run.lineage) for run in inputs.runs if run.lineage]
    students = scores.students()
    for source in inputs.sources:
        if source.manifest and not source.found:
            student = students.get(source.sha256)
            roots.append(Root(name=source.name, manifest=source.manifest, sha256=source.sha256, student=student))
    return roots
