"""Names of teachers, tasks, recipes and mistake patterns -> their code. Loads on use, never to list names.

A name is a built-in's, an entry point's, a `path/to/file.py:Attribute` or a dotted `module:Attribute`.
"""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal

from editctl.errors import EditctlError, UsageError, near_misses

Kind = Literal["teachers", "tasks", "recipes"]

BUILT_IN: Mapping[Kind, Mapping[str, str]] = {
    "teachers": {
        "oracle": "editctl.plugins.oracle:Oracle",
        "recorded": "editctl.plugins.recorded:Recorded",
        "litellm": "editctl.plugins.providers:LitellmTeacher",
        "local": "editctl.plugins.local:Local",
        "openai-server": "editctl.plugins.openai_server:OpenAIServer",
    },
    "tasks": {
        "boolean": "editctl.plugins.boolean:Boolean",
        "chain": "editctl.plugins.chain:Chain",
        "counting": "editctl.plugins.counting:Counting",
        "swaps": "editctl.plugins.swaps:Swaps",
    },
    "recipes": {
        "answer-sft": "editctl.recipes.answer_sft:AnswerSft",
        "cascod": "editctl.recipes.cascod:Cascod",
        "edit": "editctl.recipes.edit:Edit",
        "eot": "editctl.recipes.eot:Eot",
        "kpdd-cot": "editctl.recipes.kpdd_cot:KpddCot",
        "kpdd-pot": "editctl.recipes.kpdd_pot:KpddPot",
        "mt-cot": "editctl.recipes.mt_cot:MtCot",
        "mt-ra": "editctl.recipes.mt_ra:MtRa",
        "mt-re": "editctl.recipes.mt_re:MtRe",
        "pot": "editctl.recipes.pot:Pot",
        "scott": "editctl.recipes.scott:Scott",
        "std-cot": "editctl.recipes.std_cot:StdCot",
        "std-cot-dual": "editctl.recipes.std_cot_dual:StdCotDual",
        "step-by-step": "editctl.recipes.mt_re:MtRe",
    },
}


NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "teachers": ("Options", "complete", "close"),
    "tasks": ("Options", "size", "puzzle", "slip"),
    "recipes": ("Options", "stages", "examples", "plan"),
}
"""What a class of each kind must have (see interfaces.py)."""

IMPORT_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    EditctlError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemExit,
    TypeError,
    ValueError,
    Warning,
)
"""What a stranger's code raises while it is imported, in practice."""


class PluginError(EditctlError):
    """A plugin that was asked for by name can't be loaded."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One row of `editctl plugins`."""

    kind: str
    name: str
    target: str
    origin: str
    """built-in, or the distribution that announces it."""
    version: str
    title: str
    """First line of its docstring; for a second name of the same plugin, which one it is."""
    error: str | None
    """Why it can't be loaded."""


def names(kind: Kind) -> dict[str, str]:
    """Every known name of a kind, with its `module:attribute`. Built-ins win over entry points."""
    found = {point.name: point.value for point in _entry_points(kind)}
    return {**found, **BUILT_IN[kind]}


def is_same(kind: Kind, one: str, other: str) -> bool:
    """Whether two names stand for the same plugin."""
    known = names(kind)
    return known.get(one, one) == known.get(other, other)


def load(kind: Kind, name: str) -> Any:
    """The class or object behind a name.

    Raises:
        UsageError: an unknown name, with near misses.
        PluginError: a plugin that breaks while it is loaded.
    """
    known = names(kind)
    if name not in known and ":" not in name:
        raise UsageError(f"unknown {kind[:-1]} {name!r}; {near_misses(name, known)}")
    return _checked(kind, _resolve(known.get(name, name), name), name)


def load_reference(name: str) -> tuple[Kind, Any]:
    """The class behind a `file.py:Name` or `module:Name`, and what kind of plugin it is.

    Raises:
        PluginError: it can't be loaded, or is of no kind.
    """
    found = _resolve(name, name)
    for kind in NEEDED:
        if not _lacks(kind, found):
            return kind, found
    raise PluginError(f"{name} is no teacher, task or recipe; the lists of what each needs stand in interfaces.py")


def _lacks(kind: Kind, found: Any) -> list[str]:
    missing = [part for part in NEEDED[kind] if not hasattr(found, part)]
    return missing or ([] if is_dataclass(found.Options) else ["Options that are a dataclass"])


def _checked(kind: Kind, found: Any, name: str) -> Any:
    missing = _lacks(kind, found)
    if missing:
        raise PluginError(f"{name} is no {kind[:-1]}: it has no {' and no '.join(missing)}")
    return found


def is_reference(name: str) -> bool:
    """True for `file.py:Name` and dotted `module:Name`, which need no registration."""
    place, sign, attribute = name.partition(":")
    dotted = all(part.isidentifier() for part in place.split("."))
    return bool(sign) and attribute.isidentifier() and (place.endswith(".py") or ("." in place and dotted))


def listing(kind: Kind) -> list[Listed]:
    """All plugins of a kind; one that can't be loaded is listed with its error."""
    points = {point.name: point for point in _entry_points(kind)}
    rows = []
    for name, target in sorted(names(kind).items()):
        built_in = name in BUILT_IN[kind]
        distribution = None if built_in else points[name].dist
        title, error = _title(kind, target, name)
        rows.append(
            Listed(
                kind=kind,
                name=name,
                target=target,
                origin="built-in" if built_in else getattr(distribution, "name", "unknown"),
                version=importlib.metadata.version("editctl") if built_in else getattr(distribution, "version", ""),
                title=title,
                error=error,
            )
        )
    return rows


def _title(kind: Kind, target: str, name: str) -> tuple[str, str | None]:
    try:
        found = _checked(kind, _resolve(target, name), name)
    except (PluginError, UsageError) as error:
        return "", str(error)
    first = next((other for other, same in BUILT_IN[kind].items() if same == target), name)
    if first != name:
        return f"second name of {first}", None
    return (found.__doc__ or "").strip().partition("\n")[0], None


def _entry_points(kind: Kind) -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=f"editctl.{kind}")


def _resolve(target: str, name: str) -> Any:
    place, _, attribute = target.partition(":")
    try:
        module = _module_of_file(place) if place.endswith(".py") else importlib.import_module(place)
    except FileNotFoundError as error:
        raise UsageError(f"{name}: no such file {place}") from error
    except IMPORT_FAILURES as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError(f"plugin {name} can't be loaded: {' '.join(reason.split())}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        public = [key for key in vars(module) if not key.startswith("_")]
        raise UsageError(f"{name}: {place} has no {attribute!r}; {near_misses(attribute, public)}") from None


def _module_of_file(place: str) -> Any:
    path = Path(place).resolve()
    if not path.is_file():
        raise FileNotFoundError(place)
    # A name of its own: two files called teacher.py must not shadow each other, nor a real module.
    name = f"editctl_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
