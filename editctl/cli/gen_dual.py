"""`editctl gen-dual`: questions in, dual chains out."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.session import Session, load_task, names_or_stdin, talk_of
from editctl.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from editctl.generate.maker import Maker
    from editctl.generate.settings import Settings
    from editctl.generate.shots import Shots
    from editctl.generate.stage import Outcome
    from editctl.progress import Talk
    from editctl.prompts import Templates
    from editctl.records import Question


def gen_dual(
    context: typer.Context,
    questions: shared.Questions = None,
    teacher: Annotated[
        str, typer.Option("--teacher", "-t", help="oracle, recorded:FILE,..., a plugin, or a litellm model.")
    ] = "",
    teacher_option: Annotated[
        list[str] | None, typer.Option("--teacher-option", "-T", help="key=value of the teacher; repeatable.")
    ] = None,
    mistake: Annotated[
        str,
        typer.Option("--mistake", "-m", help="Mistake patterns: logical,knowledge or logical=2,calculation=1."),
    ] = "any",
    output: shared.Output = None,
    rejects: Annotated[
        str | None,
        typer.Option("--rejects", help="File for rejected questions; NAME.rejects.jsonl beside -o."),
    ] = None,
    attempts: Annotated[int, typer.Option("--attempts", min=1, help="Tries a step.")] = 3,
    max_new_tokens: shared.MaxNewTokens = 2048,
    max_concurrency: Annotated[int, typer.Option("--max-concurrency", min=1, help="Calls under way at once.")] = 16,
    api_base: Annotated[
        str | None,
        typer.Option("--api-base", help="Address of an OpenAI-compatible server (as -T api-base=)."),
    ] = None,
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
    map: shared.Map = None,
    limit: shared.Limit = None,
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
        settings, found = _settings(values)
        maker = _maker(values, settings, found, _shots(session, shots, max_shots), asks=not show_prompts)
        asked = _questions(session, questions, map, limit)
        if show_prompts:
            _print_prompts(maker, asked, show_prompts)
            return
        failed = _run(session, talk, maker, asked, output, rejects)
    if failed:
        calls = "1 call" if failed == 1 else f"{failed} calls"
        raise IncompleteError(f"finished, but {calls} could not be made ({maker.last_failure}); the rejects say which")


def _settings(values: dict[str, Any]) -> tuple["Settings", "Templates"]:
    from editctl.generate.settings import Settings, deal, parse_mistakes
    from editctl.prompts import Templates

    found = Templates(values["templates"] or ())
    settings = Settings(
        mistakes=deal(parse_mistakes(values["mistake"], found.mistakes())),
        attempts=values["attempts"],
        max_tokens=values["max_new_tokens"],
        conclusion=values["conclusion"],
        system=values["system"],
        concurrency=values["max_concurrency"],
        seed=values["seed"],
    )
    return settings, found


def _maker(
    values: dict[str, Any], settings: "Settings", templates: "Templates", shots: "Shots", *, asks: bool
) -> "Maker":
    from editctl.generate.maker import Maker
    from editctl.generate.teachers import find_teacher
    from editctl.options import parse_pairs

    if not values["teacher"] and asks:
        raise UsageError(
            "gen-dual needs a teacher: -t oracle for toy tasks, -t recorded:FILE, or -t openai/gpt-4o-mini"
        )
    own = parse_pairs(values["teacher_option"] or (), "-T")
    if values["api_base"]:
        own.setdefault("api-base", values["api_base"])
    teacher: Any = find_teacher(values["teacher"], own) if asks else None
    return Maker(teacher, templates, settings, shots)


def _shots(session: Session, path: str | None, most: int) -> "Shots":
    from editctl.generate.shots import Shots, shot_from
    from editctl.jsonl import read_records

    return Shots(read_records(session.open_input(path), shot_from) if path else (), most)


def _questions(
    session: Session, names: list[str] | None, map: list[str] | None, limit: int | None
) -> Iterable["Question"]:
    from editctl.questions import QuestionReader
    from editctl.sources import read_questions

    reader = QuestionReader(map or ())
    return read_questions(names_or_stdin(names), reader, session.open_input, load_task, limit)


def _print_prompts(maker: "Maker", questions: Iterable["Question"], count: int) -> None:
    from editctl.progress import clean

    for question, _ in zip(questions, range(count), strict=False):
        typer.echo(f"=== {clean(question.id)}")
        for turn in maker.messages("explain", question):
            lines = [clean(line) for line in turn["content"].splitlines()]
            typer.echo("\n".join([f"--- {turn['role']}", *lines]))


def _run(
    session: Session,
    talk: "Talk",
    maker: "Maker",
    questions: Iterable["Question"],
    output: str | None,
    rejects: str | None,
) -> int:
    from editctl.generate.settings import Tally
    from editctl.generate.stage import make_dual_chains

    tally = Tally()
    kept = session.open_output(output)
    aside = _rejects(session, None if kept.is_stream else output, rejects)
    for outcome in talk.track(make_dual_chains(questions, maker), "gen-dual"):
        _write(outcome, kept, aside, tally)
    session.note(teacher=maker.teacher.name, counts=tally.by_outcome(), tasks=tally.by_task())
    talk.table("", ["outcome", "questions"], [[name, count] for name, count in tally.by_outcome().items()])
    if talk.verbose:
        rows: list[list[object]] = [
            [task, name, count] for task, counts in tally.by_task().items() for name, count in counts.items()
        ]
        talk.table("", ["task", "outcome", "questions"], rows)
    if aside is None and any(name.startswith("reject") for name in tally.by_outcome()):
        talk.warn("rejected questions were counted but not written; name a file with --rejects")
    return maker.failed_calls


def _rejects(session: Session, output: str | None, rejects: str | None) -> Any:
    from pathlib import Path

    from editctl.manifest import beside

    if rejects is None and output is None:
        return None
    return session.open_output(rejects or str(beside(Path(str(output)), "rejects", ".jsonl")))


def _write(outcome: "Outcome", kept: Any, aside: Any, tally: Any) -> None:
    from editctl.jsonl import write_row
    from editctl.records import Reject
    from editctl.rows import dual_to_row, reject_to_row

    task = outcome.question.task or "-"
    if isinstance(outcome, Reject):
        tally.add(task, f"reject: {outcome.step} {outcome.reason}")
        if aside is not None:
            write_row(aside, reject_to_row(outcome))
        return
    write_row(kept, dual_to_row(outcome))
    tally.add(
        task,
        f"pair: {outcome.wrong.origin} wrong chain" if outcome.wrong else f"right only: {outcome.reason}",
    )
