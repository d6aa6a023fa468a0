"""Do key steps help? Trains the methods on toy tasks with several seeds, asks them, and writes tables.

`python docs/study/study.py --seeds 5 --output FOLDER` trains each method of methods.py with the same number of
updates on the same questions, asks the students new questions in and out of domain, and writes FOLDER/table.md and
FOLDER/results.json. A cell (task, method, seed) that is done is kept: the same command goes on from there.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from cells import CellFailed, Place, Refused, run_cell
from methods import METHODS, SIZES, START, TASKS
from table import figures, markdown

BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for cells and tables; goes on from there")
    parser.add_argument("--seeds", type=int, default=5, help="as many seeds, from 1 (default 5)")
    parser.add_argument("--tasks", default=",".join(TASKS), help="toy tasks (default %(default)s)")
    parser.add_argument("--methods", default=",".join(METHODS), help="rows of the table (default: all)")
    parser.add_argument("--size", choices=sorted(SIZES), default="small", help="how much (default %(default)s)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument("--table", action="store_true", help="run nothing: write the tables from what is there")
    parser.add_argument("--into", type=Path, help="also put the tables into this page, between its two marks")
    chosen = parser.parse_args(words)
    chosen.methods, chosen.tasks = chosen.methods.split(","), chosen.tasks.split(",")
    unknown = [name for name in chosen.methods if name not in METHODS]
    if unknown or chosen.seeds < 1:
        parser.error(f"no such method: {unknown[0]}; known: {', '.join(METHODS)}" if unknown else "--seeds is below 1")
    return chosen


def run(chosen: argparse.Namespace) -> list[str]:
    """All cells, seed by seed, so that a study that is stopped has whole seeds; what failed, in words."""
    os.environ.setdefault("EDITCTL_STATE", str((chosen.output / "state").resolve()))
    failed = []
    methods = [START, *chosen.methods] if any(METHODS[name].goes_on for name in chosen.methods) else chosen.methods
    for seed in range(1, chosen.seeds + 1):
        for task in chosen.tasks:
            size = SIZES[chosen.size]
            place = Place(root=chosen.output, task=task, seed=seed, size=size, device=chosen.device)
            for name in methods:
                try:
                    facts = run_cell(place, name)
                except CellFailed as error:
                    failed.append(f"{task}, seed {seed}, {name}: {error}")
                    _say(f"failed: {failed[-1]}")
                else:
                    _say(f"{task}, seed {seed}, {name}: {facts['updates']} updates, {facts['seconds']} s")
    return failed


def write(chosen: argparse.Namespace) -> dict[str, Any]:
    """The tables, from what lies in the folder."""
    found = figures(chosen.output)
    text = markdown(found)
    (chosen.output / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (chosen.output / "table.md").write_text(text, encoding="utf-8")
    if chosen.into is not None:
        page = chosen.into.read_text(encoding="utf-8")
        if not (BEGIN in page and END in page):
            raise Refused(f"{chosen.into}: has no {BEGIN} and {END} to put the tables between")
        put = f"{BEGIN}\n\n{text}\n{END}"
        page = re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: put, page, flags=re.DOTALL)
        chosen.into.write_text(page, encoding="utf-8")
    print(json.dumps(found) if chosen.json else text)
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Run and write; the exit code: 0, 1 where a cell failed, 2 where nothing can be compared."""
    chosen = arguments(words)
    chosen.output.mkdir(parents=True, exist_ok=True)
    try:
        failed = [] if chosen.table else run(chosen)
        write(chosen)
    except Refused as error:
        _say(f"refused: {error}")
        return 2
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        return 130
    for line in failed:
        _say(f"failed: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
