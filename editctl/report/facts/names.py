"""What runs and methods are called: short, the same all over the page, each once."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from editctl.manifest import Manifest
from editctl.report.facts.sources import Run, Source


def run_names(folders: Sequence[Path]) -> list[str]:
    """The last part of each folder's name, with as much of what stands before it as tells them apart."""
    parts = [folder.resolve().parts for folder in folders]
    names = [own[-1] for own in parts]
    for length in range(2, max(map(len, parts), default=0) + 1):
        twice = {name for name, count in Counter(names).items() if count > 1}
        names = ["/".join(own[-length:]) if name in twice else name for name, own in zip(names, parts, strict=True)]
    return unique(names)


def unique(names: Sequence[str]) -> list[str]:
    """The same names; a repeat gets a number."""
    seen: Counter[str] = Counter()
    taken, found = set(names), []
    for name in names:
        seen[name] += 1
        number, own = seen[name], name
        while number > 1 and (own := f"{name} ({number})") in taken:
            number += 1
        taken.add(own)
        found.append(own)
    return found


def method_names(sources: Sequence[Source], runs: Sequence[Run]) -> tuple[list[str], list[Run | None]]:
    """What the method behind each file of predictions is called, and its run where that is shown too.

    The run's name; else that of the student's folder; else the student as it was named, its recipe, or the file.
    Where two files are one method's, the file's name stands behind.
    """
    found = [student_run(source, runs) for source in sources]
    names = [_name(source, run) for source, run in zip(sources, found, strict=True)]
    often = Counter(names)
    names = [
        f"{name} ({stem(source.name)})" if often[name] > 1 else name
        for name, source in zip(names, sources, strict=True)
    ]
    return unique(names), found


def student_run(source: Source, runs: Sequence[Run]) -> Run | None:
    """The run folder that wrote some predictions, by what their manifest says."""
    manifest = source.manifest or {}
    student = _student(manifest)
    told = manifest.get("student_run")
    if not student or not isinstance(told, Mapping):
        return None
    alike = [run for run in runs if all(run.facts.get(key) == told.get(key) for key in ("recipe", "stages"))]
    places = {os.path.realpath(place) for place in (Path(student), Path(source.name).parent / student)}
    at_place = [run for run in alike if os.path.realpath(run.folder) in places]
    of_name = [run for run in alike if run.folder.resolve().name == Path(student).name]
    return next(iter([*at_place, *of_name]), None)


def _name(source: Source, run: Run | None) -> str:
    if run is not None:
        return run.name
    manifest = source.manifest or {}
    student = _student(manifest)
    told = manifest.get("student_run")
    if student:
        short = Path(student).name
        if isinstance(told, Mapping) or Path(student).is_absolute():
            return short or student
        return student
    recipe = told.get("recipe") if isinstance(told, Mapping) else None
    return str(recipe or stem(source.name))


def _student(manifest: Manifest) -> str:
    options = manifest.get("options")
    return str(options.get("student") or "") if isinstance(options, Mapping) else ""


def stem(name: str) -> str:
    """A file's name without its folder and its endings."""
    last = Path(name).name
    for ending in (".zst", ".gz", ".jsonl", ".ndjson", ".json"):
        last = last.removesuffix(ending)
    return last or name
