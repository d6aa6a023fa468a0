"""Where questions come from: files of four formats, stdin, generated tasks, sets by name, datasets of the hub."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from editctl import toytasks
from editctl.errors import UsageError, near_misses
from editctl.files import STDIO, InputFile
from editctl.hub_names import PREFIX
from editctl.hub_sources import count_hub, read_hub
from editctl.interfaces import Task
from editctl.jsonl import locate
from editctl.questions import QuestionReader
from editctl.records import Question
from editctl.sets.facts import FACTS
from editctl.sets.names import is_set
from editctl.sets.shelf import Shelf
from editctl.tables import format_of, read_table

Opener = Callable[[str], InputFile]


def read_questions(
    names: Iterable[str],
    reader: QuestionReader,
    open_input: Opener,
    load_task: Callable[[str], Task],
    limit: int | None = None,
    shelf: Shelf | None = None,
) -> Iterator[Question]:
    """All questions of all sources, in order, at most `limit`.

    `open_input` opens (and remembers, for the lineage) an input; `load_task` finds a toy task by name; `shelf` holds
    the question sets, and knows afterwards what was read of them (without one, they come from the hub). Files of sets
    are looked for now, and opened when their rows are needed.

    Raises:
        UsageError: a source of an unknown kind.
        InputError: a bad file, or a question set that is nowhere to be had.
    """
    shelf = Shelf() if shelf is None else shelf
    sources = [_open_source(name, reader, open_input, load_task, shelf) for name in names]
    return itertools.islice(itertools.chain.from_iterable(sources), limit)


def count_questions(
    names: Iterable[str], load_task: Callable[[str], Task], limit: int | None = None, shelf: Shelf | None = None
) -> int | None:
    """How many questions the sources hold, where that is soon told: generated ones, plain JSON lines, most sets."""
    shelf = Shelf() if shelf is None else shelf
    counts = [_count(name, load_task, shelf) for name in names]
    if not counts or None in counts:
        return None
    total = sum(count or 0 for count in counts)
    return total if limit is None else min(total, limit)


def _count(name: str, load_task: Callable[[str], Task], shelf: Shelf) -> int | None:
    if name.startswith("toy:"):
        return toytasks.parse_source(name, load_task).n
    if is_set(name):
        return shelf.count(name)
    if name.startswith(PREFIX):
        return count_hub(name, shelf.notes)
    path = Path(name)
    if path.suffix not in (".jsonl", ".ndjson") or not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(1 for line in file if not line.isspace())


def _open_source(
    name: str, reader: QuestionReader, open_input: Opener, load_task: Callable[[str], Task], shelf: Shelf
) -> Iterator[Question]:
    if name.startswith("toy:"):
        return _unique(name, toytasks.questions(toytasks.parse_source(name, load_task)), reader)
    if is_set(name):
        return _unique(name, shelf.questions(name, open_input), reader)
    if name.startswith(PREFIX):
        return read_hub(name, reader, open_input, shelf.notes)
    _refuse_bare_name(name)
    format_of(name)  # a name that can't be read is not opened
    source = open_input(name)
    return reader.read(read_table(source), source.name)


def _refuse_bare_name(name: str) -> None:
    """Raises UsageError for what looks like a set's name and is none; says which set it may have meant."""
    bare = name.partition("?")[0]
    if bare in FACTS:
        raise UsageError(
            f"{name}: is the name of a question set, and also of a file here, whose format no ending tells; "
            "rename the file, or run from another folder"
        )
    looks_like_a_set = "?" in name or not (Path(name).suffix or "/" in name or name == STDIO)
    if looks_like_a_set and not os.path.exists(name):  # noqa: PTH110
        raise UsageError(f"{name}: no such file or question set; {near_misses(bare, FACTS)}")


def _unique(name: str, questions: Iterable[Question], reader: QuestionReader) -> Iterator[Question]:
    for question in questions:
        with locate(name, None):
            reader.claim(question.id)
        yield question


__all__ = ["Opener", "count_questions", "format_of", "read_questions"]
