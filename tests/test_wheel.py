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
    assert "editctl/plugins/oracle.py" in names
    assert "editctl/py.typed" in names
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "editctl").rglob("*.py")}
    assert shipped <= set(names), "a package is missing from pyproject.toml"


@pytest.mark.full
def test_sdist_builds_the_same_package(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    assert any(name.endswith("/templates/explain.jinja") for name in names)
    assert any(name.endswith("/plugins/chain.py") for name in names)


@pytest.mark.full
def test_wheel_runs_the_pipeline_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    constraints = ["-c", str(ROOT / "constraints.txt")]
    for what in ("torch", str(next(built.glob("*.whl")))):
        subprocess.run([python, "-m", "pip", "install", "-q", *constraints, what], check=True, capture_output=True)
    environment = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }
    script = """
        set -euo pipefail
        editctl gen-dual 'toy:chain?n=24' -t oracle | editctl align |
            editctl train -s tiny -r edit --max-steps 2 --batch-questions 8 -o run
        editctl eval run 'toy:chain?split=test&n=4' --max-new-tokens 8 --json
    """
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["n"] == 4
    lineage = json.loads((tmp_path / "run" / "editctl.json").read_text(encoding="utf-8"))["lineage"]
    assert lineage["inputs"][0]["made_by"]["command"] == "align"
    assert lineage["inputs"][0]["made_by"]["inputs"][0]["made_by"]["command"] == "gen-dual"
