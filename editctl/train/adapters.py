"""LoRA over several stages: each stage trains a fresh adapter on the frozen ones before it; all join into one.

Joining is exact: two low-rank updates laid side by side are one of rank r1 + r2. So the run folder holds one adapter
on the original base, which plain peft loads.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editctl.errors import UsageError
from editctl.models import Student, calm_peft

JOINED = "joined"


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

    targets: Any = list(lora.targets) if lora.targets else None
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear" if targets == ["all-linear"] else targets,
        # GPT-2 keeps its matrices the other way round.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in student.model.modules()),
        task_type="CAUSAL_LM",
    )


def _check_joinable(student: Student) -> None:
    """Raises UsageError for adapters that can't be laid side by side exactly."""
    for name in student.adapters:
        config = student.model.peft_config[name]
        plain = str(getattr(config.peft_type, "value", config.peft_type)) == "LORA" and config.bias == "none"
        odd = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "alora_invocation_tokens")
        if not plain or any(getattr(config, option, None) for option in odd):
            raise UsageError(
                f"student {student.name}: its adapter is no plain LoRA, so training can't go on from it; merge it into "
                "its base model first, or use --full"
            )


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


def save_adapter(student: Student, folder: Path) -> None:
    """Write the adapters of all stages as one."""
    name = student.adapters[-1]
    if len(student.adapters) > 1:
        name = JOINED
        ones = [1.0] * len(student.adapters)
        # The joined adapter takes its settings from the first one; its scale must be 1 whatever the rank.
        student.model.peft_config[student.adapters[0]].use_rslora = False
        student.model.add_weighted_adapter(list(student.adapters), ones, name, combination_type="cat")
    student.model.save_pretrained(str(folder), selected_adapters=[name], save_embedding_layers=False)
    inner = folder / name  # peft gives every adapter but `default` a folder of its own
    for file in inner.iterdir():
        file.replace(folder / file.name)
    shutil.rmtree(inner)
