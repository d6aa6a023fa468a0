"""Rows as JSON lines."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.errors import InputError
from editctl.files import InputFile, OutputFile
from editctl.jsonl import (
    FieldError,
    UniqueIds,
    dumps,
    dumps_read,
    loads,
    locate,
    parse_row,
    read_records,
    read_rows,
    write_row,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(st.dictionaries(st.text(st.characters()), VALUES | st.text(st.characters())))
def test_any_row_comes_back_from_one_line_of_utf8(row: dict[str, Any]) -> None:
    line = dumps(row)
    assert "\n" not in line
    assert parse_row(line.encode("utf-8").decode("utf-8"), "f", 1) == row


def test_text_is_written_as_it_is_and_half_characters_as_escapes() -> None:
    assert dumps({"a": "é😀"}) == '{"a":"é😀"}'
    assert dumps({"a": "é\ud83d"}) == '{"a":"\\u00e9\\ud83d"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_json_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"a": [value]})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e999", "-1e999", "{", "", "01", "'a'"])
def test_what_is_no_json_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(text)


@pytest.mark.parametrize("line", ["{} {}", "{", '{"a":NaN}', "x", "[1", "[" * 100_000])
def test_line_that_is_no_object_is_named(line: str) -> None:
    with pytest.raises(InputError, match=r"^f, line 7: is no JSON object \(.+\); mend or remove the line$"):
        parse_row(line, "f", 7)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("[1]", "a list"),
        ("1", "a number"),
        ('"a"', "text"),
        ("null", "null"),
        ("true", "true/false"),
        (" [] \r\n", "a list"),
    ],
)
def test_line_that_is_something_else_is_told_as_what_it_is(line: str, kind: str) -> None:
    with pytest.raises(InputError, match=rf"^f, line 7: is {kind}, not an object; mend or remove the line$"):
        parse_row(line, "f", 7)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "  \n"])
def test_the_column_of_a_fault_is_where_it_is(tmp_path: Path, end: str) -> None:
    whole = json.dumps({"question": "What is 2 + 2?", "answer": {"of": "4"}})
    unsigned = whole.replace(": {", " {")
    faults = {whole[:-1]: len(whole), f"{whole[:20]}\t{whole[20:]}": 21, unsigned: unsigned.index(" {") + 2}
    for text, column in faults.items():
        (tmp_path / "a").write_bytes(f'{{"a":1}}\n{text}{end}'.encode())
        with pytest.raises(InputError, match=rf"a, line 2: is no JSON object \(.+ at column {column}\);"):
            list(read_rows(InputFile(str(tmp_path / "a"))))


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"a":2}')
    assert list(read_rows(InputFile(str(tmp_path / "a")))) == [(1, {"a": 1}), (4, {"a": 2})]


def test_field_error_gets_file_and_line(tmp_path: Path) -> None:
    target = OutputFile(str(tmp_path / "a"))
    for number in range(3):
        write_row(target, {"n": number})
    target.commit()

    def convert(row: dict[str, Any]) -> int:
        if row["n"] == 2:
            raise FieldError("n", "is two")
        return int(row["n"])

    records = read_records(InputFile(str(tmp_path / "a")), convert)
    assert [next(records), next(records)] == [0, 1]
    with pytest.raises(InputError, match=r"a, line 3, field 'n': is two$"):
        next(records)


def test_place_without_line_and_field() -> None:
    with pytest.raises(InputError, match=r"^f: is odd$"), locate("f", None):
        raise FieldError(None, "is odd")
    with pytest.raises(InputError, match=r"^f, row 3, field 'x': is odd$"), locate("f", "row 3"):
        raise FieldError("x", "is odd")
    with pytest.raises(KeyError), locate("f", 1):
        raise KeyError


def test_ids_are_unique() -> None:
    ids = UniqueIds()
    for name in ("a", "b", "A", ""):
        ids.add(name)
    with pytest.raises(FieldError, match="'b' stands twice"):
        ids.add("b")


def test_row_order_of_keys_is_kept() -> None:
    assert list(json.loads(dumps({"b": 1, "a": 2}))) == ["b", "a"]


@pytest.mark.parametrize(
    "line",
    [
        '{"n": 123456789012345678901234567890}',
        '{"n": [-9223372036854775809]}',
        '{"n": {"deep": [{"er": 18446744073709551616}]}}',
        '{"n": 1e300, "m": 0.1, "k": 12345678901234567}',
        '{"n": "\\ud83d"}',
        '{"n": "\\u2028\\u0000"}',
        '{"n": 1, "n": 2}',
        '{"n": -0.0}',
    ],
)
def test_the_fast_reader_reads_what_the_careful_one_reads(line: str) -> None:
    row = parse_row(line, "file", 1)
    assert row == json.loads(line)
    assert repr(row) == repr(json.loads(line))


@pytest.mark.parametrize("line", ['{"n": NaN}', '{"n": 1e999}', '{"n": -Infinity}', '{"n": 01}', '{"n": "\t"}', "{}x"])
def test_the_fast_reader_takes_nothing_that_the_careful_one_refuses(line: str) -> None:
    with pytest.raises(InputError, match="is no JSON object"):
        parse_row(line, "file", 7)


@given(st.dictionaries(st.text(), VALUES))
def test_the_fast_writer_writes_the_same_row(row: dict[str, Any]) -> None:
    data = dumps_read(row)
    assert loads(data.decode()) == row
    assert b"\n" not in data
    assert all(character.isprintable() for character in dumps_read({"t": "\x7f\u2028\u202e\x9b\x1b"}).decode())


def test_the_fast_writer_spells_texts_as_the_careful_one() -> None:
    row = {"text": 'é数\x7f\u2028\u202e\x9b\x1b\ud800"\\/', "number": 12, "spans": [(1, 2)]}
    assert dumps_read(row) == dumps(row).encode()


def test_a_control_in_plain_text_is_escaped_by_the_fast_writer_too() -> None:
    assert dumps_read({"text": "a\x7fb"}) == b'{"text":"a\\u007fb"}' == dumps({"text": "a\x7fb"}).encode()


def test_rows_nested_deeply_are_read() -> None:
    row = parse_row('{"deep":' + "[" * 400 + "]" * 400 + "}", "f", 1)
    assert loads(dumps_read(row).decode()) == row
