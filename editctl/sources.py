"""Where questions come from: files of four formats, stdin, generated tasks. Opens and lists; converts nothing."""

import csv
import io
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from editctl import toytasks
from editctl.errors import InputError, UsageError
from editctl.files import STDIO, InputFile
from editctl.interfaces import Task
from editctl.jsonl import FieldError, Row, json_fault, loads, locate, read_rows
from editctl.questions import QuestionReader
from editctl.records import Question

NumberedRows = Iterator[tuple[int | str, Row]]
"""Line number and row; `row 3` where a format has no lines."""
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


def count_questions(names: Iterable[str], load_task: Callable[[str], Task], limit: int | None = None) -> int | None:
    """How many questions the sources hold, where that is soon told: generated ones and plain JSON lines."""
    counts = [_count(name, load_task) for name in names]
    if not counts or None in counts:
        return None
    total = sum(count or 0 for count in counts)
    return total if limit is None else min(total, limit)


def _count(name: str, load_task: Callable[[str], Task]) -> int | None:
    if name.startswith("toy:"):
        return toytasks.parse_source(name, load_task).n
    path = Path(name)
    if path.suffix not in (".jsonl", ".ndjson") or not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(1 for line in file if not line.isspace())


def _open_source(
    name: str, reader: QuestionReader, open_input: Opener, load_task: Callable[[str], Task]
) -> Iterator[Question]:
    if name.startswith("toy:"):
        return _unique(name, toytasks.questions(toytasks.parse_source(name, load_task)), reader)
    if name.startswith("hf:"):
        raise UsageError(f"{name}: save the dataset as .jsonl or .parquet first; hub sources are not read yet")
    source = open_input(name)
    return reader.read(_rows(source), source.name)


def _unique(name: str, questions: Iterable[Question], reader: QuestionReader) -> Iterator[Question]:
    for question in questions:
        with locate(name, None):
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
        value = loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"is no JSON ({json_fault(error)})", file=source.name, line=line) from error
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InputError("must hold a list of objects", file=source.name)
    yield from _numbered(value)


def _numbered(rows: Iterable[Row]) -> NumberedRows:
    return ((f"row {number}", row) for number, row in enumerate(rows, 1))


def _csv_rows(source: InputFile) -> NumberedRows:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.DictReader((line for _, line in source.lines()), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError("has another number of fields than the header", file=source.name, line=reader.line_num)
            with locate(source.name, reader.line_num):
                values = {key: _csv_value(key, text) for key, text in row.items()}
            yield reader.line_num, values
    except csv.Error as error:
        raise InputError(f"is no CSV: {error}", file=source.name, line=reader.reader.line_num) from error


def _csv_value(key: str, text: str) -> Any:
    """An empty cell is null; a cell of choices may hold a JSON list."""
    if key in ("choices", "options") and text.startswith("["):
        try:
            return loads(text)
        except (ValueError, RecursionError) as error:
            raise FieldError(key, f"begins like a JSON list but is none ({json_fault(error)})") from error
    return text if text != "" else None


def _parquet_rows(source: InputFile) -> NumberedRows:
    import pyarrow
    import pyarrow.parquet

    # Parquet is read from its end, so a stream won't do: the hash is taken by reading the file once more.
    place = io.BytesIO(source.read()) if source.path.endswith(PACKED) else source.path
    source.close()
    try:
        with pyarrow.parquet.ParquetFile(place) as table:
            rows = itertools.chain.from_iterable(batch.to_pylist() for batch in table.iter_batches(1000))
            for number, row in _numbered(rows):
                with locate(source.name, number):
                    values = {key: _json_value(key, value) for key, value in row.items()}
                yield number, values
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"is no parquet file: {str(error).splitlines()[0]}", file=source.name) from error


def _json_value(key: str, value: Any) -> Any:
    """A parquet value as JSON can spell it: NaN, which pandas writes for a missing value, is null; dates are text."""
    if isinstance(value, dict):
        return {name: _json_value(f"{key}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(key, inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise FieldError(key, "is infinite, which JSON can't hold")
    if isinstance(value, bytes):
        raise FieldError(key, "holds bytes; text is needed")
    return value if value is None or isinstance(value, str | int | float) else str(value)
