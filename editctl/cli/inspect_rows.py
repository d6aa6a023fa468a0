"""Rows of any kind that `editctl inspect` takes, turned into records, and the filters over them."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from editctl.cli.inspect_names import Names
from editctl.errors import UsageError
from editctl.jsonl import FieldError, Row
from editctl.records import Alignment, DualChain, Match, Reject
from editctl.rows import alignment_from_row, holding, reject_from_row, stage_of

Record = Alignment | DualChain | Reject
"""A dual chain is one that is still to be aligned."""
Shown = Alignment | Reject


def converter(mapping: tuple[str, ...], *, again: bool, rejects: bool) -> Callable[[Row], Record]:
    """What turns a row into a record; it raises FieldError.

    `again`: alignments are aligned again, in other units; `rejects`: nothing else is taken.
    """
    from editctl.align.pairs import PairReader

    def convert(row: Row) -> Record:
        found = holding(row)
        if found.startswith("rejects"):
            return reject_from_row(row)
        if rejects:
            raise FieldError(None, f"holds {found}, no rejects, and no NAME.rejects.jsonl lies beside it")
        if found.startswith("predictions") or (stage_of(row) is None and not _half_a_pair(row)):
            raise FieldError(None, f"holds {found}; dual chains, alignments, rejects or pairs are needed here")
        if found.startswith("alignments") and not again:
            return _aligned(alignment_from_row(row))
        # A reader remembers every id to refuse a second one: of no use here, and too much for a large file.
        return PairReader(mapping).convert(row)

    return convert


def _half_a_pair(row: Row) -> bool:
    return any(name in row for name in ("right", "wrong", "chosen", "rejected"))


def _aligned(alignment: Alignment) -> Record:
    dual = alignment.dual
    return alignment if alignment.edits or dual.right is None or dual.wrong is None else dual


def aligner(unit: str | None, tokenizer: str | None, match: str | None) -> Callable[[Sequence[Record]], list[Shown]]:
    """What aligns the dual chains among some records; in words, where nothing else is asked for.

    Raises:
        UsageError: a unit, a tokenizer and a way of matching that don't go together.
    """
    from editctl.align.aligner import aligner_for
    from editctl.align.stage import align_together

    how = aligner_for(unit or ("token" if tokenizer else "word"), tokenizer, cast(Match, match or "units"))

    def align(records: Sequence[Record]) -> list[Shown]:
        made = iter(align_together([record for record in records if isinstance(record, DualChain)], how))
        return [next(made) if isinstance(record, DualChain) else record for record in records]

    return align


class Filters:
    """What of a file is asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        """`values` are the command's options."""
        self.names = [Names(f"--{flag}", values[flag]) for flag in ("id", "task", "mistake")]
        low, high = values["min_key_ratio"], values["max_key_ratio"]
        self.bounds = None if low is None and high is None else (low or 0.0, 1.0 if high is None else high)
        ratios = (("--min-key-ratio", low), ("--max-key-ratio", high))
        self.said = [f"{names.flag} {', '.join(names.wanted)}" for names in self.names if names.wanted]
        self.said += [f"{flag} {value:g}" for flag, value in ratios if value is not None]
        if self.bounds and self.bounds[0] > self.bounds[1]:
            raise UsageError(f"--min-key-ratio {low:g} is above --max-key-ratio {high:g}: nothing could pass")

    def ask_for(self, record: Record) -> bool:
        """Whether a record's names are asked for; every record must be shown to it, so that `check` knows them all."""
        owner = record.dual if isinstance(record, Alignment) else record
        question = owner.question
        known = ([question.id], [question.task or "-"], _mistakes(owner))
        taken = [names.takes(own) for names, own in zip(self.names, known, strict=True)]  # each is to see every row
        return all(taken)

    def within(self, record: Shown) -> bool:
        """Whether the larger of both sides' key ratios lies in the bounds."""
        if self.bounds is None:
            return True
        edits = record.edits if isinstance(record, Alignment) else None
        return edits is not None and self.bounds[0] <= max(edits.key_ratio) <= self.bounds[1]

    def check(self) -> None:
        """Raises UsageError for an id, a task or a mistake that no row has."""
        for names in self.names:
            names.check()


def _mistakes(owner: DualChain | Reject) -> list[str]:
    """The names that a wrong chain's mistake goes by: pattern, or origin where it has none, and label."""
    wrong = None if isinstance(owner, Reject) else owner.wrong
    return [] if wrong is None else [wrong.mistake or wrong.origin, *([wrong.label] if wrong.label else [])]
