"""The run folder: what Hugging Face users expect, and `editctl.json`. Built beside its place, moved in when whole."""

import glob
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from editctl.errors import UsageError
from editctl.files import disk_errors, is_alive, write_text
from editctl.models import RUN_FILE, Student
from editctl.slots import ONLY, place_of
from editctl.train.adapters import save_adapter
from editctl.train.checkpoints import UNFINISHED, to_disk

LOGS = "runs"
"""What trackers that write files call their folder."""


def check_place(folder: Path, force: bool, resume: bool = False) -> None:
    """Refuse a place that holds something, or can't be written.

    Raises:
        UsageError: with what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder for the run")
    tidy(folder)
    _check_content(folder, force, resume)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made: {error.strerror}") from error
    if not os.access(folder.parent, os.W_OK):
        raise UsageError(f"{folder}: {folder.parent} can't be written")


def tidy(folder: Path) -> None:
    """Clear away what killed processes left beside a run folder: whole models. Where one died between the two moves
    that put a finished run in place, what it had moved away comes back first.

    Raises:
        UsageError: a living process is at work on the folder.
    """
    for left in (*_left(folder, "old"), *_left(folder, "tmp")):
        number = int(left.name.rpartition(".")[0].rpartition(".")[2])
        if number != os.getpid() and is_alive(number):  # a number of our own is that of a process before us
            raise UsageError(
                f"{folder}: process {number} is writing it; wait for it or name another place (or remove {left.name}, "
                "where that process is none of ours)"
            )
        if left.name.endswith(".old") and not (folder.exists() and any(folder.iterdir())):
            left.rename(folder)
        shutil.rmtree(left, ignore_errors=True)


def _left(folder: Path, ending: str) -> list[Path]:
    found = folder.parent.glob(f".{glob.escape(folder.name)}.*.{ending}")
    return [one for one in found if one.is_dir() and one.name.split(".")[-2].isdecimal()]


def _check_content(folder: Path, force: bool, resume: bool) -> None:
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    unfinished, finished = (folder / UNFINISHED).is_dir(), (folder / RUN_FILE).is_file()
    if not unfinished and not finished:
        raise UsageError(
            f"{folder}: holds other files and no run of editctl; name another folder (--force won't delete them)"
        )
    if unfinished and not (force or resume):
        raise UsageError(f"{folder}: holds an unfinished run; go on with --resume, or start again with --force")
    if not unfinished and not (force or resume):
        raise UsageError(f"{folder}: holds another run; name another folder, or replace it with --force")


def check_space(folder: Path, needed: int) -> None:
    """Raises UsageError when the disk has less room than `needed` bytes."""
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise UsageError(
            f"{folder}: too little disk: about {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        )


def bytes_needed(student: Student, lora_rank: int | None = None, students: int = 1) -> int:
    """Most that will be written: all weights of so many students, or adapters of a rank (of all together) on every
    matrix, and half as much again."""
    if lora_rank is None or student.origin == "scratch":
        size = students * sum(parameter.numel() * parameter.element_size() for parameter in student.model.parameters())
    else:
        matrices = [parameter.shape for parameter in student.model.parameters() if parameter.ndim == 2]
        size = sum(4 * lora_rank * sum(shape) for shape in matrices)
    return int(1.5 * size) + 20_000_000


def write_run(folder: Path, student: Student, facts: dict[str, Any], card: str) -> None:
    """Write the whole folder of one student and move it to its place; a run that stood there goes only then."""
    write_students(folder, [(ONLY, student)], [ONLY], facts, card)


def write_students(
    folder: Path, students: Iterable[tuple[str, Student]], slots: Sequence[str], facts: dict[str, Any], card: str
) -> None:
    """The same for a run of several students, which come one after the other with their slots' names.

    Raises:
        OutputError: a file can't be written.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_errors(str(folder)):
            temporary.mkdir()
        for slot, student in students:  # outside of disk_errors: the next one may have to be loaded
            with disk_errors(str(folder)):
                _write_student(place_of(temporary, slot, slots), student)
        with disk_errors(str(folder)):
            _keep_logs(folder / UNFINISHED, temporary / LOGS)
            open_to_readers(temporary)
        write_text(temporary / "README.md", card)
        write_text(temporary / RUN_FILE, json.dumps(facts, ensure_ascii=False, indent=1, default=str) + "\n")
        with disk_errors(str(folder)):
            for file in (*temporary.rglob("*"), temporary):
                to_disk(file)  # before the checkpoints go
            _swap(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_student(place: Path, student: Student) -> None:
    place.mkdir(parents=True, exist_ok=True)
    if student.adapters:
        save_adapter(student, place)
    else:
        student.model.save_pretrained(str(place))
    student.tokenizer.save_pretrained(str(place))


def _keep_logs(unfinished: Path, place: Path) -> None:
    """What trackers wrote into the folders of the stages (TensorBoard does)."""
    for logs in sorted(unfinished.glob(f"*/{LOGS}")):
        shutil.copytree(logs, place / logs.parent.name)


def open_to_readers(folder: Path) -> None:
    """Give files the usual rights: safetensors writes them for the owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o666 & ~mask)


def _swap(new: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}.{os.getpid()}.old")
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        if old.exists():
            old.rename(place)
        raise
    to_disk(place.parent)
    shutil.rmtree(old, ignore_errors=True)
