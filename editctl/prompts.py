"""Teacher prompts: Jinja templates, strict and sandboxed. Knows files and blocks; what is asked stands in the files.

A template's blocks `system` and `user` become the chat turns, so text from questions and models can never open a
turn of its own. A template without blocks is one user turn. A block `fixed` at the beginning of `user` holds what all
questions of a task share (the worked examples, say), so that providers can keep it in their prompt caches.
"""

import importlib.metadata
import importlib.resources
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from editctl.errors import UsageError, near_misses
from editctl.interfaces import Message
from editctl.registry import IMPORT_FAILURES

ENDING = ".jinja"
MISTAKES = "mistakes"
FORMATS_FOLDER = "formats"


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
        announced = [place for package in packages() for place in package.places]
        return [*self.folders, *announced, Path(str(importlib.resources.files("editctl.templates")))]

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
        first = self.path(name).read_text(encoding="utf-8", errors="replace").strip().partition("#}")[0]
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

    def render(self, name: str, values: Mapping[str, Any]) -> tuple[tuple[Message, ...], int]:
        """The chat turns of a template, and how many leading characters of the last one its block `fixed` makes.

        Raises:
            UsageError: no such template, or one that is broken or names a value that isn't there.
        """
        import jinja2

        path = self.path(name)
        try:
            turns, fixed = _turns(self.environment.get_template(f"{name}{ENDING}"), values)
        except jinja2.TemplateNotFound as error:
            known = [f"{other}{ENDING}" for other in self.names()]
            advice = near_misses(str(error.name), known)
            raise UsageError(f"template {path}: there is no template {error.name!r}; {advice}") from error
        except (jinja2.TemplateError, *_TEMPLATE_FAULTS) as error:
            raise UsageError(f"template {_place(error) or path}: {error}") from error
        if not any(turn["role"] == "user" and turn["content"] for turn in turns):
            raise UsageError(f"template {path}: renders to an empty user turn")
        return turns, fixed


_TEMPLATE_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What an expression in a template can raise."""


def _turns(template: Any, values: Mapping[str, Any]) -> tuple[tuple[Message, ...], int]:
    context = template.new_context(dict(values))
    # Rendering the whole template first makes its parents' blocks known: `template.blocks` holds its own alone.
    whole = "".join(template.root_render_func(context)).strip()
    if "user" not in context.blocks:
        return (Message(role="user", content=whole),), 0
    texts = {
        role: "".join(context.blocks[role][0](context))
        for role in ("system", "user", "fixed")
        if role in context.blocks
    }
    system = Message(role="system", content=texts.get("system", "").strip())
    user = texts["user"].strip()
    fixed = texts.get("fixed", "").lstrip()
    turns = (*((system,) if system["content"] else ()), Message(role="user", content=user))
    return turns, len(fixed) if user.startswith(fixed) else 0


def _place(error: BaseException) -> str | None:
    """File and line of the template an error arose in."""
    import jinja2

    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename or error.name}, line {error.lineno}"
    place, frame = None, error.__traceback__
    while frame is not None:
        template = frame.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            place = f"{template.filename}, line {template.get_corresponding_lineno(frame.tb_lineno)}"
        frame = frame.tb_next
    return place


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePackage:
    """A package of template files that the entry point group `editctl.templates` names."""

    name: str
    target: str
    origin: str
    version: str
    places: tuple[Path, ...]
    error: str | None
    """Why it can't be found; such a package is skipped."""


def packages() -> list[TemplatePackage]:
    """All announced packages of templates."""
    found = []
    for point in importlib.metadata.entry_points(group="editctl.templates"):
        places, error = _package_places(point.value)
        found.append(
            TemplatePackage(
                name=point.name,
                target=point.value,
                origin=point.dist.name if point.dist else "unknown",
                version=point.dist.version if point.dist else "",
                places=places,
                error=error,
            )
        )
    return found


def _package_places(module: str) -> tuple[tuple[Path, ...], str | None]:
    try:
        spec = importlib.util.find_spec(module)
    except IMPORT_FAILURES as error:
        return (), f"{type(error).__name__}: {' '.join(str(error).split())}"
    places = tuple(Path(place) for place in spec.submodule_search_locations or ()) if spec else ()
    return places, None if places else f"there is no package {module}"
