"""`editctl eval`: a student and questions in, predictions and scores out."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.score import check_gate, show_scores
from editctl.cli.session import Session, talk_of
from editctl.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from editctl.cli.evaluating import Evaluation
    from editctl.progress import Talk
    from editctl.records import Question


def evaluate(
    context: typer.Context,
    student: Annotated[str, typer.Argument(metavar="STUDENT", help="A run folder, a model folder or a hub id.")],
    questions: shared.Questions = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="File for the predictions.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", help="How to ask; default: the run's own recipe, else std-cot."),
    ] = None,
    recipe_option: shared.RecipeOptions = None,
    prompt_style: Annotated[
        str | None, typer.Option("--prompt-style", help="auto, plain or chat; default: the run's own.")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="Who writes: auto, local (transformers), server (--api-base) or vllm.")
    ] = "auto",
    api_base: Annotated[
        str | None,
        typer.Option("--api-base", help="OpenAI-compatible server to ask, such as http://localhost:8000/v1."),
    ] = None,
    api_model: Annotated[
        str | None,
        typer.Option("--api-model", help="The model as the server names it; default: STUDENT, or its folder's name."),
    ] = None,
    endpoint: Annotated[
        str,
        typer.Option("--endpoint", help="auto, completions (same text), tokens (same tokens) or chat (its template)."),
    ] = "auto",
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Requests to a server at once.")] = 16,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds before a request to a server is given up.")
    ] = 600.0,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Texts for each question.")] = 1,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0 takes the likeliest token each time.")
    ] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", min=0, max=1, help="Share of likely tokens drawn from.")] = 1.0,
    seed: shared.Seed = 0,
    teacher_chains: Annotated[
        str | None,
        typer.Option(
            "--teacher-chains",
            help="Dual chains of the same questions: the last step is asked with the teacher's earlier steps, too.",
        ),
    ] = None,
    max_new_tokens: shared.MaxNewTokens = 512,
    batch_tokens: Annotated[int, typer.Option("--batch-tokens", min=1, help="Tokens decoded together.")] = 65536,
    conclusion: Annotated[
        str | None,
        typer.Option("--conclusion", help="Opening of the conclusion sentence; default: the run's own."),
    ] = None,
    device: shared.Device = "auto",
    dtype: shared.Dtype = "auto",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code that a hub model brings along.")
    ] = False,
    map: shared.Map = None,
    limit: shared.Limit = None,
    data_dir: shared.DataDir = None,
    kind: shared.Kind = None,
    json: shared.Json = False,
    fail_under: shared.FailUnder = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask everything anew, whatever an unfinished evaluation left.")
    ] = False,
    allow_partial: shared.AllowPartial = False,
    config: shared.Config = None,
    quiet: shared.Quiet = False,
    verbose: shared.Verbose = False,
    no_color: shared.NoColor = False,
    debug: shared.Debug = False,
) -> None:
    """Ask a student all questions and score its answers."""
    values = dict(context.params)
    talk = talk_of(quiet, verbose, no_color)
    if conclusion is not None and not conclusion.strip():
        raise UsageError("--conclusion is blank; leave it out for the run's own")
    with Session("eval", values, talk, allow_partial=allow_partial) as session:
        figures, evaluation = _run(session, talk, values)
    evaluation.clear()
    # Where the predictions go down the pipe, the figures are talk.
    show_scores(figures, as_json=json, color=not no_color, to_stderr=output == "-")
    if evaluation.lost:
        raise IncompleteError(evaluation.lost)
    check_gate(figures, fail_under)


def _run(session: Session, talk: "Talk", values: dict[str, Any]) -> "tuple[dict[str, Any], Evaluation]":
    from editctl.cli.engines import check_student
    from editctl.cli.evaluating import Evaluation
    from editctl.evaluate.figures.score import score
    from editctl.models import TINY, run_facts

    if values["student"] == TINY:
        raise UsageError(
            "tiny has no weights before it is trained; `editctl train --max-steps 0` makes an untrained one"
        )
    run = run_facts(values["student"])
    check_student(values, run)
    asked = _questions(session, talk, values)
    _warn_seen(talk, run, asked)
    _warn_bare(talk, run, asked)
    chains = _chains(session, values)
    session.finish_inputs()
    target = session.open_output(values["output"]) if values["output"] else None
    output = None if target is None or target.is_stream else target.path
    evaluation = Evaluation(session, talk, values, run, _plan(talk, values, run), output)
    predictions = evaluation.predictions(asked, chains)
    if target is not None:
        _write(target, predictions)
    figures = score(predictions, seconds=evaluation.seconds)
    facts = run and {key: run[key] for key in ("recipe", "stages")}
    session.note(scores=figures, student_run=facts)
    return figures, evaluation


def _write(target: Any, predictions: list[Any]) -> None:
    from editctl.jsonl import write_row
    from editctl.rows import prediction_to_row

    for prediction in predictions:
        write_row(target, prediction_to_row(prediction))


def _chains(session: Session, values: dict[str, Any]) -> dict[str, Any] | None:
    """The teacher's right chains, by question."""
    from editctl.jsonl import read_records
    from editctl.rows import chains_from_row

    if values["teacher_chains"] is None:
        return None
    source = session.open_input(values["teacher_chains"])
    return {dual.question.id: dual.right for dual in read_records(source, chains_from_row) if dual.right}


def _questions(session: Session, talk: "Talk", values: dict[str, Any]) -> list["Question"]:
    from editctl.answers.kinds import KindOverrides
    from editctl.cli.asked import open_questions, write_splits

    questions, shelf = open_questions(session, values)
    asked = list(KindOverrides(values["kind"] or ()).over(questions))
    session.finish_inputs()
    write_splits(talk, shelf, values["output"])
    return asked


def _warn_seen(talk: "Talk", run: dict[str, Any] | None, asked: list["Question"]) -> None:
    from editctl.questions import content_hash

    seen = set((run or {}).get("training_questions", ()))
    count = sum(content_hash(question) in seen for question in asked)
    if count:
        talk.warn(f"{count} of {len(asked)} questions were trained on; the score will flatter the student")


def _warn_bare(talk: "Talk", run: dict[str, Any] | None, asked: list["Question"]) -> None:
    described = int((run or {}).get("described") or 0)
    bare = sum(question.description is None for question in asked)
    if bare and 2 * described > len((run or {}).get("training_questions", ())):
        talk.warn(
            f"{bare} of {len(asked)} questions have no description, and the student was trained with one before each: "
            "it reads other prompts than it knows"
        )


def _warn_otherwise(talk: "Talk", trained: dict[str, str], texts: dict[str, str]) -> None:
    """Of options that the student was trained with otherwise; how it is asked (`ask`) is free."""
    from editctl.options import flag_name

    told = {flag_name(key): value for key, value in trained.items()}
    for key, value in texts.items():
        before = told.get(flag_name(key), value)
        if flag_name(key) != "ask" and before.lower() != value.lower():
            talk.warn(f"-R {key}={value}: the student was trained with {key}={before}, and is asked otherwise now")


def _plan(talk: "Talk", values: dict[str, Any], run: dict[str, Any] | None) -> Any:
    from editctl import options, registry

    asked = values["recipe"]
    own = run if run and (asked is None or registry.is_same("recipes", asked, run["recipe"])) else None
    name = asked or (run or {}).get("recipe") or "std-cot"
    method = registry.load("recipes", name)()
    texts = options.parse_pairs(values["recipe_option"] or (), "-R")
    trained = {key: str(value) for key, value in ((own or {}).get("recipe_options") or {}).items()}
    _warn_otherwise(talk, trained, texts)
    return method.plan(options.fill(method.Options, {**trained, **texts}, name))
