"""Key points and programs: kpdd-pot against kpdd-cot, with pot and std-cot beside them, on a toy task.

`python benchmarks/key_points.py [--folder FOLDER] [--json]` runs the command line as a user would: the same questions
as chains of each format, students from scratch with the same number of updates each, several seeds, then new
questions of the same kind and harder ones. It prints accuracies and paired comparisons with 95 % intervals over
questions and seeds. A run that was interrupted goes on where its folder stands.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMATS = {"std-cot": "cot", "pot": "pot", "kpdd-cot": "kpdd-cot", "kpdd-pot": "kpdd-pot"}
"""Recipe -> format of its chains."""
COMPARED = (("kpdd-pot", "kpdd-cot"), ("pot", "std-cot"), ("kpdd-pot", "pot"), ("kpdd-cot", "std-cot"))
SPLITS = ("test", "ood")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    folder: Path
    task: str
    questions: int
    asked: int
    updates: int
    batch: int
    learning_rate: float
    seeds: int
    stages: int
    threads: int

    def students(self, recipe: str) -> int:
        """How many students a recipe trains."""
        return self.stages if recipe.startswith("kpdd") else 1


def editctl(sizes: Sizes, *words: str) -> str:
    """A command of ours, in the folder; what it prints."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(sizes.threads),
        "EDITCTL_STATE": str(sizes.folder / "state"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "editctl", *words],
        cwd=sizes.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"editctl {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def chains(sizes: Sizes) -> None:
    """The same questions as chains of each format, and the teacher's key points for the questions that are asked."""
    for recipe, form in FORMATS.items():
        if not (sizes.folder / f"{form}.aligned.jsonl").exists():
            taught(sizes, form, f"n={sizes.questions}", f"{form}.dual.jsonl")
            editctl(sizes, "align", f"{form}.dual.jsonl", "-o", f"{form}.aligned.jsonl")
        for split in SPLITS if recipe.startswith("kpdd") else ():
            if not (sizes.folder / f"{form}.{split}.jsonl").exists():
                taught(sizes, form, f"split={split}&n={sizes.asked}", f"{form}.{split}.jsonl")


def taught(sizes: Sizes, form: str, which: str, output: str) -> None:
    """Chains of the oracle."""
    editctl(sizes, "gen-dual", f"{sizes.task}&{which}", "-t", "oracle", "--format", form, "-o", output)


def student(sizes: Sizes, recipe: str, seed: int) -> None:
    """Train one student, or one for each text, and ask it."""
    run, options = f"{recipe}.{seed}", ["-R", f"stages={sizes.stages}"] if recipe.startswith("kpdd") else []
    if not (sizes.folder / run / "editctl.json").exists():
        updates = str(sizes.updates * sizes.students(recipe))
        steps = ["--max-steps", updates, "--batch-questions", str(sizes.batch), "--save-every", "0"]
        rate = ["--learning-rate", str(sizes.learning_rate), "--schedule", "linear", "--warmup-steps", "20"]
        words = ["-s", "tiny", "-r", recipe, *options, *steps, *rate, "--seed", str(seed), "-o", run, "--force"]
        editctl(sizes, "train", f"{FORMATS[recipe]}.aligned.jsonl", *words)
    for split in SPLITS:
        output = predictions(recipe, seed, split)
        if not (sizes.folder / output).exists():
            ask(sizes, recipe, run, split, output)


def ask(sizes: Sizes, recipe: str, run: str, split: str, output: str) -> None:
    """Ask new questions; where there are key points, the last text a second time after the teacher's."""
    gold = ["--teacher-chains", f"{FORMATS[recipe]}.{split}.jsonl"] if recipe.startswith("kpdd") else []
    source = f"{sizes.task}&split={split}&n={sizes.asked}"
    editctl(sizes, "eval", run, source, *gold, "--max-new-tokens", "256", "-o", f"part.{output}", "--force")
    (sizes.folder / f"part.{output}").rename(sizes.folder / output)


def predictions(recipe: str, seed: int, split: str) -> str:
    """Name of the predictions of one student on one split."""
    return f"{recipe}.{seed}.{split}.jsonl"


def scores(sizes: Sizes, recipe: str, split: str, baseline: str | None = None) -> dict[str, Any]:
    """Figures over all seeds, beside another recipe's where there is one."""
    first, *others = (predictions(recipe, seed, split) for seed in range(sizes.seeds))
    words = [first, *(word for name in others for word in ("--run", name))]
    if baseline:
        words += [word for seed in range(sizes.seeds) for word in ("--baseline", predictions(baseline, seed, split))]
    found: dict[str, Any] = json.loads(editctl(sizes, "score", *words, "--json"))
    return found


def accuracy(sizes: Sizes, recipe: str, split: str) -> dict[str, Any]:
    """What one recipe's students came to on one split."""
    found = scores(sizes, recipe, split)
    runs = found.get("runs", {})
    return {
        "accuracy": found["accuracy"]["micro"],
        "interval": runs.get("interval", found["interval"]),
        "runs": runs.get("accuracies", [found["accuracy"]["micro"]]),
        "unanswered": found["reasons"],
        "tokens": found["tokens_per_question"],
        "with_the_teachers_key_points": found.get("earlier_steps", {})
        .get("teacher", {})
        .get("accuracy", {})
        .get("micro"),
    }


def figures(sizes: Sizes) -> dict[str, Any]:
    """All accuracies and comparisons."""
    found: dict[str, Any] = {"accuracies": {}, "compared": {}}
    for split in SPLITS:
        for recipe in FORMATS:
            found["accuracies"][f"{recipe}, {split}"] = accuracy(sizes, recipe, split)
        for ours, theirs in COMPARED:
            name = f"{ours} against {theirs}, {split}"
            found["compared"][name] = scores(sizes, ours, split, theirs)["comparison"]["summary"]
    return found


def told(found: dict[str, Any]) -> Iterator[str]:
    """The figures as a table, and the comparisons under it."""
    yield "| recipe | questions | right | 95 % | each seed | with the teacher's key points | tokens |"
    yield "|---|---|---|---|---|---|---|"
    for name, one in found["accuracies"].items():
        recipe, split = name.split(", ")
        low, high = one["interval"]
        gold = one["with_the_teachers_key_points"]
        runs = ", ".join(f"{100 * run:.1f}" for run in one["runs"])
        after = "" if gold is None else f"{100 * gold:.1f}"
        yield (
            f"| `{recipe}` | {split} | {100 * one['accuracy']:.1f} | {100 * low:.1f} to {100 * high:.1f} | {runs} "
            f"| {after} | {one['tokens']:.0f} |"
        )
    yield ""
    yield from (f"{name}: {summary}" for name, summary in found["compared"].items())


def sizes_from(words: Sequence[str] | None = None) -> tuple[Sizes, bool]:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/key-points"), help="where everything is written")
    parser.add_argument("--task", default="toy:chain?digits=2", help="the toy task with its options")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    for name, value in (("questions", 4000), ("asked", 200), ("updates", 250), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--stages", type=int, choices=(2, 3), default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = vars(parser.parse_args(words))
    as_json = given.pop("json")
    given["folder"] = given["folder"].resolve()
    return Sizes(**given), as_json


def main() -> None:
    """Train, ask, print."""
    sizes, as_json = sizes_from()
    sizes.folder.mkdir(parents=True, exist_ok=True)
    chains(sizes)
    for seed in range(sizes.seeds):
        for recipe in FORMATS:
            began = time.monotonic()
            student(sizes, recipe, seed)
            print(f"{recipe}, seed {seed}: {time.monotonic() - began:.0f} seconds", file=sys.stderr, flush=True)
    found = figures(sizes)
    print("\n".join(told(found)), flush=True)
    if as_json:
        settings = {**asdict(sizes), "folder": sizes.folder.name}
        print(json.dumps({"sizes": settings, **found}))


if __name__ == "__main__":
    main()
