"""Rows of files in four formats: JSON lines, JSON, CSV and Parquet, packed or not. Converts nothing."""

import csv
import io
import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from editctl.errors import InputError, UsageError
from editctl.files import STDIO, InputFile
from editctl.jsonl import FieldError, Row, json_fault, loads, locate, parse_row, read_rows

NumberedRows = Iterator[tuple[int | str, Row]]
"""Line number and row; `row 3` where a format has no lines."""
PACKED = (".gz", ".zst")


def read_table(source: InputFile) -> NumberedRows:
    """The rows of a file, by the format its name tells.

    Raises:
        UsageError: a name of another format.
        InputError: a broken or empty file.
    """
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
            "`-` for stdin, toy:NAME for generated ones, hf:ORG/NAME for a dataset, or a question set by its name"
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
        value = read_json(text, source.name)
    except ManyValuesError:
        yield from ((at, parse_row(line, source.name, at)) for at, line in _full_lines(text))
        return
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise InputError("must hold a list of objects", file=source.name)
    yield from _numbered(value)


class ManyValuesError(InputError):
    """A JSON text goes on after its first value."""


def read_json(text: str, name: str) -> Any:
    """The one value of a JSON text.

    Raises:
        ManyValuesError: JSON lines, by the look of it.
        InputError: no JSON.
    """
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        fault = f"is no JSON ({json_fault(error)})"
        line = getattr(error, "lineno", None)
        many = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and text.lstrip().startswith("{")
        raise (ManyValuesError if many else InputError)(fault, file=name, line=line) from error


def _full_lines(text: str) -> Iterator[tuple[int, str]]:
    return ((at, line) for at, line in enumerate(text.split("\n"), 1) if line.strip())


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
                    values = {key: json_value(key, value) for key, value in row.items()}
                yield number, values
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"is no parquet file: {str(error).splitlines()[0]}", file=source.name) from error


def json_value(key: str, value: Any) -> Any:
    """A parquet value as JSON can spell it: NaN, which pandas writes for a missing value, is null; dates are text.

    Raises:
        FieldError: for the field `key`, where the value is infinite or bytes.
    """
    if isinstance(value, dict):
        return {name: json_value(f"{key}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(key, inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise FieldError(key, "is infinite, which JSON can't hold")
    if isinstance(value, bytes):
        raise FieldError(key, "holds bytes; text is needed")
    return value if value is None or isinstance(value, str | int | float) else str(value)
