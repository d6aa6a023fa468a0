"""Where questions come from: files of four formats, stdin, generated tasks. Opens and lists; converts nothing."""

import csv
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from editctl import toytasks
from editctl.errors import InputError, UsageError
from editctl.files import STDIO, InputFile
from editctl.interfaces import Task
from editctl.jsonl import Row, read_rows
from editctl.questions import QuestionReader
from editctl.records import Question

NumberedRows = Iterator[tuple[int | None, Row]]
Opener = Callable[[str], InputFile]
PACKED = (".gz", ".zst")


def read_questions(
    names: Iterable[str],
    reader: QuestionReader,
    open_input: Opener,
    load_task: Callable[[str], Task],
    limit: int | None = None,
) -> Iterator[Question]:
    """All questions of all sources, in order, at most `limit`.

    `open_input` opens (and remembers, for the lineage) an input; `load_task` finds a toy task by name.

    Raises:
        UsageError: a source of an unknown kind.
        InputError: a bad file.
    """
    sources = [_open_source(name, reader, open_input, load_task) for name in names]
    return itertools.islice(itertools.chain.from_iterable(sources), limit)


def _open_source(
    name: str, reader: QuestionReader, open_input: Opener, load_task: Callable[[str], Task]
) -> Iterator[Question]:
    if name.startswith("toy:"):
        return _unique(toytasks.questions(toytasks.parse_source(name, load_task)), reader)
    if name.startswith("hf:"):
        raise UsageError(f"{name}: save the dataset as .jsonl or .parquet first; hub sources are not read yet")
    source = open_input(name)
    return reader.read(_rows(source), source.name)


def _unique(questions: Iterable[Question], reader: QuestionReader) -> Iterator[Question]:
    for question in questions:
        reader.claim(question.id)
        yield question


def _rows(source: InputFile) -> NumberedRows:
    suffix = format_of(source.path)
    if suffix == ".jsonl":
        return iter(read_rows(source))
    rows = {".json": _json_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}[suffix](source)
    return _not_empty(rows, source.name)


def format_of(path: str) -> str:
    """The format a file name tells: .jsonl (also stdin's), .json, .csv or .parquet.

    Raises:
        UsageError: another one.
    """
    if path == STDIO:
        return ".jsonl"
    bare = Path(path).with_suffix("") if path.endswith(PACKED) else Path(path)
    suffix = {".ndjson": ".jsonl"}.get(bare.suffix.lower(), bare.suffix.lower())
    if suffix not in (".jsonl", ".json", ".csv", ".parquet"):
        raise UsageError(
            f"{path}: questions are read from .jsonl, .json, .csv and .parquet files, "
            "`-` for stdin, or toy:NAME for generated ones"
        )
    return suffix


def _not_empty(rows: NumberedRows, name: str) -> NumberedRows:
    first = next(rows, None)
    if first is None:
        raise InputError("is empty: no rows to work on", file=name)
    return itertools.chain([first], rows)


def _json_rows(source: InputFile) -> NumberedRows:
    """A list of objects, or an object with one list of objects in it (`{"data": [...]}`)."""
    text = "".join(line for _, line in source.lines())
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"is no JSON: {error}", file=source.name, line=line) from error
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InputError("must hold a list of objects", file=source.name)
    for row in value:
        yield None, row


def _csv_rows(source: InputFile) -> NumberedRows:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.DictReader((line for _, line in source.lines()), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError("has another number of fields than the header", file=source.name, line=reader.line_num)
            yield reader.line_num, {key: _csv_value(key, text) for key, text in row.items()}
    except csv.Error as error:
        raise InputError(f"is no CSV: {error}", file=source.name, line=reader.line_num) from error


def _csv_value(key: str, text: str) -> Any:
    """An empty cell is null; a cell of choices may hold a JSON list."""
    if key in ("choices", "options") and text.startswith("["):
        return json.loads(text)
    return text if text != "" else None


def _parquet_rows(source: InputFile) -> NumberedRows:
    import pyarrow
    import pyarrow.parquet

    try:
        # Parquet is read from its end, so a stream won't do: the hash is taken by reading the file once more.
        with pyarrow.parquet.ParquetFile(source.path) as table:
            for batch in table.iter_batches(1000):
                yield from ((None, row) for row in batch.to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"is no parquet file: {str(error).splitlines()[0]}", file=source.name) from error
