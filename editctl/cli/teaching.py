"""From the options of `gen-dual` to who makes, who asks and what remembers."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from editctl.errors import UsageError

if TYPE_CHECKING:
    from editctl.cli.session import Session
    from editctl.generate.asking import Asker
    from editctl.generate.batches import Batches
    from editctl.generate.budget import Budget
    from editctl.generate.estimate import Estimate
    from editctl.generate.ledger import Cap, Ledger
    from editctl.generate.maker import Maker
    from editctl.generate.settings import Settings
    from editctl.generate.shots import Shots
    from editctl.generate.stage import Shard
    from editctl.generate.throttle import Throttle
    from editctl.interfaces import Price, Teacher
    from editctl.progress import Talk
    from editctl.prompts import Templates
    from editctl.records import Question, Step

Values = Mapping[str, Any]
FIRST_LIMIT, LAST_LIMIT = 16, 64
"""Calls under way where the user names no limit: at the beginning, and at most."""
GRACE = 10.0
"""Seconds that a run which is stopped waits for calls under way."""
QUESTIONS_A_CALL = 8
"""Questions under way per concurrent call: one slow question must not hold up the others."""


def build_maker(session: "Session", values: Values) -> "Maker":
    """Templates, settings and worked examples of a run; its teacher has no name yet."""
    from editctl.generate.maker import Maker
    from editctl.prompts import Templates, packages

    for package in packages():
        if package.error is not None:
            session.talk.warn(f"templates of {package.origin} are skipped: {package.target}: {package.error}")
    templates = Templates(values["templates"] or ())
    return Maker("", templates, _settings(values, templates), _shots(session, values))


def _settings(values: Values, templates: "Templates") -> "Settings":
    from editctl.formats import COT, format_of
    from editctl.generate.settings import Settings, deal, parse_mistakes, parse_reasoning

    if values["reasoning"] == "use" and values["format"] != COT:
        raise UsageError("--reasoning use goes with --format cot: hidden reasoning is in no other format")
    if values["mine"] and values["samples"] < 2:
        raise UsageError(
            "--mine pairs samples of a question with each other; ask for several with --samples, such as 4"
        )
    return Settings(
        mistakes=deal(parse_mistakes(values["mistake"], templates.mistakes())),
        attempts=values["attempts"],
        max_tokens=values["max_new_tokens"],
        conclusion=values["conclusion"],
        system=values["system"],
        reasoning=parse_reasoning(values["reasoning"]),
        seed=values["seed"],
        format=format_of(values["format"]).name,
        samples=values["samples"],
        mine=values["mine"],
        temperature=values["temperature"],
    )


def _shots(session: "Session", values: Values) -> "Shots":
    from functools import partial

    from editctl.formats import format_of
    from editctl.generate.shots import Shots, shot_from
    from editctl.jsonl import read_records

    convert = partial(shot_from, format=format_of(values["format"]))
    path = values["shots"]
    return Shots(read_records(session.open_input(path), convert) if path else (), values["max_shots"])


def build_teacher(values: Values) -> "Teacher":
    """The teacher that `-t` and `-T` name. Raises UsageError."""
    from editctl.generate.teachers import find_teacher
    from editctl.options import parse_pairs

    if not values["teacher"]:
        raise UsageError(
            "gen-dual needs a teacher: -t oracle for toy tasks, -t recorded:FILE, or -t openai/gpt-4o-mini"
        )
    own = parse_pairs(values["teacher_option"] or (), "-T")
    if values["api_base"]:
        own.setdefault("api-base", values["api_base"])
    return find_teacher(values["teacher"], own, batch=values["batch"])


def build_asker(talk: "Talk", values: Values, step: "Step" = "explain") -> "Asker":
    """Who asks. Opens the ledger, unless the teacher is offline, and says where it is.

    Raises:
        UsageError: a teacher that can't be asked `step`, among others.
    """
    from editctl.generate.asking import Asker, Manners

    teacher = build_teacher(values)
    check_step(teacher, step)
    manners = Manners(
        retries=values["retries"], patience=values["patience"], keep_going=values["keep_going"], grace=GRACE
    )
    throttle = _throttle(values, teacher)
    if teacher.offline:
        return Asker(teacher, throttle, None, manners)
    budget = _budget(values, teacher)
    entries = budget.ledger.entries
    talk.say(f"ledger: {budget.ledger.path} ({f'{entries:,} completions' if entries else 'new'})")
    batches = _batches(talk, values, teacher, budget) if values["batch"] else None
    return Asker(teacher, throttle, budget, manners, batches, talk.say)


def _batches(talk: "Talk", values: Values, teacher: "Teacher", budget: "Budget") -> "Batches":
    from editctl.generate.batches import Batches
    from editctl.interfaces import Batching

    if not isinstance(teacher, Batching):
        raise UsageError(f"--batch: teacher {teacher.name} has no batch service; leave --batch away")
    return Batches(teacher, budget.ledger, budget.book, talk.say, values["patience"])


def steps_of(teacher: "Teacher") -> "Collection[Step]":
    """What a teacher can be asked."""
    from editctl.interfaces import Limited
    from editctl.records import Step

    return teacher.steps if isinstance(teacher, Limited) else get_args(Step)


def check_step(teacher: "Teacher", step: "Step") -> None:
    """Raises UsageError for a teacher that can't be asked a step."""
    if step not in steps_of(teacher):
        raise UsageError(f"teacher {teacher.name}: can't be asked to {step}; name another one")


def _throttle(values: Values, teacher: "Teacher") -> "Throttle":
    from editctl.generate.throttle import Throttle
    from editctl.interfaces import Gathering

    wanted = values["max_concurrency"] or (teacher.at_once if isinstance(teacher, Gathering) else None)
    if values["batch"]:
        wanted = values["batch_size"] * values["samples"]
    return Throttle(
        # A limit that the user names is one they know the provider takes: no need to feel the way up to it.
        start=wanted or FIRST_LIMIT,
        most=wanted or LAST_LIMIT,
        requests_per_minute=values["requests_per_minute"],
        tokens_per_minute=values["tokens_per_minute"],
    )


def _budget(values: Values, teacher: "Teacher") -> "Budget":
    from editctl.generate.budget import Budget

    price = price_of(values, teacher)
    cap = _cap(values, price)
    return Budget(open_ledger(values), teacher.name, cap, price, own_price=values["price"] is not None)


def price_of(values: Values, teacher: "Teacher") -> "Price | None":
    """What the user says a token costs, else what the teacher knows."""
    from editctl.interfaces import Batching, Priced
    from editctl.prices import parse_price

    if values["price"] is not None:
        return parse_price(values["price"])
    if values["batch"] and isinstance(teacher, Batching) and teacher.batch_price is not None:
        return teacher.batch_price
    return teacher.price if isinstance(teacher, Priced) else None


def _cap(values: Values, price: "Price | None") -> "Cap":
    from editctl.generate.ledger import Cap, to_nanousd

    usd = values["budget_usd"]
    if usd is not None and price is None:
        raise UsageError(
            f"--budget-usd: the price of {values['teacher']} is not known; name it with --price IN,OUT "
            "(USD per million tokens), or use --budget-tokens"
        )
    return Cap(tokens=values["budget_tokens"], nanousd=None if usd is None else to_nanousd(usd))


def open_ledger(values: Values) -> "Ledger":
    """The ledger of a run, made where there is none. Raises UsageError, InputError."""
    from editctl.generate.ledger import Ledger

    path = ledger_path(values)
    if not values["ledger"]:
        path.parent.mkdir(parents=True, exist_ok=True)
    return Ledger(path, _run_name(values, path))


def ledger_path(values: Values) -> Path:
    """`--ledger`, else beside the output, else (rows go to stdout) in the state folder."""
    from editctl.files import STDIO
    from editctl.manifest import beside, state_folder

    if values["ledger"]:
        return Path(values["ledger"])
    output = values["output"]
    if output in (None, STDIO) or (Path(output).exists() and not Path(output).is_file()):
        return state_folder() / "ledger.sqlite"
    return beside(Path(output), "ledger", ".sqlite")


def refuse_ledger_among(values: Values, paths: Iterable[str]) -> None:
    """Raises UsageError where the ledger is also read as questions or written as rows."""
    ledger = os.path.realpath(ledger_path(values))
    for path in paths:
        if path != "-" and os.path.realpath(path) == ledger:
            raise UsageError(f"--ledger {path}: holds the rows of this command as well; name another file")


def _run_name(values: Values, ledger: Path) -> str:
    """What the budget of a run is kept under: its output, seen from the ledger, so that both may move together."""
    if values["output"] not in (None, "-"):
        return os.path.relpath(Path(values["output"]).resolve(), ledger.resolve().parent)
    sources = [str(Path(name).resolve()) if Path(name).exists() else name for name in values["questions"] or ["-"]]
    digest = hashlib.sha256("\n".join([*sources, values["teacher"], str(values["shard"])]).encode()).hexdigest()
    return f"stdout {digest[:12]}"


def shard_of(text: str | None) -> "Shard":
    """`2/8` as a part of the questions. Raises UsageError."""
    from editctl.generate.stage import Shard

    if text is None:
        return Shard()
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UsageError(f"--shard {text}: must be i/n with i from 1 to n, such as 2/8")
    return Shard(int(index) - 1, int(count))


def window_of(values: Values) -> int:
    """Questions under way at once."""
    if values["batch"]:
        return int(values["batch_size"])
    return int(values["max_concurrency"] or LAST_LIMIT) * QUESTIONS_A_CALL


def dry_run(session: "Session", talk: "Talk", values: Values, maker: "Maker", questions: Iterable["Question"]) -> None:
    """Print what a run would ask and what it may cost. Nothing is asked, no file is written."""
    from editctl.generate.estimate import estimate

    numbered = shard_of(values["shard"]).of(questions)

    def measure(teacher: "Teacher", ledger: "Ledger | None", price: "Price | None") -> "Estimate":
        maker.teacher, maker.steps = teacher.name, steps_of(teacher)
        return estimate(numbered, maker, teacher, ledger, price)

    print_estimate(session, talk, values, measure)


def print_estimate(
    session: "Session",
    talk: "Talk",
    values: Values,
    measure: "Callable[[Teacher, Ledger | None, Price | None], Estimate]",
) -> None:
    """Print what `measure` finds."""
    from editctl.interfaces import Price
    from editctl.jsonl import dumps
    from editctl.progress import print_table, stdout_console

    teacher = build_teacher(values)
    price = Price(input=0.0, output=0.0) if teacher.offline else price_of(values, teacher)
    ledger = open_ledger(values) if not teacher.offline and ledger_path(values).exists() else None
    try:
        found = measure(teacher, ledger, price)
    finally:
        if ledger is not None:
            ledger.close()
    session.finish_inputs()
    if values["json"]:
        print(dumps(found.facts()))
        return
    print_table(stdout_console(color=talk.color), "", *found.table())
    for line in found.remarks():
        talk.say(line)
