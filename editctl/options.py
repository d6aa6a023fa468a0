"""Options that plugins declare for themselves: a frozen dataclass, filled from `key=value` texts.

Teachers (`-T`), recipes (`-R`) and tasks (`toy:NAME?key=value`) all use this, so that a third
party's options are checked, listed and explained exactly as ours are.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from editctl.errors import UsageError, near_misses

T = TypeVar("T")


def option(default: Any, help: str) -> Any:
    """Declare one option in a frozen dataclass, with its default and its one-line help."""
    return dataclasses.field(default=default, metadata={"help": help})


def flag_name(field_name: str) -> str:
    """The spelling users see: `skip_conclusion` is `skip-conclusion`."""
    return field_name.replace("_", "-")


def parse_pairs(pairs: typing.Iterable[str], flag: str) -> dict[str, str]:
    """Split `key=value` texts.

    Raises:
        UsageError: a text without `=`.
    """
    values = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise UsageError(f"{flag} {pair!r} is not of the form key=value")
        values[key.strip()] = value
    return values


def fill(cls: type[T], values: Mapping[str, str], owner: str) -> T:
    """Build `cls` from texts.

    Raises:
        UsageError: an unknown key (with near misses), or a value of another type.
    """
    kinds = typing.get_type_hints(cls)
    fields = {flag_name(field.name): field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    parsed = {}
    for key, text in values.items():
        field = fields.get(flag_name(key))
        if field is None:
            raise UsageError(f"{owner} has no option {key!r}; {near_misses(key, fields)}")
        parsed[field.name] = _convert(text, kinds[field.name], f"{owner}: option {key}")
    missing = [flag for flag, field in fields.items() if field.name not in parsed and _is_needed(field)]
    if missing:
        raise UsageError(f"{owner} needs option {missing[0]}=VALUE")
    try:
        return cls(**parsed)
    except ValueError as error:
        raise UsageError(f"{owner}: {error}") from error


def describe(cls: type) -> list[dict[str, str]]:
    """Name, type, default and help of each option, for people and for `--json`."""
    kinds = typing.get_type_hints(cls)
    return [
        {
            "name": flag_name(field.name),
            "type": _type_name(kinds[field.name]),
            "default": _default_text(field),
            "help": field.metadata.get("help", ""),
        }
        for field in dataclasses.fields(cls)
    ]


def _is_needed(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _default_text(field: "dataclasses.Field[Any]") -> str:
    if _is_needed(field):
        return "needed"
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return "" if value is None else str(value)


def _convert(text: str, kind: Any, where: str) -> Any:
    if typing.get_origin(kind) is typing.Literal:
        allowed = typing.get_args(kind)
        if text not in allowed:
            raise UsageError(f"{where} is {text!r}; use one of {', '.join(allowed)}")
        return text
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return None if text.lower() in ("", "none") else _convert(text, inner[0], where)
    if kind is bool:
        return _boolean(text, where)
    try:
        value = kind(text)
    except ValueError as error:
        raise UsageError(f"{where} is {text!r}; it takes {_type_name(kind)}") from error
    if isinstance(value, float) and math.isnan(value):
        raise UsageError(f"{where} is {text!r}; it takes {_type_name(kind)}")
    return value


def _boolean(text: str, where: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise UsageError(f"{where} is {text!r}; use true or false")


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "|".join(typing.get_args(kind))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return "|".join("none" if part is type(None) else _type_name(part) for part in typing.get_args(kind))
    return {int: "a whole number", float: "a number", str: "text", bool: "true|false"}.get(kind, str(kind))
