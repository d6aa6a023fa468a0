"""The demo's last step: one table of all students, and a check that the main job was really done."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

STUDENTS = ("untrained", "std-cot", "edit")
FLOOR = 0.8
"""Least share of new in-domain questions that the std-cot student must answer right."""


def questions(path: Path) -> set[str]:
    """The question texts of a file of rows."""
    return {json.loads(line)["question"] for line in path.read_text(encoding="utf-8").splitlines()}


def main(folder: Path) -> str | None:
    """Print the table; what is wrong, or None."""
    table = Table("student", "updates", "in domain", "95 % interval", "harder", "95 % interval", box=None)
    scores = {name: json.loads((folder / f"{name}.scores.json").read_text(encoding="utf-8")) for name in STUDENTS}
    for name in STUDENTS:
        run = json.loads((folder / name / "editctl.json").read_text(encoding="utf-8"))
        cells = [str(sum(stage["updates"] for stage in run["stages"]))]
        for task in ("chain", "chain-ood"):
            figures = scores[name]["tasks"][task]
            low, high = figures["interval"]
            cells += [f"{figures['accuracy']['micro']:.1%}", f"{low:.1%} - {high:.1%}"]
        table.add_row(name, *cells)
    Console().print(table)
    print(f"\nrun folders, dual chains, alignments and predictions: {folder}")
    print(f"report, for a browser: {(folder / 'report.html').resolve()}")
    seen = questions(folder / "dual.jsonl") & questions(folder / "std-cot.predictions.jsonl")
    if seen:
        return f"{len(seen)} test questions were trained on"
    reached = scores["std-cot"]["tasks"]["chain"]
    if reached["n"] < 200 or reached["accuracy"]["micro"] < FLOOR:
        return f"the std-cot student is below {FLOOR:.0%} of 200 new questions"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
