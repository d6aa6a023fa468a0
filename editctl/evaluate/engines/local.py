"""A student in this process, on a CPU or a GPU: batched by length, later steps go on from what was read."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from editctl.decoding.cache import Memory
from editctl.decoding.decoder import Decoder
from editctl.decoding.row import Done, Job
from editctl.errors import UsageError
from editctl.evaluate.engine import Ask, Failed, Sampling, Told, Written
from editctl.evaluate.engines.weights import adapter_effect
from editctl.models import Student, positions_of
from editctl.records import Prompt
from editctl.tokens import Codec


class LocalEngine:
    """Writes with a loaded student."""

    takes_forced = True
    prompts: Literal["tokens"] = "tokens"
    joint = True

    def __init__(
        self,
        student: Student,
        codec: Codec,
        sampling: Sampling,
        *,
        batch_tokens: int = 65_536,
        steps: int = 1,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        """`batch_tokens` bounds texts x (longest prompt + new tokens) of a batch; `steps` is how often a text is asked
        for in one conversation, and `identity` what tells the student's weights from others."""
        self.name = student.name
        self.student = student
        self.codec = codec
        self.sampling = sampling
        self.batch_tokens = batch_tokens
        self.steps = steps
        self.decoder = Decoder(
            student, end=codec.end, temperature=sampling.temperature, top_p=sampling.top_p, codec=codec
        )
        self.short_of_room = 0
        """Texts that had less room than was asked for."""
        self._identity = dict(identity or {})
        self.apart = student.encoder_decoder
        config = student.model.config
        self.readable, self.positions = positions_of(config if self.apart else config.get_text_config(decoder=True))

    def batches(self, prompts: Sequence[Prompt], limit: int) -> list[list[int]]:
        """Prompts of like length together, the longest first."""
        lengths = [len(self.codec.prompt(prompt)) for prompt in prompts]
        order = sorted(range(len(prompts)), key=lambda number: (-lengths[number], number))
        found = []
        while order:
            # A later step reads what the earlier ones wrote.
            size = max(1, self.batch_tokens // (lengths[order[0]] + limit * max(1, self.steps)))
            found.append(order[:size])
            order = order[size:]
        return found

    def converse(self) -> "LocalConversation":
        """Begin with a batch."""
        return LocalConversation(self)

    def prove(self, prompts: Sequence[Prompt]) -> list[str]:
        """What to warn of. Raises UsageError where a trained adapter changes nothing."""
        read = [self.codec.prompt(prompt) for prompt in prompts]
        effect = adapter_effect(self.student, read, self.decoder.opening)
        return ["the adapter was never trained: the student answers as its base"] if effect == 0 else []

    def room(self, ids: Sequence[int], limit: int) -> int:
        """New tokens that fit behind a prompt, at most `limit`; an encoder-decoder's prompt stands elsewhere."""
        if self.apart and self.readable is not None and len(ids) > self.readable:
            return 0
        before = len(self.decoder.opening) if self.apart else len(ids)
        return limit if self.positions is None else min(limit, self.positions - before)

    def facts(self) -> Mapping[str, Any]:
        """The weights, their precision, how tokens are chosen and batched, and the libraries that compute."""
        import torch
        import transformers

        parameter = next(self.student.model.parameters())
        return {
            "engine": "local",
            "student": self._identity,
            "dtype": str(parameter.dtype).removeprefix("torch."),
            "device": parameter.device.type,
            "style": self.codec.style,
            "gap": self.codec.gap,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "batch_tokens": self.batch_tokens,
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        }

    def close(self) -> None:
        """Nothing to give back that Python would not."""


class LocalConversation:
    """One batch through the steps of a plan; what was read and written before is remembered."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.step = 0
        self.memory: dict[int, Memory] = {}

    def write(self, asks: Mapping[int, Ask], told: Told) -> None:
        """Have one step's texts written, by place in the batch."""
        self.step += 1
        jobs: dict[int, Job] = {}
        for place, ask in asks.items():
            ids = self.engine.codec.prompt(ask.prompt)
            room = self.engine.room(ids, ask.limit)
            self.engine.short_of_room += 0 < room < ask.limit
            if not ids:
                told(place, Failed(reason="empty-prompt", detail="there is nothing to read"))
            elif room < 1:
                told(place, Failed(reason="too-long", detail=f"{len(ids)} tokens leave no room to write"))
            else:
                jobs[place] = Job(ids=ids, limit=room, seed=ask.seed, stop=ask.stop)
        if jobs:
            self.memory = self._write(jobs, told)

    def _write(self, jobs: Mapping[int, Job], told: Told) -> dict[int, Memory]:
        import torch

        keep = self.step < self.engine.steps
        try:
            return self.engine.decoder.write(jobs, _telling(told), self.memory, keep=keep)
        except torch.OutOfMemoryError as error:
            raise UsageError(
                f"out of memory with {len(jobs)} texts at once; lower --batch-tokens (now {self.engine.batch_tokens})"
            ) from error


def _telling(told: Told) -> Any:
    def tell(place: int, done: Done) -> None:
        told(place, Written(text=done.text, tokens=len(done.ids), cut=done.cut))

    return tell
