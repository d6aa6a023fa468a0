"""How much memory a run will take, estimated from shapes alone. Rough: within a third or so, never exact."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from editctl.models import Student
from editctl.train.plan import Planned, Settings

_ADAM = 8
"""Bytes of AdamW's two averages for each number that is trained."""
_GRADIENT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Bytes, by what takes them."""

    weights: int
    trained: int
    """Gradients and the optimizer's state."""
    activations: int
    logits: int

    def total(self) -> int:
        """All together."""
        return sum(getattr(self, field.name) for field in fields(self))

    def megabytes(self) -> dict[str, int]:
        """In MiB, with the total."""
        return {field.name: getattr(self, field.name) >> 20 for field in fields(self)} | {"total": self.total() >> 20}

    def in_words(self) -> str:
        """One line."""
        parts = ", ".join(f"{name} {size}" for name, size in self.megabytes().items() if name != "total")
        return f"memory, estimated, without Python and its libraries: {self.megabytes()['total']} MiB ({parts})"


def estimate(student: Student, planned: Sequence[Planned], settings: Settings) -> Estimate:
    """For the student with all its adapters, as the last stage trains it."""
    config = student.model.config.get_text_config()
    parameters = list(student.model.parameters())
    trained = sum(one.numel() for one in parameters if one.requires_grad)
    room = settings.room(config.vocab_size)
    tokens = min(settings.row_tokens, max(_step_tokens(item, settings) for item in planned))
    half = 2 if settings.bf16 else 4
    places = min(room.places, max(_step_places(item, settings) for item in planned))
    return Estimate(
        weights=sum(one.numel() * one.element_size() for one in parameters),
        trained=trained * (_GRADIENT + _ADAM),
        activations=_activations(config, tokens, half, settings.gradient_checkpointing),
        # Logits, their gradient and the probabilities, in float32.
        logits=places * config.vocab_size * 4 * 3,
    )


def _step_tokens(item: Planned, settings: Settings) -> int:
    """Tokens of an update of average questions."""
    return max(1, item.data.merged_tokens() * settings.batch_questions // len(item.data.groups))


def _step_places(item: Planned, settings: Settings) -> int:
    """Places of an update whose logits are computed; an encoder-decoder's are those of all its targets."""
    examples = [one for group in item.data.groups for one in group.examples]
    all_targets = sum(len(one.target) for one in examples)
    places = all_targets if examples[0].apart else item.data.weighted_tokens()
    return max(1, places * settings.batch_questions // len(item.data.groups))


def _activations(config: Any, tokens: int, size: int, again: bool) -> int:
    """What the backward pass needs: per layer about ten rows of the model's width and four of the inner width."""
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * width
    layers = config.num_hidden_layers
    layer = tokens * (10 * width + 4 * inner) * size
    return int(layers * tokens * width * size + layer if again else layers * layer)
