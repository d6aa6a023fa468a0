"""What a run folder says about itself in `editctl.json`. Pure."""

from collections.abc import Sequence
from typing import Any

from editctl import __version__
from editctl.questions import content_hash
from editctl.records import Alignment
from editctl.train.stage import Outcome, Planned, skipped


def run_facts(
    values: dict[str, Any],
    recipe_options: dict[str, Any],
    style: str,
    weights: str,
    alignments: Sequence[Alignment],
    planned: Sequence[Planned],
    outcome: Outcome,
) -> dict[str, Any]:
    """Recipe, prompt style, stages, loss history, and the questions trained on (as hashes of their content)."""
    left_out = skipped(planned)
    trained = {group.question_id for item in planned for group in item.data.groups}
    questions = [alignment.dual.question for alignment in alignments]
    return {
        "editctl": __version__,
        "recipe": values["recipe"],
        "recipe_options": recipe_options,
        "student": values["student"],
        "weights": weights,
        "prompt_style": style,
        "seed": values["seed"],
        "stages": [
            {
                "name": item.data.stage.name,
                "questions": len(item.data.groups),
                "left_out": left_out[item.data.stage.name],
                "updates": item.steps,
                "learning_rate": item.learning_rate,
                "normaliser": item.data.stage.normaliser,
                "tokens": item.data.tokens(),
                "weighted_tokens": item.data.weighted_tokens(),
            }
            for item in planned
        ],
        "tokens_seen": outcome.tokens,
        "training_questions": sorted({content_hash(question) for question in questions if question.id in trained}),
        "history": outcome.history,
    }
