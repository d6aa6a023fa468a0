"""The chain of manifests behind the files of a report, as steps in order, each after what it was made from."""

import json
import time
from calendar import timegm
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from editctl.manifest import Manifest, redact, redact_text
from editctl.report.facts.sources import mappings
from editctl.report.page.model import Lineage, LineageStep

_DEEPEST = 50
_LONGEST = 10 * 366 * 86_400
"""Seconds of a command that can be believed: a damaged file may name a time that no calendar has."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = 8
"""Characters of a hash."""
COMPLETE = "complete"
_TALK = ("quiet", "verbose", "no_color", "debug")


@dataclass(frozen=True, slots=True)
class Root:
    """An input of the report with the manifest of what made it."""

    name: str
    manifest: Manifest
    sha256: str | None = None
    """Of the file; None for a run folder."""
    student: Manifest | None = None
    """The manifest of the training behind some predictions, where it is known."""


@dataclass(slots=True)
class _Node:
    manifest: Manifest
    parents: list[str]
    made: dict[str, str] = field(default_factory=dict)
    """Names of what it made that the manifest does not tell: run folders."""


def manifests(manifest: Manifest) -> Iterator[Manifest]:
    """A manifest after all those of its inputs, each once."""
    seen: set[str] = set()
    for one in _walk(manifest):
        key = _key(one)
        if key not in seen:
            seen.add(key)
            yield one


def _walk(manifest: Manifest, depth: int = 0) -> Iterator[Manifest]:
    if depth < _DEEPEST:
        for given in mappings(manifest.get("inputs")):
            if isinstance(given.get("made_by"), dict):
                yield from _walk(given["made_by"], depth + 1)
    yield manifest


def _key(manifest: Manifest) -> str:
    """What tells one call of a command from another."""
    own = {name: manifest.get(name) for name in ("command", "started", "seconds", "options", "outputs")}
    return json.dumps(own, sort_keys=True, default=str)


def finished(found: Sequence[Manifest]) -> str:
    """The newest time at which one of these commands ended; empty where none is known."""
    times = [ended for one in found for given in manifests(one) if (ended := _ended(given)) is not None]
    return time.strftime(_TIME, time.gmtime(max(times))) if times else ""


def _ended(manifest: Manifest) -> int | None:
    try:
        started = timegm(time.strptime(str(manifest.get("started")), _TIME))
    except ValueError:
        return None
    seconds = manifest.get("seconds")
    return started + round(seconds) if isinstance(seconds, int | float) and 0 <= seconds <= _LONGEST else started


def unfinished(name: str, manifest: Manifest) -> list[str]:
    """What to say of commands behind a file that did not come to their end."""
    said = []
    for one in manifests(manifest):
        if one.get("status", COMPLETE) != COMPLETE:
            outputs = ", ".join(_text(given.get("name")) for given in mappings(one.get("outputs")))
            why = f" ({_text(one['error'])})" if one.get("error") else ""
            behind = f" behind {name}" if one is not manifest else ""
            said.append(f"`{_text(one.get('command'))}`{behind} did not finish{why}: {outputs or name} is partial")
    return said


def lineages(roots: Sequence[Root]) -> tuple[Lineage, ...]:
    """The chains behind some inputs: those that share a step are told as one, with each step once."""
    nodes = _nodes(roots)
    groups: list[tuple[list[str], set[str]]] = []
    for root in roots:
        names, keys = [root.name], _ancestors(_key(root.manifest), nodes)
        for other in [one for one in groups if one[1] & keys]:
            groups.remove(other)
            names, keys = other[0] + names, keys | other[1]
        groups.append((list(dict.fromkeys(names)), keys))
    groups.sort(key=lambda group: min(number for number, root in enumerate(roots) if root.name in group[0]))
    return tuple(Lineage(name=", ".join(names), steps=_steps(keys, nodes)) for names, keys in groups)


def _nodes(roots: Sequence[Root]) -> dict[str, _Node]:
    """All calls, each after those of its inputs."""
    nodes: dict[str, _Node] = {}
    for root in roots:
        for behind in [*([root.student] if root.student else []), root.manifest]:
            for one in manifests(behind):
                inputs = mappings(one.get("inputs"))
                made_by = [_key(given["made_by"]) for given in inputs if isinstance(given.get("made_by"), dict)]
                nodes.setdefault(_key(one), _Node(one, made_by))
        own = nodes[_key(root.manifest)]
        if root.sha256 is None:
            own.made[root.name] = "run"
        if root.student is not None:
            own.parents.append(_key(root.student))
    return nodes


def _ancestors(key: str, nodes: Mapping[str, _Node]) -> set[str]:
    found: set[str] = set()
    todo = [key]
    while todo:
        one = todo.pop()
        if one not in found and one in nodes:
            found.add(one)
            todo += nodes[one].parents
    return found


def _steps(keys: set[str], nodes: Mapping[str, _Node]) -> tuple[LineageStep, ...]:
    order = [key for key in nodes if key in keys]
    numbers = {key: number for number, key in enumerate(order, 1)}
    return tuple(_step(nodes[key], numbers[key], numbers) for key in order)


def _step(node: _Node, number: int, numbers: Mapping[str, int]) -> LineageStep:
    manifest = node.manifest
    seconds = manifest.get("seconds")
    return LineageStep(
        number=number,
        command=_text(manifest.get("command", "unknown")),
        status=_text(manifest.get("status", "unknown")),
        started=_text(manifest.get("started", "")),
        seconds=seconds if isinstance(seconds, int | float) else None,
        inputs=tuple(_inputs(node, numbers)),
        outputs=(*(_output(given) for given in mappings(manifest.get("outputs"))), *map(_text, node.made)),
        options=tuple(_options(manifest)),
        counts=tuple(_counts(manifest)),
        versions=_versions(manifest),
    )


def _inputs(node: _Node, numbers: Mapping[str, int]) -> Iterator[str]:
    told = set()
    for given in mappings(node.manifest.get("inputs")):
        made_by = given.get("made_by")
        key = _key(made_by) if isinstance(made_by, dict) else ""
        told.add(key)
        yield _named(given) + (f", made in step {numbers[key]}" if key in numbers else "")
    for key in node.parents:
        if key not in told:
            yield f"the student, trained in step {numbers[key]}"


def _output(given: Mapping[str, Any]) -> str:
    rows = given.get("rows")
    return _named(given) + (f", {rows:,} rows" if isinstance(rows, int) else "")


def _named(given: Mapping[str, Any]) -> str:
    sha256 = given.get("sha256")
    return _text(given.get("name", "")) + (f" ({str(sha256)[:_SHOWN]})" if sha256 else "")


def _options(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What was set; what is off or empty, and how the command talks, is left out."""
    options = manifest.get("options")
    for name, value in redact(options).items() if isinstance(options, Mapping) else ():
        if value is not None and value is not False and value not in ("", [], {}) and name not in _TALK:
            yield str(name).replace("_", "-"), _joined(value)


def _joined(value: object) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _counts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    counts = manifest.get("counts")
    for name, count in counts.items() if isinstance(counts, Mapping) else ():
        yield _text(name), _figure(count)
    for stage in mappings(manifest.get("stages")):
        yield (
            f"stage {_text(stage.get('name'))}",
            f"{_figure(stage.get('questions'))} questions, {_figure(stage.get('updates'))} updates",
        )
    scores = manifest.get("scores")
    if isinstance(scores, Mapping):
        yield from ((name, _figure(scores.get(name))) for name in ("n", "correct", "unanswered", "failed"))


def _figure(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else _text(value)


def _versions(manifest: Manifest) -> str:
    versions = manifest.get("versions")
    if not isinstance(versions, Mapping):
        return f"editctl {_text(manifest.get('editctl', 'of unknown version'))}"
    return ", ".join(f"{_text(name)} {_text(version)}" for name, version in versions.items())


def _text(value: object) -> str:
    """As it is shown: manifests hold no secrets, and what may have slipped in goes here."""
    return redact_text(str(value))
