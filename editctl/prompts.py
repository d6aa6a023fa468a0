"""Teacher prompts: Jinja templates, strict and sandboxed. Knows files and blocks; what is asked stands in the files.

A template's blocks `system` and `user` become the chat turns, so text from questions and models can never open a
turn of its own. A template without blocks is one user turn.
"""

import importlib.metadata
import importlib.resources
import importlib.util
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from editctl.errors import UsageError, near_misses
from editctl.interfaces import Message

ENDING = ".jinja"
MISTAKES = "mistakes"


class Templates:
    """The templates of one run: folders the user gave, then announced packages, then ours."""

    def __init__(self, folders: Iterable[str] = ()) -> None:
        """Raises UsageError for a folder that isn't there."""
        self.folders = [Path(folder) for folder in folders]
        for folder in self.folders:
            if not folder.is_dir():
                raise UsageError(f"--templates {folder}: no such folder")

    @cached_property
    def places(self) -> list[Path]:
        """Folders in the order they are searched."""
        return [*self.folders, *_announced(), Path(str(importlib.resources.files("editctl.templates")))]

    @cached_property
    def environment(self) -> Any:
        """The strict, sandboxed Jinja environment."""
        from jinja2 import FileSystemLoader, StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        return ImmutableSandboxedEnvironment(
            loader=FileSystemLoader([str(place) for place in self.places]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=False,
        )

    def names(self) -> list[str]:
        """Every template's name, without its ending."""
        found = {
            path.relative_to(place).with_suffix("").as_posix()
            for place in self.places
            for path in place.rglob(f"*{ENDING}")
        }
        return sorted(found)

    def mistakes(self) -> list[str]:
        """Names of the mistake patterns."""
        return [name.removeprefix(MISTAKES + "/") for name in self.names() if name.startswith(MISTAKES + "/")]

    def title(self, name: str) -> str:
        """The comment a template begins with: `{# what it is #}`."""
        first = self.path(name).read_text(encoding="utf-8").strip().partition("#}")[0]
        return first.removeprefix("{#").strip() if first.startswith("{#") else ""

    def path(self, name: str) -> Path:
        """The file a name stands for. Raises UsageError with near misses."""
        for place in self.places:
            path = place / f"{name}{ENDING}"
            if path.is_file():
                return path
        if name.startswith(MISTAKES + "/"):
            short = name.removeprefix(MISTAKES + "/")
            raise UsageError(f"unknown mistake pattern {short!r}; {near_misses(short, self.mistakes())}")
        raise UsageError(f"unknown template {name!r}; {near_misses(name, self.names())}")

    def render(self, name: str, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """The chat turns of a template.

        Raises:
            UsageError: no such template, or one that is broken or names a value that isn't there.
        """
        import jinja2

        path = self.path(name)
        try:
            template = self.environment.get_template(f"{name}{ENDING}")
            turns = self._turns(template, values)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise UsageError(f"template {path}{f', line {line}' if line else ''}: {error}") from error
        if not any(turn["role"] == "user" and turn["content"] for turn in turns):
            raise UsageError(f"template {path}: renders to an empty user turn")
        return turns

    @staticmethod
    def _turns(template: Any, values: Mapping[str, Any]) -> tuple[Message, ...]:
        if "user" not in template.blocks:
            return (Message(role="user", content=template.render(values).strip()),)
        context = template.new_context(dict(values))
        texts = {role: "".join(block(context)).strip() for role, block in template.blocks.items()}
        system = Message(role="system", content=texts.get("system", ""))
        return (*((system,) if system["content"] else ()), Message(role="user", content=texts["user"]))


def _announced() -> list[Path]:
    """Folders of packages that the entry point group `editctl.templates` names."""
    specs = [
        importlib.util.find_spec(point.value) for point in importlib.metadata.entry_points(group="editctl.templates")
    ]
    return [Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ()]
