"""Can the student's tokenizer write what the student is to learn? Asked before a run begins.

A tokenizer that makes one space of a line break, or has no token for `{`, turns every program into one that never runs,
and shows it nowhere: the losses fall as ever.
"""

import unicodedata
from collections.abc import Iterable
from itertools import islice
from typing import Any

from editctl.errors import UsageError
from editctl.recipe import Recipe
from editctl.records import Alignment, Example
from editctl.tokens import Codec

QUESTIONS = 64
_SHOWN = 8


def check_writable(recipe: Recipe, options: Any, alignments: Iterable[Alignment], codec: Codec) -> str | None:
    """What to warn of, where the targets of the first questions would not come back from their tokens.

    White space around a target does not count, nor does how accents are composed.

    Raises:
        UsageError: the same, where what the student writes will be run.
    """
    examples = (example for alignment in alignments for example in _examples(recipe, options, alignment))
    found = (_lost(example, codec) for example in islice(examples, QUESTIONS))
    lost = next((one for one in found if one), None)
    if lost is None:
        return None
    said = f"the student's tokenizer can't write {lost}"
    if any(step.runner for step in recipe.plan(options)):
        raise UsageError(f"{said}, so no program of its could run; use a student whose tokenizer can")
    return f"{said}: that much of the targets is not learnt"


def _examples(recipe: Recipe, options: Any, alignment: Alignment) -> Iterable[Example]:
    for stage in recipe.stages(options):
        yield from (one for one in recipe.examples(stage.name, alignment, options) if isinstance(one, Example))


def _lost(example: Example, codec: Codec) -> str:
    """The characters of a target that its tokens have fewer or more of; empty where it comes back."""
    written = codec.encode(example.prompt, example.target).target
    text, read = _plain(example.target), _plain(codec.decode(written))
    if text == read:
        return ""
    lost = sorted({one for one in text if text.count(one) != read.count(one)}) or ["some of its characters in order"]
    names = [repr(one) if len(one) == 1 else one for one in lost[:_SHOWN]]
    return ", ".join(names) + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
