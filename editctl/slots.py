"""Runs of several students: a recipe's slots, where each one's student lies in a run folder, and what to say where one
of them is meant.

A run with the one slot `student` is a model folder itself. Any other has a model folder for each slot,
`RUN/slots/NAME`, and one `editctl.json` for all of them at its top.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from editctl.errors import InputError, UsageError, near_misses
from editctl.recipe import DecodeStep, Stage

SLOTS = "slots"
"""Folder of a run that holds one student for each slot of its recipe."""
ONLY = "student"
"""The slot of recipes that train one student."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def is_single(slots: Iterable[str]) -> bool:
    """Whether a run with these slots is a model folder itself."""
    return set(slots) <= {ONLY}


def place_of(run: Path, slot: str, slots: Iterable[str]) -> Path:
    """Where a slot's student lies in the folder of a run that has these slots."""
    return run if is_single(slots) else run / SLOTS / slot


def slots_in(facts: Mapping[str, Any] | None) -> list[str]:
    """The slots of a run by what its `editctl.json` says, in the order they were trained; none where it tells no
    stages.

    Raises:
        InputError: a name that can't be that of a folder: the file may come from elsewhere.
    """
    stages = (facts or {}).get("stages")
    told = stages if isinstance(stages, list) else []
    names = list(dict.fromkeys(str(one.get("slot", ONLY)) for one in told if isinstance(one, Mapping)))
    for name in names:
        if not _PLAIN.fullmatch(name):
            raise InputError(f"a run of editctl: its slot {name!r} is no name of a folder")
    return names


def found_in(folder: Path) -> list[str]:
    """Names of the slots that a folder holds."""
    place = folder / SLOTS
    return sorted(one.name for one in place.iterdir() if one.is_dir()) if place.is_dir() else []


def told(folder: Path) -> str:
    """What to say of a folder that was to be a student and holds several; empty where it holds none in slots."""
    names = found_in(folder)
    if not names:
        return ""
    many = "one student" if len(names) == 1 else f"{len(names)} students"
    places = " or ".join(str(folder / SLOTS / name) for name in names)
    return f"the run has {many} in its slots, and can't be taken for one; name {places}"


def check_stages(recipe: str, stages: Sequence[Stage], plan: Sequence[DecodeStep]) -> None:
    """Whether one run can train what the recipe asks, before anything is loaded.

    Raises:
        UsageError: there is no stage; names that can't be those of folders or stand twice; a stage that does not go on
            from the one before it in its slot; a step that asks a slot which no stage trains.
    """
    if not stages:
        raise UsageError(f"recipe {recipe}: has no stages")
    _check_names(recipe, "stage", [stage.name for stage in stages])
    slots = list(dict.fromkeys(stage.slot for stage in stages))
    _check_names(recipe, "slot", slots)
    for slot in slots:
        _check_order(recipe, slot, [stage for stage in stages if stage.slot == slot], stages)
    for step in plan:
        if step.slot not in slots:
            raise UsageError(
                f"recipe {recipe}: step {step.name} asks slot {step.slot}, which no stage trains; "
                f"{near_misses(step.slot, slots)}"
            )


def _check_names(recipe: str, what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not _PLAIN.fullmatch(name):
            raise UsageError(
                f"recipe {recipe}: {what} {name!r}: names a folder of the run, so letters, digits, - and _ only"
            )
        if name.casefold() in seen:  # not every file system tells letters by their case
            raise UsageError(f"recipe {recipe}: {what} {name}: the name stands there twice")
        seen.add(name.casefold())


def _check_order(recipe: str, slot: str, own: Sequence[Stage], stages: Sequence[Stage]) -> None:
    """What is trained is a chain: each stage of a slot on the one before it."""
    before: Stage | None = None
    for stage in own:
        wanted = before.name if before else None
        if stage.starts_from != wanted:
            raise UsageError(f"recipe {recipe}: stage {stage.name} {_misplaced(stage, wanted, slot, stages)}")
        before = stage


def _misplaced(stage: Stage, wanted: str | None, slot: str, stages: Sequence[Stage]) -> str:
    if stage.starts_from is None:
        return f"follows {wanted} in slot {slot}, so it goes on from there: set starts_from, or give it another slot"
    found = next((one for one in stages if one.name == stage.starts_from), None)
    if found is None:
        near = near_misses(stage.starts_from, [one.name for one in stages])
        return f"starts from {stage.starts_from!r}, which is no stage; {near}"
    if found.slot != slot:
        return f"starts from {found.name}, which trains slot {found.slot}, not {slot}"
    should = f"it has to name the one before it in its slot, {wanted}" if wanted else "it is the first of its slot"
    return f"starts from {found.name}, but {should}"
