"""What a person sees while a stage works: rich on a terminal, a plain line now and then elsewhere. Knows no stage.

Everything goes to stderr; stdout is for data.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
PLAIN_SECONDS = 10.0
"""Seconds between two plain lines."""
BURST_SECONDS = 1.0
"""Pause after which an item may be the first of many that come at once."""


def clean(text: object) -> str:
    """Text from models and files made harmless for a terminal: one line, what can't be printed as its escape.

    That is ESC and all other C0 and C1 controls, line and paragraph separators, marks that turn the direction of text
    or have no width, and code points that mean nothing. rich's markup means nothing to the consoles below.
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in str(text))


class Talk:
    """The voice on stderr of one command."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, color: bool = True) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.color = color and not os.environ.get("NO_COLOR")
        self.live = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._console: Any = None

    @property
    def console(self) -> Any:
        """A rich console on stderr, made on first use: rich costs start-up time."""
        if self._console is None:
            self._console = _stderr_console()(file=sys.stderr, no_color=not self.color, soft_wrap=True)
        return self._console

    def say(self, text: str) -> None:
        """One line, unless --quiet."""
        if not self.quiet:
            self.console.print(clean(text))

    def detail(self, text: str) -> None:
        """One line for --verbose."""
        if self.verbose:
            self.say(text)

    def warn(self, text: str) -> None:
        """One line, also with --quiet."""
        self.console.print(f"warning: {clean(text)}", style="yellow")

    def table(self, title: str, columns: list[str], rows: list[list[object]]) -> None:
        """A small table, unless --quiet."""
        if not self.quiet:
            print_table(self.console, title, columns, rows)

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """Yield the items and show how many went by."""
        with Bar(self, what, total) as bar:
            for item in items:
                yield item
                bar.advance()


def _plain_console() -> Any:
    """rich's console, but one that takes no text for markup, emoji names or control codes.

    Every text that is printed, or stands in a table, passes `render_str`; a `rich.text.Text` does not.
    """
    from rich.console import Console

    class Plain(Console):
        def render_str(self, text: str, **how: Any) -> Any:
            safe = "\n".join(map(clean, text.split("\n")))
            return super().render_str(safe, **{**how, "markup": False, "emoji": False, "highlight": False})

    return Plain


def _stderr_console() -> Any:
    """A plain console that goes on working when nobody reads stderr any more (`2>&1 | head`)."""

    class Stderr(_plain_console()):  # type: ignore[misc]
        def on_broken_pipe(self) -> None:
            self.quiet = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    return Stderr


def stdout_console(*, color: bool = True) -> Any:
    """A plain console for what a command prints as its result."""
    return _plain_console()(file=sys.stdout, no_color=not color or bool(os.environ.get("NO_COLOR")))


def print_table(console: Any, title: str, columns: list[str], rows: list[list[object]]) -> None:
    """A table; a column is set to the right where all its cells hold figures.

    Long cells are folded on a terminal. Elsewhere nothing is folded and no line ends in spaces.
    """
    columns, cells = [clean(column) for column in columns], [[clean(cell) for cell in row] for row in rows]
    right = [bool(rows) and all(_is_figure(row[number]) for row in cells) for number in range(len(columns))]
    if not console.is_terminal:
        lines = _plain_table(columns, cells, right)
        console.print("\n".join([title, *lines] if title else lines), soft_wrap=True)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column, figures in zip(columns, right, strict=True):
        table.add_column(column, justify="right" if figures else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table, soft_wrap=False)


def _is_figure(text: str) -> bool:
    return not text or text[0].isdigit() or (text[0] in "-+." and text[1:2].isdigit())


def _plain_table(columns: list[str], rows: list[list[str]], right: list[bool]) -> Iterator[str]:
    from rich.cells import cell_len, set_cell_size

    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    for row in [columns, *rows]:
        cells = [
            " " * (width - cell_len(cell)) + cell if figures else set_cell_size(cell, width)
            for cell, width, figures in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


class Bar:
    """Progress of one piece of work: a rich bar, or plain lines every PLAIN_SECONDS."""

    def __init__(self, talk: Talk, what: str, total: int | None = None) -> None:
        self.talk = talk
        self.what = clean(what)
        self.total = total
        self.done = 0
        self.fields = ""
        self._rich: Any = None
        self._task: Any = None
        self._said = self._started = self._moved = time.monotonic()
        self._held = False

    def __enter__(self) -> "Bar":
        if self.talk.live:
            self._rich = _rich_progress(self.talk.console)
            self._task = self._rich.add_task(self.what, total=self.total, fields="")
            self._rich.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._rich is not None:
            self._rich.stop()

    def advance(self, count: int = 1, fields: str | None = None) -> None:
        """Count `count` items done; `fields` is what stands behind the bar."""
        self.done += count
        self.fields = self.fields if fields is None else clean(fields)
        if self._rich is not None:
            self._rich.update(self._task, completed=self.done, fields=self.fields)
        elif not self.talk.quiet:
            self._say_now_and_then(time.monotonic())

    def _say_now_and_then(self, now: float) -> None:
        # The first item after a pause may begin a burst (a batch of answers): a line then would foretell hours.
        begins = now - self._moved > BURST_SECONDS and not self._held
        self._held, self._moved = begins, now
        if now - self._said >= PLAIN_SECONDS and not begins:
            self._said = now
            self.talk.say(self._line())

    def _line(self) -> str:
        spent = time.monotonic() - self._started
        line = f"{self.what}: {self.done}"
        if self.total:
            left = spent / max(self.done, 1) * (self.total - self.done)
            line += f"/{self.total}, {_clock(left)} left"
        rate = self.done / max(spent, 1e-9)
        return f"{line}, {rate:{',.0f' if rate >= 100 else '.3g'}}/s  {self.fields}".rstrip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _rich_progress(console: Any) -> Any:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[fields]}", markup=False),
    )
    return Progress(*columns, console=console, transient=False)
