"""A terminal for tests: a command behind a pseudo-terminal of a given width."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from tests.support_cli import Outcome

PATIENCE = 180.0


class Terminal:
    """Runs `editctl` with all three streams on one pseudo-terminal."""

    def __init__(self, *words: str, folder: Path, width: int = 80, **environment: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "editctl", *words],
            cwd=folder,
            env={**known, "TERM": "xterm-256color", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""
        self._data = b""

    def read_until(self, done: Callable[[str], bool]) -> str:
        """What was printed so far, once that is enough or the terminal is closed."""
        end = time.monotonic() + PATIENCE
        while not done(self.text) and time.monotonic() < end:
            if not select.select([self.master], [], [], 1.0)[0]:
                continue
            try:
                self._data += os.read(self.master, 1 << 16)
            except OSError:  # nobody holds the other end any more
                break
            self.text = self._data.decode(errors="replace").replace("\r\n", "\n")
        return self.text

    def interrupt(self) -> None:
        """What Ctrl-C does to all that run on the terminal."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> Outcome:
        """Everything printed, and the exit code."""
        try:
            text = self.read_until(lambda _: False)
            code = self.process.wait(PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            os.close(self.master)
        return Outcome(code, text, "")
