"""Reads what a user writes: `hf:ORG/NAME[/CONFIG][:SPLIT]`, a dataset of the hub, or `hf:./FOLDER`, one in a folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from editctl.errors import InputError, UsageError, near_misses
from editctl.options import parse_pairs

PREFIX = "hf:"
SHAPE = "hf:ORG/NAME[/CONFIG][:SPLIT] or hf:./FOLDER[/CONFIG][:SPLIT]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a user's `hf:` source says."""

    text: str
    """As the user wrote it."""
    place: str
    """ORG/NAME, or a folder's path."""
    is_local: bool
    config: str | None
    split: str | None
    revision: str | None
    """Branch, tag or commit on the hub; None for its newest."""


def parse(text: str) -> Named:
    """Read an `hf:` source.

    Raises:
        UsageError: another shape than SHAPE, or an option other than `?revision=`.
        InputError: a folder that does not exist.
    """
    bare, _, query = text.removeprefix(PREFIX).partition("?")
    if bare.endswith("]"):
        raise UsageError(f"{text}: slices of splits are not read; use --limit, or --shard")
    options = parse_pairs([part for part in query.split("&") if part], text)
    for key in options:
        if key != "revision":
            raise UsageError(f"{text}: hf: sources have no option {key!r}; {near_misses(key, ['revision'])}")
    if bare.startswith((".", "/", "~")) and bare.strip("/"):
        if options:
            raise UsageError(f"{text}: a folder has no revision; leave it out")
        return _parse_folder(text, bare)
    place, colon, split = bare.partition(":")
    parts = place.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts) or (colon and not split):
        raise UsageError(f"{text}: is no dataset source; write {SHAPE}")
    config = parts[2] if len(parts) == 3 else None
    revision = options.get("revision") or None
    name = "/".join(parts[:2])
    return Named(text=text, place=name, is_local=False, config=config, split=split or None, revision=revision)


def _parse_folder(text: str, bare: str) -> Named:
    """A folder; what follows it is a configuration that its README.md names, and a split."""
    whole = os.path.expanduser(bare)  # noqa: PTH111
    before, colon, split = whole.rpartition(":")
    readings = [(whole, None), *([(before, split)] if colon and split else [])]
    for path, wanted in readings:
        if Path(path).is_dir():
            return Named(text=text, place=path, is_local=True, config=None, split=wanted, revision=None)
    for path, wanted in reversed(readings):
        folder = Path(path).parent
        if (folder / "README.md").is_file():
            name = Path(path).name
            return Named(text=text, place=str(folder), is_local=True, config=name, split=wanted, revision=None)
    raise InputError("no such folder", file=text)


def split_of(named: Named, known: tuple[str, ...]) -> str:
    """The split that is meant: the one named, else the only one. Raises UsageError."""
    if named.split is None:
        if len(known) == 1:
            return known[0]
        listed = ", ".join(known)
        raise UsageError(f"{named.text}: has the splits {listed}; name one, as in {_with_split(named, known[0])}")
    if named.split not in known:
        raise UsageError(f"{named.text}: has no split {named.split!r}; {near_misses(named.split, known)}")
    return named.split


def _with_split(named: Named, split: str) -> str:
    bare, mark, query = named.text.partition("?")
    return f"{bare}:{split}{mark}{query}"
