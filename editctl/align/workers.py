"""Alignment of large files in several processes; the rows come in order, as one process would have made them."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import wait

from editctl.align.aligner import aligner_for
from editctl.align.lines import Done, Line, LineAligner
from editctl.errors import EditctlError
from editctl.records import Match

WORTH_IT = 5000
"""Lines of a file from which processes are started unasked: starting them takes about as long as aligning so many."""
_LARGEST_BLOCK = 8 << 20
_AHEAD = 3
"""Groups that each process has waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a process needs to know."""

    name: str
    """The file's, for errors."""
    is_stream: bool
    """Whether lines may take their time."""
    mapping: tuple[str, ...]
    unit: str
    tokenizer: str | None
    match: Match


def done_in_order(groups: Iterable[Sequence[Line]], own: LineAligner, setup: Setup, workers: int) -> Iterator[Done]:
    """What became of each group of lines, in order.

    `workers` 0: as many as there are processors, for large files; a stream may be slow, and is left to this process.

    Raises:
        InputError: a line that is no pair, or whose id an earlier one had.
        EditctlError: a worker process died.
    """
    _keep_freed_memory()
    # What is alive now stays so, and records hold no cycles: looking for those among them would cost a tenth.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000)
    try:
        yield from _done(iter(groups), own, setup, workers)
    finally:
        gc.set_threshold(*thresholds)


def _keep_freed_memory() -> None:
    """Make the C library keep some free memory for the next group of lines; fetching it anew would cost a sixth.

    glibc learns from the largest block that was freed: twice that, at most 64 MiB, is kept (mallopt(3),
    M_MMAP_THRESHOLD). Other libraries lose nothing.
    """
    bytes(_LARGEST_BLOCK)


def _done(groups: Iterator[Sequence[Line]], own: LineAligner, setup: Setup, workers: int) -> Iterator[Done]:
    if workers == 0:
        rows = 0
        while (rows < WORTH_IT or setup.is_stream) and (group := next(groups, None)) is not None:
            rows += len(group)
            yield own.rows(group)
        workers = _processors()
    following = next(groups, None)
    if following is None:
        return
    groups = chain([following], groups)
    if workers > 1 and not own.reader.has_made_ids:
        yield from _in_processes(groups, own, setup, workers)
    # Also what is left where rows without ids were met: only one process can name them.
    yield from map(own.rows, groups)


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
            while waiting and (len(waiting) >= workers * _AHEAD or waiting[0][1].done()):
                yield _settled(own, *waiting.popleft())
            if own.reader.has_made_ids:
                break
        while waiting:
            yield _settled(own, *waiting.popleft())
    except BrokenExecutor as error:
        raise EditctlError("a worker process died (out of memory?); try again with --workers 1") from error
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
    _keep_freed_memory()
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
