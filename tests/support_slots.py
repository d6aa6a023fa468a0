"""A recipe of two students, one of which has two stages, and the files a run of it takes."""

import json
from pathlib import Path

from editctl.rows import alignment_to_row
from tests.support_cli import lines
from tests.support_models import pairs, saved

RECIPE = '''
"""A hint by one student, then the solution by another."""

from dataclasses import dataclass, replace

from editctl.recipe import DecodeStep, Stage
from editctl.records import Example
from editctl.student import question_prompt


@dataclass(frozen=True)
class Options:
    """Which students there are, and what goes wrong."""

    only: str = ""
    stray: bool = False
    late: float = 0.01


def hint(question, earlier):
    return question_prompt(question, cue=" Hint:")


def solution(question, earlier):
    return question_prompt(question, cue=f"\\nHint: {earlier[0].strip()}\\nSo:")


def stray(question, earlier):
    """What the other student was shown."""
    return hint(question, earlier)


class Two:
    """Two students; `only` leaves the stages of one."""

    Options = Options
    title = "a hint, then the solution"

    def stages(self, options):
        stage = Stage(name="hints", epochs=2, learning_rate=0.01, normaliser="target", slot="hint")
        found = [
            stage,
            replace(stage, name="solve", slot="solve"),
            replace(stage, name="again", slot="solve", starts_from="solve", learning_rate=options.late),
        ]
        return [one for one in found if options.only in ("", one.slot)]

    def examples(self, stage, alignment, options):
        question, text = alignment.dual.question, alignment.dual.right.text
        first = text.partition(".")[0]
        prompt, target = (hint(question, ()), first) if stage == "hints" else (solution(question, [first]), text)
        yield Example(
            question_id=question.id, prompt=prompt, target=target, spans=((0, len(target), 1.0),), end_weight=1.0
        )

    def plan(self, options):
        ask = DecodeStep(name="hint", slot="hint", prompt=hint)
        found = [ask, replace(ask, name="solution", slot="solve", prompt=stray if options.stray else solution)]
        return [] if options.only else found
'''
STAGES = ("1-hints", "2-solve", "3-again")
"""Folders of an unfinished run."""


def write_files(folder: Path, count: int = 6) -> None:
    """The recipe, so many pairs, their questions, and a base student."""
    (folder / "two.py").write_text(RECIPE)
    (folder / "aligned.jsonl").write_text(lines(alignment_to_row(one) for one in pairs(count)))
    asked = [one.dual.question for one in pairs(count)]
    rows = [{"id": one.id, "question": f"Now: {one.question}", "answer": one.answer} for one in asked]
    (folder / "q.jsonl").write_text(lines(rows))
    saved(folder / "base")


def facts(run: Path) -> dict[str, object]:
    """What a run folder says about itself."""
    found: dict[str, object] = json.loads((run / "editctl.json").read_text())
    return found
