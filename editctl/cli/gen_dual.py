"""`editctl gen-dual`: questions in, dual chains out."""

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.asked import open_questions, write_splits
from editctl.cli.session import Session, load_task, talk_of
from editctl.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from editctl.files import OutputFile
    from editctl.generate.asking import Asker
    from editctl.progress import Talk


def gen_dual(
    context: typer.Context,
    questions: shared.Questions = None,
    teacher: Annotated[
        str,
        typer.Option("--teacher", "-t", help="oracle, recorded:FILE,..., local:MODEL, a plugin, or a litellm model."),
    ] = "",
    teacher_option: Annotated[
        list[str] | None, typer.Option("--teacher-option", "-T", help="key=value of the teacher; repeatable.")
    ] = None,
    mistake: Annotated[
        str,
        typer.Option("--mistake", "-m", help="Mistake patterns: logical,knowledge or logical=2,calculation=1."),
    ] = "any",
    format: Annotated[
        str, typer.Option("--format", help="How chains are written: cot, pot, eot, kpdd-cot or kpdd-pot.")
    ] = "cot",
    output: shared.Output = None,
    rejects: Annotated[
        str | None,
        typer.Option("--rejects", help="File for rejected questions; NAME.rejects.jsonl beside -o."),
    ] = None,
    attempts: Annotated[int, typer.Option("--attempts", min=1, help="Tries a step.")] = 3,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Explanations of each question.")] = 1,
    mine: Annotated[
        bool,
        typer.Option("--mine", help="Pair the most alike right and wrong samples before anything else is paid for."),
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=0, max=2, help="Of a first try; default: 0.2, 0.7 for several samples, 0 for labels."
        ),
    ] = None,
    label: Annotated[
        bool,
        typer.Option("--label", help="Read dual chains in place of questions, and label each wrong one's mistake."),
    ] = False,
    max_new_tokens: shared.MaxNewTokens = 2048,
    api_base: Annotated[
        str | None,
        typer.Option("--api-base", help="Address of an OpenAI-compatible server (as -T api-base=)."),
    ] = None,
    reasoning: Annotated[
        str,
        typer.Option(
            "--reasoning", help="Hidden reasoning of the model: keep it beside the chain, use it, or drop it."
        ),
    ] = "keep",
    ledger: Annotated[
        str | None,
        typer.Option(
            "--ledger",
            envvar=["EDITCTL_LEDGER", "EDITCTL_GEN_DUAL_LEDGER"],
            help="File that remembers paid completions; default NAME.ledger.sqlite beside -o.",
        ),
    ] = None,
    max_concurrency: Annotated[
        int | None,
        typer.Option("--max-concurrency", min=1, help="Calls under way at most; default: 16, growing to 64."),
    ] = None,
    requests_per_minute: Annotated[
        float | None, typer.Option("--requests-per-minute", min=0.01, help="Calls begun a minute, at most.")
    ] = None,
    tokens_per_minute: Annotated[
        float | None, typer.Option("--tokens-per-minute", min=1, help="Tokens taken a minute, at most.")
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", min=0, help="Further tries of a call after server errors and timeouts.")
    ] = 4,
    patience: Annotated[
        float,
        typer.Option("--patience", min=0, help="Seconds to go on while the provider only says `too many requests`."),
    ] = 600,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on although most calls fail.")] = False,
    price: Annotated[
        str | None, typer.Option("--price", help="IN,OUT: USD per million tokens, in place of litellm's list.")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", min=0, help="Most this output may cost in all, over all its runs.")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", min=0, help="Most tokens this output may take in all.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is to be asked and what it may cost; ask nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the dry run as one JSON object.")] = False,
    batch: Annotated[
        bool,
        typer.Option("--batch", help="Send the calls through the provider's batch service: cheaper, within a day."),
    ] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Questions under way with --batch.")] = 10000,
    shots: Annotated[str | None, typer.Option("--shots", help="JSON lines of worked examples, by task.")] = None,
    max_shots: Annotated[int, typer.Option("--max-shots", min=0, help="Examples in a prompt.")] = 3,
    templates: Annotated[
        list[str] | None,
        typer.Option("--templates", help="Folder of templates that override and add to ours."),
    ] = None,
    conclusion: shared.Conclusion = "Therefore, the answer is",
    system: Annotated[str | None, typer.Option("--system", help="System turn in place of the templates'.")] = None,
    show_prompts: Annotated[
        int, typer.Option("--show-prompts", min=0, help="Print the first N questions' prompts, ask nothing.")
    ] = 0,
    data_dir: shared.DataDir = None,
    map: shared.Map = None,
    limit: shared.Limit = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="i/n: the i-th (from 1) of n parts of the questions left by --limit.")
    ] = None,
    seed: shared.Seed = 0,
    allow_partial: shared.AllowPartial = False,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Make a right and a wrong chain of thought for every question."""
    values = dict(context.params)
    talk = talk_of(quiet, verbose, no_color)
    with Session("gen-dual", values, talk, allow_partial=allow_partial) as session:
        asker = _label(session, talk, values, context) if label else _gen_dual(session, talk, values)
    if asker is not None and asker.failed_calls:
        calls = "1 call" if asker.failed_calls == 1 else f"{asker.failed_calls} calls"
        raise IncompleteError(
            f"finished, but {calls} could not be made ({asker.last_failure}); "
            f"{'their rows have no label' if label else 'the rejects say which'}, "
            "and the same command asks for them again"
        )


def _label(session: Session, talk: "Talk", values: dict[str, Any], context: typer.Context) -> "Asker | None":
    from editctl.cli import labelling

    sources = {name: context.get_parameter_source(name) for name in values}
    labelling.refuse_others({name for name, source in sources.items() if source and source.name == "COMMANDLINE"})
    return labelling.label(session, talk, values)


def _gen_dual(session: Session, talk: "Talk", values: dict[str, Any]) -> "Asker | None":
    """The asker of a run; None where nothing was to be asked."""
    from editctl.cli import making, teaching
    from editctl.sources import count_questions

    if values["json"] and not values["dry_run"]:
        raise UsageError("--json goes with --dry-run: the rows are JSON anyway, and the manifest has the figures")
    maker = teaching.build_maker(session, values)
    asked, shelf = open_questions(session, values)
    if values["show_prompts"]:
        for question in itertools.islice(asked, values["show_prompts"]):
            making.print_prompt(question.id, maker.render("explain", question)[0])
        return None
    if values["dry_run"]:
        teaching.dry_run(session, talk, values, maker, asked)
        return None
    plan = making.Plan(
        shard := teaching.shard_of(values["shard"]),
        teaching.window_of(values),
        shard.size(count_questions(values["questions"] or [], load_task, values["limit"], shelf)),
    )
    kept = session.open_output(values["output"])
    aside = _rejects(session, None if kept.is_stream else values["output"], values["rejects"])
    teaching.refuse_ledger_among(values, [*(values["questions"] or []), kept.path, *([aside.path] if aside else [])])
    asker = teaching.build_asker(talk, values)
    maker.teacher = asker.teacher.name
    maker.steps = teaching.steps_of(asker.teacher)
    making.note_files(session, asker.teacher)
    making.make_pairs(session, talk, making.Work(maker, asker, asked, kept, aside), plan)
    write_splits(talk, shelf, None if kept.is_stream else kept.path)
    return asker


def _rejects(session: Session, output: str | None, rejects: str | None) -> "OutputFile | None":
    from pathlib import Path

    from editctl.manifest import beside

    if rejects is None and output is None:
        return None
    return session.open_output(rejects or str(beside(Path(str(output)), "rejects", ".jsonl")))
