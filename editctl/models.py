"""Students: found, built, loaded, asked. Shared by training, evaluation and local teachers.

Everything heavy is imported inside the functions: the file itself costs nothing to import.
"""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from editctl import slots
from editctl.errors import InputError, UsageError, near_misses
from editctl.whereabouts import check_absent, hub_fault, near_folders

TINY = "tiny"
RUN_FILE = "editctl.json"
ADAPTER_FILE = "adapter_config.json"
Origin = Literal["scratch", "pretrained"]
RATE_FACTORS = {"lora": 1.0, "full": 0.1, "scratch": 10.0}
"""What a recipe's learning rate, given for LoRA, is multiplied by: all weights of a trained model want smaller steps,
those of a new model larger ones."""


@dataclass(slots=True)
class Student:
    """A model with its tokenizer."""

    name: str
    model: Any
    tokenizer: Any
    origin: Origin
    adapters: tuple[str, ...] = ()
    """Names of the LoRA adapters the model already carries."""

    @property
    def encoder_decoder(self) -> bool:
        """Whether one half of the model reads the prompt and the other writes (T5); else it goes on from the prompt."""
        return bool(getattr(self.model.config, "is_encoder_decoder", False))


def run_facts(folder: str) -> dict[str, Any] | None:
    """What `train` wrote about a run folder; None where the folder is no run.

    Raises:
        InputError: a run file that can't be read.
    """
    place = Path(folder) / RUN_FILE
    if not place.is_file():
        return None
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"is no JSON: {error}", file=str(place)) from error
    if not isinstance(facts, dict) or "recipe" not in facts:
        raise InputError("is no run file of editctl", file=str(place))
    return facts


def check_name(spec: str) -> None:
    """Raises UsageError where a student can't be what its name says, before anything heavy is loaded."""
    path = Path(spec)
    if spec == TINY:
        return
    if path.exists():
        if not path.is_dir():
            raise UsageError(f"student {spec}: is a file; name a model folder, a hub id or {TINY}")
        if not any((path / name).is_file() for name in ("config.json", ADAPTER_FILE)):
            nothing = f"the folder holds no model (no config.json, no {ADAPTER_FILE})"
            raise UsageError(f"student {spec}: {slots.told(path) or nothing}")
        return
    if near_misses(spec, [TINY]).startswith("did you mean"):
        raise UsageError(f"unknown student {spec!r}; {near_misses(spec, [TINY])}")
    check_absent(spec, "student")


def load(
    spec: str,
    *,
    device: str,
    dtype: str,
    trust_remote_code: bool = False,
    four_bit: bool = False,
    weights: bool = True,
) -> Student:
    """A model folder, a hub id, or a run folder with its adapter on the base it was trained on.

    `four_bit`: the base in 4 bits (bitsandbytes' NF4); without `weights` the model has shapes and no values.

    Raises:
        UsageError: a student that can't be found or read.
    """
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    check_name(spec)
    torch_dtype = _dtype(dtype, device)
    adapted = (Path(spec) / ADAPTER_FILE).is_file()
    quietly()
    fault = ""
    try:
        base = base_of(Path(spec)) if adapted else _absolute(spec)
        words = spec if not adapted or (Path(spec) / "tokenizer_config.json").is_file() else base
        fault = hub_fault(base)
        more = {"trust_remote_code": trust_remote_code, "local_files_only": bool(fault)}
        tokenizer = AutoTokenizer.from_pretrained(words, **more)
        kind = _class_of(base, more)
        more |= {"dtype": torch_dtype}
        model = _four_bit(kind, base, device, more) if four_bit else _whole(kind, base, more, weights)
        if adapted:
            model = _with_adapter(model, spec, weights)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError, InputError) as error:
        raise _not_loaded(spec, "student", fault if isinstance(error, OSError) else "", error) from error
    model = model.to(device) if weights and not four_bit else model
    return Student(spec, model, tokenizer, "pretrained", ("start",) if adapted else ())


def _class_of(base: str, where: Mapping[str, Any]) -> Any:
    """The class that loads it: models of two halves (T5) have one of their own."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.from_pretrained(base, **where)
    return AutoModelForSeq2SeqLM if getattr(config, "is_encoder_decoder", False) else AutoModelForCausalLM


def _whole(kind: Any, base: str, more: dict[str, Any], weights: bool) -> Any:
    import torch
    from transformers import AutoConfig

    if weights:
        model, found = kind.from_pretrained(base, output_loading_info=True, **more)
        _check_whole(found)
        return model
    where = {name: more[name] for name in ("trust_remote_code", "local_files_only")}
    config = AutoConfig.from_pretrained(base, **where)
    with torch.device("meta"):
        return kind.from_config(config, dtype=more["dtype"], trust_remote_code=more["trust_remote_code"])


def _check_whole(found: dict[str, Any]) -> None:
    """transformers fills what a checkpoint lacks with random values and goes on. Raises ValueError instead."""
    lacking = sorted(map(str, found.get("missing_keys") or ()))
    lacking += sorted(str(key[0] if isinstance(key, tuple) else key) for key in found.get("mismatched_keys") or ())
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise ValueError(f"its weights are not whole: {', '.join(lacking[:3])}{more} missing or of another shape")


def _four_bit(kind: Any, base: str, device: str, more: dict[str, Any]) -> Any:
    """QLoRA's base (Dettmers et al. 2023): 4-bit NormalFloat with double quantisation."""
    import importlib.util

    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("--four-bit needs bitsandbytes: pip install bitsandbytes")
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=more["dtype"],
    )
    return kind.from_pretrained(base, quantization_config=quantisation, device_map={"": device}, **more)


def base_of(folder: Path) -> str:
    """The model an adapter was trained on. Raises InputError where its settings can't be read or don't tell."""
    place = folder / ADAPTER_FILE
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"can't be read: {error}", file=str(place)) from error
    base = found.get("base_model_name_or_path") if isinstance(found, dict) else None
    if not base or not isinstance(base, str):
        raise InputError("names no base_model_name_or_path", file=str(place))
    return _absolute(base)


def _absolute(spec: str) -> str:
    """A folder's full path, so that an adapter finds its base from anywhere; a hub id as it is."""
    return str(Path(spec).resolve()) if Path(spec).is_dir() else spec


def _with_adapter(model: Any, folder: str, weights: bool) -> Any:
    from peft import PeftConfig, PeftModel, get_peft_model

    with calm_peft():
        if weights:
            return PeftModel.from_pretrained(model, folder, adapter_name="start")
        return get_peft_model(model, PeftConfig.from_pretrained(folder), adapter_name="start")


@contextlib.contextmanager
def calm_peft() -> Iterator[None]:
    """Keep to ourselves that peft asks transformers for a property under its old name: nobody here can help it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield


def reads_apart(spec: str) -> bool:
    """Whether a student is an encoder-decoder, by its configuration alone; False where that can't be had."""
    from transformers import AutoConfig

    if spec == TINY:
        return False
    folder = Path(spec)
    try:
        base = base_of(folder) if (folder / ADAPTER_FILE).is_file() else spec
        config = AutoConfig.from_pretrained(base, local_files_only=bool(hub_fault(base)))
    except (OSError, ValueError, ImportError, KeyError):
        return False
    return bool(getattr(config, "is_encoder_decoder", False))


def decoder_start(student: Student) -> int:
    """The token that an encoder-decoder's own text begins behind: what its model puts before labels.

    Raises:
        UsageError: a model that does not say.
    """
    import torch

    inner = student.model.get_base_model() if hasattr(student.model, "get_base_model") else student.model
    shift = getattr(inner, "prepare_decoder_input_ids_from_labels", None)
    try:
        start = inner.config.decoder_start_token_id if shift is None else int(shift(labels=torch.tensor([[1]]))[0, 0])
    except ValueError:
        start = None
    if start is None:
        raise UsageError(f"student {student.name}: its config.json names no decoder_start_token_id")
    return int(start)


def positions_of(config: Any) -> tuple[int | None, int | None]:
    """Most tokens that a model can read, and that its decoder can hold; None where it has no such limit."""
    common = getattr(config, "max_position_embeddings", None)
    limits = (getattr(config, f"max_{half}_position_embeddings", None) or common for half in ("encoder", "decoder"))
    most_read, most_held = limits
    return most_read, most_held


def load_tokenizer(spec: str) -> Any:
    """A student's tokenizer alone. Raises UsageError where there is none."""
    from transformers import AutoTokenizer

    if spec == TINY:
        raise UsageError("tiny has no tokenizer before it is trained; name a model or a run folder, or use words")
    if not Path(spec).exists():
        check_absent(spec, "tokenizer")
    quietly()
    fault = ""
    try:
        fault = hub_fault(spec)
        tokenizer = AutoTokenizer.from_pretrained(spec, local_files_only=bool(fault))
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise _not_loaded(spec, "tokenizer", fault if isinstance(error, OSError) else "", error) from error
    if not tokenizer.is_fast:
        raise UsageError(f"tokenizer {spec}: is a slow one; editctl needs offset mappings (a tokenizer.json)")
    return tokenizer


def _not_loaded(spec: str, what: str, fault: str, error: BaseException) -> UsageError:
    """`fault`: the hub's, where there is one and it is the reason."""
    reason = fault or " ".join(str(error).split())[:300]
    if Path(spec).exists():
        return UsageError(f"{what} {spec}: can't be loaded: {reason}")
    return UsageError(f"{what} {spec}: there is no such folder{near_folders(spec)}; looked for on the hub: {reason}")


def pick_device(wanted: str) -> str:
    """`auto` is the first GPU where there is one. Raises UsageError for a device that isn't there."""
    import torch

    own = os.environ.get("LOCAL_RANK")  # of several processes on one machine each has its GPU
    cuda = "cuda" if own is None else f"cuda:{own}"
    if wanted == "auto":
        return cuda if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = wanted.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise UsageError(
            f"--device {wanted}: not on this machine; there is {', '.join(k for k, v in there.items() if v)}"
        )
    return cuda if wanted == "cuda" else wanted


def _dtype(wanted: str, device: str) -> Any:
    import torch

    if wanted == "auto":
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if wanted not in known:
        raise UsageError(f"--dtype {wanted!r} is unknown; {near_misses(wanted, ['auto', *known])}")
    return known[wanted]


def quietly() -> None:
    """Keep the libraries' bars and chatter off the screen; warnings stay."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
