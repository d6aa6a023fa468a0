"""Run what a model wrote, Python or equations, and read the result it left in `ans`. Knows no stage.

Python runs in pydantic-monty, an interpreter without files, network, environment or processes, in worker processes
that are kept warm; every program gets a session of its own. Equations are solved by equations.py in guarded
processes. docs/programs.md says what runs and what is promised.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from queue import SimpleQueue
from typing import Any, Literal

from editctl.errors import UsageError
from editctl.records import Runner
from editctl.sandbox.guard import Crashed, Guard, GuardedError, NotStarted, Overrun
from editctl.sandbox.results import MOST_CHARACTERS, Unreadable, failure, result_text, short
from editctl.sandbox.snippets import EQUATION_FENCES, LONGEST, calls_solution, program_text, unfenced

Status = Literal["ok", "error", "timeout", "no-ans", "unsupported", "unsolved"]
SECONDS = 5.0
"""Time one program may take, unless told otherwise."""
MEMORY_MB = 128
"""Memory one program's values may take, unless told otherwise."""
MOST_WORKERS = 4
"""Workers kept, at most: one program takes a fraction of a millisecond, and its threads share one lock."""
_STOP_SECONDS = 2.0
_SUSPENSIONS = 100
_RECURSION = 1000
_SOLVER = "editctl.sandbox.equations:solved"
_SOLVER_MEMORY_MB = 1024
_CALL = """

try:
    has_ans = True
    ans
except NameError:
    has_ans = False
if not has_ans:
    ans = solution()
"""
_RESULT = """

((ans, isinstance(ans, str)) if not isinstance(ans, (str, bytes, list, tuple, set, frozenset, dict))
    or len(ans) <= 10000 else len(ans))
"""
# The empty line before each ends a line that a cut-off program leaves open with a backslash.


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one program."""

    status: Status
    value: str | None = None
    """Text of `ans`, as the answer readers read it; None unless the status is ok."""
    printed: str = ""
    """What it printed, cut off at `results.MOST_CHARACTERS`. Untrusted text."""
    detail: str | None = None
    """Why there is no value: a type and a line, the module that is missing, the limit. One line of untrusted text."""


class Sandbox:
    """A pool of warm workers that run Python programs, each in a session of its own. Threads may share it.

    A forked child of a process that has run programs can't run any: what speaks with the workers are threads, and
    threads do not outlive a fork. It gets a UsageError, and the parent's workers are left alone.
    `programs_per_worker` replaces a worker after so many programs (None: never, unless it dies).
    """

    def __init__(
        self,
        *,
        seconds: float = SECONDS,
        memory_mb: int = MEMORY_MB,
        workers: int | None = None,
        programs_per_worker: int | None = None,
    ) -> None:
        self.seconds = seconds
        self.memory_mb = memory_mb
        self.workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
        self.programs_per_worker = programs_per_worker
        self._lock = threading.Lock()
        self._pools: list[Any] = []
        self._end = weakref.finalize(self, _close_pools, self._pools)
        _everything().add(self)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(self, text: str) -> Outcome:
        """Run the program in a model's text. Never raises for what the text says or does."""
        if len(text) > LONGEST:
            return Outcome(status="error", detail=f"a text of more than {LONGEST} characters")
        program = program_text(text)
        program += (_CALL if calls_solution(program) else "") + _RESULT
        printed = _Printed()
        status, detail, value = self._result(program, printed)
        return Outcome(status=status, value=value, printed=printed.text(), detail=detail)

    def run_many(self, texts: Iterable[str]) -> list[Outcome]:
        """The outcomes in the order of the texts; the workers run at the same time."""
        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(self.run, texts))

    def close(self) -> None:
        """End the workers. A later run would start others."""
        with self._lock:
            _close_pools(self._pools)

    def _result(self, program: str, printed: "_Printed") -> tuple[Status, str | None, str | None]:
        import pydantic_monty

        try:
            with self._pool().checkout(**self._settings()) as session:
                answer = session.feed_run(program, print_callback=printed.add)
            if not isinstance(answer, tuple):
                raise Unreadable("error", "ans has more than 10000 elements")
            if isinstance(answer[0], str) and answer[1] is not True:
                raise Unreadable("error", "ans is no plain value")
            return "ok", None, result_text(answer[0])
        except Unreadable as error:
            return error.status, error.detail, None
        except pydantic_monty.MontyError as error:
            return *failure(error), None

    def _pool(self) -> Any:
        with self._lock:
            if not self._pools:
                import pydantic_monty

                if _home() != os.getpid():
                    raise UsageError("a forked process can't run programs: start it by spawn, or fork before the first")
                pool = pydantic_monty.Monty(
                    max_processes=self.workers,
                    request_timeout=self.seconds + _STOP_SECONDS,
                    max_checkouts_per_worker=self.programs_per_worker,
                )
                self._pools.append(pool.__enter__())
            return self._pools[0]

    def _settings(self) -> dict[str, Any]:
        """Limits, and a world in which the same program gives the same result: no clock, no chance, no waiting."""
        from datetime import datetime

        limits = {
            "max_feed_duration_secs": self.seconds,
            "max_memory": self.memory_mb << 20,
            "max_recursion_depth": _RECURSION,
            "max_suspensions": _SUSPENSIONS,
            "max_total_sleep_secs": 0.0,
        }
        policy = {"datetime": datetime(2024, 1, 1), "sleep": "zero", "random_start": {"seed": 0}}
        return {"limits": limits, "os_policy": policy}

    def _forked(self) -> None:
        """In a forked child: the workers belong to the parent, and the pool's end here must not be theirs."""
        import ctypes

        self._lock = threading.Lock()
        # A pool stops its workers when it is collected, also at the child's end: these are never collected here.
        while self._pools:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._pools.pop()))


class Solver:
    """Guarded processes that solve systems of equations. Threads may share it."""

    def __init__(self, *, seconds: float = SECONDS, workers: int | None = None) -> None:
        self.workers = workers or min(MOST_WORKERS, os.cpu_count() or 1)
        self._guards = [Guard(_SOLVER, seconds=seconds, memory_mb=_SOLVER_MEMORY_MB) for _ in range(self.workers)]
        self._free: SimpleQueue[Guard] = SimpleQueue()
        for guard in self._guards:
            self._free.put(guard)

    def __enter__(self) -> "Solver":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def run(self, text: str) -> Outcome:
        """Solve the equations in a model's text for `ans`. Never raises for what the text says."""
        if len(text) > LONGEST:
            return Outcome(status="error", detail=f"a text of more than {LONGEST} characters")
        guard = self._free.get()
        try:
            status, answer = guard.call(unfenced(text, EQUATION_FENCES))
        except Overrun as error:
            return Outcome(status="timeout" if error.limit == "time" else "error", detail=str(error))
        except NotStarted:
            raise
        except (Crashed, GuardedError) as error:
            return Outcome(status="error", detail=short(str(error)))
        finally:
            self._free.put(guard)
        return Outcome(status="ok", value=answer) if status == "ok" else Outcome(status=status, detail=short(answer))

    def run_many(self, texts: Iterable[str]) -> list[Outcome]:
        """The outcomes in the order of the texts; the workers run at the same time."""
        with ThreadPoolExecutor(self.workers) as threads:
            return list(threads.map(self.run, texts))

    def close(self) -> None:
        """End the workers. A later run would start others."""
        for guard in self._guards:
            guard.close()


def run(runner: Runner, text: str) -> Outcome:
    """Run one text with the shared workers of this process; see `close`."""
    return _shared(runner).run(text)


def run_many(runner: Runner, texts: Iterable[str]) -> list[Outcome]:
    """Run many texts with the shared workers of this process; the order is kept."""
    return _shared(runner).run_many(texts)


def close() -> None:
    """End the shared workers now; the end of the process does it, too."""
    for runner in list(_open()):
        _open()[runner].close()


def _shared(runner: Runner) -> Sandbox | Solver:
    kinds: dict[Runner, Callable[[], Sandbox | Solver]] = {"python": Sandbox, "equations": Solver}
    if runner not in _open():
        _open().setdefault(runner, kinds[runner]())  # one for all, whichever thread comes first
    return _open()[runner]


@cache
def _open() -> dict[Runner, Sandbox | Solver]:
    return {}


class _Printed:
    """Collects what a program prints, up to a limit."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = MOST_CHARACTERS

    def add(self, _: str, text: str) -> None:
        if self._left > 0:
            self._parts.append(text[: self._left])
            self._left -= len(text)

    def text(self) -> str:
        return "".join(self._parts) + ("…" if self._left < 0 else "")


@cache
def _everything() -> "weakref.WeakSet[Sandbox]":
    """Every sandbox of this process; the first one asks to hear of forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)
    return weakref.WeakSet()


@cache
def _home() -> int:
    """The process that ran the first program."""
    return os.getpid()


def _forked() -> None:
    for sandbox in list(_everything()):
        sandbox._forked()


def _close_pools(pools: list[Any]) -> None:
    while pools:
        pools.pop().__exit__(None, None, None)
