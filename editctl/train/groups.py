"""Alignments -> the token groups one stage trains on: all examples of a question stay together."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from editctl.interfaces import Recipe, Stage
from editctl.records import Alignment, Example, Skip
from editctl.tokens import Codec, token_weights


@dataclass(frozen=True, slots=True)
class Weighted:
    """One example in tokens."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    """Target ids, the end token last."""
    weights: tuple[float, ...]
    """Weight of each target token, the example's share not yet applied."""
    share: float
    wrong: bool
    """True where the loss is reported in the wrong part."""

    @property
    def length(self) -> int:
        """Tokens of prompt and target."""
        return len(self.prompt) + len(self.target)


@dataclass(frozen=True, slots=True)
class Group:
    """One question's examples in one stage."""

    question_id: str
    examples: tuple[Weighted, ...]


@dataclass(slots=True)
class StageData:
    """What a stage trains on, and what it had to leave out."""

    stage: Stage
    groups: list[Group]
    skipped: Counter[str] = field(default_factory=Counter)

    def tokens(self) -> int:
        """Tokens of one pass."""
        return sum(example.length for group in self.groups for example in group.examples)

    def weighted_tokens(self) -> int:
        """Tokens with a weight in one pass."""
        return sum(weight != 0 for group in self.groups for example in group.examples for weight in example.weights)


def build(
    recipe: Recipe, options: Any, stage: Stage, alignments: Iterable[Alignment], codec: Codec, max_length: int
) -> StageData:
    """Token groups of a stage; questions without examples, weights or room are counted by reason."""
    data = StageData(stage, [])
    for alignment in alignments:
        group = _group(list(recipe.examples(stage.name, alignment, options)), codec, max_length)
        if isinstance(group, Group):
            data.groups.append(group)
        else:
            data.skipped[group] += 1
    return data


def _group(items: list[Example | Skip], codec: Codec, max_length: int) -> Group | str:
    """The group, or the reason why there is none."""
    examples = []
    for item in items:
        if isinstance(item, Skip):
            return item.reason
        example = _fit(weigh(item, codec), max_length)
        if example is None:
            return "over-max-length"
        examples.append(example)
    if not any(weight for example in examples for weight in example.weights):
        return "no-weighted-token"
    return Group(items[0].question_id, tuple(examples))


def weigh(example: Example, codec: Codec) -> Weighted:
    """One example's ids and weights."""
    encoded = codec.encode(example.prompt, example.target)
    weights = token_weights(example.target, encoded.offsets, example.spans)
    return Weighted(
        prompt=encoded.prompt,
        target=(*encoded.target, codec.end),
        weights=(*weights, example.end_weight),
        share=example.share,
        wrong=example.side == "wrong",
    )


def _fit(example: Weighted, max_length: int) -> Weighted | None:
    """The example within max_length; None where a weighted token would be lost (never cut silently)."""
    room = max_length - len(example.prompt)
    if room <= 0 or any(example.weights[room:]):
        return None
    if len(example.target) <= room:
        return example
    return Weighted(example.prompt, example.target[:room], example.weights[:room], example.share, example.wrong)
