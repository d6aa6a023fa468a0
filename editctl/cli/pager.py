"""A pager between a console and the person who reads: less, or what $PAGER says."""

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from editctl.errors import Terminated

_PATIENCE = 1.0
"""Seconds of one wait."""
LESS = "FRX"
"""What less is told where $LESS says nothing: short texts just print, colours are colours, the screen stays."""


@contextlib.contextmanager
def paged(console: Any, wanted: bool) -> Iterator[bool]:
    """Let a rich console write into a pager, where one is wanted and stdout is a terminal that can have one.

    Yields whether there is one. The pager starts with the first text; leaving waits until it is quit. Where there is
    none, the console prints as ever. A pager that is quit early is a closed pipe, as `| head` is.
    """
    command = _command() if wanted and sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else None
    if command is None:
        yield False
        return
    former = console.file
    pipe = _Pipe(command, former)
    console.file = pipe
    try:
        yield True
    except Terminated:
        pipe.stop()
        raise
    finally:
        console.file = former
        pipe.finish()


def _command() -> list[str] | None:
    """The pager's words; None for none, for `cat`, and for a program that is not there."""
    try:
        words = shlex.split(os.environ.get("PAGER", "less"))
    except ValueError:  # a quote without its other half
        return None
    if not words or words == ["cat"] or not shutil.which(words[0]):
        return None
    # A LESS variable of the user's may lack R, without which less shows colours as escape codes.
    return [*words, "-R"] if Path(words[0]).name == "less" else words


def _wait_for(process: "subprocess.Popen[str]") -> None:
    """Wait until it ends, in many waits: a signal just before one is only seen behind it."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
            return


class _Pipe(io.TextIOBase):
    """A text file that a pager shows, started on first use. It calls itself a terminal: what it gets is seen on one."""

    def __init__(self, command: list[str], instead: IO[str]) -> None:
        self._command = command
        self._instead = instead
        self._pager: subprocess.Popen[str] | None = None
        self._broken = False

    def isatty(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return self._target().write(text)

    def flush(self) -> None:
        if self._pager is not None or self._broken:
            self._target().flush()

    def _target(self) -> IO[str]:
        if self._pager is None and not self._broken:
            environment = {**os.environ, "LESS": os.environ.get("LESS", LESS)}
            try:
                self._pager = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
                )
            except OSError:  # a file that can be run, they said
                self._broken = True
        return self._instead if self._pager is None or self._pager.stdin is None else self._pager.stdin

    def stop(self) -> None:
        """End the pager: nobody is to wait for its reader."""
        if self._pager is not None:
            self._pager.terminate()

    def finish(self) -> None:
        """Say that this was all, and wait for the reader."""
        if self._pager is None or self._pager.stdin is None:
            return
        # Ctrl-C reaches the pager too, and there it means something else; we must not leave before it does.
        former = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with contextlib.suppress(BrokenPipeError):
                self._pager.stdin.close()
            _wait_for(self._pager)
        except Terminated:
            self.stop()
            raise
        finally:
            signal.signal(signal.SIGINT, former)
