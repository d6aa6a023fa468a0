"""What `editctl report` is given: files and run folders, told apart, each once; and what they lead to."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from editctl.errors import UsageError
from editctl.files import STDIO, sha256_of, stdin_is_piped

if TYPE_CHECKING:
    from editctl.cli.session import Session
    from editctl.manifest import Manifest
    from editctl.report.facts.sources import Run, Source


@dataclass(slots=True)
class Inputs:
    """Everything a report is made from."""

    runs: "list[Run]" = field(default_factory=list)
    sources: "list[Source]" = field(default_factory=list)
    """Files, those that were found by what a manifest says among them."""
    notes: list[str] = field(default_factory=list)

    def of_kind(self, *kinds: str) -> "list[Source]":
        """Files that hold such rows."""
        return [source for source in self.sources if source.kind in kinds]

    def with_hash(self, sha256: str) -> "Source | None":
        """A file with these bytes."""
        return next((source for source in self.sources if source.sha256 == sha256), None)

    @property
    def covered(self) -> set[str]:
        """Hashes of all that alignments and runs were made from."""
        from editctl.report.facts.lineage import manifests
        from editctl.report.facts.sources import mappings

        ends = [run.lineage for run in self.runs]
        ends += [source.manifest for source in self.of_kind("alignments") if source.manifest]
        return {
            str(given.get("sha256"))
            for end in ends
            for manifest in manifests(end)
            for given in mappings(manifest.get("inputs"))
        }


def named(names: Iterable[str] | None) -> list[str]:
    """The inputs that are named, each once; stdin where there are none and something is piped.

    Raises:
        UsageError: nothing is named and nothing piped, or stdin is named twice.
    """
    found = list(names or ())
    if not found and not stdin_is_piped():
        raise UsageError("report: name run folders or files of rows (dual chains, alignments, predictions, rejects)")
    if found.count(STDIO) > 1:
        raise UsageError("-: stdin can be read once; name it once")
    places: dict[str, str] = {}
    for name in found or [STDIO]:
        places.setdefault(name if name == STDIO else os.path.realpath(name), name)
    return list(places.values())


def read_inputs(session: "Session", names: Iterable[str], folder: Path) -> Inputs:
    """Look at every input, and find what they lead to. What comes through a pipe is set aside in `folder`.

    Raises:
        InputError: a file or folder that no report can be made from.
    """
    from editctl.report.facts.names import run_names
    from editctl.report.facts.sources import Run, read_run

    inputs = Inputs()
    places = []
    for name in names:
        if name != STDIO and Path(name).is_dir():
            places.append((Path(name), read_run(name)))
        else:
            _take_file(session, inputs, name, folder)
    for own, (place, facts) in zip(run_names([place for place, _ in places]), places, strict=True):
        inputs.runs.append(Run(name=own, folder=place, facts=facts))
        session.add_input(str(place / "editctl.json"))
    for run in inputs.runs:
        _find_data(session, inputs, run)
    _find_rejects(session, inputs)
    return inputs


def _take_file(session: "Session", inputs: Inputs, name: str, folder: Path) -> None:
    from editctl.report.facts.sources import is_known_empty

    if name == STDIO or not Path(name).is_file():
        _take(inputs, _set_aside(session, name, folder))
        return
    sha256 = sha256_of(Path(name))
    if not Path(name).stat().st_size and is_known_empty(name, sha256):
        inputs.notes.append(f"{name} has no rows: the command that wrote it had none to write")
        return
    session.lineage.add_input(name, sha256)
    _take(inputs, _source(name, name, sha256))


def _take(inputs: Inputs, source: "Source") -> None:
    """Add a file; a copy of one that is there is only told of: its rows would be counted twice.

    Predictions are each a method of their own, though two students may well have written the same.
    """
    first = inputs.with_hash(source.sha256)
    if first is None or source.kind == "predictions":
        inputs.sources.append(source)
    else:
        inputs.notes.append(f"{source.name} holds the same bytes as {first.name}, and is left out")


def _set_aside(session: "Session", name: str, folder: Path) -> "Source":
    """Rows from a pipe, kept for as long as the report is made: they are read more than once."""
    given = session.open_input(name)
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(line for _, line in given.lines())
    return _source(given.name, str(path), given.sha256() or "")


def _source(name: str, path: str, sha256: str) -> "Source":
    from editctl.report.facts.sources import Source, kind_of, manifest_of

    return Source(name=name, path=path, sha256=sha256, kind=kind_of(name, path), manifest=manifest_of(path, sha256))


def _find_data(session: "Session", inputs: Inputs, run: "Run") -> None:
    """The alignments a run was trained on: named, or where its lineage says, or beside the run."""
    from editctl.report.facts.sources import mappings, where_it_lies

    given = next(iter(mappings(run.lineage.get("inputs"))), None)
    name, sha256 = ("", "") if given is None else (str(given.get("name")), str(given.get("sha256")))
    source, gone = inputs.with_hash(sha256), "is not told in its lineage"
    if source is None and given is not None and name != "stdin":
        place, gone = where_it_lies(name, sha256, run.folder.parent)
        source = _add_found(session, inputs, place, sha256) if place else None
    elif name == "stdin":
        gone = "came through a pipe"
    if source is None:
        what = f", {name}," if given and name != "stdin" else ""
        inputs.notes.append(
            f"{run.name}: the file of alignments it was trained on{what} {gone}; name the file to see its pairs"
        )
    elif source.kind == "alignments":
        run.data.append(source)


def _find_rejects(session: "Session", inputs: Inputs) -> None:
    """Rejects beside files of dual chains, by what the manifests of `gen-dual` say."""
    from editctl.report.facts.sources import where_it_lies

    for folder, manifest in _ends(inputs):
        for name, sha256 in _rejects_of(manifest):
            place, _ = where_it_lies(name, sha256, folder)
            if place and inputs.with_hash(sha256) is None:
                _add_found(session, inputs, place, sha256)


def _ends(inputs: Inputs) -> "list[tuple[Path, Manifest]]":
    ends = [(run.folder.parent, run.lineage) for run in inputs.runs]
    sources = inputs.of_kind("alignments", "dual chains")
    return ends + [(Path(source.path).parent, source.manifest) for source in sources if source.manifest]


def _rejects_of(end: "Manifest") -> Iterator[tuple[str, str]]:
    """Name and hash of the rejects of every `gen-dual` behind a file."""
    from editctl.report.facts.lineage import manifests
    from editctl.report.facts.sources import mappings

    for manifest in manifests(end):
        if manifest.get("command") == "gen-dual":
            for given in mappings(manifest.get("outputs"))[1:]:
                if given.get("rows"):
                    yield str(given.get("name")), str(given.get("sha256"))


def _add_found(session: "Session", inputs: Inputs, place: Path, sha256: str) -> "Source":
    session.lineage.add_input(str(place), sha256)
    source = replace(_source(str(place), str(place), sha256), found=True)
    inputs.sources.append(source)
    return source
