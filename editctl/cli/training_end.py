"""What `train` does with its trained students: room for them, their folder, and what is made of that."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from editctl.cli.session import Session

if TYPE_CHECKING:
    from editctl.cli.training import Job
    from editctl.models import Student
    from editctl.progress import Talk
    from editctl.train.stage import Outcome


def check_room(job: "Job") -> None:
    """Raises UsageError where the disk has too little room for all students of the run."""
    from editctl.train.adapters import adapter_rank
    from editctl.train.handover.folder import bytes_needed, check_space
    from editctl.train.plan import by_slot

    students, rank = len(by_slot(job.planned)), None
    if job.weights == "lora":
        rank = job.settings.lora.r * len(job.planned) + adapter_rank(job.student) * students
    check_space(Path(job.values["output"]), bytes_needed(job.student, rank, students))


def write(session: Session, job: "Job", students: "Iterator[tuple[str, Student]]", outcome: "Outcome") -> None:
    """The run folder: the students one after the other, each with its slot's name."""
    from dataclasses import asdict

    from editctl.slots import slots_in
    from editctl.train.handover.card import model_card
    from editctl.train.handover.folder import write_students
    from editctl.train.handover.run_file import run_facts

    values = job.values
    facts = run_facts(values, asdict(job.chosen), job.codec, job.weights, job.alignments, job.planned, outcome)
    session.note(recipe=values["recipe"], stages=facts["stages"])
    facts["lineage"] = session.lineage.render("complete", [])
    facts["run"] = job.fingerprint
    card = model_card(values["student"], values["recipe"], job.method.title, facts)
    write_students(Path(values["output"]), students, slots_in(facts), facts, card)


def hand_over(talk: "Talk", job: "Job", student: "Student | None" = None) -> None:
    """What comes after a finished run; asked for again, what is missing of it."""
    from editctl.slots import SLOTS, is_single
    from editctl.train.handover.hub import push
    from editctl.train.handover.merge import merge, merge_into
    from editctl.train.plan import by_slot

    values, folder = job.values, Path(job.values["output"])
    slots, merged = by_slot(job.planned), folder / "merged"
    if not is_single(slots):
        talk.say(f"students: {', '.join(str(folder / SLOTS / slot) for slot in slots)}")
    if values["merge"] and not merged.exists():
        if student is None or not is_single(slots):
            merge(str(folder), merged, trust_remote_code=values["trust_remote_code"])
        else:
            merge_into(student, merged)
        talk.say(f"plain model: {merged}" if is_single(slots) else f"plain models: {merged / SLOTS}")
    if values["push_to_hub"]:
        talk.say(f"uploaded to {push(folder, values['push_to_hub'], private=not values['public'])}")
