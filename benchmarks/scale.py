"""A million toy questions through `editctl gen-dual` with the oracle: questions a second, and memory while it runs.

python benchmarks/scale.py [--json] [--questions 1000000]
The run is a process of its own that writes a file; memory is its resident set (VmRSS), sampled all along. Linux only.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import Sample, Watch, Watched

SHOWN = 10
"""Points of the run at which memory is reported."""
MOST_MB = 500.0
FEWEST_A_SECOND = 5000.0


def run(source: str, folder: Path) -> Watched:
    """Make the dual chains, with a sample every half a second."""
    command = [sys.executable, "-m", "editctl", "gen-dual", source, "-t", "oracle", "-o", str(folder / "dual.jsonl")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EDITCTL_")}
    watch = Watch(command, {**environment, "EDITCTL_STATE": str(folder / "state")}, folder / "log")
    watched = watch.finish(pause=0.5)
    if watched.status != 0:
        sys.exit(f"scale.py: editctl ended with {watched.status}:\n{(folder / 'log').read_text()[-2000:]}")
    return watched


def count_rows(path: Path) -> int:
    """Lines of a file."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def course(watched: Watched) -> list[dict[str, float]]:
    """Memory at evenly spread moments of the run."""
    samples = watched.samples
    chosen: list[Sample] = [samples[(len(samples) - 1) * step // SHOWN] for step in range(SHOWN + 1)]
    return [{"at_s": round(one.at - watched.started, 1), "resident_mb": round(one.resident_mb, 1)} for one in chosen]


def summary(source: str, questions: int, watched: Watched, folder: Path) -> dict[str, Any]:
    """All figures."""
    seconds = watched.ended - watched.started
    resident = [sample.resident_mb for sample in watched.samples]
    rows = count_rows(folder / "dual.jsonl")
    rejects = sum(count_rows(path) for path in folder.glob("*.rejects.jsonl"))
    if rows + rejects != questions:
        sys.exit(f"scale.py: {rows} rows and {rejects} rejects of {questions} questions")
    return {
        "source": source,
        "questions": questions,
        "rows": rows,
        "rejects": rejects,
        "output_mb": (folder / "dual.jsonl").stat().st_size / 1e6,
        "seconds": seconds,
        "questions_a_second": questions / seconds,
        "cpu_seconds": watched.cpu,
        "peak_mb": watched.peak_mb,
        "middle_mb": statistics.median(resident),
        "course": course(watched),
        "processors": os.cpu_count(),
        "reached": watched.peak_mb < MOST_MB and questions / seconds >= FEWEST_A_SECOND,
    }


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--questions", type=int, default=1_000_000, help="how many [1000000]")
    parser.add_argument("--source", default="toy:chain?n={n}", help="with {n} for how many [toy:chain?n={n}]")
    parser.add_argument("--folder", help="where the output, about 1 GB, lies for a while [the system's place]")
    given = parser.parse_args()
    source = given.source.format(n=given.questions)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        watched = run(source, Path(name))
        result = summary(source, given.questions, watched, Path(name))
    for key, value in result.items():
        print(f"{key}: {value:.1f}" if isinstance(value, float) else f"{key}: {value}")
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
