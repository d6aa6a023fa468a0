"""The run folder: what Hugging Face users expect, and `editctl.json`. Built beside its place, moved in when whole."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from editctl import __version__
from editctl.errors import UsageError
from editctl.files import disk_errors, write_text
from editctl.models import RUN_FILE, Student
from editctl.train.adapters import save_adapter


def check_place(folder: Path, force: bool) -> None:
    """Refuse a place that holds something, or can't be written.

    Raises:
        UsageError: with what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder for the run")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        what = "another run" if (folder / RUN_FILE).is_file() else "other files"
        raise UsageError(f"{folder}: holds {what}; name another folder, or replace it with --force")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RUN_FILE).is_file():
        raise UsageError(f"{folder}: holds files that are no run of editctl; --force won't delete them")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made: {error.strerror}") from error
    if not os.access(folder.parent, os.W_OK):
        raise UsageError(f"{folder}: {folder.parent} can't be written")


def check_space(folder: Path, needed: int) -> None:
    """Raises UsageError when the disk has less room than `needed` bytes."""
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise UsageError(
            f"{folder}: too little disk: about {needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free"
        )


def bytes_needed(student: Student, lora_rank: int | None = None) -> int:
    """Most that will be written: all weights, or adapters of a rank on every matrix, and half as much again."""
    if lora_rank is None or student.origin == "scratch":
        size = sum(parameter.numel() * parameter.element_size() for parameter in student.model.parameters())
    else:
        matrices = [parameter.shape for parameter in student.model.parameters() if parameter.ndim == 2]
        size = sum(4 * lora_rank * sum(shape) for shape in matrices)
    return int(1.5 * size) + 20_000_000


def write_run(folder: Path, student: Student, facts: dict[str, Any], card: str) -> None:
    """Write the whole folder and move it to its place; a run that stood there goes only then."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_errors(str(folder)):
            temporary.mkdir()
            if student.adapters:
                save_adapter(student, temporary)
            else:
                student.model.save_pretrained(str(temporary))
            student.tokenizer.save_pretrained(str(temporary))
            _open_to_readers(temporary)
        write_text(temporary / "README.md", card)
        write_text(temporary / RUN_FILE, json.dumps(facts, ensure_ascii=False, indent=1, default=str) + "\n")
        with disk_errors(str(folder)):
            _swap(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open_to_readers(folder: Path) -> None:
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
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def model_card(base: str, recipe: str, title: str, facts: dict[str, Any], stages: Sequence[str]) -> str:
    """A short README for the hub: what this is, how it was made, how to use it."""
    library = "peft" if facts["weights"] == "lora" else "transformers"
    front = ["---", f"library_name: {library}", "tags:", "- editctl", f"- {recipe}"]
    if facts["weights"] != "scratch":
        front.insert(1, f"base_model: {base}")
    lines = [
        *front,
        "---",
        "",
        f"# {recipe} student of {base}",
        "",
        f"Trained by editctl {__version__}, recipe `{recipe}`: {title}.",
        "",
        *(f"- {stage}" for stage in stages),
        f"- prompt style: {facts['prompt_style']}",
        "",
        f"Evaluate it with `editctl eval FOLDER QUESTIONS`; it also loads in plain {library}.",
        f"How its data were made stands in `{RUN_FILE}`.",
        "",
    ]
    return "\n".join(lines)
