"""Will the student be asked with what it was trained on? Compared token for token before a run begins.

A cue that training writes and asking forgets (or a space, or another order) costs the whole run and shows nowhere: so
the decode plan is walked with the training targets in place of the student's own texts. Each step is looked for among
what its own slot was shown: another student's prompts are none of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from editctl.errors import UsageError
from editctl.recipe import DecodeStep, Recipe
from editctl.records import Alignment, Example
from editctl.slots import is_single
from editctl.tokens import Codec

QUESTIONS = 32


def check_identity(name: str, recipe: Recipe, options: Any, alignments: Iterable[Alignment], codec: Codec) -> None:
    """Look at the first questions that every stage can use.

    Raises:
        UsageError: a step of the decode plan asks with a text that training never shows its slot; both texts where
            they part.
    """
    plan = recipe.plan(options)
    usable = (shown for alignment in alignments if (shown := _shown(recipe, options, alignment)))
    for alignment, examples in islice(usable, QUESTIONS):
        _walk(name, plan, alignment, examples, codec)


def _shown(recipe: Recipe, options: Any, alignment: Alignment) -> tuple[Alignment, dict[str, list[Example]]] | None:
    """A question with what each slot is shown to imitate; None where a stage can't use it."""
    examples: dict[str, list[Example]] = {}
    for stage in recipe.stages(options):
        found = [one for one in recipe.examples(stage.name, alignment, options) if isinstance(one, Example)]
        if not found:
            return None
        examples.setdefault(stage.slot, []).extend(one for one in found if one.side == "right")
    return alignment, examples


def _walk(
    name: str, plan: Sequence[DecodeStep], alignment: Alignment, examples: Mapping[str, list[Example]], codec: Codec
) -> None:
    written: list[str] = []
    for step in plan:
        asked = step.prompt(alignment.dual.question, written)
        ids, own = codec.prompt(asked), examples.get(step.slot, [])
        encoded = [codec.encode(example.prompt, example.target) for example in own]
        target = next((one.target for one in encoded if one.prompt == ids), None)
        if target is None:
            trained = [codec.text(example.prompt) for example in own]
            said = f"step {step.name}" if is_single(examples) else f"step {step.name} of slot {step.slot}"
            raise UsageError(_difference(name, said, alignment.dual.question.id, codec.text(asked), trained))
        written.append(codec.decode(target))


def _difference(name: str, step: str, question: str, asked: str, trained: Sequence[str]) -> str:
    nearest, place = max(
        ((text, _common(asked, text)) for text in trained), key=lambda found: found[1], default=("", 0)
    )
    start = max(0, place - 30)
    return (
        f"recipe {name}: {step} asks with a text that training never shows (question {question}): asked with "
        f"{asked[start : place + 40]!r}, trained on {nearest[start : place + 40]!r}, from character {place} on"
    )


def _common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
