"""Redaction, places, and the marks of pipes."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.manifest import PipeMark, beside, redact, redact_text

SECRET = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "api-key",
        "apiKey",
        "x-api-key",
        "OPENAI_API_KEY",
        "key",
        "aws_secret_access_key",
        "access_token",
        "token",
        "hf-token",
        "secret",
        "client_secret",
        "password",
        "passwd",
        "Authorization",
        "credentials",
        "Set-Cookie",
    ],
)
def test_values_of_secret_names_are_hidden_wherever_they_stand(name: str) -> None:
    spellings: list[dict[str, object]] = [
        {name: SECRET},
        {"deep": [{"er": {name: SECRET}}]},
        {"pairs": [f"{name}={SECRET}"]},
        {"json": f'{{"{name}": "{SECRET}"}}'},
        {"pair_of_json": f'extra={{"a": [{{"{name}": "{SECRET}"}}]}}'},
    ]
    for options in spellings:
        assert SECRET not in str(redact(options)), options
        assert "(secret)" in str(redact(options))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"https://me:{SECRET}@host/v1?a=b", "https://(secret)@host/v1?a=b"),
        (f"https://host/v1?api_key={SECRET}&a=b", "https://host/v1?api_key=(secret)&a=b"),
        (f"refused: key sk-{SECRET} is wrong", "refused: key (secret) is wrong"),
        (f"header Bearer {SECRET}", "header (secret)"),
        (f"hf_{SECRET}", "(secret)"),
    ],
)
def test_secrets_are_seen_in_plain_texts(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@pytest.mark.parametrize(
    "value",
    ["max_new_tokens=5", "row-tokens=5", "monkey=5", "question=body", "toy:chain?n=5&seed=1", "a=b=c", "1", "null", ""],
)
def test_what_is_no_secret_stays(value: str) -> None:
    assert redact({"option": value, "max_tokens": 5, "key": None}) == {"option": value, "max_tokens": 5, "key": None}


@given(st.text(), st.text())
def test_redaction_takes_any_text_and_settles(key: str, value: str) -> None:
    once = redact({key: value, "list": [value]})
    assert redact(once) == once


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a/dual.jsonl", "a/dual.manifest.json"),
        ("dual.jsonl.gz", "dual.manifest.json"),
        ("dual.ndjson.zst", "dual.manifest.json"),
        ("dual", "dual.manifest.json"),
        ("v1.2", "v1.2.manifest.json"),
        ("dual.jsonl.partial", "dual.jsonl.partial.manifest.json"),
    ],
)
def test_manifest_lies_beside(name: str, place: str) -> None:
    assert beside(Path(name)) == Path(place)
    assert beside(Path("x/dual.jsonl"), "rejects", ".jsonl") == Path("x/dual.rejects.jsonl")


def test_mark_tells_a_death_only_between_the_ends_of_one_pipe() -> None:
    pipes = [os.pipe(), os.pipe()]
    (read_end, write_end), (other, _) = pipes
    writer = PipeMark(write_end)
    writer.leave()
    assert PipeMark(read_end).writer_died(time.time())
    assert not PipeMark(other).writer_died(time.time())
    assert not PipeMark(read_end).writer_died(time.time() + 3600), "a mark from long before is another pipe's"
    writer.take_away()
    assert not PipeMark(read_end).writer_died(time.time())
    for ends in pipes:
        for end in ends:
            os.close(end)


def test_files_and_devices_get_no_mark(tmp_path: Path, own_state: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        PipeMark(file.fileno()).leave()
        assert not PipeMark(file.fileno()).writer_died(time.time())
    assert not (own_state / "pipes").exists()


def test_old_marks_are_swept(own_state: Path) -> None:
    (own_state / "pipes").mkdir()
    for name, age in (("old", 30), ("new", 1)):
        place = own_state / "pipes" / name
        place.write_text("")
        os.utime(place, (time.time() - age * 86400,) * 2)
    read_end, write_end = os.pipe()
    PipeMark(write_end).leave()
    assert {path.name for path in (own_state / "pipes").iterdir()} == {"new", PipeMark(read_end).path.name}
    os.close(read_end)
    os.close(write_end)
