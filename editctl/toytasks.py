"""Generated questions with known solutions: numbering, splits, ids, and the worked solution behind an id.

Knows no single task: families are plugins (`interfaces.Task`). Everything here is a pure function of
(task options, seed, split, index): there is random access, and nothing depends on the order of asking.

All questions of a task at given options form a universe, numbered from 0. One fixed permutation
scrambles it; its first 80 % are split train, the next 10 % test, the last 10 % ood. Split ood lies in the
universe that is `HARDER` more difficult. So no seed and no difficulty makes two splits share a question,
as long as a task's questions at different options have different texts.
"""

import dataclasses
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import quote, unquote

from editctl.errors import UsageError, near_misses
from editctl.interfaces import Formatted, Puzzle, Task
from editctl.numbering import Permutation
from editctl.options import fill, flag_name, option, parse_pairs
from editctl.records import Question, Span
from editctl.worked import CONCLUSION, Worked

Split = Literal["train", "test", "ood"]
LoadTask = Callable[[str], Task]
T = TypeVar("T")

PREFIX = "toy:"
HARDER = 2
"""How much split ood adds to the difficulty."""
_ID = re.compile(r"(toy:[^?]+\?.*?)&index=([0-9]+)((?:&.*)?)")


def conclude(answer: str) -> tuple[str, str, str]:
    """The last three pieces of a chain: the conclusion sentence."""
    return (CONCLUSION, answer, ".")


def first_slip(
    places: Sequence[T], chance: random.Random, tell: Callable[[T], tuple[str, ...]], answer: str
) -> tuple[str, ...] | None:
    """Tell the chain with a slip at one place after the other, in random order, until the answer differs.

    `tell` gives a chain that ends in `conclude(...)`. None when no place leads to another answer.
    """
    found = first_place(places, chance, tell, answer)
    return found and found[1]


def first_place(
    places: Sequence[T], chance: random.Random, tell: Callable[[T], tuple[str, ...]], answer: str
) -> tuple[T, tuple[str, ...]] | None:
    """As `first_slip`, with the place that was found: a chain in another format may slip there, too."""
    left = list(places)
    while left:
        place = left.pop(int(chance.random() * len(left)))
        pieces = tell(place)
        if pieces[-2] != answer:
            return place, pieces
    return None


def check_range(name: str, value: int, lowest: int, highest: int) -> None:
    """For a task's options. Raises ValueError, with the range, when the value lies outside."""
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value}; use {lowest} to {highest}")


_permutation = lru_cache(maxsize=256)(Permutation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """The keys of `toy:NAME?…` that every task shares."""

    n: int = option(100, "how many questions")
    seed: int = option(0, "order of the questions within their split")
    split: Split = option("train", "train, test or ood")

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n is {self.n}; ask for at least 1 question")


@dataclass(frozen=True, kw_only=True)
class Source:
    """What `toy:NAME?…` means: the first n questions of a task's split, in the order of a seed."""

    name: str
    task: Task
    options: Any
    """As the user gave them; split ood is more difficult than they say."""
    seed: int
    split: Split
    n: int

    @cached_property
    def universe(self) -> Any:
        """The options that questions are made with."""
        if self.split != "ood":
            return self.options
        try:
            return dataclasses.replace(self.options, difficulty=self.options.difficulty + HARDER)
        except ValueError as error:
            raise UsageError(f"{PREFIX}{self.name}: split ood adds {HARDER} to difficulty, but {error}") from error

    @cached_property
    def bounds(self) -> Span:
        """First place of the split in the scrambled universe, and the first place after it."""
        size = self.task.size(self.universe)
        marks = (0, size * 8 // 10, size * 9 // 10, size)
        at = get_args(Split).index(self.split)
        return marks[at], marks[at + 1]

    @property
    def size(self) -> int:
        """How many different questions the split has."""
        return self.bounds[1] - self.bounds[0]

    def code(self, index: int) -> int:
        """The task's number for the question at `index`. Raises UsageError beyond the last."""
        if not 0 <= index < self.size:
            raise UsageError(f"{PREFIX}{self.name}: split {self.split} has {self.size} questions, no index {index}")
        start, end = self._permutations
        return end(self.bounds[0] + start(index))

    @cached_property
    def _permutations(self) -> tuple[Permutation, Permutation]:
        """Within the split, by seed; then of the universe, the same for everybody."""
        return (
            _permutation(self.size, f"order/{self.split}/{self.seed}"),
            _permutation(self.task.size(self.universe), "splits"),
        )

    @cached_property
    def id_parts(self) -> tuple[str, str]:
        """What stands before and after the index in the ids of this source's questions."""
        changed = {
            flag_name(field.name): getattr(self.options, field.name)
            for field in dataclasses.fields(self.options)
            if getattr(self.options, field.name) != field.default
        }
        tail = "".join(f"&{key}={quote(str(value))}" for key, value in sorted(changed.items()))
        return f"{PREFIX}{self.name}?split={self.split}&seed={self.seed}&index=", tail


def parse_source(text: str, load_task: LoadTask) -> Source:
    """Read `toy:NAME?n=200&seed=1&split=test&difficulty=2`.

    Raises:
        UsageError: an unknown task, key, value or split, or more questions than there are.
    """
    source = _read(text, load_task)
    if source.n > source.size:
        raise UsageError(f"{text}: split {source.split} has {source.size} questions, but n is {source.n}")
    return source


def questions(source: Source) -> Iterator[Question]:
    """The questions of a source, in order."""
    head, tail = source.id_parts
    for index in range(source.n):
        puzzle = source.task.puzzle(source.universe, source.code(index))
        yield _question(source, puzzle, f"{head}{index}{tail}")


@lru_cache(maxsize=8)
def recall(question_id: str, load_task: LoadTask) -> Worked:
    """The worked solution of a generated question, from its id alone.

    Raises:
        UsageError: an id that no toy task gave.
    """
    match = _ID.fullmatch(question_id)
    if match is None:
        raise UsageError(f"{question_id!r} is no id of a generated question (toy:NAME?split=…&seed=…&index=…)")
    return _work(_source_of_id(match[1] + match[3], load_task), int(match[2]), question_id)


def _read(text: str, load_task: LoadTask) -> Source:
    name, _, query = text.removeprefix(PREFIX).partition("?")
    if not text.startswith(PREFIX) or not name:
        raise UsageError(f"{text!r} is not of the form {PREFIX}NAME?key=value&key=value")
    pairs = [part for part in query.split("&") if part]
    values = {key: unquote(value) for key, value in parse_pairs(pairs, text).items()}
    if len(values) < len(pairs):
        raise UsageError(f"{text}: a key is given twice")
    task = load_task(name)
    shared = [field.name for field in dataclasses.fields(_Sample)]
    own = [flag_name(field.name) for field in dataclasses.fields(task.Options)]
    for key in values:
        if key not in shared and flag_name(key) not in own:
            raise UsageError(f"{text}: no option {key!r}; {near_misses(key, [*shared, *own])}")
    sample = fill(_Sample, {key: value for key, value in values.items() if key in shared}, text)
    options = fill(task.Options, {key: value for key, value in values.items() if key not in shared}, text)
    return Source(name=name, task=task, options=options, seed=sample.seed, split=sample.split, n=sample.n)


_source_of_id = lru_cache(maxsize=256)(_read)


def _work(source: Source, index: int, question_id: str) -> Worked:
    task, options, code = source.task, source.universe, source.code(index)
    written = task if isinstance(task, Formatted) else None
    puzzle = task.puzzle(options, code)
    return Worked(
        question=_question(source, puzzle, question_id),
        right="".join(puzzle.right),
        answer=puzzle.answer,
        patterns=task.patterns,
        pieces=puzzle.right,
        slip=lambda pattern, chance: task.slip(options, code, pattern, chance),
        formats=written.formats if written else (),
        sections=partial(written.sections, options, code) if written else None,
    )


def _question(source: Source, puzzle: Puzzle, question_id: str) -> Question:
    return Question(
        id=question_id,
        task=f"{source.name}-ood" if source.split == "ood" else source.name,
        question=puzzle.question,
        answer=puzzle.answer,
        kind=puzzle.kind,
        choices=puzzle.choices,
        description=source.task.description,
    )
