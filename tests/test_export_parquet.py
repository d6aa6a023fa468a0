"""`align --format parquet`: the tokens and weights of a table are exactly those that the trainer gets."""

import json
import re
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl import __version__, registry
from editctl.align.export.counts import Counts
from editctl.align.export.weighted_tokens import GROUP_ROWS, Method, schema, token_rows, write_table
from editctl.files import OutputFile
from editctl.recipe import Stage
from editctl.records import Alignment, Example
from editctl.tokens import Codec
from editctl.train.engine.batch import Collator
from editctl.train.engine.groups import Group, build
from editctl.train.engine.layout import Room
from editctl.train.engine.loss import coefficients
from tests.support_cli import Cli
from tests.support_exports import export, noted, write_pairs
from tests.support_models import byte_level, pair, pairs, sentence_pieces, with_chat, word_pieces
from tests.support_recipes import FORMAT_NAMES, formed, lacking
from tests.support_sided import saved_sided, t5_tokenizer

Rows = list[dict[str, Any]]
ROOT = Path(__file__).parents[1]
NAMES = sorted(registry.BUILT_IN["recipes"])
CODECS: dict[str, Callable[[], Codec]] = {
    "bytes": lambda: Codec(byte_level(bos=True), "plain"),
    "chat": lambda: Codec(with_chat(byte_level()), "chat"),
    "pieces": lambda: Codec(sentence_pieces(), "plain", gap=False),
    "words": lambda: Codec(word_pieces(), "plain"),
    "sided": lambda: Codec(t5_tokenizer(), "plain", encoder_decoder=True),
}
_MADE: dict[str, Codec] = {}


def codec_of(name: str) -> Codec:
    """A codec, made once."""
    if name not in _MADE:
        _MADE[name] = CODECS[name]()
    return _MADE[name]


def method_of(recipe: str, codec: Codec, max_length: int = 500, **options: Any) -> Method:
    """A recipe for a student."""
    found = registry.load("recipes", recipe)()
    return Method(found, found.Options(**options), codec, max_length)


def alignments_of(recipe: str) -> list[Alignment]:
    """Rows a recipe can use, and rows it can't."""
    return [*pairs(2), formed(recipe) if recipe in FORMAT_NAMES else pair(2), lacking("right"), lacking("wrong")]


def table(method: Method, alignments: Iterable[Alignment], folder: Path) -> tuple[Any, Counts]:
    """The table that comes back from a file."""
    import pyarrow.parquet

    counts = Counts()
    target = OutputFile(str(folder / "t.parquet"))
    write_table(token_rows(alignments, method, counts), {}, target)
    target.commit()
    found = pyarrow.parquet.read_table(folder / "t.parquet")
    assert target.rows == len(found) == counts.rows.total()
    return found, counts


def by_group(rows: Rows, stage: str) -> list[Rows]:
    """A stage's rows by question, in the file's order."""
    found: dict[int, Rows] = defaultdict(list)
    for row in rows:
        if row["stage"] == stage:
            found[row["question"]].append(row)
    return list(found.values())


def check(rows: Rows, stage: Stage, groups: Sequence[Group]) -> None:
    """The rows of a stage against what the trainer built of the same alignments."""
    import numpy

    told = by_group(rows, stage.name)
    assert [[row["id"] for row in group] for group in told] == [[one.question_id] * len(one.examples) for one in groups]
    for row, example in zip(
        (row for group in told for row in group), (one for group in groups for one in group.examples), strict=True
    ):
        border = row["prompt_tokens"]
        assert tuple(row["input_ids"]) == example.prompt + example.target
        assert tuple(row["input_ids"][:border]) == example.prompt
        assert row["weights"] == [0.0] * border + [float(numpy.float32(weight)) for weight in example.weights]
        labels = [token if weight else -100 for token, weight in zip(example.target, example.weights, strict=True)]
        assert row["labels"] == [-100] * border + labels
        assert (row["target_tokens"], row["share"]) == (example.whole, example.share)
        assert (row["side"] == "wrong", row["normaliser"]) == (example.wrong, stage.normaliser)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("recipe", NAMES)
def test_every_recipe_is_told_as_the_trainer_sees_it(recipe: str, name: str, tmp_path: Path) -> None:
    method = method_of(recipe, codec_of(name))
    alignments = alignments_of(recipe)
    found, counts = table(method, alignments, tmp_path)
    rows = found.to_pylist()
    for stage in method.recipe.stages(method.options):
        data = build(method.recipe, method.options, stage, alignments, method.codec, method.max_length)
        assert data.groups
        check(rows, stage, data.groups)
        assert {reason: count for (one, reason), count in counts.left_out.items() if one == stage.name} == data.skipped


@settings(max_examples=60)
@given(
    right=st.text(alphabet="ab 3.\n\té数🙂👍🏽", min_size=1, max_size=16),
    wrong=st.text(alphabet="ab 3.\n\té数🙂👍🏽", min_size=1, max_size=16),
    name=st.sampled_from(sorted(CODECS)),
    gamma=st.sampled_from([0.0, 0.3]),
)
def test_any_chains_are_told_as_the_trainer_sees_them(right: str, wrong: str, name: str, gamma: float) -> None:
    import pyarrow

    method = method_of("edit", codec_of(name), 40, gamma=gamma)
    alignments = [pair(0, right=right, wrong=wrong)]
    rows = pyarrow.Table.from_pylist(list(token_rows(alignments, method, Counts())), schema({})).to_pylist()
    for stage in method.recipe.stages(method.options):
        check(rows, stage, build(method.recipe, method.options, stage, alignments, method.codec, 40).groups)


@pytest.mark.parametrize("recipe", ["cascod", "edit", "std-cot-dual"])
@pytest.mark.parametrize("normaliser", ["tokens", "target", "weighted", "sum"])
def test_documented_coefficients_are_the_collators(recipe: str, normaliser: Any, tmp_path: Path) -> None:
    codec = codec_of("bytes")
    method = method_of(recipe, codec)
    alignments = pairs(3)
    rows = table(method, alignments, tmp_path)[0].to_pylist()
    for stage in method.recipe.stages(method.options):
        groups = build(method.recipe, method.options, stage, alignments, codec, method.max_length).groups
        step = [row for group in by_group(rows, stage.name) for row in group]
        own = [number for row in step for number in documented(row, step, normaliser)]
        wanted = [one for group in coefficients(groups, normaliser) for example in group for one in example]
        assert own == pytest.approx(wanted, rel=1e-6)
        (laid,) = Collator(normaliser, 0, Room(tokens=10000, places=10000), packed=False)(groups)["step"].rows
        assert sorted(laid.coefficients_N.tolist()) == pytest.approx(sorted(filter(None, own)), rel=1e-6)


def documented(row: dict[str, Any], step: Rows, normaliser: str) -> list[float]:
    """Coefficients of a row's target tokens, as the documentation says."""
    questions = len({one["question"] for one in step})
    mass = {
        "tokens": sum(weight != 0 for one in step for weight in one["weights"]),
        "weighted": sum(abs(weight) * one["share"] for one in step for weight in one["weights"]),
        "target": row["target_tokens"] * questions,
        "sum": questions,
    }[normaliser]
    return [weight * row["share"] / mass for weight in row["weights"][row["prompt_tokens"] :]]


def test_texts_and_spans_are_the_recipes(tmp_path: Path) -> None:
    method = method_of("edit", codec_of("bytes"), gamma=0.1)
    alignment = pair(0)
    rows = table(method, [alignment], tmp_path)[0].to_pylist()
    examples = [
        one
        for stage in ("imitate", "key-steps")
        for one in method.recipe.examples(stage, alignment, method.options)
        if isinstance(one, Example)
    ]
    assert len(rows) == len(examples) == 3
    for row, example in zip(rows, examples, strict=True):
        assert (row["target"], row["end_weight"]) == (example.target, example.end_weight)
        assert row["spans"] == [dict(zip(("start", "end", "weight"), span, strict=True)) for span in example.spans]
        read = codec_of("bytes").tokenizer.decode(row["input_ids"], skip_special_tokens=True)
        whole = row["prompt"] + row["gap"] + row["target"]
        assert whole.startswith(read)
        assert len(read) > len(row["prompt"]) + 20
    assert [row["number"] for row in rows] == [0, 0, 1]


def test_examples_without_weight_are_left_out_and_counted(tmp_path: Path) -> None:
    method = method_of("edit", codec_of("bytes"), beta=0.0)
    found, counts = table(method, pairs(2), tmp_path)
    assert [row["side"] for row in found.to_pylist()] == ["right"] * 4
    assert counts.examples_left_out == {("key-steps", "no-weighted-token"): 2}


def test_rows_are_written_in_groups_and_not_kept(tmp_path: Path) -> None:
    import pyarrow.parquet

    row = next(iter(_rows(1)))
    made: list[weakref.ref[Row]] = []
    held: list[int] = []

    def many() -> Iterable[dict[str, Any]]:
        for number in range(3 * GROUP_ROWS + 1):
            if number % GROUP_ROWS == GROUP_ROWS - 1:
                held.append(sum(one() is not None for one in made))
            fresh = Row(row)
            made.append(weakref.ref(fresh))
            yield fresh

    target = OutputFile(str(tmp_path / "t.parquet"))
    write_table(many(), {}, target)
    target.commit()
    with pyarrow.parquet.ParquetFile(tmp_path / "t.parquet") as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sizes == [GROUP_ROWS] * 3 + [1]
    assert max(held) <= GROUP_ROWS


class Row(dict[str, Any]):
    """A row that can be watched: a plain dict takes no weak reference."""


def _rows(count: int) -> Iterable[dict[str, Any]]:
    return token_rows(pairs(count), method_of("std-cot", codec_of("bytes")), Counts())


def test_an_interrupted_table_can_be_read_as_far_as_it_came(tmp_path: Path) -> None:
    import pyarrow.parquet

    row = next(iter(_rows(1)))

    def many() -> Iterable[dict[str, Any]]:
        yield from [row] * (GROUP_ROWS + 5)
        raise KeyboardInterrupt

    target = OutputFile(str(tmp_path / "t.parquet"))
    with pytest.raises(KeyboardInterrupt):
        write_table(many(), {}, target)
    kept = target.set_aside()
    assert kept is not None
    assert len(pyarrow.parquet.read_table(kept)) == target.rows == GROUP_ROWS
    assert not (tmp_path / "t.parquet").exists()


def test_the_page_lists_every_column() -> None:
    text = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    text = text.partition("| column | type")[2].partition("\n\n")[0]
    cells = [line.split("|")[1:3] for line in text.splitlines() if re.match(r"\| `\w+`(, `\w+`)* \| \w+", line)]
    told = {name: kind.strip() for names, kind in cells for name in re.findall(r"`(\w+)`", names)}
    kinds = {"int32": "int32", "int64": "int64", "string": "string", "double": "double"}
    plain = {field.name: kinds[str(field.type)] for field in schema({}) if str(field.type) in kinds}
    assert plain.items() <= told.items()
    assert {field.name for field in schema({})} <= set(told)
    assert [told[name] for name in ("input_ids", "labels", "weights")] == [*["list of int32"] * 2, "list of float"]


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """A folder with a tokenizer."""
    byte_level().save_pretrained(tmp_path / "student")
    return tmp_path / "student"


def test_metadata_says_how_the_table_was_made(cli: Cli, tmp_path: Path, student: Path) -> None:
    import pyarrow.parquet

    write_pairs(tmp_path, pairs(2))
    words = ["--format", "parquet", "--tokenizer", "student", "--no-gap", "--max-length", "99", "-R", "alpha=0.5"]
    export(cli, *words, "-o", "t.parquet")
    facts = json.loads(pyarrow.parquet.read_schema(tmp_path / "t.parquet").metadata[b"editctl"])
    stages = facts.pop("stages")
    assert [(stage["name"], stage["normaliser"]) for stage in stages] == [
        ("imitate", "tokens"),
        ("key-steps", "target"),
    ]
    assert {field.name for field in fields(Stage)} == set(stages[0])
    assert facts.pop("options")["alpha"] == 0.5
    assert facts == {
        "version": __version__,
        "recipe": "edit",
        "tokenizer": "student",
        "end_token": 1,
        "prompt_style": "plain",
        "gap": False,
        "max_length": 99,
        "encoder_decoder": False,
    }


def test_long_questions_are_left_out_as_in_training(cli: Cli, tmp_path: Path, student: Path) -> None:
    long = pair(1, right="1 + 2 = 3. " * 30 + "Therefore, the answer is 3.")
    write_pairs(tmp_path, [pair(0), long])
    words = ["--format", "parquet", "--tokenizer", "student", "--max-length", "60", "-o", "t.parquet"]
    outcome = export(cli, *words)
    assert noted(tmp_path, "t.parquet")["left_out"] == {
        "imitate": {"over-max-length": 1},
        "key-steps": {"over-max-length": 1},
    }
    assert "over-max-length" in outcome.err


def test_an_encoder_decoder_student_is_told_by_its_folder(cli: Cli, tmp_path: Path) -> None:
    import pyarrow.parquet

    base = saved_sided(tmp_path / "t5")
    write_pairs(tmp_path, pairs(1))
    export(cli, "--format", "parquet", "--tokenizer", base, "-r", "std-cot", "-o", "t.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert json.loads(found.schema.metadata[b"editctl"])["encoder_decoder"] is True
    (row,) = found.to_pylist()
    end = row["input_ids"][-1]
    assert (row["input_ids"][row["prompt_tokens"] - 1], row["gap"]) == (end, "")


def test_other_readers_find_the_same(cli: Cli, tmp_path: Path, student: Path) -> None:
    import pandas
    import pyarrow.parquet
    import torch
    from datasets import load_dataset

    write_pairs(tmp_path, pairs(5))
    export(cli, "--format", "parquet", "--tokenizer", "student", "-o", "t.parquet")
    rows = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    files = {"data_files": str(tmp_path / "t.parquet"), "cache_dir": str(tmp_path / "cache")}
    loaded: Any = load_dataset("parquet", **files, split="train")
    assert list(loaded) == rows
    frame = pandas.read_parquet(tmp_path / "t.parquet")
    for name in ("input_ids", "labels", "weights", "spans"):
        assert [list(one) for one in frame[name]] == [row[name] for row in rows]
    columns = ["input_ids", "labels", "weights"]
    tensors = torch.utils.data.DataLoader(loaded.with_format("torch", columns=columns), batch_size=None)
    for row, batch in zip(rows, tensors, strict=True):
        assert {name: batch[name].tolist() for name in columns} == {name: row[name] for name in columns}
        assert (batch["input_ids"].dtype, batch["weights"].dtype) == (torch.int64, torch.float32)


def test_a_question_twice_stays_two(tmp_path: Path) -> None:
    method = method_of("std-cot", codec_of("bytes"))
    rows = table(method, [pair(0), replace(pair(0))], tmp_path)[0].to_pylist()
    assert [(row["id"], row["question"]) for row in rows] == [("q0", 0), ("q0", 1)]
