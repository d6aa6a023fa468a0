"""`editctl plugins`: what teachers, tasks, recipes and mistake patterns there are, and their options."""

from typing import Annotated, Any

import typer

from editctl.cli import options as shared

app = typer.Typer(help="List plugins, or show one.", invoke_without_command=True)
Folders = Annotated[list[str] | None, typer.Option("--templates", help="Folder of templates to list too.")]


@app.callback()
def plugins(context: typer.Context, json: shared.Json = False, templates: Folders = None) -> None:
    """List teachers, toy tasks, recipes and mistake patterns with origin, version and load error."""
    if context.invoked_subcommand is not None:
        return
    rows = _rows(templates or [])
    if json:
        from editctl.jsonl import dumps

        typer.echo(dumps({"plugins": rows}))
        return
    import sys

    from rich.console import Console

    from editctl.progress import print_table

    table: list[list[object]] = [
        [f"{row['kind']}: {row['name']}", f"{row['origin']} {row['version']}", row["error"] or row["title"]]
        for row in rows
    ]
    print_table(Console(file=sys.stdout, highlight=False), "", ["plugin", "origin", "what it is"], table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name of a plugin or mistake pattern, file.py:Name or module:Name.")],
    json: shared.Json = False,
    templates: Folders = None,
) -> None:
    """Print one plugin's description and options, or a mistake pattern's template."""
    found = _find(name, templates or [])
    if json:
        from editctl.jsonl import dumps

        typer.echo(dumps(found))
        return
    typer.echo(f"{found['kind']} {found['name']}: {found['title']}")
    for option in found.get("options", ()):
        default = f" [{option['default']}]" if option["default"] != "" else ""
        typer.echo(f"  {option['name']}={option['type']}{default}  {option['help']}")
    if "text" in found:
        typer.echo(found["text"])


def _rows(folders: list[str]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from editctl import __version__, registry
    from editctl.prompts import MISTAKES, Templates

    rows = [asdict(row) for kind in registry.BUILT_IN for row in registry.listing(kind)]
    found = Templates(folders)
    own = found.places[-1]
    for name in found.mistakes():
        path = found.path(f"{MISTAKES}/{name}")
        built_in = path.is_relative_to(own)
        rows.append(
            {
                "kind": "mistakes",
                "name": name,
                "target": f"{MISTAKES}/{name}" if built_in else str(path),
                "origin": "built-in" if built_in else str(path.parent.parent),
                "version": __version__ if built_in else "",
                "title": found.title(f"{MISTAKES}/{name}"),
                "error": None,
            }
        )
    return rows


def _find(name: str, folders: list[str]) -> dict[str, Any]:
    from editctl import options, registry
    from editctl.errors import UsageError, near_misses
    from editctl.prompts import MISTAKES, Templates

    found = Templates(folders)
    known = {plugin: kind for kind in registry.BUILT_IN for plugin in registry.names(kind)}
    if name in found.mistakes():
        template = f"{MISTAKES}/{name}"
        text = found.path(template).read_text(encoding="utf-8")
        return {"kind": "mistake", "name": name, "title": found.title(template), "text": text}
    if name not in known and not registry.is_reference(name):
        raise UsageError(f"unknown plugin {name!r}; {near_misses(name, [*known, *found.mistakes()])}")
    kind = known.get(name, "recipes")
    plugin = registry.load(kind, name)
    title = (plugin.__doc__ or "").strip().partition("\n")[0]
    label = kind[:-1] if name in known else "plugin"
    return {"kind": label, "name": name, "title": title, "options": options.describe(plugin.Options)}
