"""Examples as axolotl's chat-template data: turns, and which characters of the assistant's turn are trained.

axolotl (its `ChatTemplatePrompter`) trains a token or does not: it knows no weights. A detail's offsets are characters
of the turn's content, the last one included. It cuts the content into tokens on its own, lets each token reach to the
next one's first character, and leaves out a token of which a detail holds no more than the first or the last character.
So details must keep to whole tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from editctl.align.export.counts import Counts
from editctl.jsonl import Row
from editctl.recipe import Recipe, Stage
from editctl.records import Alignment, Example, Skip, Span, WeightedSpan
from editctl.tokens import token_weights
from editctl.words import joined

SILENT = "no-positive-weight"
"""Reason of an example with which axolotl could train nothing."""


def turns(
    alignments: Iterable[Alignment], recipe: Recipe, options: Any, counts: Counts, *, tokenizer: Any = None
) -> Iterator[Row]:
    """One row for each example of each stage; questions a stage can't use, and silent examples, are counted.

    `tokenizer`: the student's, whose token borders the offsets then keep to.
    """
    stages = recipe.stages(options)
    for alignment in alignments:
        for stage in stages:
            yield from _rows(alignment, stage, list(recipe.examples(stage.name, alignment, options)), counts, tokenizer)


def _rows(
    alignment: Alignment, stage: Stage, items: Sequence[Example | Skip], counts: Counts, tokenizer: Any
) -> Iterator[Row]:
    skip = next((item.reason for item in items if isinstance(item, Skip)), None)
    if skip is not None:
        counts.left_out[stage.name, skip] += 1
        return
    for number, example in enumerate(items):
        assert isinstance(example, Example)
        content, spans = _content(example)
        details = _details(content, spans, tokenizer) if example.share else []
        if not details:
            counts.examples_left_out[stage.name, SILENT] += 1
            continue
        counts.rows[stage.name] += 1
        if not _is_plain(example):
            counts.flattened[stage.name] += 1
        yield {
            "id": example.question_id,
            "task": alignment.dual.question.task,
            "stage": stage.name,
            "side": example.side,
            "number": number,
            "messages": [
                {"role": "user", "content": example.prompt.user, "train": False, "train_detail": None},
                {"role": "assistant", "content": content, "train": True, "train_detail": details},
            ],
            "spans": [{"start": start, "end": end, "weight": weight} for start, end, weight in spans],
            "end_weight": example.end_weight,
            "share": example.share,
            "normaliser": stage.normaliser,
        }


def _content(example: Example) -> tuple[str, tuple[WeightedSpan, ...]]:
    """The assistant's turn, which begins with what the student is made to begin with; spans in its characters."""
    forced = example.prompt.forced
    moved = tuple((start + len(forced), end + len(forced), weight) for start, end, weight in example.spans)
    return forced + example.target, moved


def _is_plain(example: Example) -> bool:
    """Whether 0 and 1 say all there is to say."""
    return example.share == 1 and {weight for *_, weight in example.spans} | {example.end_weight} <= {0.0, 1.0}


def _details(content: str, spans: Sequence[WeightedSpan], tokenizer: Any) -> list[Row]:
    found = _by_characters(content, spans) if tokenizer is None else _by_tokens(content, spans, tokenizer)
    return [{"begin_offset": start, "end_offset": end - 1, "train": True} for start, end in found]


def _by_characters(content: str, spans: Sequence[WeightedSpan]) -> Sequence[Span]:
    """Runs of characters that a positive weight stands on, with one space on either side.

    The space before is the token's own first character where a tokenizer counts it in; where it does not, axolotl
    takes the space behind for the token's last one. Runs that touch or share a space then are one.
    """
    places = [(place, place + 1) for place in range(len(content))]
    runs = _runs(places, token_weights(content, places, spans))
    return joined(
        [(start - (content[start - 1 : start] == " "), end + (content[end : end + 1] == " ")) for start, end in runs]
    )


def _by_tokens(content: str, spans: Sequence[WeightedSpan], tokenizer: Any) -> list[Span]:
    """Runs of tokens of positive weight; to axolotl a token ends where the next one begins."""
    offsets = tokenizer(content, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    starts = [start for start, _ in offsets]
    reach = list(zip(starts, [*starts[1:], len(content)], strict=True)) if starts else []
    return _runs(reach, token_weights(content, [tuple(pair) for pair in offsets], spans))


def _runs(places: Sequence[Span], weights: Sequence[float]) -> list[Span]:
    """Neighbours of positive weight as one span."""
    runs: list[Span] = []
    positive = False
    for (start, end), weight in zip(places, weights, strict=True):
        if weight > 0:
            runs[len(runs) - positive :] = [(runs[-1][0] if positive else start, end)]
        positive = weight > 0
    return [(start, end) for start, end in runs if start < end]
