"""Alignments -> the token groups one stage trains on: all examples of a question stay together."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from editctl.recipe import Recipe, Stage
from editctl.records import Alignment, Example, Skip
from editctl.tokens import Codec, token_weights
from editctl.train.engine.trie import merged_length


@dataclass(frozen=True, slots=True)
class Weighted:
    """One example in tokens."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    """Target ids up to the last weighted one: what stands behind it feeds nothing."""
    weights: tuple[float, ...]
    """Weight of each of these, the example's share not yet applied."""
    whole: int
    """Tokens of the whole target, its end token included."""
    share: float
    wrong: bool
    """True where the loss is reported in the wrong part."""
    apart: bool = field(default=False, repr=False)
    """Prompt and target are two sequences, as an encoder-decoder student has them."""

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

    def merged_tokens(self) -> int:
        """Tokens that packed rows of one pass hold: what a question's examples share counts once.

        Where prompt and target stand apart nothing is shared.
        """
        if any(example.apart for group in self.groups[:1] for example in group.examples):
            return self.tokens()
        return sum(merged_length([one.prompt + one.target for one in group.examples]) for group in self.groups)

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
        example = weigh(item, codec)
        if example.target and not example.prompt:  # nothing to predict the first token from
            return "empty-prompt"
        if example.length > max_length:  # a weighted token would be lost
            return "over-max-length"
        if example.target:
            examples.append(example)
    return Group(items[0].question_id, tuple(examples)) if examples else "no-weighted-token"


def weigh(example: Example, codec: Codec) -> Weighted:
    """One example's ids and weights; without any target token where none of them counts."""
    encoded = codec.encode(example.prompt, example.target)
    target = (*encoded.target, codec.end)
    weights = (*token_weights(example.target, encoded.offsets, example.spans), example.end_weight)
    counted = max((place for place, weight in enumerate(weights, 1) if weight and example.share), default=0)
    return Weighted(
        prompt=encoded.prompt if counted else (),
        target=target[:counted],
        weights=weights[:counted],
        whole=len(target),
        share=example.share,
        wrong=example.side == "wrong",
        apart=codec.encoder_decoder,
    )
