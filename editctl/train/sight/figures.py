"""What a whole file comes to in a stage: counts, and where the weight of the loss lies."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import get_args

from editctl.recipe import Stage
from editctl.train.engine.groups import Group
from editctl.train.engine.trie import Branch, grow
from editctl.train.sight.view import Seen
from editctl.views import ExampleView, LeftOut, Part, PartFigures, Side, SideFigures, StageFigures

_SIDES: tuple[Side, ...] = get_args(Side)
_PARTS: tuple[Part, ...] = get_args(Part)
Counts = Counter[str]


class Tally:
    """Gathers the figures of one stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._groups: list[Group] = []
        self._parts: list[list[tuple[Side, list[Part]]]] = []
        self._sides: dict[Side, Counts] = {}
        self._weights: dict[Side, float] = defaultdict(float)
        self._left_out: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, place: int, seen: Seen | LeftOut) -> None:
        """One question; `place` is its number in the file."""
        if isinstance(seen, LeftOut):
            self._left_out[seen.reason].append((place, seen.question_id))
            return
        self._groups.append(seen.group)
        trained = [view for view in seen.views if view.trained]
        self._parts.append([(view.side, _parts(view)) for view in trained])
        for view in trained:
            self._sides.setdefault(view.side, Counter()).update(_counts(view))
            self._weights[view.side] += view.share * sum(sum(unit.weights) for unit in view.units)

    def figures(self) -> StageFigures:
        """The figures; the loss coefficients are those of one step over the whole file."""
        reasons = sorted(self._left_out.items(), key=lambda item: -len(item[1]))
        read_plain, read_trie, logits_plain, logits_trie = _costs(self._groups)
        return StageFigures(
            stage=self.stage.name,
            normaliser=self.stage.normaliser,
            questions=len(self._groups),
            sides=tuple(self._side(side) for side in _SIDES if side in self._sides),
            parts=self._shares(),
            read_plain=read_plain,
            read_trie=read_trie,
            logits_plain=logits_plain,
            logits_trie=logits_trie,
            left_out={reason: tuple(name for _, name in sorted(places)) for reason, places in reasons},
        )

    def _side(self, side: Side) -> SideFigures:
        return SideFigures(side=side, weight_sum=self._weights[side], **self._sides[side])

    def _shares(self) -> tuple[PartFigures, ...]:
        tokens: Counter[tuple[Side, Part]] = Counter()
        sums: dict[tuple[Side, Part], float] = defaultdict(float)
        for key, coefficient in self._coefficients():
            tokens[key] += 1
            sums[key] += coefficient
        total = sum(sums.values())
        return tuple(
            PartFigures(side=side, part=part, tokens=tokens[side, part], share=sums[side, part] / total)
            for side in _SIDES
            for part in _PARTS
            if tokens[side, part]
        )

    def _coefficients(self) -> Iterator[tuple[tuple[Side, Part], float]]:
        """Side, part and absolute coefficient of each token that counts."""
        if not self._groups:
            return
        from editctl.train.engine.loss import coefficients

        scales = coefficients(self._groups, self.stage.normaliser)
        for examples, parts in zip(scales, self._parts, strict=True):
            for numbers, (side, names) in zip(examples, parts, strict=True):
                for number, part in zip(numbers, names, strict=True):
                    if number:
                        yield (side, part), abs(number)


def _parts(view: ExampleView) -> list[Part]:
    """Part of each token before the cut."""
    return [unit.part for unit in view.units for _ in range(unit.kept)]


def _counts(view: ExampleView) -> dict[str, int]:
    return {
        "examples": 1,
        "prompt_tokens": len(view.prompt_ids),
        "target_tokens": view.whole - view.cut,
        "cut_tokens": view.cut,
        "weighted_tokens": view.weighted,
        "unknown_tokens": sum(len(unit.ids) for unit in view.units if unit.unknown),
    }


def _costs(groups: Sequence[Group]) -> tuple[int, int, int, int]:
    """Tokens read and positions with logits, example by example; then both with what is shared counted once."""
    totals = [0, 0, 0, 0]
    for group in groups:
        branches = [
            Branch(example.prompt + example.target, len(example.prompt), example.weights, example.wrong)
            for example in group.examples
        ]
        trie = grow(branches)
        own = (sum(len(branch.ids) - 1 for branch in branches), len(trie.ids), len(trie.sources), trie.places)
        if group.examples[0].apart:  # nothing is shared, and the decoder's first token stands for the last one
            read = sum(example.length for example in group.examples)
            own = (read, read, len(trie.sources), len(trie.sources))
        totals = [total + count for total, count in zip(totals, own, strict=True)]
    return totals[0], totals[1], totals[2], totals[3]
