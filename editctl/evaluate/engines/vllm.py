"""Students in vLLM, in this process: token ids in, the base with the run's adapter on it. Needs vllm and a GPU.

Written against vLLM's documented interface (0.6 to 0.11): `LLM`, `SamplingParams`, `LoRARequest`.
"""

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from editctl.errors import UsageError
from editctl.evaluate.engine import Ask, Failed, Sampling, Told, Written
from editctl.models import ADAPTER_FILE, check_name
from editctl.records import Prompt
from editctl.tokens import Codec

WINDOW = 512
"""Texts of a batch: enough to fill a GPU, and what an interrupted evaluation does again."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""vLLM takes no other values as the largest rank of an adapter."""
_SAME = 1e-6
_PROBE = Prompt(user="Q:What is 17 + 25?\n\nA:", forced="17 + 25 = 42. Therefore, the answer is 42.")


class VllmEngine:
    """Writes with one student, a whole model or an adapter on its base."""

    takes_forced = True
    prompts: Literal["tokens", "text", "template"] = "tokens"
    joint = True

    def __init__(
        self,
        spec: str,
        codec: Codec,
        sampling: Sampling,
        *,
        dtype: str = "auto",
        trust_remote_code: bool = False,
        options: Mapping[str, Any] | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        """`spec` is a run folder, a model folder or a hub id; `options` go to `vllm.LLM` (`gpu_memory_utilization`).

        Raises:
            UsageError: vllm is missing or can't load the student, or its adapter changes nothing.
        """
        check_name(spec)
        if codec.encoder_decoder:
            raise UsageError(f"student {spec}: vllm serves no encoder-decoder students; use --engine local")
        self.name = spec
        self._vllm = _vllm()
        self._codec = codec
        self._sampling = sampling
        self._identity = dict(identity or {})
        settings = _settings(spec, "bfloat16" if dtype == "auto" else dtype, trust_remote_code) | dict(options or {})
        self._settings = settings
        try:
            self._llm: Any = self._vllm.LLM(**settings)
        except (ValueError, TypeError, RuntimeError, OSError, ImportError) as error:
            raise UsageError(f"student {spec}: vllm can't load it: {' '.join(str(error).split())[:300]}") from error
        self._positions = int(self._llm.llm_engine.model_config.max_model_len)
        self._adapter = self._request() if settings.get("enable_lora") else None
        self._differs = self._measured() if self._adapter is not None else None

    def _request(self) -> Any:
        lora = importlib.import_module("vllm.lora.request")
        return lora.LoRARequest("student", 1, str(Path(self.name).resolve()))

    def _measured(self) -> float:
        """By how much the adapter changes a prompt's log-probabilities, at most. Raises UsageError where it doesn't."""
        ids = self._codec.prompt(_PROBE)
        with_it, without = self._likelihoods(ids, self._adapter), self._likelihoods(ids, None)
        apart = max((abs(one - other) for one, other in zip(with_it, without, strict=True)), default=0.0)
        if apart <= _SAME:
            raise UsageError(
                f"student {self.name}: vllm gives the same probabilities with its adapter and without; "
                "the adapter is not used, or changes nothing"
            )
        return apart

    def _likelihoods(self, ids: Sequence[int], adapter: Any) -> list[float]:
        """Log-probability of each token of a prompt but the first."""
        wanted = self._vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=1)
        [output] = self._llm.generate([{"prompt_token_ids": list(ids)}], [wanted], use_tqdm=False, lora_request=adapter)
        return [float(found[token].logprob) for token, found in zip(ids, output.prompt_logprobs, strict=True) if found]

    def batches(self, prompts: Sequence[Prompt], limit: int) -> list[list[int]]:
        """Windows of one size, in order."""
        count = len(prompts)
        return [list(range(start, min(start + WINDOW, count))) for start in range(0, count, WINDOW)]

    def converse(self) -> "VllmEngine":
        """Begin with a batch; what was read for earlier steps is in vLLM's own cache of prefixes."""
        return self

    def write(self, asks: Mapping[int, Ask], told: Told) -> None:
        """Have one step's texts written; they are told when all are done."""
        rooms = {place: self._room(ask) for place, ask in asks.items()}
        for place, (ids, room) in rooms.items():
            if room < 1:
                told(place, Failed(reason="too-long", detail=f"{len(ids)} tokens leave no room to write"))
        places = [place for place, (_, room) in rooms.items() if room >= 1]
        if not places:  # vLLM refuses to write nothing
            return
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(rooms[place][0])} for place in places],
            [self._parameters(asks[place], rooms[place][1]) for place in places],
            use_tqdm=False,
            lora_request=self._adapter,
        )
        for place, output in zip(places, outputs, strict=True):
            told(place, self._written(asks[place], output.outputs[0]))

    def _room(self, ask: Ask) -> tuple[tuple[int, ...], int]:
        """A prompt's ids, and how many new tokens fit behind them."""
        ids = self._codec.prompt(ask.prompt)
        return ids, min(ask.limit, self._positions - len(ids))

    def _parameters(self, ask: Ask, room: int) -> Any:
        return self._vllm.SamplingParams(
            temperature=self._sampling.temperature,
            top_p=self._sampling.top_p if self._sampling.temperature else 1.0,
            seed=ask.seed % 2**31,
            max_tokens=room,
            stop=list(ask.stop),
            # The student's own end token and no other, as in training, whatever the model's files name.
            ignore_eos=True,
            stop_token_ids=[self._codec.end],
            skip_special_tokens=True,
        )

    def _written(self, ask: Ask, output: Any) -> Written:
        """Read from the ids, so that the text is the one that this process would write."""
        ids, end = list(output.token_ids), self._codec.end
        ended = end in ids
        ids = ids[: ids.index(end)] if ended else ids
        text = self._codec.decode(ids)
        for stop in ask.stop:
            text = text.partition(stop)[0]
        return Written(text=text, tokens=len(ids), cut=output.finish_reason == "length" and not ended)

    def facts(self) -> Mapping[str, Any]:
        """The student, how it was loaded, and that its adapter is used."""
        return {
            "engine": "vllm",
            "student": self._identity,
            "settings": {key: value for key, value in self._settings.items() if key not in ("model", "tokenizer")},
            "adapter": None if self._adapter is None else {"differs": True},
            "style": self._codec.style,
            "gap": self._codec.gap,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "versions": {"vllm": str(getattr(self._vllm, "__version__", "unknown"))},
        }

    def close(self) -> None:
        """Let the model go; vLLM frees the GPU when its engine is collected."""
        self._llm = None


def _vllm() -> Any:
    """The module. Raises UsageError where it is not installed."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # it would send out what runs on which hardware
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise UsageError(f"engine vllm: vllm can't be imported ({error}); pip install vllm (it needs a GPU)") from error


def _settings(spec: str, dtype: str, trust_remote_code: bool) -> dict[str, Any]:
    """What `vllm.LLM` is told of a student."""
    folder = Path(spec)
    settings: dict[str, Any] = {
        "model": spec,
        "dtype": dtype,
        "trust_remote_code": trust_remote_code,
        "enable_prefix_caching": True,
        "seed": 0,
        "generation_config": "vllm",  # else the model's own sampling and end tokens come in
    }
    if (folder / "tokenizer_config.json").is_file():
        settings["tokenizer"] = spec
    if not (folder / ADAPTER_FILE).is_file():
        return settings
    try:
        adapter = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
        base, ranks = str(adapter["base_model_name_or_path"]), (adapter.get("rank_pattern") or {}).values()
        rank = max([int(adapter["r"]), *ranks])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"student {spec}: {ADAPTER_FILE} can't be read: {error}") from error
    if rank > _RANKS[-1]:
        raise UsageError(
            f"student {spec}: its adapter is of rank {rank}, vllm takes {_RANKS[-1]} at most; merge it first"
        )
    if adapter.get("modules_to_save") or adapter.get("use_dora"):
        raise UsageError(f"student {spec}: vllm takes no adapter with modules_to_save or DoRA; merge it first")
    largest = next(size for size in _RANKS if size >= rank)
    return settings | {"model": base, "enable_lora": True, "max_lora_rank": largest, "max_loras": 1}
