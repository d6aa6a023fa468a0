"""Alignments -> token groups: what is kept, what is cut, what is left out and why."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, ClassVar

import pytest

from editctl.recipe import DecodeStep, Stage
from editctl.recipes.edit import Edit, EditOptions
from editctl.recipes.std_cot import StdCot, StdCotOptions
from editctl.records import Alignment, Example, Prompt, Skip
from editctl.tokens import Codec, weigh
from editctl.train.engine.batch import Collator
from editctl.train.engine.groups import StageData, build
from editctl.train.engine.layout import Room
from tests.support_models import byte_level, pair, pairs

PROMPT = Prompt(user="Q:6 + 8?\n\nA:")
TEXT = "6 + 8 = 14. keep 4."
WHOLE = ((0, len(TEXT), 1.0),)
ROOM = Room(tokens=64, places=64)


@pytest.fixture(scope="module")
def codec() -> Codec:
    """A plain codec."""
    return Codec(byte_level(), "plain")


def example(spans: Any = WHOLE, **more: Any) -> Example:
    """An example over the same prompt and target."""
    return Example(question_id="q", prompt=PROMPT, target=TEXT, spans=spans, **more)


@dataclass(frozen=True)
class NoOptions:
    """No options."""


class Gives:
    """A recipe that gives what it was told to."""

    title: ClassVar[str] = "test"
    Options = NoOptions

    def __init__(self, *items: Example | Skip) -> None:
        self.items = items

    def stages(self, options: Any) -> list[Stage]:
        """One stage."""
        return [Stage(name="only", epochs=1, learning_rate=1e-3, normaliser="tokens")]

    def examples(self, stage: str, alignment: Alignment, options: Any) -> Iterator[Example | Skip]:
        """The items."""
        yield from self.items

    def plan(self, options: Any) -> list[DecodeStep]:
        """Nothing."""
        return []


def built(codec: Codec, *items: Example | Skip, max_length: int = 512) -> StageData:
    """What a stage makes of one question with these items."""
    recipe = Gives(*items)
    return build(recipe, NoOptions(), recipe.stages(None)[0], [pair()], codec, max_length)


def test_a_whole_target_ends_in_its_end_token(codec: Codec) -> None:
    one = weigh(example(end_weight=1.0), codec)
    assert one.target[-1] == codec.end
    assert one.prompt == codec.prompt(PROMPT)
    assert codec.tokenizer.decode(one.target[:-1]) == f" {TEXT}"
    assert one.weights == (1.0,) * len(one.target)
    assert one.whole == len(one.target)


def test_what_stands_behind_the_last_weighted_token_is_cut_but_counted(codec: Codec) -> None:
    place = TEXT.index("14")
    one = weigh(example(((place, place + 2, 2.0),)), codec)
    full = weigh(example(end_weight=1.0), codec)
    assert one.target == full.target[: len(one.target)]
    assert codec.tokenizer.decode(one.target).endswith("14")
    assert one.weights[-1] == 2.0
    assert one.whole == full.whole > len(one.target)


@pytest.mark.parametrize("more", [{"spans": ()}, {"share": 0.0}, {"spans": ((0, 3, 0.0),)}, {"spans": ((0, 3, -0.0),)}])
def test_an_example_without_a_weight_is_not_computed(codec: Codec, more: dict[str, Any]) -> None:
    assert weigh(example(**more), codec).length == 0
    assert built(codec, example(**more)).skipped == {"no-weighted-token": 1}
    (group,) = built(codec, example(**more), example()).groups
    assert len(group.examples) == 1


def test_a_recipe_that_gives_nothing_is_counted(codec: Codec) -> None:
    assert built(codec).skipped == {"no-weighted-token": 1}


def test_a_skip_is_counted_by_its_reason(codec: Codec) -> None:
    data = built(codec, Skip(question_id="q", reason="no-wrong-chain"))
    assert (data.groups, data.skipped) == ([], {"no-wrong-chain": 1})


def test_an_example_that_does_not_fit_takes_its_question_along(codec: Codec) -> None:
    full = weigh(example(end_weight=1.0), codec)
    assert len(built(codec, example(end_weight=1.0), max_length=full.length).groups) == 1
    short = example(((0, 3, 1.0),))
    data = built(codec, short, example(end_weight=1.0), max_length=full.length - 1)
    assert (data.groups, data.skipped) == ([], {"over-max-length": 1})


def test_a_weightless_tail_needs_no_room(codec: Codec) -> None:
    short = weigh(example(((0, 3, 1.0),)), codec)
    assert built(codec, example(((0, 3, 1.0),)), max_length=short.length).groups[0].examples == (short,)


def test_shares_and_sides_go_along(codec: Codec) -> None:
    one = weigh(example(share=0.25, side="wrong"), codec)
    assert (one.share, one.wrong) == (0.25, True)


def test_the_figures_of_a_stage(codec: Codec) -> None:
    data = build(StdCot(), StdCotOptions(), StdCot().stages(StdCotOptions())[0], pairs(3), codec, 512)
    examples = [one for group in data.groups for one in group.examples]
    assert data.tokens() == sum(len(one.prompt) + len(one.target) for one in examples)
    assert data.weighted_tokens() == sum(len(one.target) for one in examples)


def test_edit_computes_less_in_its_second_stage_than_it_is_given(codec: Codec) -> None:
    options = EditOptions(skip_conclusion=True)
    first, second = (build(Edit(), options, stage, pairs(4), codec, 512) for stage in Edit().stages(options))
    assert second.tokens() < 2 * first.tokens()
    assert all(len(group.examples) == 2 for group in second.groups)


def test_a_step_says_which_questions_it_holds(codec: Codec) -> None:
    data = build(StdCot(), StdCotOptions(), StdCot().stages(StdCotOptions())[0], pairs(3), codec, 512)
    padded, packed = (Collator("tokens", 0, ROOM, packed=choice)(data.groups)["step"] for choice in (False, True))
    assert padded.question_ids == packed.question_ids == ("q0", "q1", "q2")
    assert padded.tokens == packed.tokens == data.tokens()
    last = sum(len(group.examples) for group in data.groups)  # the last token of each is only ever a target
    assert sum(int(row.mask_BT.sum()) for row in padded.rows) == data.tokens() - last
    assert sum(row.size for row in packed.rows) == data.merged_tokens()


def test_what_the_examples_of_a_question_share_is_computed_once(codec: Codec) -> None:
    options = EditOptions()
    stage = Edit().stages(options)[1]
    data = build(Edit(), options, stage, pairs(1), codec, 512)
    right, wrong = data.groups[0].examples
    shared = len(common_prefix(right.prompt + right.target, wrong.prompt + wrong.target))
    assert shared > len(right.prompt)
    assert data.merged_tokens() == right.length - 1 + wrong.length - 1 - shared
    (row,) = Collator("target", 0, ROOM)(data.groups)["step"].rows
    assert row.size == data.merged_tokens()


def common_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The tokens that two examples begin with."""
    return tuple(left for left, right in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def test_padding_is_never_a_target(codec: Codec) -> None:
    data = build(StdCot(), StdCotOptions(), StdCot().stages(StdCotOptions())[0], pairs(3), codec, 512)
    cut = [replace(data.groups[0], examples=(replace(data.groups[0].examples[0], prompt=(7,)),)), *data.groups[1:]]
    (row,) = Collator("tokens", codec.end, Room(tokens=8192, places=8192), packed=False)(cut)["step"].rows
    assert int((row.mask_BT == 0).sum()) > 0
    ends = int((row.targets_N == codec.end).sum())
    assert ends == 3  # one for each example, though the pad token is the end token too
    assert len(row.targets_N) == sum(len(group.examples[0].target) for group in cut)
