"""The benchmark of key points runs whole on a toy size, and goes on where it stopped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "key_points.py"
TOY = "--questions 8 --asked 2 --updates 2 --batch 4 --seeds 1 --stages 2 --json"


@pytest.mark.full
def test_whole_run_reports_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--folder", str(tmp_path / "made"), *TOY.split()]
    done = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2)]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    assert done[0].stdout == done[1].stdout
    result = json.loads(done[0].stdout.splitlines()[-1])
    names = [f"{name}, {split}" for split in ("test", "ood") for name in ("std-cot", "pot", "kpdd-cot", "kpdd-pot")]
    assert list(result["accuracies"]) == names
    assert len(result["compared"]) == 8
    gold = [one["with_the_teachers_key_points"] is not None for one in result["accuracies"].values()]
    assert gold == [False, False, True, True] * 2
    assert (tmp_path / "made" / "kpdd-pot.0" / "slots" / "solve").is_dir()
