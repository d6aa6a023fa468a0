"""Rows as JSON lines. A bad line is reported with file, line and field; NaN is no JSON here."""

import json
import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jsonlines
import orjson

from editctl.errors import InputError
from editctl.files import InputFile, OutputFile

T = TypeVar("T")
Row = dict[str, Any]

_AS_WRITTEN, _ESCAPED = (
    json.JSONEncoder(ensure_ascii=escaped, allow_nan=False, separators=(",", ":")) for escaped in (False, True)
)
# JSON itself escapes the controls below the space only: these are DEL, C1, separators and marks of direction.
_ACTING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_PLAIN = bytes(range(32, 127))
_LONGEST = 2.0**63


class FieldError(ValueError):
    """A row's field is missing or wrong; the reader adds file and line."""

    def __init__(self, field: str | None, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def read_rows(source: InputFile) -> Iterator[tuple[int, Row]]:
    """Line number and object of each non-blank line.

    Raises:
        InputError: broken JSON, a line that is no object, or no row at all.
    """
    number, seen = 0, False
    for number, line in source.lines():
        if not line.strip():
            continue
        seen = True
        yield number, parse_row(line, source.name, number)
    if not seen:
        raise InputError("is empty: no rows to work on", file=source.name)


def parse_row(line: str, file: str, number: int) -> Row:
    """One JSON object.

    Raises:
        InputError: with file and line.
    """
    row = _plain_row(line)
    if row is not None:
        return row
    # Without its end: a fault behind it would be told as one in the first column of a next line.
    reader = jsonlines.Reader([line.rstrip()], loads=loads)
    try:
        row = reader.read(allow_none=True)
    except (jsonlines.InvalidLineError, ValueError, RecursionError) as error:
        cause = getattr(error, "__cause__", None) or error
        message = f"is no JSON object ({json_fault(cause)}); mend or remove the line"
        raise InputError(message, file=file, line=number) from error
    if not isinstance(row, dict):
        raise InputError(f"is {json_kind(row)}, not an object; mend or remove the line", file=file, line=number)
    return row


def _plain_row(line: str) -> Row | None:
    """The object of a line without anything odd in it, by the faster library; None where the careful one is needed.

    The faster one makes a float of a whole number that 64 bits can't hold.
    """
    try:
        row = orjson.loads(line)
        return row if isinstance(row, dict) and _is_exact(row) else None
    except (orjson.JSONDecodeError, RecursionError):
        return None


def _is_exact(value: Any) -> bool:
    """Whether no number in it is so large that it may have been a whole one."""
    if isinstance(value, float):
        return abs(value) < _LONGEST
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if type(one) is not str and one is not None and not _is_exact(one):
            return False
    return True


def json_kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), "a number")


def read_records(source: InputFile, convert: Callable[[Row], T]) -> Iterator[T]:
    """Each row turned into a record; `convert` raises FieldError for what it can't take."""
    for number, row in read_rows(source):
        with locate(source.name, number):
            record = convert(row)
        yield record


class locate:
    """Give a FieldError raised inside the file and line it belongs to."""

    def __init__(self, file: str, line: int | str | None) -> None:
        self.file = file
        self.line = line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FieldError):
            raise InputError(error.message, file=self.file, line=self.line, field=error.field) from error


class UniqueIds:
    """Refuses an id that was seen before. Takes about 20 bytes for each, where a set takes 100."""

    def __init__(self) -> None:
        self._slots = array("q", bytes(8 << 10))
        """Hashes, each in the first free slot from where it belongs; 0 is a free slot."""
        self._count = 0

    def add(self, identifier: str) -> None:
        """Raises FieldError when the id was added before."""
        if not self._put(hash(identifier) or 1):
            raise FieldError("id", f"{identifier!r} stands twice; ids must be unique")
        self._count += 1
        if self._count * 5 > len(self._slots) * 3:
            self._grow()

    def _put(self, key: int) -> bool:
        slots, mask = self._slots, len(self._slots) - 1
        at = key & mask
        while slots[at]:
            if slots[at] == key:
                return False
            at = (at + 1) & mask
        slots[at] = key
        return True

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("q", bytes(16 * len(before)))
        for key in filter(None, before):
            self._put(key)


def dumps(row: Mapping[str, Any]) -> str:
    """One line of JSON: UTF-8, no NaN, keys as they come.

    What would act on a terminal or turn the direction of text is spelled as an escape, in files as on stdout: the
    values are the same, and rows may be looked at.
    """
    text = _AS_WRITTEN.encode(row)
    if not text.isprintable():
        text = _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can spell but UTF-8 can't hold.
        return _ESCAPED.encode(row)
    return text


def dumps_read(row: Mapping[str, Any]) -> bytes:
    """As `dumps` in UTF-8, several times as fast, for a row whose values were read from JSON or are known to be finite.

    (The library used here writes NaN as null.)
    """
    try:
        data = orjson.dumps(row)
    except orjson.JSONEncodeError:
        return dumps(row).encode()
    if data.isascii() and b"\x7f" not in data:
        return data
    odd = data.translate(None, _PLAIN)
    if not odd or not _ACTING.search(odd.decode()):
        return data
    return _ACTING.sub(lambda found: f"\\u{ord(found[0]):04x}", data.decode()).encode()


def write_row(target: OutputFile, row: Mapping[str, Any]) -> None:
    """Append one row."""
    target.write(dumps(row))


def loads(text: str) -> Any:
    """A JSON value. Raises ValueError for what is none: broken text, NaN, a number beyond a float's range."""
    return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large a number")
    return value


def json_fault(error: BaseException) -> str:
    """What is wrong with a JSON text, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
