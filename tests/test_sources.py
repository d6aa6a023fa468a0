"""Question files of four formats, packed or not, from pipes and tasks."""

import datetime
import decimal
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from editctl.cli.session import load_task
from editctl.errors import InputError, UsageError
from editctl.files import InputFile
from editctl.questions import QuestionReader
from editctl.records import Question
from editctl.sources import format_of, read_questions

ROWS = [
    {"id": "a", "question": 'Say "hi",\nthen 😀.', "answer": "1.50", "choices": ["x", "é"], "note": None},
    {"id": "b", "question": "Two?", "answer": "2", "choices": None, "note": "kept"},
]


def load(*names: str, limit: int | None = None) -> list[Question]:
    """All questions of some sources."""
    return list(read_questions(names, QuestionReader(), InputFile, load_task, limit))


def encoded(suffix: str) -> bytes:
    """ROWS in a format."""
    if suffix == ".jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
    if suffix == ".json":
        return json.dumps(ROWS, indent=1, ensure_ascii=False).encode()
    if suffix == ".csv":
        cells = ['a,"Say ""hi"",\nthen 😀.",1.50,"[""x"", ""é""]",', "b,Two?,2,,kept"]
        return "\n".join(["id,question,answer,choices,note", *cells, ""]).encode()
    place = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), place)
    return place.getvalue()


def pack(data: bytes, ending: str) -> bytes:
    """Bytes as a file of that ending holds them."""
    if ending == ".gz":
        return gzip.compress(data)
    return bytes(zstandard.ZstdCompressor().compress(data)) if ending == ".zst" else data


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_same_questions(suffix: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"q{suffix}{ending}"
    path.write_bytes(pack(encoded(suffix), ending))
    first, second = load(str(path))
    assert first == Question(
        id="a",
        question='Say "hi",\nthen 😀.',
        answer="1.50",
        choices=("x", "é"),
        extra={"note": None},
    )
    assert (second.id, second.choices, second.extra) == ("b", None, {"note": "kept"})


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_byte_order_mark_and_windows_line_ends(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"q{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" + encoded(suffix).replace(b"\n", b"\r\n"))
    assert [question.id for question in load(str(path))] == ["a", "b"]
    assert load(str(path))[0].question == 'Say "hi",\nthen 😀.'


def test_blank_lines_between_rows(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".csv"):
        path = tmp_path / f"q{suffix}"
        text = (
            encoded(suffix).decode().replace("\n", "\n\n") if suffix == ".jsonl" else encoded(suffix).decode() + "\n\n"
        )
        path.write_text(text)
        assert len(load(str(path))) == 2


def test_object_with_one_list_is_a_list(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps({"version": 1, "examples": ROWS}))
    assert [question.id for question in load(str(tmp_path / "q.json"))] == ["a", "b"]


def test_stdin_holds_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BytesIO(encoded(".jsonl"))

    monkeypatch.setattr(sys, "stdin", Piped())
    assert [question.id for question in load("-")] == ["a", "b"]


def test_several_sources_come_in_order_and_limit_holds_for_all(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(encoded(".jsonl"))
    names = [str(tmp_path / "q.jsonl"), "toy:chain?n=3"]
    found = load(*names)
    assert [question.id for question in found[:2]] == ["a", "b"]
    assert len(found) == 5
    assert load(*names, limit=4) == found[:4]


def test_generated_question_asked_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"^toy:chain\?n=2, field 'id': .* stands twice"):
        load("toy:chain?n=1", "toy:chain?n=2")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([float("nan"), 1.5], None),
        ([datetime.date(2024, 2, 29), None], "2024-02-29"),
        ([decimal.Decimal("1.50"), None], "1.50"),
        ([[float("nan"), 1.0], []], [None, 1.0]),
        ([{"a": float("nan")}, {"a": 1.0}], {"a": None}),
        ([True, False], True),
    ],
)
def test_parquet_values_become_json(values: list[Any], found: Any, tmp_path: Path) -> None:
    table = pyarrow.table({"question": ["a", "b"], "answer": ["c", "d"], "x": values})
    pyarrow.parquet.write_table(table, tmp_path / "q.parquet")
    (first, _) = load(str(tmp_path / "q.parquet"))
    assert first.extra == {"x": found}
    json.dumps(first.extra, allow_nan=False)


@pytest.mark.parametrize(("value", "says"), [(b"\xff", "holds bytes"), (float("inf"), "is infinite")])
def test_parquet_values_that_json_cannot_hold(value: Any, says: str, tmp_path: Path) -> None:
    table = pyarrow.table({"question": ["a", "b"], "answer": ["c", "d"], "x": [None, value]})
    pyarrow.parquet.write_table(table, tmp_path / "q.parquet")
    with pytest.raises(InputError, match=f"q.parquet, row 2, field 'x': {says}"):
        load(str(tmp_path / "q.parquet"))


def test_long_cells_are_read(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"question,answer\n{'long ' * 50_000},b\n")
    assert len(load(str(tmp_path / "q.csv"))[0].question) == 250_000


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("-", ".jsonl"),
        ("a.NDJSON", ".jsonl"),
        ("a.JSON.gz", ".json"),
        ("a.b.csv.zst", ".csv"),
        ("a.parquet", ".parquet"),
    ],
)
def test_formats_by_name(name: str, suffix: str) -> None:
    assert format_of(name) == suffix


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "hf:org/name", "jsonl"])
def test_unknown_sources_are_refused(name: str) -> None:
    with pytest.raises((UsageError, InputError)):
        load(name)
