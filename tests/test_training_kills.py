"""kill -9 at any moment of a run: it goes on to the same losses and, byte for byte, the same weights.

The processes are forked from one that has all modules loaded already, so that a hundred of them take minutes, not an
hour; a few are the command itself.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from editctl.rows import alignment_to_row
from tests.support_cli import lines
from tests.support_models import pairs, saved
from tests.support_slots import RECIPE
from tests.support_slots import STAGES as SLOT_STAGES

pytestmark = pytest.mark.full

TRAIN = "train aligned.jsonl -r edit --device cpu --batch-questions 2 --row-tokens 96 --save-every 1 --schedule cosine"
OPTIONS = (*TRAIN.split(), "--keep-checkpoints", "1", "--max-steps", "6", "--learning-rate", "0.002")
STUDENTS = {
    "lora": ("-s", "base", "--lora-r", "2", "--lora-dropout", "0.2"),
    "full": ("-s", "base", "--full"),
    "tiny": ("-s", "tiny"),
    "slots": ("-s", "base", "--lora-r", "2", "--lora-dropout", "0.2", "-r", "two.py:Two"),
}
STAGES = {"lora": ("1-imitate", "2-key-steps"), "slots": SLOT_STAGES}
HALVES = {
    "lora": (2, 5, 6, 7, 8, 9, 15, 18, 19),
    "slots": (2, 5, 6, 10, 11, 15, 16, 17),  # the last two are the students of the slots
}
"""Files of weights that are cut in the middle."""
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.copyfile")
LOADED = (
    "torch",
    "peft",
    "transformers.trainer",
    "editctl.cli.main",
    "editctl.train.assembly",
    "editctl.train.handover.folder",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """When a process kills itself: before its so-manieth change to the disk, or in the middle of a weights file."""

    change: int | None = None
    half: int | None = None
    note: bool = False
    """Count the changes, and write their number into the file `changes`."""


def life(folder: str, words: Sequence[str], shot: Shot, state: str) -> None:
    """One run of the command in this process, its words in the file `said`."""
    import gc

    gc.freeze()
    os.chdir(folder)
    os.environ.update(EDITCTL_STATE=state, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    changes = aim(shot)
    sys.argv = ["editctl", *words]
    import torch

    from editctl.cli.main import main

    torch.set_num_threads(1)
    try:
        main()
    finally:
        if shot.note:
            Path("changes").write_text(str(len(changes)))


def die() -> None:
    """As a process dies that is killed from outside: nothing of it runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)


def aim(shot: Shot) -> list[str]:
    """Set the shot up, to count from the moment the run begins to write; the list of changes, as it grows."""
    from editctl.train.checkpoints import RunState

    begin = RunState.begin
    changes: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in CHANGES or (event == "open" and _writes(arguments)):
            changes.append(event)
            if len(changes) == shot.change:
                die()

    def begins(self: RunState, *arguments: Any) -> None:
        if shot.change or shot.note:
            sys.addaudithook(hook)
        begin(self, *arguments)

    setattr(RunState, "begin", begins)  # noqa: B010
    if shot.half:
        _halve(shot.half)
    return changes


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, _, flags = arguments
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) and path != os.devnull


def _halve(place: int) -> None:
    """The so-manieth file that torch or safetensors writes is cut in the middle."""
    import safetensors.torch
    import torch

    left = iter(range(place - 1))

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def save(content: Any, file: Any, *arguments: Any, **named: Any) -> None:
            original(content, file, *arguments, **named)
            if next(left, None) is None:
                os.truncate(file, Path(file).stat().st_size // 2)
                die()

        return save

    torch.save = wrap(torch.save)
    safetensors.torch.save_file = wrap(safetensors.torch.save_file)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs and a student with dropout of its own."""
    folder = tmp_path_factory.mktemp("kills")
    (folder / "aligned.jsonl").write_text(lines(alignment_to_row(one) for one in pairs(6)))
    (folder / "two.py").write_text(RECIPE)
    saved(folder / "base")
    config = json.loads((folder / "base/config.json").read_text())
    (folder / "base/config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    (folder / "state").mkdir()
    return folder


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[..., BaseProcess]]:
    """Starts a life of a run."""
    nursery = multiprocessing.get_context("forkserver")
    nursery.set_forkserver_preload([*LOADED, __name__])
    running: list[BaseProcess] = []

    def start(folder: Path, student: str, *words: str, shot: Shot | None = None) -> BaseProcess:
        line = [*OPTIONS, *STUDENTS[student], *words]
        state = str(folder.parent / "state")
        process = nursery.Process(target=life, args=(str(folder), line, shot or Shot(), state))
        process.start()
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()


def ended(process: BaseProcess) -> int | None:
    """Its exit code."""
    process.join(120)
    return process.exitcode


def room(place: Path, name: str) -> Path:
    """A folder for one run, with the files it is made of."""
    folder = place / name
    folder.mkdir()
    for one in ("aligned.jsonl", "base", "two.py"):
        (folder / one).symlink_to(place / one)
    return folder


def said(folder: Path) -> str:
    """What the last life said."""
    return (folder / "said").read_text()


def results(folder: Path) -> dict[str, Any]:
    """What a run came to: its files by their bytes, but what its run file says of clocks and folders."""
    run = folder / "run"
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != "adapter_config.json")
    found: dict[str, Any] = {str(path.relative_to(run)): path.read_bytes() for path in files}
    facts = json.loads(found.pop("editctl.json"))
    facts.pop("lineage")
    found.pop("README.md")
    for record in facts["history"]:
        record.pop("tokens_per_second")
        record.pop("memory_mb")
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    return {**found, "facts": facts}


_CALM: dict[str, dict[str, Any]] = {}


@pytest.fixture
def calm(student: str, place: Path, started: Callable[..., BaseProcess]) -> dict[str, Any]:
    """What the run nobody disturbed came to."""
    if student not in _CALM:
        folder = room(place, f"calm-{student}")
        assert ended(started(folder, student, shot=Shot(note=True))) == 0, said(folder)
        _CALM[student] = results(folder) | {"changes": int((folder / "changes").read_text())}
        assert len(_CALM[student]["facts"]["history"]) == 6
    return dict(_CALM[student])


def assert_goes_on(
    folders: Sequence[Path], student: str, calm: dict[str, Any], started: Callable[..., BaseProcess]
) -> None:
    """To the same end."""
    calm.pop("changes", None)
    processes = [started(folder, student, "--resume") for folder in folders]
    for folder, process in zip(folders, processes, strict=True):
        assert ended(process) == 0, (folder.name, said(folder))
        found = results(folder)
        assert found.keys() == calm.keys(), folder.name
        assert found["facts"] == calm["facts"], folder.name
        assert [name for name in calm if found[name] != calm[name]] == [], folder.name
        shutil.rmtree(folder)


def together(points: Sequence[Any], size: int = 4) -> Iterator[Sequence[Any]]:
    """A few at a time."""
    for start in range(0, len(points), size):
        yield points[start : start + size]


@pytest.mark.parametrize("student", ["lora", "slots"])
def test_killed_before_any_change_to_the_disk(
    student: str, place: Path, calm: dict[str, Any], started: Callable[..., BaseProcess]
) -> None:
    """Every third one of the first half, each one of the second and of the swap into place; of several slots every
    fifth one, and each while their students are written."""
    changes = calm["changes"]
    assert changes > 40
    dense = changes // 2 if student == "lora" else changes - 30
    points = [*range(1, dense, 3 if student == "lora" else 5), *range(dense, changes + 1)]
    for some in together(points):
        folders = [room(place, f"change-{point}") for point in some]
        lives = [started(folder, student, shot=Shot(change=point)) for folder, point in zip(folders, some, strict=True)]
        assert [ended(one) for one in lives] == [-9] * len(some)
        assert_goes_on(folders, student, dict(calm), started)


@pytest.mark.parametrize("student", ["lora", "slots"])
def test_killed_in_the_middle_of_a_file_of_weights(
    student: str, place: Path, calm: dict[str, Any], started: Callable[..., BaseProcess]
) -> None:
    """A checkpoint has four: weights, optimizer, schedule, random numbers. Then the end, then the next stage."""
    for some in together(HALVES[student]):
        folders = [room(place, f"half-{point}") for point in some]
        lives = [started(folder, student, shot=Shot(half=point)) for folder, point in zip(folders, some, strict=True)]
        assert [ended(one) for one in lives] == [-9] * len(some)
        assert_goes_on(folders, student, dict(calm), started)


@pytest.mark.parametrize("student", STUDENTS)
def test_killed_again_and_again_at_random(
    student: str, place: Path, calm: dict[str, Any], started: Callable[..., BaseProcess]
) -> None:
    """Each life goes on where the one before was killed: after some changes to the disk, or by the clock."""
    chance = random.Random(student)
    folder = room(place, f"random-{student}")
    kills = 0
    for number in range(9):
        shot = Shot() if number % 3 == 2 else Shot(change=chance.randrange(1, 14))
        process = started(folder, student, "--resume", shot=shot)
        if not shot.change:
            process.join(chance.uniform(0, 0.2))
            process.kill()
        code = ended(process)
        assert code in (0, -9), said(folder)
        kills += code == -9
    assert kills >= 3  # a fast machine may come to the end in fewer lives
    assert_goes_on([folder], student, calm, started)


@pytest.mark.parametrize("student", ["lora", "slots"])
def test_the_command_itself_is_killed(student: str, place: Path, calm: dict[str, Any]) -> None:
    """In each stage, at some moment after their first checkpoint was begun."""
    folder = room(place, f"command-{student}")
    line = [sys.executable, "-m", "editctl", *OPTIONS, *STUDENTS[student], "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "EDITCTL_STATE": str(place / "state")}
    chance = random.Random(7)
    for stage in STAGES[student]:
        with (
            (folder / "said").open("w") as out,
            subprocess.Popen(
                line, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
            ) as client,
        ):
            while client.poll() is None and not list((folder / "run/unfinished" / stage).glob("checkpoint-*")):
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.05))
            client.kill()
        assert client.returncode == -9, said(folder)
        assert (folder / "run/unfinished" / stage).is_dir()
    with (folder / "said").open("w") as out:
        assert subprocess.run(line, cwd=folder, env=environment, stdout=out, stderr=out, check=False).returncode == 0
    assert "goes on after" in said(folder) or "is done already" in said(folder)
    calm.pop("changes")
    assert results(folder) == calm
