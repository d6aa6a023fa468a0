"""Options that plugins declare."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from editctl.errors import UsageError
from editctl.options import describe, fill, option, parse_pairs


@dataclass(frozen=True)
class Options:
    """One of each."""

    name: str = option("x", "a name")
    count: int = option(1, "how many")
    key_ratio: float = option(0.5, "a share")
    on: bool = option(True, "a switch")
    side: Literal["left", "right"] = option("left", "where")
    limit: float | None = option(None, "at most")

    def __post_init__(self) -> None:
        if self.count > 9:
            raise ValueError("count must be at most 9")


@dataclass(frozen=True)
class Needed:
    """A stranger's options, with a needed one and a factory."""

    place: str
    tags: str = field(default_factory=lambda: "none")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("count=-3", "count", -3),
        ("key-ratio=1e-3", "key_ratio", 0.001),
        ("key_ratio=inf", "key_ratio", float("inf")),
        ("on=Off", "on", False),
        ("on=YES", "on", True),
        ("side=right", "side", "right"),
        ("limit=2", "limit", 2.0),
        ("limit=none", "limit", None),
        ("limit=None", "limit", None),
        ("limit=", "limit", None),
    ],
)
def test_texts_become_values(text: str, name: str, value: Any) -> None:
    assert getattr(fill(Options, parse_pairs([text], "-R"), "thing"), name) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae=a", "thing has no option 'nmae'; did you mean name?"),
        ("count=1.5", "thing: option count is '1.5'; it takes a whole number"),
        ("key-ratio=much", "option key-ratio is 'much'; it takes a number"),
        ("key-ratio=nan", "it takes a number"),
        ("limit=nan", "it takes a number"),
        ("on=maybe", "option on is 'maybe'; use true or false"),
        ("side=top", "option side is 'top'; use one of left, right"),
        ("count=10", "thing: count must be at most 9"),
        ("count", "-R 'count' is not of the form key=value"),
        ("=1", "-R '=1' is not of the form key=value"),
    ],
)
def test_bad_texts_are_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        fill(Options, parse_pairs([text], "-R"), "thing")
    assert says in str(caught.value)


def test_needed_option_is_asked_for() -> None:
    with pytest.raises(UsageError, match="thing needs option place=VALUE"):
        fill(Needed, {}, "thing")
    assert fill(Needed, {"place": "here"}, "thing") == Needed("here", "none")


def test_descriptions_say_what_a_user_types() -> None:
    rows = {row["name"]: row for row in describe(Options)}
    assert rows["key-ratio"] == {"name": "key-ratio", "type": "a number", "default": "0.5", "help": "a share"}
    assert rows["limit"]["type"] == "a number|none"
    assert rows["limit"]["default"] == ""
    assert rows["side"]["type"] == "left|right"
    assert rows["on"]["default"] == "True"
    assert [(row["name"], row["default"]) for row in describe(Needed)] == [("place", "needed"), ("tags", "none")]


def test_what_is_described_is_taken_back() -> None:
    texts = {row["name"]: row["default"] for row in describe(Options)}
    assert fill(Options, texts, "thing") == Options()
