"""What can go wrong in words a user can act on; each kind carries its exit code."""

import difflib
from collections.abc import Iterable


class EditctlError(Exception):
    """Shown to the user in one line, without a traceback. Says what is wrong and what to do."""

    exit_code = 1


class UsageError(EditctlError):
    """An option, a name or an argument that can't be used as it was given."""

    exit_code = 2


class InputError(EditctlError):
    """Bad input data: names the file and, where there is one, the line and the field.

    `line` is a number, or words where a format has no lines (`row 3`).
    """

    exit_code = 2

    def __init__(
        self, message: str, *, file: str | None = None, line: int | str | None = None, field: str | None = None
    ) -> None:
        place = [file] if file else []
        place += [line if isinstance(line, str) else f"line {line}"] if line else []
        place += [f"field {field!r}"] if field else []
        super().__init__(": ".join([", ".join(place), message] if place else [message]))


class IncompleteError(EditctlError):
    """The work is finished and written, but some calls could not be made."""

    exit_code = 3


class BudgetReached(EditctlError):
    """The next call could pass `--budget-usd` or `--budget-tokens`: what is finished is written."""

    exit_code = 4


class GateError(EditctlError):
    """A score is below what `--fail-under` asks for."""

    exit_code = 5


class Terminated(SystemExit):
    """SIGTERM arrived. A SystemExit, which asyncio lets through and nobody catches by accident."""

    exit_code = 143


def near_misses(name: str, known: Iterable[str]) -> str:
    """Say which known names `name` may have meant; lists all of them where there are few and none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(names)}" if names else "there are none"
