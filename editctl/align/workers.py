"""Alignment of large files in several processes; the rows come in order, as one process would have made them."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import wait

from editctl.align.aligner import aligner_for
from editctl.align.lines import Done, Line, LineAligner
from editctl.records import Match

WORTH_IT = 40
"""Groups of lines from which processes are started unasked: starting one takes about as long as aligning this many."""
_AHEAD = 3
"""Groups that each process has waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a process needs to know."""

    name: str
    """The file's, for errors."""
    mapping: tuple[str, ...]
    unit: str
    tokenizer: str | None
    match: Match


def done_in_order(groups: Iterable[Sequence[Line]], own: LineAligner, setup: Setup, workers: int) -> Iterator[Done]:
    """What became of each group of lines, in order. `workers` 0: as many as there are processors, for large files.

    Raises:
        InputError: a line that is no pair, or whose id an earlier one had.
    """
    # What is alive now stays so, and records hold no cycles: looking for those among them would cost a tenth.
    gc.freeze()
    gc.set_threshold(50_000)
    rest = iter(groups)
    if workers == 0:
        for group in islice(rest, WORTH_IT):
            yield own.rows(group)
        workers = _processors()
    following = next(rest, None)
    if following is None:
        return
    rest = chain([following], rest)
    if workers == 1:
        yield from map(own.rows, rest)
    else:
        yield from _in_processes(rest, own, setup, workers)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(groups: Iterator[Sequence[Line]], own: LineAligner, setup: Setup, workers: int) -> Iterator[Done]:
    # Forking would take over open files, locks and the threads of libraries.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(setup,))
    waiting: deque[tuple[Sequence[Line], Future[Done | None]]] = deque()
    try:
        for group in groups:
            waiting.append((group, pool.submit(_work, group)))
            if len(waiting) >= workers * _AHEAD:
                yield _settled(own, *waiting.popleft())
        while waiting:
            yield _settled(own, *waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _settled(own: LineAligner, group: Sequence[Line], future: "Future[Done | None]") -> Done:
    done = future.result()
    if done is None:
        return own.rows(group)
    own.claim(done)
    return done


_mine: list[LineAligner] = []
"""The aligner of a worker process."""


def _begin(setup: Setup) -> None:
    """Prepare a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    aligner = aligner_for(setup.unit, setup.tokenizer, setup.match)
    _mine.append(LineAligner(setup.name, setup.mapping, aligner))


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(group: Sequence[Line]) -> Done | None:
    return _mine[0].apart(group)
