"""Prompts of the chain formats: cot's are what they always were, the others say what their parser reads."""

import hashlib
import json
from pathlib import Path

import pytest

from editctl.errors import UsageError
from editctl.formats import COT, FORMATS, LABELS
from editctl.generate.keys import key_of
from editctl.generate.settings import Settings
from editctl.generate.shots import Shots, shot_from
from editctl.interfaces import Request
from editctl.jsonl import FieldError
from editctl.prompts import Templates
from tests.support_cli import Cli, lines, read
from tests.support_generate import SUM, Scripted, maker_of
from tests.test_formats import PROGRAM
from tests.test_prompts import Shot, render, text_of, values

OTHERS = [name for name in FORMATS if name != COT]
STEPS = ("explain", "rectify", "mistakes/logical")


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("explain", "b03a383434ad4bfa"),
        ("rectify", "3739741294eeec02"),
        ("mistakes/any", "5b06fa8e97476585"),
        ("mistakes/logical", "a333a439d3a9cacc"),
        ("mistakes/calculation", "e46a655a2fa8d383"),
        ("mistakes/knowledge", "1667c2d9c944e833"),
    ],
)
def test_prompts_of_cot_are_those_that_ledgers_remember(name: str, digest: str) -> None:
    """Taken from the templates as they were before there were other formats: another prompt is paid for again."""
    rendered = []
    for description in (None, "Add up."):
        for shots in ([], [Shot(), Shot()]):
            given = values(description=description, shots=shots)
            turns, fixed = Templates().render(name, given)
            rendered.append([[dict(turn) for turn in turns], fixed])
    assert hashlib.sha256(json.dumps(rendered).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("format", OTHERS)
def test_every_prompt_asks_for_the_format(format: str, name: str) -> None:
    turns, fixed = Templates().render(name, values(format=format))
    assert [turn["role"] for turn in turns] == ["system", "user"]
    system, user = (turn["content"] for turn in turns)
    labels = [LABELS[section] for section in FORMATS[format].sections if len(FORMATS[format].sections) > 1]
    assert [label for label in labels if f'"{label}"' not in system] == []
    assert ("`ans`" in system) == (FORMATS[format].runner is not None)
    assert ("Therefore, the answer is" in system) == (FORMATS[format].runner is None)
    assert "step by step" not in text_of(turns)
    assert "\n\n\n" not in text_of(turns)
    assert user[fixed:].startswith("Q: What is 2 + 2?")
    assert "SHOT-RIGHT" in user[:fixed]
    # A program begins on a line of its own.
    assert "\nSHOT-RIGHT" in user


def test_formats_and_steps_all_ask_differently() -> None:
    texts = {text_of(render(Templates(), name, values(format=format))) for format in FORMATS for name in STEPS}
    assert len(texts) == len(FORMATS) * len(STEPS)


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_every_format_has_a_template_with_a_title(format: str) -> None:
    assert Templates().title(f"formats/{format}")
    assert set(FORMATS) == {name.removeprefix("formats/") for name in Templates().names() if "formats/" in name}


def test_the_maker_hands_the_format_to_templates_and_requests() -> None:
    maker = maker_of(format="kpdd-pot")
    turns, _ = maker.render("explain", SUM)
    assert '"Core question:"' in turns[0]["content"]
    (request,) = next(maker.make(0, SUM))
    assert request.format == "kpdd-pot"


# one's own wording


def own(folder: Path, text: str, name: str = "pot") -> Templates:
    (folder / "formats").mkdir()
    (folder / "formats" / f"{name}.jinja").write_text(text)
    return Templates([str(folder)])


MINE = "{% macro shape(step) %}Write Python, {{ step }}.{% endmacro %}"
REST = "{% macro cue() %}Code:{% endmacro %}{% macro before() %} {% endmacro %}"


@pytest.mark.parametrize(
    ("name", "step"), [("explain", "explain"), ("rectify", "rectify"), ("mistakes/any", "corrupt")]
)
def test_wording_can_be_overridden_for_all_steps_at_once(tmp_path: Path, name: str, step: str) -> None:
    found = own(tmp_path, MINE + REST)
    assert f"Write Python, {step}." in render(found, name, values(format="pot"))[0]["content"]
    assert "Write Python" not in text_of(render(found, name, values(format="eot")))
    assert "Write Python" not in text_of(render(found, name, values()))


def test_a_pattern_of_one_s_own_has_every_format(tmp_path: Path) -> None:
    (tmp_path / "mistakes").mkdir()
    (tmp_path / "mistakes" / "units.jinja").write_text(
        '{% extends "corrupt_base.jinja" %}{% block pattern %}Confuse units.{% endblock %}'
    )
    for format in FORMATS:
        system = render(Templates([str(tmp_path)]), "mistakes/units", values(format=format))[0]["content"]
        assert "Confuse units." in system
        assert ("`ans`" in system) == (FORMATS[format].runner is not None)


@pytest.mark.parametrize(
    ("text", "says"),
    [(MINE, "has no attribute 'cue'|cue"), (MINE + REST + "{{ nothing }}", "formats/pot.jinja, line 1: 'nothing'")],
)
def test_a_broken_wording_is_one_clear_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        render(own(tmp_path, text), "explain", values(format="pot"))
    assert "\n" not in str(caught.value)


def test_formats_are_listed_and_shown(cli: Cli, tmp_path: Path) -> None:
    rows = json.loads(cli("plugins", "--json").out)["plugins"]
    listed = {row["name"]: row["title"] for row in rows if row["kind"] == "formats"}
    assert list(listed) == list(FORMATS)
    assert all(listed.values())
    assert "`ans`" in cli("plugins", "show", "formats/pot").out
    own(tmp_path, "{# Mine #}" + MINE + REST)
    assert "format pot: Mine" in cli("plugins", "show", "formats/pot", "--templates", ".").out


# worked examples


def test_examples_are_written_as_the_format_has_it() -> None:
    row = {"question": "2?", "answer": "3", "right": f"So:\n```python\n{PROGRAM}\n```", "wrong": {"text": "ans = 4"}}
    shot = shot_from(row, FORMATS["pot"])
    assert (shot.right, shot.wrong) == (PROGRAM, "ans = 4")


@pytest.mark.parametrize(
    ("format", "row", "field"),
    [
        ("pot", {"right": "Two and two."}, "right"),
        ("pot", {"right": "ans = 3", "wrong": "Two and two."}, "wrong"),
        ("kpdd-cot", {"right": "ans = 3"}, "right"),
        ("kpdd-cot", {"right": {"text": "ans = 3"}}, "right"),
        ("cot", {"right": {"text": "ans = 3", "sections": {"program": "ans = 3"}}}, "right"),
        ("pot", {"right": {}}, "right.text"),
    ],
)
def test_an_example_in_another_format_is_refused(format: str, row: dict[str, object], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        shot_from({"question": "2?", **row}, FORMATS[format])
    assert caught.value.field == field


def test_the_refusal_names_file_line_and_field(cli: Cli) -> None:
    good = {"question": "2?", "answer": "3", "right": PROGRAM}
    Path("shots.jsonl").write_text(lines([good, {**good, "right": "It is three."}]))
    done = cli("gen-dual", "toy:chain?n=1", "-t", "oracle", "--format", "pot", "--shots", "shots.jsonl")
    assert done.code == 2
    assert "shots.jsonl, line 2, field 'right': is no example of format pot (" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_run_s_rows_serve_as_examples_of_the_same_format(cli: Cli) -> None:
    made = ("gen-dual", "toy:chain?n=3", "-t", "oracle", "--format", "kpdd-pot")
    assert cli(*made, "-o", "dual.jsonl").code == 0
    shown = cli(*made, "--show-prompts", "1", "--shots", "dual.jsonl", "--max-shots", "1")
    assert shown.code == 0
    assert read("dual.jsonl")[1]["right"]["text"] in shown.out


def test_examples_reach_every_step() -> None:
    shots = Shots(
        [shot_from({"question": "2?", "answer": "3", "right": "ans = 3", "wrong": "ans = 4"}, FORMATS["pot"])]
    )
    maker = maker_of(shots, format="pot")
    assert "\nans = 3\n" in maker.render("explain", SUM)[0][1]["content"]
    assert "Wrong solution:\nans = 4\n" in maker.render("corrupt", SUM, "any", "ans = 5")[0][1]["content"]


# the ledger


def test_completions_of_formats_are_kept_apart() -> None:
    def key(format: str) -> bytes:
        request = Request(question=SUM, step="explain", messages=(), template="explain", format=format)
        return key_of(Scripted(), request)

    assert len({key(name) for name in FORMATS}) == len(FORMATS)


def test_settings_refuse_what_no_format_is(cli: Cli) -> None:
    assert Settings().format == COT
    done = cli("gen-dual", "toy:chain?n=1", "-t", "oracle", "--format", "kpd-cot")
    assert (done.code, "unknown chain format 'kpd-cot'; did you mean kpdd-cot" in done.err) == (2, True)
    done = cli("gen-dual", "toy:chain?n=1", "-t", "oracle", "--format", "pot", "--reasoning", "use")
    assert (done.code, "--reasoning use goes with --format cot" in done.err) == (2, True)
