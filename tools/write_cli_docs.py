"""Writes docs/cli.md from the commands' own --help; with --check says whether it is up to date."""

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
COMMANDS = [
    "",
    "gen-dual",
    "align",
    "inspect",
    "train",
    "eval",
    "score",
    "report",
    "plugins",
    "plugins show",
    "ledger",
    "ledger show",
    "ledger prune",
    "env",
]
HEAD = """# Commands

This page is made from `--help` by `make docs`; a test compares the two.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(command) for command in COMMANDS)])


def _section(command: str) -> str:
    words = ["editctl", *command.split()]
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    text = subprocess.run(
        [sys.executable, "-m", *words, "--help"], capture_output=True, text=True, check=True, env=environment
    ).stdout
    lines = [line.rstrip().replace("python -m editctl", "editctl") for line in text.strip().splitlines()]
    return "\n".join([f"## {' '.join(words)}", "", "```text", *lines, "```", ""])


if __name__ == "__main__":
    page = render()
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page else "docs/cli.md is out of date: run `make docs`")
    PAGE.write_text(page, encoding="utf-8")
