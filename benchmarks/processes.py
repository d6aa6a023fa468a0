"""Runs a command and watches what it and its children take: processor time, memory. Linux only (/proc)."""

import bisect
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """A process and its living children at one moment."""

    at: float
    """Seconds of the monotonic clock."""
    cpu: float
    """Seconds of processor time so far."""
    resident_mb: float
    peak_mb: float
    """Sum of the processes' own peaks; memory they share is counted once for each."""


@dataclass(slots=True)
class Watched:
    """How a command went."""

    started: float
    ended: float = 0.0
    status: int = 0
    """Exit code; -9 after a kill -9."""
    cpu: float = 0.0
    """Processor seconds in all, with its children's."""
    samples: list[Sample] = field(default_factory=list)

    @property
    def peak_mb(self) -> float:
        """Most memory at one time, in MB of 10**6 bytes."""
        return max((sample.peak_mb for sample in self.samples), default=0.0)

    def cpu_since(self, moment: float) -> float:
        """Processor seconds from a moment of the monotonic clock to the end."""
        times = [self.started, *(sample.at for sample in self.samples), self.ended]
        used = [0.0, *(sample.cpu for sample in self.samples), self.cpu]
        after = min(max(bisect.bisect(times, moment), 1), len(times) - 1)
        span = times[after] - times[after - 1]
        part = (moment - times[after - 1]) / span if span > 0 else 0.0
        return self.cpu - (used[after - 1] + part * (used[after] - used[after - 1]))


class Watch:
    """A running command. Its stdout and stderr go to `log`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("wb") as talk:
            self.watched = Watched(time.monotonic())
            self._process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=talk, stderr=talk
            )

    def kill(self) -> None:
        """As `kill -9`, for the process alone: its children have to notice."""
        self._process.kill()

    def step(self, pause: float) -> bool:
        """Wait `pause` seconds and take a sample; False once the command has ended."""
        time.sleep(pause)
        sample = _sample(self._process.pid)
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if pid == 0:
            self.watched.samples.append(sample)
            return True
        self.watched.ended = time.monotonic()
        self.watched.status = self._process.returncode = os.waitstatus_to_exitcode(status)
        self.watched.cpu = usage.ru_utime + usage.ru_stime
        return False

    def finish(self, pause: float = 0.05) -> Watched:
        """Watch until the end, with a sample every `pause` seconds."""
        while self.step(pause):
            pass
        return self.watched


def _sample(pid: int) -> Sample:
    cpu, resident, peak = 0.0, 0, 0
    for one in _family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{one}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended meanwhile.
        # utime, stime and, for children that have ended, cutime and cstime.
        cpu += sum(int(value) for value in fields[11:15]) / _TICKS
        resident += _kilobytes(status, "VmRSS:")
        peak += _kilobytes(status, "VmHWM:")
    return Sample(time.monotonic(), cpu, resident * 1024 / 1e6, peak * 1024 / 1e6)


def _family(pid: int) -> list[int]:
    """A process and all its living descendants."""
    family = [pid]
    for one in family:
        try:
            for thread in Path(f"/proc/{one}/task").iterdir():
                family += [int(child) for child in (thread / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return family


def _kilobytes(status: str, name: str) -> int:
    _, found, rest = status.partition(name)
    return int(rest.split(maxsplit=1)[0]) if found else 0
