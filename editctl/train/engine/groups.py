"""Alignments -> the token groups one stage trains on: all examples of a question stay together."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from editctl.recipe import Recipe, Stage
from editctl.records import Alignment, Example, Skip
from editctl.tokens import Codec, Weighted, weigh_all
from editctl.train.engine.trie import merged_length


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
    found = weigh_all(items, codec, max_length)
    return found if isinstance(found, str) else Group(items[0].question_id, tuple(found.values()))
