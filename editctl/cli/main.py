"""`editctl`: the commands, and what an error looks like."""

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from editctl import __version__
from editctl.cli import align, env, evaluate, gen_dual, plugins, score, train
from editctl.errors import EditctlError, Terminated

app = typer.Typer(
    name="editctl",
    help="Distil reasoning into small models: make dual chains of thought, find the key steps, train on them, score.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "auto_envvar_prefix": "EDITCTL",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
)
app.command("gen-dual")(gen_dual.gen_dual)
app.command("align")(align.align)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("score")(score.score)
app.add_typer(plugins.app, name="plugins")
app.command("env")(env.env)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"editctl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run a command; errors become one line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False) or 0
    except (EditctlError, TyperException) as error:
        if "--debug" in sys.argv:
            raise
        code = _report(error)
    except KeyboardInterrupt:
        code = _say("interrupted; what was finished is kept", 130)
    except typer.Abort:
        code = _say("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated(143)


def _report(error: Exception) -> int:
    if isinstance(error, EditctlError):
        return _say(str(error), error.exit_code)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return _say(message, getattr(error, "exit_code", 2))


def _say(text: str, code: int) -> int:
    from editctl.progress import clean

    # One line, whatever the text holds: what comes from files and providers must not act on the terminal.
    print(f"editctl: {clean(' '.join(text.split()))}", file=sys.stderr)
    return code
