"""`make demo` as a user runs it: the whole main job, and its own check of the result."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.full
def test_demo_reaches_what_it_promises(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", str(ROOT / "examples" / "demo.sh"), str(tmp_path / "demo")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    scores = {
        name: json.loads((tmp_path / "demo" / f"{name}.scores.json").read_text(encoding="utf-8"))
        for name in ("untrained", "std-cot", "edit")
    }
    assert scores["std-cot"]["tasks"]["chain"]["accuracy"]["micro"] >= 0.8
    assert scores["untrained"]["accuracy"]["micro"] < 0.05
    updates = [
        sum(stage["updates"] for stage in json.loads((tmp_path / "demo" / name / "editctl.json").read_text())["stages"])
        for name in ("std-cot", "edit")
    ]
    assert updates[0] == updates[1]
