"""Every recipe trains an encoder-decoder student and asks it, through the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from editctl import registry
from editctl.records import Alignment
from tests.support_cli import Cli
from tests.support_models import pairs
from tests.support_recipes import FORMAT_NAMES, formed
from tests.support_sided import asked, saved_sided, train, write_inputs

QUICK = ("answer-sft", "cascod", "edit", "kpdd-pot", "mt-re", "std-cot")
"""Of recipes that are made alike one."""
RUNS = [
    *(
        pytest.param(name, False, marks=() if name in QUICK else pytest.mark.full)
        for name in sorted(registry.BUILT_IN["recipes"])
    ),
    *(pytest.param(name, True, marks=pytest.mark.full) for name in QUICK),
]
"""Recipes, and whether all weights are trained."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student like T5 in a folder."""
    return saved_sided(tmp_path_factory.mktemp("base") / "t5")


def examples_of(recipe: str) -> list[Alignment]:
    """Rows that a recipe can use."""
    return [formed(recipe)] if recipe in FORMAT_NAMES else pairs(2)


@pytest.mark.parametrize(("recipe", "full"), RUNS)
def test_every_recipe_trains_and_asks(cli: Cli, base: str, recipe: str, full: bool, tmp_path: Path) -> None:
    write_inputs(tmp_path, examples_of(recipe))
    done = train(cli, base, "-r", recipe, "--max-steps", "3", "-o", "run", *(["--full"] if full else []))
    assert "rows padded: an encoder-decoder student" in done.err
    facts = json.loads((tmp_path / "run/editctl.json").read_text())
    assert (facts["prompt_style"], facts["encoder_decoder"]) == ("plain", True)
    found = asked(cli, "run", "--max-new-tokens", "4")
    assert len(found) == 2
    assert all(len(one["steps"]) == len(_plan(recipe)) for one in found)


def _plan(recipe: str) -> Any:
    method = registry.load("recipes", recipe)()
    return method.plan(method.Options())
