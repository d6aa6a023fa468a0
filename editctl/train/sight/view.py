"""What the trainer will see of a question, as plain records. Prints nothing; decides nothing of its own.

Whether a question is trained on, its ids, weights and cuts are those of groups.py, called as the trainer calls it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from editctl.recipe import Recipe, Stage
from editctl.records import Alignment, Example, Span
from editctl.tokens import Codec, Encoded, token_weights
from editctl.train.engine.groups import Group, build
from editctl.train.sight.parts import token_parts
from editctl.views import ExampleView, LeftOut, Part, Unit


@dataclass(frozen=True, slots=True)
class Seen:
    """One question in one stage: what the trainer gets, and the same to look at."""

    group: Group
    views: tuple[ExampleView, ...]
    """Also of examples without any weight, which the group does not hold."""


@dataclass(frozen=True, slots=True)
class Lens:
    """How questions are looked at: everything that decides what the trainer sees."""

    recipe: Recipe
    options: Any
    codec: Codec
    max_length: int


def look(lens: Lens, stage: Stage, alignment: Alignment) -> Seen | LeftOut:
    """One question in one stage."""
    items = list(lens.recipe.examples(stage.name, alignment, lens.options))
    data = build(lens.recipe, lens.options, stage, [alignment], lens.codec, lens.max_length)
    examples = [item for item in items if isinstance(item, Example)]
    if data.groups:
        views = [_view(lens.codec, stage, alignment, number, example) for number, example in enumerate(examples)]
        return Seen(data.groups[0], tuple(views))
    reason = next(iter(data.skipped))
    lengths = [length for example in examples if (length := _length(lens.codec, example)) > lens.max_length]
    question = alignment.dual.question
    return LeftOut(
        question_id=question.id,
        task=question.task,
        stage=stage.name,
        reason=reason,
        tokens=max(lengths, default=None) if reason == "over-max-length" else None,
    )


def _length(codec: Codec, example: Example) -> int:
    """Tokens of prompt and target up to the last weighted one."""
    encoded = codec.encode(example.prompt, example.target)
    return len(encoded.prompt) + _kept(_weights(example, encoded), example.share)


def _weights(example: Example, encoded: Encoded) -> list[float]:
    return [*token_weights(example.target, encoded.offsets, example.spans), example.end_weight]


def _kept(weights: Sequence[float], share: float) -> int:
    """Target tokens that the trainer keeps."""
    return max((place for place, weight in enumerate(weights, 1) if weight and share), default=0)


def _view(codec: Codec, stage: Stage, alignment: Alignment, number: int, example: Example) -> ExampleView:
    encoded = codec.encode(example.prompt, example.target)
    weights = _weights(example, encoded)
    kept = _kept(weights, example.share)
    return ExampleView(
        question_id=alignment.dual.question.id,
        task=alignment.dual.question.task,
        stage=stage.name,
        number=number,
        side=example.side,
        share=example.share,
        normaliser=stage.normaliser,
        start="".join(_names(codec, codec.start)),
        prompt=codec.text(example.prompt),
        prompt_ids=encoded.prompt,
        units=_units(codec, example, encoded, weights, token_parts(example, alignment, encoded.offsets), kept),
        trained=kept > 0,
    )


def _units(
    codec: Codec,
    example: Example,
    encoded: Encoded,
    weights: Sequence[float],
    parts: Sequence[Part],
    kept: int,
) -> tuple[Unit, ...]:
    units = []
    gap, done = codec.lead(example.prompt, example.target), 0
    for first, last in _runs(encoded.offsets):
        start, end = _extent(encoded.offsets[first:last])
        ids, text = encoded.target[first:last], example.target[start:end]
        if not text:
            text = codec.decode(ids) or gap or _names(codec, ids)[0]
            start, end = _own_place(text, example.target, done, start)
        units.append(
            Unit(
                text=text,
                before=("" if text == gap else gap) + example.target[done:start],
                ids=ids,
                weights=tuple(weights[first:last]),
                part=parts[first],
                kept=min(max(kept - first, 0), last - first),
                unknown=_is_unknown(codec, ids),
            )
        )
        gap, done = "", max(done, end)
    return (*units, _end_unit(codec, weights, kept))


def _own_place(text: str, target: str, done: int, place: int) -> Span:
    """Characters that a token says which has none by its offsets: white space, where offsets leave that out."""
    return (done, done + len(text)) if target.startswith(text, done) else (place, place)


def _end_unit(codec: Codec, weights: Sequence[float], kept: int) -> Unit:
    return Unit(
        text=_names(codec, (codec.end,))[0],
        before="",
        ids=(codec.end,),
        weights=(weights[-1],),
        part="end",
        kept=int(kept == len(weights)),
        unknown=False,
    )


def _runs(offsets: Sequence[Span]) -> list[tuple[int, int]]:
    """Tokens that share a character with the one before stand in one run; first and behind-last of each run."""
    runs: list[tuple[int, int]] = []
    reached = 0
    for place, (start, end) in enumerate(offsets):
        if runs and start < min(end, reached):
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
        reached = max(reached, end)
    return runs


def _extent(offsets: Sequence[Span]) -> Span:
    return min(start for start, _ in offsets), max(end for _, end in offsets)


def _names(codec: Codec, ids: Sequence[int]) -> list[str]:
    return [str(codec.tokenizer.convert_ids_to_tokens(token)) for token in ids]


def _is_unknown(codec: Codec, ids: Sequence[int]) -> bool:
    unknown = codec.tokenizer.unk_token_id
    return unknown is not None and unknown != codec.end and unknown in ids
