"""The recipe of the docs: short, right, used as a file, and installed as a package by pip."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from editctl import registry
from editctl.records import Example
from editctl.tokens import Codec
from editctl.train.engine.groups import build
from editctl.train.identity import check_identity
from tests.support_cli import Cli, read
from tests.support_models import byte_level
from tests.support_recipes import row
from tests.test_docs import blocks

PAGE = "writing-recipes.md"
CHAIN = "First 3.5 is read! Then\n17 + 25 = 42. Therefore, the answer is 42."


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The file of the docs."""
    place = tmp_path / "my_recipe.py"
    place.write_text(blocks(PAGE)["my_recipe.py"], encoding="utf-8")
    return place


def made(recipe: Path, text: str, **options: Any) -> Example:
    """What it makes of a chain."""
    method = registry.load("recipes", f"{recipe}:Rising")()
    (found,) = method.examples("imitate", row(right=text), method.Options(**options))
    assert isinstance(found, Example)
    return found


def test_a_whole_recipe_takes_less_than_sixty_lines() -> None:
    assert 30 < len(blocks(PAGE)["my_recipe.py"].splitlines()) < 60


def test_weights_rise_from_sentence_to_sentence(recipe: Path) -> None:
    found = made(recipe, CHAIN, first=1.0, last=4.0)
    sentences = [(CHAIN[start:end], weight) for start, end, weight in found.spans]
    assert sentences == [
        ("First 3.5 is read!", 1.0),
        (" Then", 2.0),
        ("\n17 + 25 = 42.", 3.0),
        (" Therefore, the answer is 42.", 4.0),
    ]
    assert (found.end_weight, found.share, found.target) == (4.0, 1.0, CHAIN)
    assert made(recipe, "Only one.").spans == ((0, 9, 0.5),)


def test_every_token_weighs_as_much_as_its_sentence(recipe: Path) -> None:
    method = registry.load("recipes", f"{recipe}:Rising")()
    options = method.Options(first=1.0, last=4.0)
    codec = Codec(byte_level(), "plain")
    (stage,) = method.stages(options)
    (group,) = build(method, options, stage, [row(right=CHAIN)], codec, 1024).groups
    (weighted,) = group.examples
    texts: dict[float, str] = {}
    for token, weight in zip(weighted.target, weighted.weights, strict=True):
        texts[weight] = texts.get(weight, "") + codec.tokenizer.decode([token])
    assert texts == {
        1.0: " First 3.5 is read!",
        2.0: " Then",
        3.0: "\n17 + 25 = 42.",
        4.0: " Therefore, the answer is 42.<|end|>",
    }
    check_identity("rising", method, options, [row(right=CHAIN)], codec)


def test_what_it_can_not_use_is_skipped_and_bad_options_are_refused(recipe: Path, cli: Cli) -> None:
    method = registry.load("recipes", f"{recipe}:Rising")()
    alignment = row(right_origin="rectified")
    (skip,) = method.examples("imitate", alignment, method.Options(rectified=False))
    assert skip.reason == "rectified"
    done = cli("train", "none.jsonl", "-s", "tiny", "-r", "./my_recipe.py:Rising", "-R", "first=0", "-o", "run")
    assert done.code == 2
    assert "first and last must be above 0" in done.err
    shown = cli("plugins", "show", "./my_recipe.py:Rising").out
    assert "first=a number [0.5]  weight of the first sentence" in shown


def pipeline(cli: Cli, name: str) -> None:
    """All four commands, with two updates on eight questions."""
    student = ("-s", "tiny", "--device", "cpu", "--max-steps", "2", "--batch-questions", "4")
    for words in (
        ("gen-dual", "toy:chain?n=8", "-t", "oracle", "-o", "dual.jsonl"),
        ("align", "dual.jsonl", "-o", "aligned.jsonl"),
        ("train", "aligned.jsonl", *student, "-r", name, "-R", "last=3", "-o", "run"),
        ("eval", "run", "toy:chain?split=test&n=2", "--max-new-tokens", "4", "--device", "cpu", "-o", "p.jsonl"),
    ):
        done = cli(*words, "-q")
        assert done.code == 0, done.err
    facts = json.loads(Path("run/editctl.json").read_text(encoding="utf-8"))
    assert (facts["recipe"], facts["recipe_options"]["last"], len(read("p.jsonl"))) == (name, 3.0, 2)


def test_the_file_is_used_by_its_path(recipe: Path, cli: Cli) -> None:
    pipeline(cli, f"./{recipe.name}:Rising")


def test_an_installed_package_has_a_name_of_its_own(recipe: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    package = recipe.parent / "rising"
    package.mkdir()
    (package / "pyproject.toml").write_text(blocks(PAGE)["rising/pyproject.toml"], encoding="utf-8")
    recipe.rename(package / "rising.py")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    site = recipe.parent / "site"
    subprocess.run([*pip, "--target", str(site), str(package)], check=True, capture_output=True)
    monkeypatch.syspath_prepend(str(site))
    rows = {one["name"]: one for one in json.loads(cli("plugins", "--json").out)["plugins"]}
    found = rows["rising"]
    assert (found["origin"], found["version"], found["error"]) == ("editctl-rising", "1.0", None)
    pipeline(cli, "rising")
    monkeypatch.delitem(sys.modules, "rising")
