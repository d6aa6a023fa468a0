"""Lines on a console: folded to its width on a terminal, and nowhere else."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text


def folded(console: Console, lines: Iterable[Text], width: int) -> list[Text]:
    """Lines no wider than `width` cells on a terminal; as they are elsewhere."""
    if not console.is_terminal:
        return list(lines)
    return [piece for line in lines for piece in line.wrap(console, max(width, 1), tab_size=1)]


def print_lines(console: Console, lines: Iterable[Text], indent: str = "") -> None:
    """Print lines, each behind the indent and without white space at its end."""
    for line in folded(console, lines, console.width - len(indent)):
        line.rstrip()
        console.print(Text(indent if line.plain else "") + line, soft_wrap=True)
