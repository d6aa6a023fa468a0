"""What a report is made from: files told apart by their content, and run folders. Opens files; knows no command."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from editctl.errors import InputError
from editctl.files import InputFile, sha256_of
from editctl.jsonl import Row, locate, read_rows
from editctl.manifest import Manifest, find
from editctl.models import RUN_FILE, run_facts
from editctl.rows import holding
from editctl.slots import SLOTS

T = TypeVar("T")
Kind = Literal["alignments", "dual chains", "predictions", "rejects"]
_KINDS: Mapping[str, Kind] = {
    "alignments": "alignments",
    "predictions": "predictions",
    "rejects": "rejects",
    "dual chains": "dual chains",
    "chosen/rejected pairs": "dual chains",
}
"""Kinds by how `rows.stage_of` names a row."""
MANIFEST_KEYS = frozenset({"editctl", "command", "outputs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of rows."""

    name: str
    """As the user named it; for what came through a pipe, stdin."""
    path: str
    """Where it is opened; for what came through a pipe, where that was set aside."""
    sha256: str
    """Of the bytes as they were read, packed or not."""
    kind: Kind
    manifest: Manifest | None
    """Of the command that made it, where that is known."""
    found: bool = False
    """Whether it was not named, but found by what a manifest says."""

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Line number and row, from the beginning. Raises InputError."""
        file = InputFile(self.path)
        file.name = self.name
        try:
            yield from read_rows(file)
        finally:
            file.close()

    def records(self, convert: Callable[[Row], T]) -> Iterator[tuple[int, T]]:
        """Line number and record of each row. Raises InputError with file, line and field."""
        for number, row in self.rows():
            with locate(self.name, number):
                record = convert(row)
            yield number, record


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run folder."""

    name: str
    """What it is called all over the page."""
    folder: Path
    facts: Mapping[str, Any]
    """What its `editctl.json` says."""
    data: list[Source] = field(default_factory=list)
    """The alignments it was trained on, where they still lie there: at most one."""

    @property
    def lineage(self) -> Manifest:
        """The manifest of the training; empty where the file lacks it."""
        found = self.facts.get("lineage")
        return found if isinstance(found, dict) else {}

    @property
    def limit(self) -> int | None:
        """How many rows of its alignments it was to take; None for all."""
        options = self.lineage.get("options")
        found = options.get("limit") if isinstance(options, Mapping) else None
        return found if isinstance(found, int) else None

    @property
    def stages(self) -> list[Mapping[str, Any]]:
        """What `editctl.json` says of each stage."""
        return mappings(self.facts.get("stages"))


def mappings(value: object) -> list[Mapping[str, Any]]:
    """The objects of a JSON list; nothing where it is none."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The texts of a JSON list; nothing where it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def kind_of(name: str, path: str) -> Kind:
    """What a file holds, by its first row.

    Raises:
        InputError: no row, broken JSON, or rows that no report is made from.
    """
    file = InputFile(path)
    file.name = name
    try:
        number, row = next(read_rows(file))
    finally:
        file.close()
    found = "a manifest" if row.keys() >= MANIFEST_KEYS else holding(row)
    kind = next((kind for start, kind in _KINDS.items() if found.startswith(start)), None)
    if kind is None:
        raise InputError(
            f"holds {found}; name run folders, dual chains, alignments, predictions or rejects", file=name, line=number
        )
    return kind


def manifest_of(path: str, sha256: str) -> Manifest | None:
    """The manifest of a file: the one beside it where that is of these bytes, else by its hash."""
    return find(sha256, path)


def is_known_empty(path: str, sha256: str) -> bool:
    """Whether a file without rows is one that a command wrote so, such as the rejects of a run that had none."""
    manifest = find(sha256) or {}
    beside_it = Path(path).name
    return any(
        one.get("rows") == 0 and Path(str(one.get("name"))).name == beside_it
        for one in mappings(manifest.get("outputs"))
    )


def read_run(name: str) -> Mapping[str, Any]:
    """What a run folder says of itself.

    Raises:
        InputError: the folder is no run, or its file can't be read.
    """
    folder = Path(name)
    facts = run_facts(name)
    if facts is not None:
        return facts
    above = folder.resolve().parent.parent
    if folder.resolve().parent.name == SLOTS and (above / RUN_FILE).is_file():
        raise InputError(f"is one student of a run; name the run: {folder.parent.parent}", file=name)
    raise InputError(f"is a folder without {RUN_FILE}; name the run folder of a finished `editctl train`", file=name)


def where_it_lies(name: str, sha256: str, folder: Path) -> tuple[Path | None, str]:
    """A file that a manifest names, as seen from here or from beside `folder`; None with what became of it."""
    bare = Path(name)
    places = [bare, folder / bare, folder / bare.name]
    there = [place for place in dict.fromkeys(places) if place.is_file()]
    for place in there:
        if sha256_of(place) == sha256:
            return place, ""
    return None, "has changed since" if there else "is not there any more"
