"""Checked access to the fields of a row; what is wrong is told by the field's full name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from editctl.jsonl import FieldError
from editctl.records import Span


class Fields:
    """Checked access to a row's fields; `prefix` names a nested place such as `right.`."""

    __slots__ = ("prefix", "row")

    def __init__(self, row: Mapping[str, Any], prefix: str = "") -> None:
        self.row = row
        self.prefix = prefix

    def _fail(self, key: str, message: str) -> FieldError:
        return FieldError(self.prefix + key, message)

    def optional_text(self, key: str) -> str | None:
        """The text of a field, null or missing being None; a number is taken as written."""
        value = self.row.get(key)
        if isinstance(value, str):
            return self._sound(key, value)
        if value is None:
            return None
        if isinstance(value, int | float):
            return str(value)
        raise self._fail(key, f"must be text, not {_kind(value)}")

    def _sound(self, key: str, text: str) -> str:
        try:
            if not text.isascii():
                text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self._fail(key, "holds half a surrogate pair, which is no text") from error
        return text

    def texts_or_null(self, keys: Iterable[str]) -> list[str | None]:
        """As `optional_text`, of several fields."""
        row = self.row
        return [
            value
            if (value := row.get(key)) is None or (type(value) is str and value.isascii())
            else self.optional_text(key)
            for key in keys
        ]

    def text(self, key: str) -> str:
        """The text of a field that must be there."""
        value = self.row.get(key)
        if type(value) is str and value.isascii():
            return value
        if key not in self.row:
            raise self._fail(key, "is missing")
        value = self.optional_text(key)
        if value is None:
            raise self._fail(key, "is null; text is needed")
        return value

    def optional_texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts."""
        value = self.row.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
            raise self._fail(key, "must be a list of texts")
        return tuple(self._sound(key, str(item)) for item in value)

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self.row.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._fail(key, f"must be a whole number, not {_kind(value)}")
        return value

    def optional_whole(self, key: str) -> int | None:
        """A whole number or null."""
        return None if self.row.get(key) is None else self.whole(key)

    def number(self, key: str) -> float:
        """A number."""
        value = self.row.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._fail(key, f"must be a number, not {_kind(value)}")
        return float(value)

    def optional_inner(self, key: str) -> "Fields | None":
        """A nested object, or null."""
        value = self.row.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._fail(key, f"must be an object or null, not {_kind(value)}")
        return Fields(value, self.prefix + key + ".")

    def one_of(self, key: str, allowed: Sequence[str]) -> Any:
        """One of a few words."""
        value = self.text(key)
        if value not in allowed:
            raise self._fail(key, f"is {value!r}; one of {', '.join(allowed)} is needed")
        return value

    def optional_flag(self, key: str) -> bool | None:
        """True or false; None where the key is missing or null."""
        value = self.row.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._fail(key, f"must be true or false, not {_kind(value)}")
        return value

    def optional_one_of(self, key: str, allowed: Sequence[str]) -> Any:
        """One of a few words; None where the key is missing or null."""
        return None if self.row.get(key) is None else self.one_of(key, allowed)

    def spans(self, key: str, length: int) -> tuple[Span, ...]:
        """Ascending, disjoint `[start, end)` pairs inside a text of `length` characters."""
        value = self.row.get(key)
        if not isinstance(value, list):
            raise self._fail(key, f"must be a list of [start, end] pairs, not {_kind(value)}")
        last = 0
        for pair in value:
            if not (isinstance(pair, list) and len(pair) == 2 and all(type(end) is int for end in pair)):
                raise self._fail(key, f"{pair!r} is no [start, end] pair")
            if not last <= pair[0] < pair[1]:
                raise self._fail(key, f"{pair!r} is out of order or empty")
            if pair[1] > length:
                raise self._fail(key, f"{pair!r} lies outside the text, which has {length} characters")
            last = pair[1]
        return tuple((start, end) for start, end in value)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true/false", type(None): "null"}
    return names.get(type(value), "a number")
