"""A student asked from an event loop: closing in the middle of a text, and what its device may say."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from editctl.decoding.decoder import Decoder
from editctl.decoding.pool import Closed, Pool, Text, Wanted
from editctl.errors import EditctlError, UsageError
from editctl.models import Student
from editctl.scratch import train_tokenizer
from editctl.tokens import Codec
from editctl.train.adapters import Lora, add_adapter
from tests.support_models import CORPUS, llama, scratch
from tests.support_sided import sided_student

LIMIT = 2_000
"""Tokens of a text that nothing else would end."""
WAIT = 300
"""Seconds after which a wait is given up."""


def asked(pool: Pool, limit: int = 8) -> Text:
    """One text, and the pool closed behind it."""

    async def ask() -> Text:
        try:
            return await pool.write(Wanted(read=lambda codec: (10, 11, 12), limit=limit, seed=len))
        finally:
            await pool.close()

    return asyncio.run(ask())


def pool_of(student: Student | None = None) -> Pool:
    """A pool over a small random student."""
    found = student or scratch()
    codec = Codec(found.tokenizer, "plain", encoder_decoder=found.encoder_decoder)
    return Pool(lambda: (found, codec), 10_000)


# Closing.


def long(adapted: bool = False) -> Student:
    """A decoder-only student with room for long texts."""
    tokenizer = train_tokenizer(CORPUS, 400)
    student = Student("long", llama(len(tokenizer), positions=2 * LIMIT), tokenizer, "pretrained")
    if adapted:
        add_adapter(student, "start", Lora(r=2, alpha=4, dropout=0.0))
    return student


STUDENTS: dict[str, Callable[[], Student]] = {
    "llama": long,
    "adapted": lambda: long(adapted=True),
    "t5": sided_student,
    "flan-t5": lambda: sided_student("flan-t5"),
    "bart": lambda: sided_student("bart", max_position_embeddings=2 * LIMIT),
}


class Watch:
    """Counts the tokens of a student that never ends a text; at the third it waits until its pool is closed."""

    def __init__(self, student: Student, pool: Pool) -> None:
        self.pool = pool
        self.count = 0
        self.third = threading.Event()
        head = student.model.get_output_embeddings()
        head.weight.data.zero_()  # the first of equals is not the end
        head.register_forward_hook(self._written)

    def _written(self, *_: Any) -> None:
        self.count += 1
        if self.count == 3:
            self.third.set()
            assert self.pool._closed.wait(WAIT)


@pytest.mark.parametrize(
    ("shape", "remembers"), [*((shape, True) for shape in STUDENTS), ("llama", False), ("adapted", False)]
)
def test_closing_stops_at_the_next_token(monkeypatch: pytest.MonkeyPatch, shape: str, remembers: bool) -> None:
    student = STUDENTS[shape]()
    if not remembers:  # then transformers' `generate` writes
        monkeypatch.setattr("editctl.decoding.decoder.can_hold", lambda model: False)
    pool = pool_of(student)
    watch = Watch(student, pool)

    async def ask() -> None:
        text = asyncio.ensure_future(pool.write(Wanted(read=lambda codec: (10, 11), limit=LIMIT, seed=len)))
        assert await asyncio.to_thread(watch.third.wait, WAIT)
        await pool.close()
        with pytest.raises(Closed):
            await text

    asyncio.run(ask())
    assert watch.count == 3
    assert pool._found is None


# Devices.

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.00 GB)."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]
FAILED = [
    RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
]
OTHERS = [
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
    RuntimeError("dictionary changed size during iteration"),
    RecursionError("maximum recursion depth exceeded"),
    ValueError("CUDA error: said by somebody else"),
]


def raising(error: BaseException) -> Callable[..., Any]:
    """What fails whenever it is called."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
def test_too_little_memory_for_the_model_itself_is_one_clear_line(error: BaseException) -> None:
    with pytest.raises(UsageError) as caught:
        asked(Pool(raising(error), 10_000))
    assert str(caught.value) == (
        "out of memory while the model was loaded; take a smaller -T dtype= (bfloat16) or another -T device="
    )


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:30])
def test_too_little_memory_for_texts_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(Decoder, "write", raising(error))
    with pytest.raises(UsageError) as caught:
        asked(pool_of())
    assert str(caught.value) == "out of memory with 1 texts at once; lower -T batch-tokens= (now 10000)"


@pytest.mark.parametrize("loading", [True, False], ids=["loading", "writing"])
@pytest.mark.parametrize("error", FAILED, ids=lambda error: str(error)[:30])
def test_a_device_that_fails_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, loading: bool
) -> None:
    monkeypatch.setattr(Decoder, "write", raising(error))
    with pytest.raises(EditctlError) as caught:
        asked(Pool(raising(error), 10_000) if loading else pool_of())
    when = "the model was loaded" if loading else "texts were written"
    assert str(caught.value) == f"the device failed while {when}: {str(error).splitlines()[0]}"
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("loading", [True, False], ids=["loading", "writing"])
@pytest.mark.parametrize("error", OTHERS, ids=lambda error: str(error)[:30])
def test_mistakes_of_a_program_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch, error: Exception, loading: bool
) -> None:
    monkeypatch.setattr(Decoder, "write", raising(error))
    with pytest.raises(type(error)) as caught:
        asked(Pool(raising(error), 10_000) if loading else pool_of())
    assert caught.value is error
