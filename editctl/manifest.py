"""Lineage: what made a file, from which inputs, with which versions.

A manifest lies beside an output as NAME.manifest.json and, under the hash of the output's bytes, in the state
folder, so that it is found again through pipes, copies and renames while the data stay plain JSON lines.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editctl import __version__
from editctl.files import write_text

Manifest = dict[str, Any]
_SECRET = re.compile(
    r"((^|[-_.])key|(api|access|secret|private|auth)[-_]?key|token|secret|passw(or)?d|passphrase|authorization|bearer"
    r"|cookie|credentials?)$",
    re.IGNORECASE,
)
"""Names whose values are secrets."""
_SECRET_TEXT = re.compile(
    r"(?<=://)[^/@\s]+(?=@)"  # user:password@ of an address
    r"|(?<=[?&])(?P<name>[\w.-]*(?:key|token|secret|password|signature))=[^&\s#]+"  # ?api_key=... of an address
    r"|\b(?:sk|hf|gsk|xai)[-_][\w-]{16,}"  # keys as providers write them
    r"|\bBearer\s+[\w.~+/=-]{8,}",
    re.IGNORECASE,
)
_HIDDEN = "(secret)"
_WATCHED = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "litellm",
    "rapidfuzz",
    "jinja2",
    "scipy",
)
_PIPE_LIFETIME = 60.0
"""Seconds a pipe's mark may be older than the process that reads the pipe; older ones are from another pipe."""
_MARK_LIFETIME = 7 * 24 * 3600.0
"""Seconds after which a mark that nobody took away (its reader was another program) is swept up."""


@dataclass(slots=True)
class Lineage:
    """Collects what one run of a stage read and did, and renders its manifest."""

    command: str
    options: Mapping[str, Any]
    inputs: list[Manifest] = field(default_factory=list)
    facts: Manifest = field(default_factory=dict)
    """Counts by reason, cost, distributions: whatever the stage has to say."""
    started: float = field(default_factory=time.time)

    def add_input(self, name: str, sha256: str | None) -> Manifest | None:
        """Note an input; returns the manifest of the run that made it, where it is known."""
        parent = find(sha256, name) if sha256 else None
        self.inputs.append({"name": name, "sha256": sha256, "made_by": parent})
        return parent

    def render(self, status: str, outputs: list[Manifest]) -> Manifest:
        """The manifest. `status` is complete or partial."""
        return {
            "editctl": __version__,
            "command": self.command,
            "status": status,
            "options": redact(self.options),
            "inputs": self.inputs,
            "outputs": outputs,
            **{key: redact_text(value) if isinstance(value, str) else value for key, value in self.facts.items()},
            "versions": versions(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "seconds": round(time.time() - self.started, 3),
        }


def state_folder() -> Path:
    """Where manifests lie by hash: $EDITCTL_STATE, or the platform's folder for application state."""
    import platformdirs

    return Path(os.environ.get("EDITCTL_STATE") or platformdirs.user_state_dir("editctl"))


def save(manifest: Manifest, sha256: str, beside: Path | None) -> None:
    """Write a manifest by hash, and beside the output where it has a place."""
    text = json.dumps(manifest, ensure_ascii=False, indent=1, default=str) + "\n"
    if beside is not None:
        write_text(beside, text)
    place = _place(sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_text(place, text)


def find(sha256: str, name: str | None = None) -> Manifest | None:
    """The manifest of the bytes with this hash: the one beside the file of that name, or by hash on this machine.

    Two commands may have written the same bytes; by hash only the later one is known.
    """
    near = _read(beside(Path(name))) if name else None
    if near and any(one.get("sha256") == sha256 for one in near.get("outputs") or () if isinstance(one, dict)):
        return near
    return _read(_place(sha256))


def _read(place: Path) -> Manifest | None:
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def option_of(manifest: Manifest | None, name: str) -> Any:
    """What an option was set to in a run, or in the nearest run before it that had the option; None in none."""
    if not manifest:
        return None
    own = (manifest.get("options") or {}).get(name)
    if own is not None:
        return own
    found = (option_of(one.get("made_by"), name) for one in manifest.get("inputs") or ())
    return next((value for value in found if value is not None), None)


def beside(output: Path, kind: str = "manifest", suffix: str = ".json") -> Path:
    """`dual.jsonl` -> `dual.manifest.json`; with kind `rejects`, `dual.rejects.jsonl`."""
    bare = output.with_suffix("") if output.suffix in (".gz", ".zst") else output
    stem = bare.stem if bare.suffix in (".jsonl", ".ndjson", ".json") else bare.name
    return output.with_name(f"{stem}.{kind}{suffix}")


def redact(options: Mapping[str, Any]) -> Manifest:
    """Options without secrets, at any depth: nested objects, `key=value` texts, JSON and addresses inside texts."""
    return {
        key: _HIDDEN if _SECRET.search(str(key)) and value else _redact_value(value) for key, value in options.items()
    }


def _redact_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in value]
    return redact_text(str(value)) if isinstance(value, str | Path) else value


def redact_text(text: str) -> str:
    """A text without the secrets it can be seen to hold."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict | list):
        return json.dumps(_redact_value(value), ensure_ascii=False)
    key, sign, rest = text.partition("=")
    if sign and key.replace("-", "_").isidentifier():
        return f"{key}={_HIDDEN if _SECRET.search(key) else redact_text(rest)}"
    return _SECRET_TEXT.sub(lambda found: f"{found['name']}={_HIDDEN}" if found["name"] else _HIDDEN, text)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that this run has loaded."""
    found = {"python": platform.python_version(), "editctl": __version__}
    for name in _WATCHED:
        if name in sys.modules:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[name] = importlib.metadata.version(name)
    return found


def _place(sha256: str) -> Path:
    return state_folder() / "manifests" / sha256[:2] / f"{sha256}.json"


class PipeMark:
    """Tells the next command in a shell pipe that the one before it died.

    Both ends of a pipe show the same inode. The writer leaves a mark under it while it runs and takes the mark away
    once its manifest is saved; a reader that finds the mark at the end of its input knows that the writer was killed.
    """

    def __init__(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self.is_pipe = stat.S_ISFIFO(status.st_mode)
        self.path = state_folder() / "pipes" / f"{status.st_dev}-{status.st_ino}"

    def leave(self) -> None:
        """Called by the writer before its first row."""
        if self.is_pipe:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            self.path.write_text(str(os.getpid()), encoding="utf-8")

    def _sweep(self) -> None:
        for old in self.path.parent.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if old.stat().st_mtime < time.time() - _MARK_LIFETIME:
                    old.unlink()

    def take_away(self) -> None:
        """Called by the writer when its manifest is saved, and by the reader when it has looked."""
        self.path.unlink(missing_ok=True)

    def writer_died(self, reader_started: float) -> bool:
        """Called by the reader at the end of its input."""
        try:
            return self.is_pipe and self.path.stat().st_mtime > reader_started - _PIPE_LIFETIME
        except FileNotFoundError:
            return False
