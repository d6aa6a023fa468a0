"""One student, asked from an event loop: texts that wait at the same moment are written together, in a thread of its
own, which alone touches model and tokenizer."""

import asyncio
import gc
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from editctl.decoding.decoder import Decoder
from editctl.decoding.row import Done, Job
from editctl.errors import EditctlError, UsageError
from editctl.interfaces import CallFailed
from editctl.models import Student, positions_of
from editctl.tokens import Codec

GATHERED = 0.01
"""Seconds that a batch waits for others who are about to ask."""
_DEVICE = r"\b(?:CUDA|HIP|XPU|MPS|cuDNN|cuBLAS)\b"
FULL = re.compile(rf"{_DEVICE}.*\bout of memory\b|\bDefaultCPUAllocator\b|\bCUBLAS_STATUS_ALLOC_FAILED\b", re.DOTALL)
"""How torch says that memory ran out where it has no class for it."""
FAILED = re.compile(rf"{_DEVICE} error\b")
"""How torch says that a device failed; only newer releases have a class for it."""


class Closed(EditctlError):
    """The pool was closed while a text was being written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One text to be written."""

    read: Callable[[Codec], Sequence[int]]
    """What the student reads, as its tokens."""
    limit: int
    """Most new tokens."""
    seed: Callable[[Sequence[int]], int]
    """From what is read to what drives the sampling of this text."""
    temperature: float = 0.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What was written, and how many tokens were read for it."""

    done: Done
    read: int


@dataclass(slots=True, eq=False)
class _Call:
    """Somebody who waits."""

    wanted: Wanted
    answer: "asyncio.Future[Text]"
    job: Job | None = None

    def tell(self, done: Done) -> None:
        if not self.answer.done():
            self.answer.set_result(Text(done=done, read=len(self.job.ids) if self.job else 0))

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class Pool:
    """Writes what is asked of it. For one event loop; needs `close`."""

    load: Callable[[], tuple[Student, Codec]]
    batch_tokens: int
    """Bounds texts x (longest prompt + new tokens) of a batch."""
    top_p: float = 1.0
    _found: tuple[Student, Codec] | None = None
    _waiting: list[_Call] = field(default_factory=list)
    _work: "asyncio.Task[None] | None" = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "student"))
    _closed: threading.Event = field(default_factory=threading.Event)

    async def write(self, wanted: Wanted) -> Text:
        """One text, as soon as it is written.

        Raises:
            CallFailed: the student can't read so much.
            EditctlError: what stops all: a student that can't be loaded, too little memory, a device that fails.
        """
        call = _Call(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._serve())
        return await call.answer

    async def close(self) -> None:
        """Stop at the next token, and give the student's memory back."""
        self._closed.set()
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._found is not None:
            self._found = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    async def _serve(self) -> None:
        """Batch after batch, as long as somebody waits."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(GATHERED)
            calls = [call for call in self._waiting if not call.answer.done()]
            self._waiting = []  # whoever asks from here on is looked at after this batch
            if not calls:
                continue
            written = loop.run_in_executor(self._thread, self._write, calls, loop)
            written.add_done_callback(_look_at)
            await asyncio.wait([written])
            error = written.exception()
            if error is not None:
                for call in calls:
                    call.fail(error)
            self._waiting = [call for call in calls if not call.answer.done()] + self._waiting

    def _write(self, calls: Sequence[_Call], loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: write the first batch of these; the others stay as they are."""
        student, codec = self._loaded()
        decoder = Decoder(student, end=codec.end, top_p=self.top_p, codec=codec)
        ready = [call for call in calls if self._prepared(call, decoder, loop)]
        batch = self._batch(ready)
        if not batch:
            return
        decoder.temperature = batch[0].wanted.temperature
        full = f"out of memory with {len(batch)} texts at once; lower -T batch-tokens= (now {self.batch_tokens})"
        with _device_faults(full, "while texts were written"):
            decoder.write(
                {place: call.job for place, call in enumerate(batch) if call.job},
                lambda place, done: _soon(loop, batch[place].tell, done),
            )

    def _loaded(self) -> tuple[Student, Codec]:
        """The student, which from then on stops at the next token once the pool is closed."""
        if self._found is None:
            full = "out of memory while the model was loaded; take a smaller -T dtype= (bfloat16) or another -T device="
            with _device_faults(full, "while the model was loaded"):
                found = self.load()
            model = found[0].model
            # Whole models, as halves of one have embeddings of their own; `generate` of an adapted one calls its base.
            for part in {model, model.get_base_model() if hasattr(model, "get_base_model") else model}:
                part.register_forward_pre_hook(self._stop_if_closed)
            self._found = found
        return self._found

    def _prepared(self, call: _Call, decoder: Decoder, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether a text can be written: it then has its tokens."""
        assert self._found is not None
        if call.job is not None:
            return True
        ids = tuple(call.wanted.read(self._found[1]))
        room = _room(self._found[0], decoder, ids, call.wanted.limit)
        if not ids or room < 1:
            detail = f"{len(ids)} tokens leave no room to write" if ids else "there is nothing to read"
            _soon(loop, call.fail, CallFailed("too-long" if ids else "empty-prompt", detail, answered=True))
            return False
        call.job = Job(ids=ids, limit=room, seed=call.wanted.seed(ids), stop=call.wanted.stop)
        return True

    def _batch(self, calls: Sequence[_Call]) -> list[_Call]:
        """Texts of like length, the longest first; those of the temperature of whoever waits longest."""
        alike = [call for call in calls if call.wanted.temperature == calls[0].wanted.temperature]
        alike.sort(key=lambda call: -len(call.job.ids) if call.job else 0)
        if not alike or alike[0].job is None:
            return []
        longest = len(alike[0].job.ids) + max(call.job.limit for call in alike if call.job)
        return alike[: max(1, self.batch_tokens // longest)]

    def _stop_if_closed(self, *_: Any) -> None:
        if self._closed.is_set():
            raise Closed("closed while a text was being written")


@contextmanager
def _device_faults(full: str, when: str) -> Iterator[None]:
    """What torch raises where memory runs out or a device fails, in one line; other errors stay as they are.

    Raises:
        UsageError: says `full`.
        EditctlError: a device failed.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UsageError(full) from error
    except RuntimeError as error:
        if FULL.search(str(error)):
            raise UsageError(full) from error
        if FAILED.search(str(error)):
            raise EditctlError(f"the device failed {when}: {str(error).strip().splitlines()[0][:300]}") from error
        raise


def _room(student: Student, decoder: Decoder, ids: Sequence[int], limit: int) -> int:
    """New tokens that fit, at most `limit`; an encoder-decoder's prompt stands elsewhere than its text."""
    config = student.model.config
    apart = student.encoder_decoder
    readable, positions = positions_of(config if apart else config.get_text_config(decoder=True))
    if apart and readable is not None and len(ids) > readable:
        return 0
    before = len(decoder.opening) if apart else len(ids)
    return limit if positions is None else min(limit, positions - before)


def _look_at(written: "asyncio.Future[None]") -> None:
    """A batch that failed after everybody had left is nobody's business."""
    if not written.cancelled():
        written.exception()


def _soon(loop: asyncio.AbstractEventLoop, tell: Callable[[Any], None], what: Any) -> None:
    loop.call_soon_threadsafe(tell, what)
