"""What `editctl eval` does between its options and its scores: who writes, what is asked, where it is kept."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.errors import UsageError
from editctl.records import Chain, Prediction, Question

if TYPE_CHECKING:
    from editctl.cli.session import Session
    from editctl.evaluate.asking import Work
    from editctl.evaluate.engine import Engine
    from editctl.evaluate.journal import Journal
    from editctl.progress import Talk
    from editctl.recipe import DecodeStep

_PROOFS = 4
"""Prompts on which an adapter must make a difference."""


@dataclass(slots=True)
class Evaluation:
    """One evaluation, from the questions to judged predictions."""

    session: "Session"
    talk: "Talk"
    values: dict[str, Any]
    run: dict[str, Any] | None
    """What `train` wrote about the student; None for a student from elsewhere."""
    plan: "Sequence[DecodeStep]"
    output: str | None = None
    """The file the predictions will stand in; None where they go down a pipe or nowhere."""
    seconds: float = 0.0
    """Time that the texts took, before and after interruptions."""
    journal: Any = None
    """The raw texts; there once they were asked for."""

    @property
    def conclusion(self) -> str:
        """Opening of conclusion sentences: as asked for, as the recipe was told, or as the chains were made with."""
        from editctl.answers.conclusion import CANONICAL
        from editctl.manifest import option_of

        run = self.run or {}
        trained = (run.get("recipe_options") or {}).get("conclusion") or option_of(run.get("lineage"), "conclusion")
        return str(self.values["conclusion"] or trained or CANONICAL)

    def predictions(self, questions: "Sequence[Question]", chains: Mapping[str, Chain] | None) -> list[Prediction]:
        """Ask all questions and read the answers, in the order of the questions."""
        from editctl.evaluate.asking import prediction_of, works
        from editctl.evaluate.judging import judged

        asked = works(questions, self.values["samples"])
        if chains is not None:
            asked = self._with_taught(asked, chains)
        engines = self._engines()
        try:
            self._check_forced(asked, engines)
            self._say_notes(engines)
            journal = self.journal = self._journal(asked, engines)
            with journal:
                self._prove(asked, engines)
                self._ask(asked, engines, journal)
                found = [prediction_of(work, journal.found[work.key], self.plan[-1]) for work in asked]
            self._note(engines, journal)
        finally:
            for engine in engines.values():
                engine.close()
        return list(judged(found, self.conclusion))

    def _with_taught(self, own: "list[Work]", chains: Mapping[str, Chain]) -> "list[Work]":
        from editctl.evaluate.asking import taught_works

        if len(self.plan) < 2 or not all(step.taught for step in self.plan[:-1]):
            raise UsageError("--teacher-chains: no step of this recipe reads an earlier one")
        taught, lacking = taught_works(own, chains, self.plan)
        if not taught:
            raise UsageError(
                "--teacher-chains: holds for none of the questions a right chain that this recipe can take over "
                "(they go by id, and have to be in the recipe's format)"
            )
        if lacking:
            self.talk.warn(f"{len(set(lacking))} questions have no usable right chain among the teacher's")
        return [*own, *taught]

    def _engines(self) -> "dict[str, Engine]":
        from editctl.cli.engines import make_engines

        return make_engines(self.talk, self.values, self.run, self.plan)

    def _check_forced(self, asked: "list[Work]", engines: "Mapping[str, Engine]") -> None:
        """Raises UsageError for a plan that an engine can't follow, before anything is asked."""
        for number, step in enumerate(self.plan if asked else ()):
            prompt = step.prompt(asked[0].question, ["-"] * number)
            if prompt.forced and not engines[step.slot].takes_forced:
                raise UsageError(
                    f"the step {step.name!r} of this recipe begins the student's turn with given text, which a chat "
                    "endpoint can't do; use --endpoint completions or tokens"
                )

    def _say_notes(self, engines: "Mapping[str, Engine]") -> None:
        for note in [note for engine in engines.values() for note in engine.facts().get("notes", ())]:
            self.talk.warn(note)

    def _journal(self, asked: "list[Work]", engines: "Mapping[str, Engine]") -> "Journal":
        from editctl.evaluate.journal import ENDING, Journal

        place = None if self.output is None else Path(f"{self.output}{ENDING}")
        facts = {
            "plan": [_step_facts(step) for step in self.plan],
            "engines": {slot: _lasting(engine.facts()) for slot, engine in engines.items()},
            "asked": _asked_hash(asked, self.plan),
            "seed": self.values["seed"],
            "max_new_tokens": self.values["max_new_tokens"],
        }
        journal = Journal(place, facts, anew=self.values["force"])
        there = sum(journal.has(work.key) for work in asked)
        if there:
            self.talk.say(f"{there} of {len(asked)} texts are there from an evaluation that did not finish")
        return journal

    def _prove(self, asked: "list[Work]", engines: "Mapping[str, Engine]") -> None:
        """Make sure that the student asked is the one that was trained."""
        from editctl.evaluate.engine import Proving

        for engine in engines.values():
            if isinstance(engine, Proving):
                prompts = [self.plan[0].prompt(work.question, ()) for work in asked[:_PROOFS]]
                for line in engine.prove(prompts):
                    self.talk.warn(line)

    def _ask(self, asked: "list[Work]", engines: "Mapping[str, Engine]", journal: "Journal") -> None:
        from editctl.evaluate.asking import Asker
        from editctl.progress import Bar

        total = sum(len(self.plan) - len(work.given) for work in asked)
        try:
            with Bar(self.talk, "eval", total) as bar:
                asker = Asker(
                    self.plan,
                    engines,
                    journal,
                    limit=self.values["max_new_tokens"],
                    seed=self.values["seed"],
                    show=bar.advance,
                )
                asker.ask(asked)
        except BaseException:
            kept = sum(one.failed is None for one in journal.found.values())
            if journal.place is not None and kept:
                self.talk.warn(f"{kept} texts are kept in {journal.place}; the same command goes on")
            raise

    def _note(self, engines: "Mapping[str, Engine]", journal: "Journal") -> None:
        facts = {slot: {**engine.facts(), "prompts": engine.prompts} for slot, engine in engines.items()}
        for engine in engines.values():
            short = getattr(engine, "short_of_room", 0)
            if short:
                self.talk.warn(f"{short} texts had less room than --max-new-tokens: the student has no more positions")
        self.session.note(engines=facts, seconds=round(journal.seconds, 1), conclusion=self.conclusion)
        self.seconds = journal.seconds

    @property
    def lost(self) -> str | None:
        """What to say where texts could not be had."""
        failed = [one.failed for one in self.journal.found.values() if one.failed]
        if not failed:
            return None
        said = f"{len(failed)} of {len(self.journal.found)} texts could not be had ({', '.join(sorted(set(failed)))})"
        place = self.journal.place
        return f"{said}; {place} keeps the others, and the same command asks these again" if place else said

    def clear(self) -> None:
        """Take the journal away once its texts stand in the predictions, unless some are still to be had."""
        if not self.lost:
            self.journal.remove()


def _lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a server may say otherwise tomorrow of the same student."""
    return {name: value for name, value in facts.items() if name not in ("version", "answers_as", "notes", "served")}


def _step_facts(step: "DecodeStep") -> dict[str, Any]:
    return {
        "name": step.name,
        "slot": step.slot,
        "opening": step.opening,
        "stop": list(step.stop),
        "runner": step.runner,
    }


def _asked_hash(asked: "list[Work]", plan: "Sequence[DecodeStep]") -> str:
    """Of all that is asked, in order: another question, order or prompt makes another evaluation."""
    digest = hashlib.sha256()
    for work in asked:
        first = plan[len(work.given)].prompt(work.question, work.given)
        digest.update(json.dumps([*work.key, first.user, first.forced]).encode())
    for number, step in enumerate(plan if asked else ()):  # later prompts, with words in place of what will be written
        later = step.prompt(asked[0].question, ["-"] * number)
        digest.update(json.dumps([later.user, later.forced]).encode())
    return digest.hexdigest()[:16]
