"""A whole small experiment, made by the commands themselves, and the page that a report makes of it."""

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from editctl.report.page.model import Funnel, FunnelStep, Page
from tests.support_cli import Outcome, lines

TEACHER = '''
"""A teacher with faults that are known: see the numbers below."""

from dataclasses import dataclass

from editctl.interfaces import Completion


@dataclass(frozen=True)
class Options:
    """No options."""


class Some:
    """Of twelve questions one ends without a right chain, one without a wrong one, two are wrong at first."""

    name = "some"
    offline = False
    Options = Options

    def __init__(self, argument, options):
        pass

    async def complete(self, request):
        number = int(request.question.id[1:])
        gold, place = int(request.question.answer), number % 12
        wrong = {"explain": place in (3, 9, 11), "rectify": place == 11, "corrupt": place != 5}
        answer = gold + (wrong.get(request.step, False))
        text = f"First {number}. " * (place % 3 + 1) + f"So it is {answer}. Therefore, the answer is {answer}."
        if request.step == "label":
            text = "Category: calculation"
        return Completion(text=text, prompt_tokens=10, completion_tokens=5)

    async def close(self):
        pass
'''
COUNT = 24
"""Questions: 2 end without a right chain, 2 without a wrong one, 4 pairs have a sampled wrong chain, 16 a made one."""
SMALL = ("-s", "tiny", "--device", "cpu", "--batch-questions", "8", "-q")


def questions(count: int = COUNT) -> str:
    """Questions q0, q1, ... of two tasks."""
    return lines(
        {"id": f"q{number}", "task": ("add", "take")[number % 2], "question": f"What is {number} + 1?"}
        | {"answer": str(number + 1)}
        for number in range(count)
    )


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder that has a state of its own."""
    with contextlib.chdir(folder), mock.patch.dict(os.environ, {"EDITCTL_STATE": str(folder / "state")}):
        yield


def call(folder: Path, *words: str, code: int = 0) -> Outcome:
    """One command in this process; its exit code is as expected."""
    from editctl.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    former = signal.getsignal(signal.SIGTERM)
    with (
        inside(folder),
        mock.patch.object(sys, "argv", ["editctl", *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as stop:
            ended = int(stop.code or 0)
        finally:
            signal.signal(signal.SIGTERM, former)
    texts = [stream.buffer.getvalue().decode() for stream in _flushed(out, err)]  # type: ignore[attr-defined]
    assert ended == code, texts[1]
    return Outcome(ended, *texts)


def _flushed(*streams: io.TextIOWrapper) -> tuple[io.TextIOWrapper, ...]:
    for stream in streams:
        stream.flush()
    return streams


def make_data(folder: Path) -> Path:
    """Questions, dual chains (labelled), rejects and alignments."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "teacher.py").write_text(TEACHER)
    (folder / "q.jsonl").write_text(questions())
    teacher = ("-t", "teacher.py:Some", "--price", "1,2", "-q")
    call(folder, "gen-dual", "q.jsonl", *teacher, "-m", "logical,calculation", "-o", "dual.jsonl")
    call(folder, "gen-dual", "dual.jsonl", "--label", *teacher, "-o", "labelled.jsonl")
    call(folder, "align", "labelled.jsonl", "-q", "-o", "aligned.jsonl")
    return folder


def make_runs(folder: Path) -> Path:
    """The same with a run of `edit` and one of `std-cot`, and predictions of both."""
    make_data(folder)
    call(
        folder,
        "train",
        "aligned.jsonl",
        *SMALL,
        "-r",
        "edit",
        "--max-steps",
        "5",
        "--dev-fraction",
        "0.2",
        "-o",
        "edit",
    )
    call(folder, "train", "aligned.jsonl", *SMALL, "-r", "std-cot", "--max-steps", "2", "--limit", "9", "-o", "cot")
    for run in ("edit", "cot"):
        call(folder, "eval", run, "q.jsonl", "--max-new-tokens", "4", "--device", "cpu", "-q", "-o", f"{run}.jsonl")
    return folder


def run_file(folder: Path, name: str = "run", **more: Any) -> Path:
    """A run folder that holds what `train` says of the run, and no model."""
    place = folder / name
    place.mkdir(parents=True)
    facts = {"recipe": "edit", "student": "tiny", "recipe_options": {}, "stages": [], "lineage": {}, **more}
    (place / "editctl.json").write_text(json.dumps(facts))
    return place


def copied(folder: Path, place: Path) -> Path:
    """A copy of an experiment, to change."""
    shutil.copytree(folder, place)
    return place


def page_of(folder: Path, *names: str, **options: Any) -> Page:
    """The records of the page that `report` would draw."""
    from editctl.cli.reporting import gather
    from editctl.cli.reporting_inputs import named, read_inputs
    from editctl.cli.session import Session
    from editctl.progress import Talk

    values = {"pairs": 400, "questions": 300, "examples": 3, "pool": False, "title": None, "baseline": None, **options}
    talk = Talk(quiet=True)
    with inside(folder), tempfile.TemporaryDirectory() as aside:
        session = Session("report", values, talk, allow_partial=True)
        return gather(talk, values, read_inputs(session, named(names), Path(aside)))


def check_sums(funnel: Funnel) -> None:
    """What came this far and what was lost on the way are together what the step before had."""
    by_label = {step.label: step for step in funnel.steps}
    assert len(by_label) == len(funnel.steps)
    for before, step in zip(funnel.steps, funnel.steps[1:], strict=False):
        base = by_label[step.after] if step.after else before
        assert step.count + sum(one.count for one in step.lost) == base.count, step
        assert all(one.count > 0 for one in step.lost), step


def lost(step: FunnelStep) -> dict[str, int]:
    """Losses by reason."""
    return {one.label: one.count for one in step.lost}


def steps(funnel: Funnel) -> dict[str, int]:
    """Counts by label."""
    return {step.label: step.count for step in funnel.steps}
