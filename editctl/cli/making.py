"""What a run of `gen-dual` does once it knows whom to ask what: follow it to its end, and say what it came to."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from editctl.errors import BudgetReached, EditctlError, Terminated

if TYPE_CHECKING:
    from editctl.cli.session import Session
    from editctl.files import OutputFile
    from editctl.generate.asking import Asker
    from editctl.generate.maker import Maker, Outcome
    from editctl.generate.stage import Shard
    from editctl.generate.tally import Tally
    from editctl.interfaces import Message
    from editctl.progress import Talk
    from editctl.records import Question

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """What a run works on."""

    maker: "Maker"
    asker: "Asker"
    questions: Iterable["Question"]
    kept: "OutputFile"
    aside: "OutputFile | None"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which questions, and how many at once."""

    shard: "Shard"
    window: int
    total: int | None
    """How many there are, where that is known."""


def make_pairs(session: "Session", talk: "Talk", work: Work, plan: Plan) -> None:
    """Make dual chains. Raises BudgetReached once what is finished is written and counted."""
    from editctl.generate.stage import make_dual_chains
    from editctl.generate.tally import Tally

    tally = Tally()
    outcomes = make_dual_chains(work.questions, work.maker, work.asker, window=plan.window, shard=plan.shard)

    def take(outcome: "Outcome") -> None:
        _write(outcome, work)
        tally.add(outcome)

    reached = follow(talk, work.asker, outcomes, take, plan.total)
    _sum_up(session, talk, work, tally)
    if reached is not None:
        raise reached


def follow(
    talk: "Talk",
    asker: "Asker",
    outcomes: Generator[T, None, None],
    take: Callable[[T], None],
    total: int | None,
) -> BudgetReached | None:
    """Hand on every outcome as it comes; what the run ended with where its budget was reached."""
    from editctl.progress import Bar

    with Bar(talk, "gen-dual", total) as bar:
        try:
            # Closed here and now where a write fails: the stage's event loop must not outlive this function.
            with contextlib.closing(outcomes):
                for outcome in outcomes:
                    take(outcome)
                    bar.advance(1, None if asker.budget is None else asker.status(bar.total))
        except BudgetReached as error:
            return error
        except (KeyboardInterrupt, Terminated, EditctlError):
            _tell_where_it_stopped(talk, asker)
            raise
    return None


def _tell_where_it_stopped(talk: "Talk", asker: "Asker") -> None:
    from editctl.generate.costs import in_usd

    whole = asker.costs.total()
    if asker.budget is not None and whole.calls:
        paid = in_usd(whole.known(whole.paid_now))
        talk.say(
            f"{whole.calls - whole.reused} calls are answered and kept ({paid}); the same command goes on from there"
        )


def _write(outcome: "Outcome", work: Work) -> None:
    from editctl.jsonl import write_row
    from editctl.records import Reject
    from editctl.rows import dual_to_row, reject_to_row

    if not isinstance(outcome, Reject):
        write_row(work.kept, dual_to_row(outcome))
    elif work.aside is not None:
        write_row(work.aside, reject_to_row(outcome))


def _sum_up(session: "Session", talk: "Talk", work: Work, tally: "Tally") -> None:
    outcomes = tally.by_outcome()
    session.note(teacher=work.maker.teacher, counts=outcomes, tasks=tally.by_task())
    talk.table("", ["outcome", "questions"], [[name, count] for name, count in outcomes.items()])
    if talk.verbose:
        rows: list[list[object]] = [
            [task, name, count] for task, counts in tally.by_task().items() for name, count in counts.items()
        ]
        talk.table("", ["task", "outcome", "questions"], rows)
    if work.aside is None and tally.starting("reject"):
        talk.warn("rejected questions were counted but not written; name a file with --rejects")
    tell_costs(session, talk, work.asker, tally.starting("pair"), "pair")


def tell_costs(session: "Session", talk: "Talk", asker: "Asker", count: int, what: str) -> None:
    """What a run that went through a ledger paid, in all and for each of the `count` things it was to make."""
    from editctl.generate.costs import in_usd

    if asker.budget is None:
        return
    costs = asker.costs
    facts = costs.facts(count, what)
    session.note(ledger=str(asker.budget.ledger.path), cost={**facts, "failed_calls": asker.failed_calls})
    rows: list[list[object]] = [
        [step, one.calls, one.reused, one.prompt_tokens, one.completion_tokens, in_usd(one.known(one.usd))]
        for step, one in [*costs.steps.items(), ("all", costs.total())]
    ]
    talk.table("", ["step", "calls", "of these reused", "prompt tokens", "completion tokens", "cost"], rows)
    whole = costs.total()
    if whole.unknown:
        name = asker.teacher.name
        talk.say(f"the price of {name} is not known: --price IN,OUT (USD per million tokens) sets it")
    elif whole.calls:
        talk.say(f"{in_usd(whole.paid_now)} paid now, {in_usd(facts[f'usd_per_{what}'])} a {what} in all")


def print_prompt(name: str, turns: "Sequence[Message]") -> None:
    """Show what would be sent."""
    from editctl.progress import clean

    typer.echo(f"=== {clean(name)}")
    for turn in turns:
        lines = [clean(line) for line in turn["content"].splitlines()]
        typer.echo("\n".join([f"--- {turn['role']}", *lines]))


def note_files(session: "Session", teacher: Any) -> None:
    """Put the files that a teacher has read into the lineage."""
    for path in getattr(teacher, "paths", ()):
        session.add_input(path)
