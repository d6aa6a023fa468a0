"""Examples as a Parquet table of tokens with their weights: exactly what the trainer computes its loss from.

A row's ids are those of prompt and target behind each other. Like the trainer's they end at the last token that
counts: what would stand behind it feeds nothing.
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from editctl.align.export.counts import Counts
from editctl.files import OutputFile
from editctl.jsonl import Row
from editctl.recipe import Recipe, Stage
from editctl.records import Alignment, Example
from editctl.tokens import Codec, Weighted, weigh_all

IGNORED = -100
"""Label of a token without loss, as torch's cross entropy takes it."""
GROUP_ROWS = 1000
"""Rows that are in memory at a time: one row group of the file."""
NO_WEIGHT = "no-weighted-token"
"""Reason of an example that the trainer leaves out, though not its question."""


@dataclass(frozen=True, slots=True)
class Method:
    """Everything that decides what the trainer sees."""

    recipe: Recipe
    options: Any
    codec: Codec
    max_length: int


def token_rows(alignments: Iterable[Alignment], method: Method, counts: Counts) -> Iterator[Row]:
    """One row for each example of each stage that the trainer computes a loss from; the rest is counted."""
    stages = method.recipe.stages(method.options)
    for place, alignment in enumerate(alignments):
        for stage in stages:
            yield from _rows(alignment, place, stage, method, counts)


def _rows(alignment: Alignment, place: int, stage: Stage, method: Method, counts: Counts) -> Iterator[Row]:
    items = list(method.recipe.examples(stage.name, alignment, method.options))
    found = weigh_all(items, method.codec, method.max_length)
    if isinstance(found, str):
        counts.left_out[stage.name, found] += 1
        return
    counts.rows[stage.name] += len(found)
    if len(items) > len(found):
        counts.examples_left_out[stage.name, NO_WEIGHT] += len(items) - len(found)
    facts = {"question": place, "task": alignment.dual.question.task, "stage": stage.name}
    for number, weighted in found.items():
        example = items[number]
        assert isinstance(example, Example)
        texts = {
            "id": example.question_id,
            "prompt": method.codec.text(example.prompt),
            "gap": method.codec.lead(example.prompt, example.target),
            "target": example.target,
        }
        shares = {"number": number, "side": example.side, "share": example.share, "normaliser": stage.normaliser}
        yield facts | texts | shares | _tokens(example, weighted)


def _tokens(example: Example, weighted: Weighted) -> Row:
    counted = zip(weighted.target, weighted.weights, strict=True)
    border = len(weighted.prompt)
    return {
        "input_ids": [*weighted.prompt, *weighted.target],
        "labels": [*[IGNORED] * border, *(token if weight else IGNORED for token, weight in counted)],
        "weights": [*[0.0] * border, *weighted.weights],
        "prompt_tokens": border,
        "target_tokens": weighted.whole,
        "spans": [{"start": start, "end": end, "weight": weight} for start, end, weight in example.spans],
        "end_weight": example.end_weight,
    }


def schema(facts: Mapping[str, Any]) -> Any:
    """The table's Arrow schema; `facts` (JSON values) are its metadata, under the key `editctl`."""
    import pyarrow

    text, number = pyarrow.string(), pyarrow.int32()
    span = pyarrow.struct([("start", number), ("end", number), ("weight", pyarrow.float64())])
    columns = {
        "id": text,
        "task": text,
        "question": pyarrow.int64(),
        "stage": text,
        "number": number,
        "side": text,
        "share": pyarrow.float64(),
        "normaliser": text,
        "prompt": text,
        "gap": text,
        "target": text,
        "input_ids": pyarrow.list_(number),
        "labels": pyarrow.list_(number),
        "weights": pyarrow.list_(pyarrow.float32()),
        "prompt_tokens": number,
        "target_tokens": number,
        "spans": pyarrow.list_(span),
        "end_weight": pyarrow.float64(),
    }
    return pyarrow.schema(columns, metadata={"editctl": json.dumps(facts, ensure_ascii=False)})


def write_table(rows: Iterable[Row], facts: Mapping[str, Any], target: OutputFile) -> None:
    """Write rows in row groups; as many are in memory as stand in one."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    columns = schema(facts)
    left = iter(rows)
    with ParquetWriter(_Sink(target), columns) as writer:
        while len(group := pyarrow.Table.from_pylist(list(islice(left, GROUP_ROWS)), columns)):
            writer.write_table(group)
            target.rows += len(group)


class _Sink(io.RawIOBase):
    """What pyarrow writes into: it wants a file, and must not close ours."""

    def __init__(self, target: OutputFile) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)
        self._target.write_bytes(taken)
        return len(taken)
