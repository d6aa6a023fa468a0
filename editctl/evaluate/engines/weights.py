"""Proof that an adapter is at work."""

import math
from collections.abc import Sequence
from typing import Any

from editctl.errors import UsageError
from editctl.models import Student

_LONGEST = 256
"""Tokens of a prompt on which an adapter must make a difference."""


def adapter_effect(student: Student, prompts: Sequence[Sequence[int]], opening: Sequence[int] = ()) -> float | None:
    """Largest difference that the student's adapter makes to any logit on these prompts; None without an adapter.

    `opening`: what an encoder-decoder's own text begins behind.

    Raises:
        UsageError: the adapter holds trained weights and changes nothing, so it is not at work; or logits are NaN.
    """
    import torch

    if not student.adapters:
        return None
    effect = 0.0
    device = next(student.model.parameters()).device
    more = {"decoder_input_ids": torch.tensor([list(opening)], device=device)} if opening else {}
    with torch.inference_mode():
        for ids in prompts:
            inputs = torch.tensor([list(ids)[-_LONGEST:]], device=device)
            adapted = student.model(input_ids=inputs, **more).logits
            with student.model.disable_adapter():
                bare = student.model(input_ids=inputs, **more).logits
            change = float((adapted - bare).abs().max())
            if not math.isfinite(change):
                raise UsageError(f"student {student.name}: its logits are no numbers (NaN); its weights are broken")
            effect = max(effect, change)
    if not effect and _is_trained(student.model):
        raise UsageError(
            f"student {student.name}: its adapter holds trained weights, but the student answers as without them"
        )
    return effect


def _is_trained(model: Any) -> bool:
    """Whether any second factor of a LoRA pair, which begins at zero, is not zero."""
    return any(bool(value.any()) for name, value in model.named_parameters() if "lora_B" in name)
