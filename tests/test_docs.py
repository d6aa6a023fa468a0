"""Docs that match the code: generated pages, named things, examples that run."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from editctl import registry
from editctl.cli.main import app
from editctl.prompts import Templates
from tools import write_cli_docs

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: str) -> dict[str, str]:
    """The titled code blocks of a page, by title."""
    return {title: text for _, title, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))}


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of ours, in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "editctl", *words], cwd=folder, capture_output=True, text=True, check=False
    )


def test_command_page_is_what_help_prints() -> None:
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == write_cli_docs.render(), "run `make docs`"


def test_command_page_lists_every_command() -> None:
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert {name for name in names if name} == {
        command for command in write_cli_docs.COMMANDS if " " not in command
    } - {""}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_every_plugin_and_pattern_is_documented() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "cli.md")
    names = [name for kind in registry.BUILT_IN.values() for name in kind] + Templates().mistakes()
    assert [name for name in names if f"`{name}`" not in text and f"`{name}:" not in text] == []


def test_every_recipe_option_is_documented() -> None:
    from editctl import options

    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    own = {row["name"] for row in options.describe(registry.load("recipes", "edit").Options)}
    shared = {"epochs", "key-epochs", "learning-rate", "key-learning-rate", "decay"}
    assert [name for name in sorted(own - shared) if f"`{name}`" not in text] == []


def test_teacher_of_the_docs_runs_and_is_short(tmp_path: Path) -> None:
    text = blocks("teachers.md")["my_teacher.py"]
    assert len(text.splitlines()) < 30
    (tmp_path / "my_teacher.py").write_text(text, encoding="utf-8")
    (tmp_path / "questions.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\n', encoding="utf-8")
    command = "command=sh -c 'cat >/dev/null; echo So the answer is 4.'"
    result = run(
        "gen-dual", "questions.jsonl", "-t", "my_teacher.py:Program", "-T", command, "-o", "dual.jsonl", folder=tmp_path
    )
    assert result.returncode == 0, result.stderr
    row = json.loads((tmp_path / "dual.jsonl").read_text(encoding="utf-8"))
    assert row["teacher"] == "program"
    assert row["right"]["text"] == "Therefore, the answer is 4."
    assert row["reason"] == "same-text"


def test_teacher_of_the_docs_fails_as_the_docs_say(tmp_path: Path) -> None:
    (tmp_path / "my_teacher.py").write_text(blocks("teachers.md")["my_teacher.py"], encoding="utf-8")
    (tmp_path / "questions.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\n', encoding="utf-8")
    result = run(
        "gen-dual",
        "questions.jsonl",
        "-t",
        "my_teacher.py:Program",
        "-T",
        "command=exit 7",
        "-o",
        "dual.jsonl",
        folder=tmp_path,
    )
    assert result.returncode == 3
    assert json.loads((tmp_path / "dual.rejects.jsonl").read_text(encoding="utf-8"))["reason"] == "provider-error"


def test_mistake_pattern_of_the_docs_reaches_the_teacher(tmp_path: Path) -> None:
    place = tmp_path / "prompts" / "mistakes" / "units.jinja"
    place.parent.mkdir(parents=True)
    place.write_text(blocks("mistake-patterns.md")["prompts/mistakes/units.jinja"], encoding="utf-8")
    words = ("toy:chain?n=4", "-t", "oracle", "--templates", "prompts", "-m", "units,logical", "-o", "dual.jsonl")
    result = run("gen-dual", *words, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "dual.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["wrong"]["template"] for row in rows] == ["mistakes/units", "mistakes/logical"] * 2
    shown = run("plugins", "show", "units", "--templates", "prompts", folder=tmp_path)
    assert "Units of measure are confused" in shown.stdout


def test_smoke_script_of_the_docs_passes_in_under_a_minute(tmp_path: Path) -> None:
    (tmp_path / "smoke.sh").write_text(blocks("smoke-tests.md")["smoke.sh"], encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    began = time.monotonic()
    result = subprocess.run(
        ["bash", "smoke.sh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["n"] == 8
    # The page promises this to users; the real figure is near 20 s, so that a busy machine does not fail it.
    assert time.monotonic() - began < 60 * (1 + os.getloadavg()[0])
