"""Options that several commands share: one spelling, one help text. Also `--config`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from editctl.errors import InputError, UsageError, near_misses


def _load_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take a YAML file's values as defaults: flat keys are flags, a key named like a command holds that command's."""
    if path is None or context.resilient_parsing:
        return path
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"is no UTF-8 text ({error.reason})", file=str(path)) from error
    except yaml.YAMLError as error:
        raise InputError(f"is no YAML: {' '.join(str(error).split())}", file=str(path)) from error
    if not isinstance(values, dict):
        raise InputError("must hold `option: value` lines", file=str(path))
    context.default_map = _defaults(context, {str(key): value for key, value in values.items()}, path)
    return path


def _defaults(context: typer.Context, values: dict[str, Any], path: Path) -> dict[str, Any]:
    assert context.parent is not None
    commands = set(context.parent.command.commands)  # type: ignore[attr-defined]
    own = values.get(str(context.info_name))
    flat = {key: value for key, value in values.items() if key not in commands}
    flat |= own if isinstance(own, dict) else {}
    known = {str(one.name).replace("_", "-"): one for one in context.command.params}
    defaults = {}
    for key, value in flat.items():
        parameter = known.get(key.replace("_", "-"))
        if parameter is None:
            raise InputError(f"unknown key {key!r}; {near_misses(key, known)}", file=str(path))
        many = parameter.multiple or parameter.nargs == -1
        defaults[str(parameter.name)] = _texts(value) if many and value is not None else _text(value)
    return defaults


def _texts(value: Any) -> list[Any]:
    """What a repeatable option holds: a list, one value, or an object of `key=value` texts."""
    if isinstance(value, dict):
        return [f"{key}={_text(inner)}" for key, inner in value.items()]
    return [_text(inner) for inner in (value if isinstance(value, list) else [value])]


def _text(value: Any) -> Any:
    """YAML's own numbers and words back to what a shell would pass."""
    return value if isinstance(value, bool) or value is None else str(value)


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        is_eager=True,
        callback=_load_config,
        help="YAML file with values for these options.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours (NO_COLOR does the same).")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="File to write; stdout without it.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Take the first N only.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", help="ours=theirs: read field `theirs` as our `ours`; repeatable."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is drawn.")]
AllowPartial = Annotated[
    bool, typer.Option("--allow-partial", help="Go on with input that the command before could not finish.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what stands at the output's place.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the table.")]
Questions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUESTIONS",
        help="Question files, - for stdin, toy:NAME?n=200&split=train|test|ood, sets such as bbh?split=test&seed=0, "
        "or datasets hf:ORG/NAME[/CONFIG][:SPLIT].",
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        envvar=["EDITCTL_DATA", "EDITCTL_DATA_DIR"],
        help="Folder with local copies of question sets; without one they come from the hub.",
    ),
]
Kind = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="TASK=KIND", help="Answer kind of all questions of a task; repeatable."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16, float16.")]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest text asked for, in tokens.")]
Conclusion = Annotated[
    str, typer.Option("--conclusion", help="Opening of the conclusion sentence, for other languages.")
]
FailUnder = Annotated[
    float | None,
    typer.Option("--fail-under", min=0, max=1, help="Exit with 5 when micro accuracy is below this share."),
]
RecipeOptions = Annotated[
    list[str] | None,
    typer.Option("--recipe-option", "-R", help="key=value of the recipe; `editctl plugins show NAME` lists them."),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Settings of the recipe by name (paper: as published); what you set yourself wins."),
]
Gap = Annotated[bool, typer.Option("--gap/--no-gap", help="Whether a space joins prompt and target in plain style.")]
