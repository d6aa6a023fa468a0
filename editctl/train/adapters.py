"""LoRA over several stages: each stage trains a fresh adapter on the frozen ones before it; all join into one.

Joining is exact: two low-rank updates laid side by side are one of rank r1 + r2. So the run folder holds one adapter
on the original base, which plain peft loads.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editctl.errors import UsageError
from editctl.files import write_text
from editctl.models import ADAPTER_FILE, Student, calm_peft

WEIGHTS_FILE = "adapter_model.safetensors"
_WRAPPERS = re.compile(r"\b(_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod)\.")
"""What sharding, checkpointing and compiling put into the names of modules, but not into those of a state dict."""
_ODD = (
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "target_parameters",
)
"""Options of peft by which an adapter is more than B A on whole matrices."""
_MOVES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings that change the base weights too, so that the adapter means nothing on the original base."""


_USUAL = (("q_proj", "v_proj"), ("q", "v"), ("qkv_proj",), ("query_key_value",), ("c_attn",))
"""Names of query and value projections, in models that peft has no choice of its own for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Settings of the adapters; the defaults are the published ones (EDIT, table 16)."""

    r: int = 64
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] | None = None
    """Names of modules, or all-linear; None is peft's choice for the family (query and value projections)."""


def add_adapter(student: Student, name: str, lora: Lora) -> None:
    """Put a fresh adapter on the student; earlier ones stay active, frozen, their dropout off.

    Raises:
        UsageError: modules the model doesn't have, or an earlier adapter that is no plain LoRA.
    """
    from peft import PeftModel, get_peft_model

    _check_joinable(student)
    config = _config(student, lora)
    try:
        with calm_peft():
            if isinstance(student.model, PeftModel):
                student.model.add_adapter(name, config)
            else:
                student.model = get_peft_model(student.model, config, adapter_name=name)
    except ValueError as error:
        raise UsageError(f"student {student.name}: no LoRA layers fit (--lora-targets): {error}") from error
    student.adapters = (*student.adapters, name)
    student.model.base_model.set_adapter(list(student.adapters))
    for key, parameter in student.model.named_parameters():
        parameter.requires_grad = "lora_" in key and f".{name}." in key
    _silence_dropout(student.model, student.adapters[:-1])


def _config(student: Student, lora: Lora) -> Any:
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_chosen(student, lora),
        # GPT-2 keeps its matrices the other way round.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in student.model.modules()),
        task_type=_task(student),
    )


def _task(student: Student) -> str:
    """What peft calls it; it decides which class wraps the model."""
    return "SEQ_2_SEQ_LM" if student.encoder_decoder else "CAUSAL_LM"


def _chosen(student: Student, lora: Lora) -> Any:
    """What the user names, else what peft knows for the family, else query and value projections by their usual names,
    else every linear layer."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    if lora.targets:
        return "all-linear" if lora.targets == ("all-linear",) else list(lora.targets)
    if student.model.config.get_text_config().model_type in KNOWN or student.model.config.model_type in KNOWN:
        return None
    last = {name.rpartition(".")[2] for name, _ in student.model.named_modules()}
    return next((list(usual) for usual in _USUAL if last.issuperset(usual)), "all-linear")


def _check_joinable(student: Student) -> None:
    """Raises UsageError for adapters that can't be laid side by side exactly."""
    if not all_plain(student):
        raise UsageError(
            f"student {student.name}: its adapter is no plain LoRA, so training can't go on from it; merge it into "
            "its base model first, or use --full"
        )


def all_plain(student: Student) -> bool:
    """Whether each adapter is nothing but a scaled product of two matrices on the original base."""
    for name in student.adapters:
        config = student.model.peft_config[name]
        lora = str(getattr(config.peft_type, "value", config.peft_type)) == "LORA" and config.bias == "none"
        start = config.init_lora_weights if lora else None
        moves = isinstance(start, str) and start.lower().startswith(_MOVES_BASE)
        if not lora or moves or any(getattr(config, option, None) for option in _ODD):
            return False
    return True


def merge_adapters(student: Student) -> None:
    """Fold the adapters into the base weights and make all of these trainable again."""
    student.model = student.model.merge_and_unload()
    student.adapters = ()
    student.model.requires_grad_(True)


def adapter_rank(student: Student) -> int:
    """Rank of the adapters a student already carries, together."""
    return sum(student.model.peft_config[name].r for name in student.adapters)


def _silence_dropout(model: Any, adapters: tuple[str, ...]) -> None:
    from torch import nn

    for module in model.modules():
        dropouts = getattr(module, "lora_dropout", None)
        if isinstance(dropouts, nn.ModuleDict):
            for name in adapters:
                dropouts[name] = nn.Identity()


def save_adapter(student: Student, folder: Path, state: Mapping[str, Any] | None = None) -> None:
    """Write the adapters of all stages as one, in the two files that plain peft loads.

    The student stays as it is, so this may be called again and again while it is trained. `state` as in
    `joined_adapter`.
    """
    from safetensors.torch import save_file

    config, tensors = joined_adapter(student, state)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(folder / WEIGHTS_FILE), metadata={"format": "pt"})
    write_text(folder / ADAPTER_FILE, json.dumps(config, indent=2, sort_keys=True))


def joined_adapter(student: Student, state: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The adapters of all stages as one: its settings and its tensors, named as peft names them in a file.

    One adapter alone comes out bit by bit. Several are laid side by side: rank r1 + r2 + ..., scale 1, each one's
    scale multiplied into its rows of A; where a module carries only some of them, the rest of its rank is zeros.

    Args:
        state: All weights, by the names of `student.model.state_dict()`, gathered from processes that hold only a
            share each; None reads the live model.

    Returns:
        Copies on the CPU: A is (rank, inputs), B is (outputs, rank).

    Raises:
        UsageError: several adapters of which one is no plain LoRA.
    """
    from peft import get_peft_model_state_dict

    state = student.model.state_dict() if state is None else state
    if len(student.adapters) == 1:
        name = student.adapters[0]
        # With a state of its own peft asks neither the hub nor the shapes.
        own = get_peft_model_state_dict(
            student.model, state_dict=dict(state), adapter_name=name, save_embedding_layers=False
        )
        return _plain_config(student, name), {key: _copy(tensor) for key, tensor in own.items()}
    _check_joinable(student)
    layers = list(lora_layers(student, state))
    rank = sum(
        max(one.rank for layer in layers for one in layer.parts if one.adapter == name) for name in student.adapters
    )
    tensors: dict[str, Any] = {}
    for layer in layers:
        tensors |= layer.joined(rank)
    return _joined_config(student, layers, rank), tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one adapter adds to one module: B A, times its scale."""

    adapter: str
    a: Any
    """(rank, inputs)"""
    b: Any
    """(outputs, rank)"""
    scale: float

    @property
    def rank(self) -> int:
        """Rank of this part; a rank pattern may give each module another one."""
        return int(self.a.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraLayer:
    """One module that carries adapters."""

    name: str
    """As in the state dict, from the outermost model on."""
    parts: tuple[Part, ...]
    turned: bool
    """Whether the module keeps its matrix as (inputs, outputs): GPT-2's layers and all embeddings do."""
    embedding: bool

    def joined(self, rank: int) -> dict[str, Any]:
        """A and B of all parts as one of a rank, with peft's names."""
        import torch

        # Scaled in at least float32: a product in the adapters' own half precision would be rounded twice.
        a = torch.cat([(part.a.float() * part.scale).to(part.a.dtype) for part in self.parts])
        b = torch.cat([part.b for part in self.parts], dim=1)
        missing = rank - a.shape[0]
        ending = ("lora_embedding_A", "lora_embedding_B") if self.embedding else ("lora_A.weight", "lora_B.weight")
        return {
            f"{self.name}.{ending[0]}": _copy(torch.nn.functional.pad(a, (0, 0, 0, missing))),
            f"{self.name}.{ending[1]}": _copy(torch.nn.functional.pad(b, (0, missing))),
        }

    def delta(self) -> Any:
        """What all parts together add to the module's weight, in its own layout, float32."""
        total = sum(part.scale * (part.b.float() @ part.a.float()) for part in self.parts)
        return total.T if self.turned else total


def lora_layers(student: Student, state: Mapping[str, Any]) -> Iterator[LoraLayer]:
    """All modules with adapters of the student, in the model's order; tensors come from `state`."""
    for wrapped, module in student.model.named_modules():
        if not hasattr(module, "lora_embedding_A"):
            continue
        name = _WRAPPERS.sub("", wrapped)
        embedding = bool(len(module.lora_embedding_A))
        parts = tuple(_parts(student.adapters, name, module, embedding, state))
        if parts:
            turned = embedding or bool(getattr(module, "fan_in_fan_out", False))
            yield LoraLayer(name=name, parts=parts, turned=turned, embedding=embedding)


def _parts(
    adapters: Sequence[str], name: str, module: Any, embedding: bool, state: Mapping[str, Any]
) -> Iterator[Part]:
    kind, ending = ("lora_embedding", "") if embedding else ("lora", ".weight")
    for adapter in adapters:
        if adapter in (module.lora_embedding_A if embedding else module.lora_A):
            a, b = (state[f"{name}.{kind}_{side}.{adapter}{ending}"].detach() for side in "AB")
            yield Part(adapter=adapter, a=a, b=b, scale=float(module.scaling[adapter]))


def _copy(tensor: Any) -> Any:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _plain_config(student: Student, name: str) -> dict[str, Any]:
    """An adapter's settings as peft writes them, but with sets in a fixed order."""
    config = student.model.peft_config[name]
    found = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    if found.get("base_model_name_or_path") is None:
        found["base_model_name_or_path"] = getattr(student.model.get_base_model(), "name_or_path", None) or None
    plain: dict[str, Any] = json.loads(json.dumps({**found, "inference_mode": True}))
    return plain


def _joined_config(student: Student, layers: Sequence[LoraLayer], rank: int) -> dict[str, Any]:
    """Settings of the joined adapter: those of the first one but for what names modules, ranks and scales."""
    configs = [student.model.peft_config[name] for name in student.adapters]
    return {
        **_plain_config(student, student.adapters[0]),
        "r": rank,
        "lora_alpha": rank,
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": _targets(student, layers),
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "fan_in_fan_out": any(config.fan_in_fan_out for config in configs),
        "init_lora_weights": True,
        "task_type": _task(student),
    }


def _targets(student: Student, layers: Sequence[LoraLayer]) -> list[str]:
    """Short names (`q_proj`) where they mean exactly the modules that carry adapters, else full names."""
    prefix = "base_model.model."
    full = {layer.name.removeprefix(prefix) for layer in layers}
    short = {name.rpartition(".")[2] for name in full}
    everything = (_WRAPPERS.sub("", name).removeprefix(prefix) for name, _ in student.model.named_modules())
    meant = {name for name in everything if name.rpartition(".")[2] in short}
    return sorted(short if meant == full else full)
