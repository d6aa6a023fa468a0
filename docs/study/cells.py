"""One cell of the study: a method trained on a task with a seed, and asked. What is done is kept and not done again."""

import contextlib
import io
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from methods import EDIT_RATES, METHODS, RATE, START, Size

KEPT = "cell.json"
FAILED = "failed.json"


class CellFailed(Exception):
    """A command of a cell ended with an error; the message is its last line."""


class Refused(Exception):
    """What was found would make the comparison unfair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the files of one task and seed lie, and how they are made."""

    root: Path
    task: str
    seed: int
    size: Size
    device: str

    @property
    def folder(self) -> Path:
        """Of this task and seed."""
        return self.root / self.task / f"seed-{self.seed}"

    def cell(self, method: str) -> Path:
        """The folder of one method."""
        return self.folder / method.replace(" ", "-")

    @property
    def base(self) -> Path:
        """The untrained student that all methods start from."""
        return self.folder / "untrained"


def call(*words: str) -> str:
    """A command of editctl in this process; what it prints.

    Raises:
        CellFailed: it ended with an error.
        KeyboardInterrupt: it was told to stop.
    """
    from editctl.cli.main import main

    before, printed, said = sys.argv, io.StringIO(), io.StringIO()
    sys.argv = ["editctl", *words]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            main()
    except SystemExit as stop:
        if stop.code in (130, 143):
            raise KeyboardInterrupt from None
        if stop.code:
            raise CellFailed(f"editctl {words[0]}: {(said.getvalue().strip().splitlines() or ['?'])[-1]}") from None
    finally:
        sys.argv = before
    return printed.getvalue()


def prepare(place: Place) -> None:
    """The training pairs of a task and seed, their alignment, and the untrained student."""
    folder, size = place.folder, place.size
    folder.mkdir(parents=True, exist_ok=True)
    dual, aligned = str(folder / "dual.jsonl"), str(folder / "aligned.jsonl")
    if not (folder / "aligned.jsonl").is_file():
        source = f"toy:{place.task}?n={size.questions}&seed={place.seed}"
        oracle = ("-t", "oracle", "-T", f"error-rate={size.error_rate}", "--seed", str(place.seed))
        call("gen-dual", source, *oracle, "-o", dual, "-q")
        call("align", dual, "-o", aligned, "-q")
    if not (place.base / "editctl.json").is_file():
        # Of the recipe that shows right and wrong chains: the tokenizer is made for both.
        train = ("train", aligned, "-s", "tiny", "-r", "std-cot-dual", "--max-steps", "0")
        call(*train, "-o", str(place.base), "--seed", str(place.seed), "-q")


def _train(place: Place, recipe: str, options: tuple[str, ...], start: Path, updates: int, output: Path) -> None:
    given = [word for option in options for word in ("-R", option)]
    rate = () if any("learning-rate" in option for option in options) else ("--learning-rate", RATE)
    call(
        *("train", str(place.folder / "aligned.jsonl"), "-s", str(start), "-r", recipe, *given, *rate),
        *("--full", "--max-steps", str(updates), "--batch-questions", str(place.size.batch), "--save-every", "0"),
        *("--seed", str(place.seed), "--device", place.device, "-o", str(output), "--force", "-q"),
    )


def _first_stage(place: Place) -> Path:
    """EDIT's first stage, trained once for all methods that go on from it."""
    run = place.cell(START) / "run"
    if not (run / "editctl.json").is_file():
        _train(place, "edit", (*EDIT_RATES, "key-steps=false"), place.base, place.size.first_stage, run)
    return run


def _trained(place: Place, name: str) -> tuple[Path, list[dict[str, Any]]]:
    """The method's run folder, and the stages behind it as the run files tell them."""
    if name == START:
        run = _first_stage(place)
        return run, stages_of(run)
    method, run = METHODS[name], place.cell(name) / "run"
    if not method.goes_on:
        _train(place, method.recipe, method.options, place.base, place.size.updates, run)
        return run, stages_of(run)
    start = _first_stage(place)
    # No epoch of the first stage is left: the second one begins where it ended, as in a run of both.
    options = (*method.options, "epochs=0")
    _train(place, method.recipe, options, start, place.size.updates - place.size.first_stage, run)
    return run, [*stages_of(start), *stages_of(run)]


def stages_of(run: Path) -> list[dict[str, Any]]:
    """The stages that a run trained, from its run file."""
    facts = json.loads((run / "editctl.json").read_text(encoding="utf-8"))
    kept = ("name", "questions", "updates", "learning_rate", "tokens", "weighted_tokens")
    return [{key: stage[key] for key in kept} for stage in facts["stages"] if stage["updates"]]


def run_cell(place: Place, name: str) -> dict[str, Any]:
    """Train and ask one method, unless that was done.

    Raises:
        CellFailed: a command ended with an error, which is kept; a next run tries again.
        Refused: what was kept comes from another size.
    """
    folder = place.cell(name)
    kept = read_cell(folder)
    if kept is not None:
        if kept["size"] != asdict(place.size):
            raise Refused(f"{folder}: was made at another size; name another --output")
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        prepare(place)
        run, stages = _trained(place, name)
        _ask(place, run, folder / "predictions.jsonl")
    except CellFailed as error:
        (folder / FAILED).write_text(json.dumps({"error": str(error)}) + "\n", encoding="utf-8")
        raise
    facts = {
        **{"task": place.task, "seed": place.seed, "method": name, "size": asdict(place.size)},
        **{"stages": stages, "updates": sum(stage["updates"] for stage in stages)},
        **{"pairs": _hash(place.folder / "aligned.jsonl"), "start": _hash(place.base / "model.safetensors")},
        "seconds": round(time.monotonic() - began, 1),
    }
    (folder / FAILED).unlink(missing_ok=True)
    _write(folder / KEPT, facts)
    if name != START:
        shutil.rmtree(run)
    return facts


def _ask(place: Place, run: Path, output: Path) -> None:
    asked = [f"toy:{place.task}?split={split}&n={place.size.asked}" for split in ("test", "ood")]
    limit = ("--max-new-tokens", str(place.size.new_tokens), "--device", place.device)
    call("eval", str(run), *asked, *limit, "-o", str(output), "-q", "--json", "--force")


def _hash(path: Path) -> str:
    from editctl.files import sha256_of

    return str(sha256_of(path))


def _write(path: Path, facts: dict[str, Any]) -> None:
    beside = path.with_suffix(".partial")
    beside.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def read_cell(folder: Path) -> dict[str, Any] | None:
    """What is kept of a cell that is done; None where it is not."""
    path = folder / KEPT
    if not path.is_file():
        return None
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def check_fair(cells: list[dict[str, Any]]) -> None:
    """All cells are of one size; all methods of a task and seed had the same updates, pairs, start and first rate.

    Raises:
        Refused: one had not.
    """
    first: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in cells:
        where = f"{cell['task']}, seed {cell['seed']}"
        if cell["size"] != cells[0]["size"]:
            parts = [key for key, value in cells[0]["size"].items() if cell["size"].get(key) != value]
            raise Refused(f"{where}: {cell['method']} is of another size than the first cell ({', '.join(parts)})")
        if cell["method"] == START:
            continue
        _check_same(cell, first.setdefault((cell["task"], cell["seed"]), cell), where)
        if sum(stage["updates"] for stage in cell["stages"]) != cell["updates"]:
            raise Refused(f"{where}: the stages of {cell['method']} don't add up")


def _check_same(cell: dict[str, Any], one: dict[str, Any], where: str) -> None:
    """Both were trained on the same, as much, from the same weights, and at first at the same rate."""
    told = (
        *((what, cell[key], one[key]) for key, what in (("updates", "updates"), ("pairs", "training pairs"))),
        ("starting weights", cell.get("start"), one.get("start")),  # None: a cell made before this was kept
        ("learning rate at first", *(own["stages"][0].get("learning_rate") for own in (cell, one))),
    )
    for what, ours, theirs in told:
        if ours != theirs and not (what == "starting weights" and None in (ours, theirs)):
            raise Refused(
                f"{where}: {cell['method']} has other {what} than {one['method']} ({ours} and {theirs}); "
                "they can't be compared"
            )
