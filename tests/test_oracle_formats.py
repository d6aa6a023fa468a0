"""The oracle's chains in formats: they come to gold, or to the wrong answer of the same slip in words."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from editctl.errors import UsageError
from editctl.formats import COT, FORMATS, SYNONYMS, sections_of
from editctl.interfaces import Formatted
from editctl.plugins.boolean import Boolean
from editctl.plugins.chain import Chain
from editctl.plugins.oracle import Oracle, OracleOptions
from editctl.records import DualChain
from editctl.rows import dual_from_row
from editctl.sandbox import programs
from editctl.worked import Worked
from tests.support_cli import Cli, command, read
from tests.support_generate import dual_chains
from tests.support_toys import worked
from tests.test_docs import DOCS, blocks
from tests.test_formats import REASONS
from tests.test_oracle import toys

PATTERNS = ("logical", "knowledge", "calculation")
OTHERS = [name for name in FORMATS if name != COT]
RUN = [name for name in OTHERS if FORMATS[name].runner]
HARD = [f"&difficulty={difficulty}&digits={digits}" for difficulty in (1, 2, 3) for digits in (1, 2)]


def results(format: str, texts: list[str]) -> list[str | None]:
    """What programs or equations come to."""
    chosen = FORMATS[format]
    assert chosen.runner is not None
    last = [chosen.parse(text)[chosen.sections[-1]] for text in texts]
    return [outcome.value for outcome in programs.run_many(chosen.runner, last)]


@pytest.mark.parametrize("more", HARD)
@pytest.mark.parametrize("format", ["pot", "kpdd-pot"])
def test_right_programs_come_to_gold(format: str, more: str) -> None:
    items = worked("chain", 300, more)
    assert results(format, [item.right_in(format) for item in items]) == [item.answer for item in items]


@pytest.mark.parametrize("more", HARD)
def test_right_equations_come_to_gold(more: str) -> None:
    items = worked("chain", 10, more)
    assert results("eot", [item.right_in("eot") for item in items]) == [item.answer for item in items]


@pytest.mark.full
@pytest.mark.parametrize("more", HARD)
def test_all_right_equations_come_to_gold(more: str) -> None:
    items = worked("chain", 300, more)
    assert results("eot", [item.right_in("eot") for item in items]) == [item.answer for item in items]


def wrong_ones(format: str, pattern: str, more: str, count: int) -> list[tuple[Worked, str, str]]:
    """Question, wrong chain in the format, and the answer of the same slip in words."""
    found = []
    for item in worked("chain", count, more):
        for salt in (0, 1):
            text, words = item.wrong_in(format, pattern, salt), item.wrong(pattern, salt)
            if text is not None:
                assert words is not None
                found.append((item, text, words.answer))
    return found


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("format", RUN)
def test_wrong_chains_come_to_the_wrong_answer_of_the_same_slip(format: str, pattern: str) -> None:
    count = 3 if format == "eot" else 20
    found = [one for more in HARD for one in wrong_ones(format, pattern, more, count)]
    if pattern == "calculation" and format != "eot":
        assert found == []  # the interpreter calculates
        return
    assert len(found) > 10 * count
    assert results(format, [text for _, text, _ in found]) == [answer for _, _, answer in found]
    assert all(answer != item.answer for item, _, answer in found)
    assert all(text != item.right_in(format) for item, text, _ in found)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_kpdd_cot_holds_the_chain_in_words(pattern: str) -> None:
    for item in worked("chain", 30, "&digits=2"):
        words, text = item.wrong(pattern), item.wrong_in("kpdd-cot", pattern)
        assert (words is None) == (text is None)
        if words is not None and text is not None:
            assert FORMATS["kpdd-cot"].parse(text)["solution"] == words.text
        assert FORMATS["kpdd-cot"].parse(item.right_in("kpdd-cot"))["solution"] == item.right


@pytest.mark.parametrize("format", ["kpdd-cot", "kpdd-pot"])
def test_core_and_information_are_those_of_the_question(format: str) -> None:
    for item in worked("chain", 30, "&digits=2"):
        right = FORMATS[format].parse(item.right_in(format))
        wrong = FORMATS[format].parse(item.wrong_in(format, "any") or "")
        assert (right["core"], right["information"]) == (wrong["core"], wrong["information"])
        moves = [line.split(": ")[1] for line in item.question.question.split(". ")[1:-2]]
        assert f" {', then '.join(moves)}. " in right["information"]
        assert item.question.question.split(".")[0].removeprefix("Start with ") in right["information"]
        assert right["core"].endswith("?")


@pytest.mark.parametrize("format", RUN)
def test_a_pattern_of_no_task_stands_for_those_the_format_allows(format: str) -> None:
    items = worked("chain", 30)
    texts = [item.wrong_in(format, "any") for item in items]
    allowed = [{item.wrong_in(format, pattern) for pattern in PATTERNS} - {None} for item in items]
    assert all(text in some for text, some in zip(texts, allowed, strict=True))


def test_who_writes_formats() -> None:
    assert isinstance(Chain(), Formatted)
    assert not isinstance(Boolean(), Formatted)
    assert set(Chain().formats) == set(OTHERS)
    boolean, chain = worked("boolean", 1)[0], worked("chain", 1)[0]
    assert boolean.right_in(COT) == boolean.right
    assert chain.wrong_in(COT, "logical") == (chain.wrong("logical") or chain).text  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="writes no chains in format pot"):
        boolean.right_in("pot")


# by way of gen-dual


def made(format: str, rate: float = 0.0, **settings: Any) -> list[DualChain]:
    teacher = Oracle("", OracleOptions(error_rate=rate))
    outcomes = list(dual_chains(toys("toy:chain?n=40"), teacher, format=format, **settings))
    assert all(isinstance(outcome, DualChain) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, DualChain)]


@pytest.mark.parametrize("format", OTHERS)
def test_some_fail_and_are_rectified(format: str) -> None:
    duals = made(format, rate=0.5)
    origins = {dual.right and dual.right.origin for dual in duals}
    assert origins == {"sampled", "rectified"}
    for dual in duals:
        for side in filter(None, (dual.right, dual.wrong)):
            assert side.sections is not None
            assert side.text == FORMATS[format].render(side.sections)
            assert (side.answer == dual.question.answer) == (side is dual.right)


def test_a_pattern_the_format_does_not_allow_leaves_the_right_chain_alone() -> None:
    assert {(dual.wrong, dual.reason) for dual in made("pot", mistakes=("calculation",))} == {(None, "same-text")}
    assert all(dual.wrong for dual in made("eot", mistakes=("calculation",)))


@pytest.mark.parametrize("format", OTHERS)
def test_the_command_writes_every_format(format: str, tmp_path: Path) -> None:
    words = ("gen-dual", "toy:chain?n=12", "-t", "oracle", "-T", "error-rate=0.3", "--format", format)
    done = command(*words, "-o", "dual.jsonl", folder=tmp_path)
    assert done.code == 0, done.err
    rows = read(tmp_path / "dual.jsonl")
    assert len(rows) == 12
    for row in rows:
        dual = dual_from_row(row)
        assert dual.right is not None
        assert dual.wrong is not None
        assert tuple(sections_of(dual.right, FORMATS[format])) == FORMATS[format].sections
        assert dual.right.answer == dual.question.answer != dual.wrong.answer
    manifest = json.loads((tmp_path / "dual.manifest.json").read_text())
    assert format in json.dumps(manifest)


def test_tasks_that_write_no_formats_are_refused_with_those_that_do(cli: Cli) -> None:
    done = cli("gen-dual", "toy:boolean?n=2", "-t", "oracle", "--format", "pot", "-o", "dual.jsonl")
    assert done.code == 2
    assert "teacher oracle can't write 'toy:boolean?" in done.err
    assert done.err.strip().endswith("in format pot: toy:chain can")


@pytest.mark.parametrize("format", OTHERS)
def test_its_own_wrong_chains_are_labelled(format: str) -> None:
    from editctl.interfaces import Request

    oracle = Oracle("", OracleOptions())
    for item in worked("chain", 5):
        text = item.wrong_in(format, "knowledge")
        request = Request(question=item.question, step="label", messages=(), template="label", chain=text)
        said = oracle.complete_now(request).text
        same = {pattern for pattern in PATTERNS for salt in range(64) if item.wrong_in(format, pattern, salt) == text}
        assert said.removeprefix("Category: ") in same


# the docs


def test_chains_of_the_docs_are_the_oracle_s() -> None:
    found, first = blocks("formats.md"), worked("chain", 1)[0]
    assert first.question.question in (DOCS / "formats.md").read_text(encoding="utf-8")
    for format in ("pot", "eot", "kpdd-cot"):
        assert found[format].rstrip("\n") == first.right_in(format)
    slip = first.wrong_in("eot", "calculation")
    assert found["eot, calculation"].rstrip("\n") == slip
    assert results("eot", [slip or ""]) == [str((14 - 10) % 10)]
    assert "keep 4. Therefore" in (first.wrong_in(COT, "calculation") or "")


def test_wording_of_the_docs_reaches_the_teacher(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "prompts" / "formats" / "pot.jinja"
    place.parent.mkdir(parents=True)
    place.write_text(blocks("formats.md")["prompts/formats/pot.jinja"], encoding="utf-8")
    words = ("toy:chain?n=1", "-t", "oracle", "--format", "pot", "--templates", "prompts")
    done = cli("gen-dual", *words, "--show-prompts", "1")
    assert "with one assignment a line." in done.out
    assert "A: Program:" in done.out
    assert cli("gen-dual", *words, "-o", "dual.jsonl").code == 0


def test_python_of_the_docs_runs(tmp_path: Path) -> None:
    (tmp_path / "read.py").write_text(blocks("formats.md")["read.py"], encoding="utf-8")
    done = subprocess.run([sys.executable, "read.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    three = "Core question: How many?\nProblem-solving information: 2 and 2.\nSolution:\nans = 2 + 2\n"
    assert done.stdout == f"{three}not-python\n"


def test_every_reason_and_synonym_is_documented() -> None:
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert [reason for reason in sorted({*REASONS, "ambiguous"}) if f"`{reason}`" not in page] == []
    assert [
        status for status in get_args(programs.Status) if status != "ok" and f"`program-{status}`" not in page
    ] == []
    assert [format for format in FORMATS if f"`{format}`" not in page] == []
    words = {word for name in ("core", "information", "solution", "program") for word in SYNONYMS[name]}
    flat = page.lower().replace("-", " ")
    assert [word for word in sorted(words) if not all(part in flat for part in word.split())] == []
