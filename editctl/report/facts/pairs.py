"""Pairs to browse: a sample spread evenly over tasks, mistakes and outcomes, taken in one pass with flat memory."""

import hashlib
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from editctl.pieces import joined_over_spaces, pieces
from editctl.records import Alignment, Chain, Edits, Reject, Span
from editctl.report.page.model import ChainView, PairView, Piece
from editctl.steps import step_spans

Group = tuple[str, str, str]
"""Task, mistake pattern and outcome."""


@dataclass(order=True, slots=True)
class _Kept:
    """One item of a group's heap: the one to go first stands on top."""

    rank: int
    """Larger stays longer; the negative of a hash."""
    place: int
    """Number among all rows of the report."""
    make: Callable[[], PairView] = field(compare=False)


@dataclass(slots=True)
class Sample:
    """At most `size` pairs, spread evenly: no group has more than another that had more to give.

    Which ones of a group are taken goes by a hash of id and place, so it is the same in every run. A group's part can
    only shrink as rows come in, so what was let go is never wanted back.
    """

    size: int
    total: int = 0
    """Rows seen."""
    groups: dict[Group, list[_Kept]] = field(default_factory=dict)
    kept: int = 0

    def add(self, group: Group, identifier: str, make: Callable[[], PairView]) -> None:
        """Offer one row; `make` turns it into its view if it is shown."""
        self.total += 1
        if not self.size:
            return
        item = _Kept(-_hash(identifier, self.total), self.total, make)
        heap = self.groups.setdefault(group, [])
        full = self.kept >= self.size
        if full and heap and item.rank < heap[0].rank and len(heap) == self._largest():
            return
        heapq.heappush(heap, item)
        self.kept += 1
        if full:
            self._drop_one()

    def _largest(self) -> int:
        return max(map(len, self.groups.values()))

    def _drop_one(self) -> None:
        size = self._largest()
        # Of groups as large as each other the last one of the alphabet gives first, in whatever order they came.
        group = max(name for name, heap in self.groups.items() if len(heap) == size)
        heapq.heappop(self.groups[group])
        if not self.groups[group]:
            del self.groups[group]
        self.kept -= 1

    def views(self) -> tuple[PairView, ...]:
        """What was taken, in the order of the files."""
        items = sorted((item for heap in self.groups.values() for item in heap), key=lambda item: item.place)
        return tuple(item.make() for item in items)

    def note(self, flag: str) -> str | None:
        """What to say where not all are shown."""
        if self.kept >= self.total:
            return None
        if not self.size:
            return f"none of the {self.total:,} pairs is shown ({flag} 0)"
        return (
            f"{self.kept:,} of {self.total:,} pairs are shown, spread evenly over tasks, mistakes and outcomes "
            f"({flag} says how many)"
        )


def _hash(identifier: str, place: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{place} {identifier}".encode()).digest()[:8], "big")


def add_alignment(sample: Sample, file: str, alignment: Alignment, outcome: str, how: str = "") -> None:
    """Offer an alignment. `outcome` is `pair` or why there is none; `how` is said behind the unit."""
    question = alignment.dual.question
    group = (question.task or "-", _pattern(alignment.dual.wrong), outcome)
    sample.add(group, question.id, lambda: pair_view(file, alignment, outcome, how))


def add_reject(sample: Sample, file: str, reject: Reject) -> None:
    """Offer a question that ended without a right chain."""
    group = (reject.question.task or "-", "", f"reject: {reject.step} {reject.reason}")
    sample.add(group, reject.question.id, lambda: reject_view(file, reject))


def pair_view(file: str, alignment: Alignment, outcome: str, how: str = "") -> PairView:
    """One alignment to look at."""
    dual, edits = alignment.dual, alignment.edits
    return PairView(
        id=dual.question.id,
        file=file,
        task=dual.question.task or "-",
        question=dual.question.question,
        answer=dual.question.answer,
        mistake=_told_pattern(dual.wrong),
        similarity=edits.similarity if edits else None,
        unit=_unit(edits, how),
        outcome=outcome,
        right=_chain(dual.right, edits, 0),
        wrong=_chain(dual.wrong, edits, 1),
    )


def reject_view(file: str, reject: Reject) -> PairView:
    """A reject to look at: in place of its right chain stands the last text, which was not taken."""
    question = reject.question
    text = reject.completion
    tried = "1 attempt" if reject.attempts == 1 else f"{reject.attempts} attempts"
    return PairView(
        id=question.id,
        file=file,
        task=question.task or "-",
        question=question.question,
        answer=question.answer,
        mistake="",
        similarity=None,
        unit="",
        outcome=f"reject: {reject.step} {reject.reason}",
        right=ChainView(pieces=cut(text, ()), answer=None, origin=f"not taken, the last of {tried}", key_ratio=None)
        if text
        else None,
        wrong=None,
    )


def _unit(edits: Edits | None, how: str) -> str:
    if edits is None:
        return ""
    told = [edits.unit, *(["matched by steps"] if edits.match == "steps" and edits.unit != "step" else [])]
    if edits.tokenizer:
        told.append(f"tokenizer {edits.tokenizer}")
    return ", ".join([*told, *([how] if how else [])])


def _pattern(wrong: Chain | None) -> str:
    return "" if wrong is None else wrong.mistake or wrong.origin


def _told_pattern(wrong: Chain | None) -> str:
    label = wrong.label if wrong else None
    return f"{_pattern(wrong)} ({label})" if label else _pattern(wrong)


def _chain(chain: Chain | None, edits: Edits | None, side: int) -> ChainView | None:
    if chain is None:
        return None
    spans: tuple[Span, ...] = (edits.right, edits.wrong)[side] if edits else ()
    if edits and edits.unit != "token":  # tokens hold the space before them: one that is not key stands apart
        spans = joined_over_spaces(chain.text, spans)
    return ChainView(
        pieces=cut(chain.text, spans),
        answer=chain.answer,
        origin=chain.origin,
        key_ratio=edits.key_ratio[side] if edits else None,
    )


def cut(text: str, spans: Sequence[Span]) -> tuple[Piece, ...]:
    """A text cut at its key steps and where steps begin in a line; put together it is the whole text."""
    begins = _begins_in_lines(text)
    found, place = [], 0
    for part, key in pieces(text, spans):
        inside = [at for at in begins if place <= at < place + len(part)]
        if inside and key and not text[place : inside[0]].strip():
            inside[0] = place  # a token holds the space before it: it stays whole
        borders = sorted({place, *inside, place + len(part)})
        found += [Piece(text=text[start:end], key=key, begins=start in inside) for start, end in pairwise(borders)]
        place += len(part)
    return tuple(found)


def _begins_in_lines(text: str) -> list[int]:
    """Where steps begin in the middle of a line."""
    return [start for (_, before), (start, _) in pairwise(step_spans(text)) if "\n" not in text[before:start]]
