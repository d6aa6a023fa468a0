"""`editctl plugins`: what teachers, tasks, recipes, mistake patterns and formats there are, and their options."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from editctl.cli import options as shared
from editctl.cli.help import Command, Group

if TYPE_CHECKING:
    from editctl.prompts import Templates

app = typer.Typer(cls=Group, help="List plugins, or show one.", invoke_without_command=True)
Folders = Annotated[list[str] | None, typer.Option("--templates", help="Folder of templates to list too.")]


@app.callback()
def plugins(context: typer.Context, json: shared.Json = False, templates: Folders = None) -> None:
    """List teachers, toy tasks, recipes, mistake patterns and chain formats with origin, version and load error."""
    if context.invoked_subcommand is not None:
        return
    rows = _rows(templates or [])
    if json:
        from editctl.jsonl import dumps

        typer.echo(dumps({"plugins": rows}))
        return
    from editctl.progress import print_table, stdout_console

    table: list[list[object]] = [
        [f"{row['kind']}: {row['name']}", f"{row['origin']} {row['version']}", row["error"] or row["title"]]
        for row in rows
    ]
    print_table(stdout_console(), "", ["plugin", "origin", "what it is"], table)


@app.command("show", cls=Command)
def show(
    name: Annotated[
        str, typer.Argument(help="Name of a plugin, mistake pattern or formats/NAME, file.py:Name or module:Name.")
    ],
    json: shared.Json = False,
    templates: Folders = None,
) -> None:
    """Print a plugin's options, or the template of a mistake pattern or chain format."""
    found = _find(name, templates or [])
    if json:
        from editctl.jsonl import dumps

        typer.echo(dumps(found))
        return
    from editctl.progress import clean

    for line in _lines(found):
        typer.echo(clean(line))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['kind']} {found['name']}: {found['title']}"
    for option in found.get("options", ()):
        default = f" [{option['default']}]" if option["default"] != "" else ""
        yield f"  {option['name']}={option['type']}{default}  {option['help']}"
    for preset, values in found.get("presets", {}).items():
        yield f"  --preset {preset}: {', '.join(f'{key}={value}' for key, value in values.items())}"
    if "text" in found:
        yield from f"{found['text']}\n".split("\n")[:-1]


def _rows(folders: list[str]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from editctl import registry
    from editctl.formats import FORMATS
    from editctl.prompts import FORMATS_FOLDER, MISTAKES, Templates, packages

    rows = [asdict(row) for kind in registry.BUILT_IN for row in registry.listing(kind)]
    rows += [
        {"kind": "templates", "title": "a package of templates", **_without_places(asdict(package))}
        for package in packages()
    ]
    found = Templates(folders)
    kinds = [(MISTAKES, name) for name in found.mistakes()] + [(FORMATS_FOLDER, name) for name in FORMATS]
    return rows + [_template_row(found, *one) for one in kinds]


def _without_places(package: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in package.items() if key != "places"}


def _template_row(found: "Templates", kind: str, name: str) -> dict[str, Any]:
    from editctl import __version__
    from editctl.prompts import packages

    path = found.path(f"{kind}/{name}")
    origin, version = str(path.parent.parent), ""
    if path.is_relative_to(found.places[-1]):
        origin, version = "built-in", __version__
    for package in packages():
        if any(path.is_relative_to(place) for place in package.places):
            origin, version = package.origin, package.version
    return {
        "kind": kind,
        "name": name,
        "target": f"{kind}/{name}" if origin == "built-in" else str(path),
        "origin": origin,
        "version": version,
        "title": found.title(f"{kind}/{name}"),
        "error": None,
    }


def _find(name: str, folders: list[str]) -> dict[str, Any]:
    from editctl import options, registry
    from editctl.errors import UsageError, near_misses
    from editctl.formats import FORMATS
    from editctl.prompts import FORMATS_FOLDER, MISTAKES, Templates

    found = Templates(folders)
    known = {plugin: kind for kind in registry.BUILT_IN for plugin in registry.names(kind)}
    for folder, kind, names in ((MISTAKES, "mistake", found.mistakes()), (FORMATS_FOLDER, "format", FORMATS)):
        short = name.removeprefix(f"{folder}/")
        # Recipes have the names of the formats they train on: those formats go by the longer name.
        if short in names and (short != name or name not in known):
            text = found.path(f"{folder}/{short}").read_text(encoding="utf-8")
            return {"kind": kind, "name": short, "title": found.title(f"{folder}/{short}"), "text": text}
    if name not in known and not registry.is_reference(name):
        raise UsageError(f"unknown plugin {name!r}; {near_misses(name, [*known, *found.mistakes()])}")
    kind, plugin = (known[name], registry.load(known[name], name)) if name in known else registry.load_reference(name)
    title = (plugin.__doc__ or "").strip().partition("\n")[0]
    shown = {"kind": kind[:-1], "name": name, "title": title, "options": options.describe(plugin.Options)}
    return shown | _presets(plugin)


def _presets(plugin: Any) -> dict[str, Any]:
    """What a recipe's presets set, beside its options."""
    from editctl.options import flag_name

    presets = getattr(plugin, "presets", None) or {}
    found = {
        name: {flag_name(key): value for key, value in {**preset.options, **preset.settings}.items()}
        for name, preset in presets.items()
    }
    return {"presets": found} if found else {}
