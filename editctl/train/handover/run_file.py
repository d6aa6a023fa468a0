"""What a run folder says about itself in `editctl.json`. Pure."""

from collections.abc import Sequence
from typing import Any

from editctl import __version__
from editctl.questions import content_hash
from editctl.records import Alignment
from editctl.slots import is_single
from editctl.tokens import Codec
from editctl.train.plan import Planned, skipped
from editctl.train.stage import Outcome

_SETTINGS = (
    "batch_questions",
    "max_length",
    "schedule",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "optimizer",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "lora_targets",
    "dtype",
    "dev_fraction",
    "early_stop",
)
"""Options that say how the student was trained."""


def run_facts(
    values: dict[str, Any],
    recipe_options: dict[str, Any],
    codec: Codec,
    weights: str,
    alignments: Sequence[Alignment],
    planned: Sequence[Planned],
    outcome: Outcome,
) -> dict[str, Any]:
    """Recipe, prompt style, stages, loss history, and the questions trained on (as hashes of their content). Where the
    run has slots, each stage says which is its own."""
    left_out = skipped(planned)
    single = is_single(item.slot for item in planned)
    trained = {group.question_id for item in planned for group in item.data.groups}
    held_out = {group.question_id for item in planned for group in item.dev.groups}
    questions = [alignment.dual.question for alignment in alignments]
    return {
        "editctl": __version__,
        "recipe": values["recipe"],
        "recipe_options": recipe_options,
        "student": values["student"],
        "weights": weights,
        "prompt_style": codec.style,
        "gap": codec.gap,
        **({"encoder_decoder": True} if codec.encoder_decoder else {}),
        "preset": values["preset"],
        "settings": {name: values[name] for name in _SETTINGS},
        "seed": values["seed"],
        "stages": [
            {
                "name": item.data.stage.name,
                **({} if single else {"slot": item.slot}),
                "questions": len(item.data.groups),
                "held_out": len(item.dev.groups),
                "left_out": left_out[item.data.stage.name],
                "updates": item.steps,
                "learning_rate": item.learning_rate,
                "normaliser": item.data.stage.normaliser,
                "tokens": item.data.tokens(),
                "weighted_tokens": item.data.weighted_tokens(),
                "rows": outcome.packing.get(item.data.stage.name),
                "chosen": outcome.best.get(item.data.stage.name),
            }
            for item in planned
        ],
        "tokens_seen": outcome.tokens,
        "described": sum(question.description is not None for question in questions if question.id in trained),
        "training_questions": sorted({content_hash(question) for question in questions if question.id in trained}),
        "held_out_questions": sorted({content_hash(question) for question in questions if question.id in held_out}),
        "history": outcome.history,
    }
