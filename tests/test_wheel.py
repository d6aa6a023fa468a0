"""The built wheel and sdist: nothing of a generic name in site-packages, and the whole pipeline elsewhere."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.test_docs import blocks

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "-o", str(folder), str(ROOT)], check=True, capture_output=True)
    return folder


@pytest.mark.full
def test_wheel_holds_plugins_and_templates_inside_the_package(built: Path) -> None:
    wheel = next(built.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"editctl"}
    assert "editctl/templates/mistakes/logical.jinja" in names
    assert "editctl/templates/formats/pot.jinja" in names
    assert "editctl/plugins/oracle.py" in names
    assert "editctl/py.typed" in names
    shipped = {
        path.relative_to(ROOT).as_posix()
        for ending in ("py", "jinja", "css", "js")
        for path in (ROOT / "editctl").rglob(f"*.{ending}")
    }
    assert shipped <= set(names), "a package is missing from pyproject.toml"


@pytest.mark.full
def test_sdist_builds_the_same_package(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    assert any(name.endswith("/templates/explain.jinja") for name in names)
    assert any(name.endswith("/plugins/chain.py") for name in names)


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment of its own, with the wheel installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    for what in ("torch", str(next(built.glob("*.whl")))):
        install(python, "-c", str(ROOT / "constraints.txt"), what)
    return python


def install(python: Path, *words: str) -> None:
    """pip install, quietly."""
    subprocess.run([python, "-m", "pip", "install", "-q", *words], check=True, capture_output=True)


def shell(script: str, python: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A script in an environment that holds nothing of ours but the wheel."""
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.full
def test_wheel_runs_the_pipeline_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    script = """
        editctl gen-dual 'toy:chain?n=24' -t oracle | editctl align | tee aligned.jsonl |
            editctl train -s tiny -r edit --max-steps 2 --batch-questions 8 -o run
        editctl eval run 'toy:chain?split=test&n=4' --max-new-tokens 8 --json
        editctl inspect aligned.jsonl --limit 1 > shown.txt
        editctl report run aligned.jsonl -o report.html --png plots
        editctl align aligned.jsonl --format parquet --tokenizer run -o weighted.parquet
    """
    result = shell(script, installed, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "⟦" in (tmp_path / "shown.txt").read_text(encoding="utf-8")
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert list((tmp_path / "plots").glob("*.png"))
    assert (tmp_path / "weighted.parquet").stat().st_size
    assert json.loads(result.stdout.splitlines()[-1])["n"] == 4
    lineage = json.loads((tmp_path / "run" / "editctl.json").read_text(encoding="utf-8"))["lineage"]
    assert lineage["inputs"][0]["made_by"]["command"] == "align"
    assert lineage["inputs"][0]["made_by"]["inputs"][0]["made_by"]["command"] == "gen-dual"


BROKEN = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "wrecked"
version = "0.1"

[project.entry-points."editctl.teachers"]
wreck = "wrecked:Wreck"

[project.entry-points."editctl.templates"]
wrecked = "wrecked.nothing.there"

[tool.setuptools]
packages = ["wrecked"]
"""


@pytest.mark.full
def test_a_third_party_package_adds_a_teacher_and_patterns_and_a_broken_one_is_skipped(
    installed: Path, tmp_path: Path
) -> None:
    for title, text in blocks("plugin-package.md").items():
        write(tmp_path / title, text)
    for folder in ("classroom", "classroom/templates", "classroom/templates/mistakes"):
        write(tmp_path / "classroom" / folder / "__init__.py", "")
    write(tmp_path / "broken" / "pyproject.toml", BROKEN)
    write(tmp_path / "broken" / "wrecked" / "__init__.py", "raise RuntimeError('no such luck')\n")
    install(installed, "--no-deps", str(tmp_path / "classroom"), str(tmp_path / "broken"))
    write(tmp_path / "sums.jsonl", '{"id": "s1", "question": "What is 17 + 25?", "answer": "42"}\n')

    made = shell("editctl gen-dual sums.jsonl -t pupil -m off_by_one -T slip=2", installed, tmp_path)
    assert made.returncode == 0, made.stderr
    assert "templates of wrecked are skipped" in made.stderr
    row = json.loads(made.stdout)
    assert (row["teacher"], row["wrong"]["template"]) == ("pupil", "mistakes/off_by_one")
    assert row["wrong"]["text"] == "17 + 25 = 44. Therefore, the answer is 44."

    listed = json.loads(shell("editctl plugins --json", installed, tmp_path).stdout)["plugins"]
    found = {(one["kind"], one["name"]): one for one in listed}
    assert found["teachers", "pupil"]["origin"] == "classroom"
    assert found["teachers", "pupil"]["error"] is None
    assert "no such luck" in found["teachers", "wreck"]["error"]
    assert found["mistakes", "off_by_one"]["origin"] == "classroom"
    assert found["mistakes", "any"]["origin"] == "built-in"

    asked = shell("editctl gen-dual sums.jsonl -t wreck", installed, tmp_path)
    assert asked.returncode == 2
    assert asked.stderr.splitlines()[-1] == "editctl: plugin wreck can't be loaded: RuntimeError: no such luck"


def write(path: Path, text: str) -> None:
    """A file, and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
