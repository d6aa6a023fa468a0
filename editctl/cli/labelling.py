"""`editctl gen-dual --label`: dual chains in, the same rows with each wrong chain's mistake labelled out."""

import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from editctl.cli import making, teaching
from editctl.cli.session import Session
from editctl.errors import UsageError

if TYPE_CHECKING:
    from editctl.generate.asking import Asker
    from editctl.generate.estimate import Estimate
    from editctl.generate.labels import Labeller, Labels, Pair
    from editctl.generate.ledger import Ledger
    from editctl.interfaces import Price, Teacher
    from editctl.jsonl import Row
    from editctl.progress import Talk

MEANINGLESS = (
    *("mistake", "rejects", "reasoning", "samples", "mine", "shots", "max_shots", "conclusion", "data_dir"),
    "format",
)
"""Options that say how chains are made."""


def refuse_others(given: Collection[str]) -> None:
    """Raises UsageError for an option of the command line that says how chains are made."""
    for name in MEANINGLESS:
        if name in given:
            raise UsageError(f"--label makes no chains, so --{name.replace('_', '-')} has no meaning there")


def label(session: Session, talk: "Talk", values: dict[str, Any]) -> "Asker | None":
    """Label the wrong chains of some files; who was asked, or None where nothing was to be.

    Raises:
        UsageError: a teacher that can't be asked for labels.
    """
    labeller = _labeller(values)
    pairs = _pairs(session, values)
    if values["show_prompts"]:
        for pair in itertools.islice((one for one in pairs if one.dual.wrong), values["show_prompts"]):
            making.print_prompt(pair.dual.question.id, labeller.render(pair.dual)[0])
        return None
    if values["dry_run"]:
        _dry_run(session, talk, values, labeller, pairs)
        return None
    kept = session.open_output(values["output"])
    teaching.refuse_ledger_among(values, [*(values["questions"] or []), kept.path])
    asker = teaching.build_asker(talk, values, "label")
    making.note_files(session, asker.teacher)
    _run(session, talk, values, (labeller, asker, pairs), kept)
    return asker


def _run(
    session: Session,
    talk: "Talk",
    values: dict[str, Any],
    work: "tuple[Labeller, Asker, Iterable[Pair]]",
    kept: Any,
) -> None:
    from editctl.generate.labels import Labels
    from editctl.generate.stage import in_order
    from editctl.jsonl import write_row

    labeller, asker, pairs = work
    found = Labels()

    def take(pair: "Pair") -> None:
        write_row(kept, pair.to_row())
        found.add(pair)

    shard, window = teaching.shard_of(values["shard"]), teaching.window_of(values)
    outcomes = in_order(pairs, labeller.make, asker, window=window, shard=shard)
    reached = making.follow(talk, asker, outcomes, take, None)
    _sum_up(session, talk, asker, found)
    if reached is not None:
        raise reached


def _sum_up(session: Session, talk: "Talk", asker: "Asker", found: "Labels") -> None:
    session.note(teacher=asker.teacher.name, **found.facts())
    talk.table("", *found.table())
    if found.without:
        talk.say(f"{found.without} rows have no wrong chain; they are written as they were")
    for reason, count in found.reasons.most_common():
        talk.say(f"without a label: {count} ({reason})")
    making.tell_costs(session, talk, asker, found.labelled, "label")


def _labeller(values: dict[str, Any]) -> "Labeller":
    from editctl.generate.labels import Labeller
    from editctl.generate.settings import Settings
    from editctl.prompts import Templates

    settings = Settings(
        attempts=values["attempts"],
        max_tokens=values["max_new_tokens"],
        system=values["system"],
        seed=values["seed"],
        temperature=values["temperature"],
    )
    return Labeller(Templates(values["templates"] or ()), settings)


def _pairs(session: Session, values: dict[str, Any]) -> "Iterator[Pair]":
    from editctl.align.pairs import PairReader
    from editctl.generate.labels import Pair
    from editctl.jsonl import read_records
    from editctl.sets.names import is_set

    for name in values["questions"] or ():
        if name.startswith(("toy:", "hf:")) or is_set(name):
            raise UsageError(f"{name}: holds questions; --label takes files of dual chains, as gen-dual writes them")
    reader = PairReader(tuple(values["map"] or ()))

    def convert(row: "Row") -> "Pair":
        return Pair(row=row, dual=reader.convert(row))

    sources = [session.open_input(name) for name in values["questions"] or [None]]
    rows = itertools.chain.from_iterable(read_records(source, convert) for source in sources)
    return itertools.islice(rows, values["limit"])


def _dry_run(
    session: Session, talk: "Talk", values: dict[str, Any], labeller: "Labeller", pairs: "Iterable[Pair]"
) -> None:
    from editctl.generate.estimate import Estimate, follow

    numbered = teaching.shard_of(values["shard"]).of(pairs)

    def measure(teacher: "Teacher", ledger: "Ledger | None", price: "Price | None") -> "Estimate":
        teaching.check_step(teacher, "label")
        found = Estimate(price, values["attempts"], values["max_new_tokens"], ("label",))
        for number, pair in numbered:
            found.questions += 1
            follow(labeller.make(number, pair), teacher, ledger, found)
        return found

    teaching.print_estimate(session, talk, values, measure)
