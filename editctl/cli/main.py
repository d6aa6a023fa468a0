"""`editctl`: the commands, and what an error looks like."""

import errno
import os
import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from editctl import __version__
from editctl.cli import align, env, evaluate, gen_dual, inspect, ledger, plugins, report, score, train
from editctl.cli.help import Command, Group
from editctl.errors import EditctlError, Terminated
from editctl.files import hush

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
app = typer.Typer(
    name="editctl",
    help="Distil reasoning into small models: make dual chains of thought, find the key steps, train on them, score.",
    cls=Group,
    invoke_without_command=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "auto_envvar_prefix": "EDITCTL",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
    },
)
app.command("gen-dual", cls=Command)(gen_dual.gen_dual)
app.command("align", cls=Command)(align.align)
app.command("inspect", cls=Command)(inspect.inspect)
app.command("train", cls=Command)(train.train)
app.command("eval", cls=Command)(evaluate.evaluate)
app.command("score", cls=Command)(score.score)
app.command("report", cls=Command)(report.report)
app.add_typer(plugins.app, name="plugins")
app.add_typer(ledger.app, name="ledger")
app.command("env", cls=Command)(env.env)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"editctl {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> NoReturn:
    """Run a command; errors become one line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _call()
    except (EditctlError, TyperException) as error:
        code = _report(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Terminated as error:
        code = _say("terminated", error.exit_code)
    except BrokenPipeError:
        hush()
        code = 0
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        hush()
        code = _say(f"stdout: can't be written: {error.strerror}; free some space and run again", 2)
    if code == INTERRUPTED:
        _say("interrupted", code)
    sys.exit(code)


def _call() -> int:
    try:
        code = app(prog_name="editctl", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer makes a closed pipe exit code 1
            raise stop.__context__ from None
        raise
    return code if isinstance(code, int) else 0


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated(Terminated.exit_code)


def _report(error: EditctlError | TyperException) -> int:
    if "--debug" in sys.argv:
        _say_trace(error)
    if isinstance(error, EditctlError):
        return _say(str(error), error.exit_code)
    return _say(_usage(error), error.exit_code)


def _say_trace(error: BaseException) -> None:
    from editctl.progress import clean

    for line in "".join(traceback.format_exception(error)).splitlines():
        print(clean(line), file=sys.stderr)


def _usage(error: TyperException) -> str:
    """What is wrong with the command line, and where the value came from when it was no flag."""
    message = error.format_message().rstrip(".")
    context: Any = getattr(error, "ctx", None)
    parameter: Any = getattr(error, "param", None)
    if context is None:
        return message
    source = context.get_parameter_source(parameter.name).name if parameter else None
    if source == "ENVIRONMENT":
        variable = f"{context.auto_envvar_prefix}_{parameter.name.upper()}"
        message = f"{variable}={os.environ.get(variable, '')!r}: {error.message}"
    if source == "DEFAULT_MAP":
        message = f"--config: {parameter.name.replace('_', '-')}: {error.message}"
    return f"{message}; see `{context.command_path} --help`"


def _say(text: str, code: int) -> int:
    from editctl.progress import clean

    # One line, whatever the text holds: what comes from files and providers must not act on the terminal.
    print(f"editctl: {clean(' '.join(text.split()))}", file=sys.stderr)
    return code
