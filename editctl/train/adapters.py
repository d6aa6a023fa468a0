"""LoRA over several stages: each stage trains a fresh adapter on the frozen ones before it; all join into one.

Joining is exact: two low-rank updates laid side by side are one of rank r1 + r2. So the run folder holds one adapter
on the original base, which plain peft loads.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editctl.errors import UsageError
from editctl.models import Student

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
        UsageError: modules the model doesn't have.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    targets: Any = list(lora.targets) if lora.targets else None
    if targets == ["all-linear"]:
        targets = "all-linear"
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    try:
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
        student.model.add_weighted_adapter(list(student.adapters), ones, name, combination_type="cat")
    student.model.save_pretrained(str(folder), selected_adapters=[name])
    inner = folder / name  # peft gives every adapter but `default` a folder of its own
    for file in inner.iterdir():
        file.replace(folder / file.name)
    shutil.rmtree(inner)
