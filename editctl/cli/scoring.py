"""What `editctl score` does: files in, judged predictions, their figures."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.answers.conclusion import CANONICAL
from editctl.cli.asked import open_questions, write_splits
from editctl.cli.session import Session, load_task, names_or_stdin
from editctl.errors import UsageError, near_misses

if TYPE_CHECKING:
    from editctl.evaluate.figures.tally import Tally
    from editctl.evaluate.foreign.reader import PredictionReader
    from editctl.evaluate.selftest.check import SelfTest
    from editctl.files import InputFile
    from editctl.progress import Talk
    from editctl.records import Prediction, Question

SCORERS = ("editctl", "official")
_NOT_WITH_SELF_TEST = ("run", "baseline", "output", "export_lm_eval", "fail_under")


def check_options(values: dict[str, Any]) -> None:
    """Raises UsageError for options that don't go together."""
    if values["scorer"] not in SCORERS:
        raise UsageError(f"unknown scorer {values['scorer']!r}; {near_misses(values['scorer'], SCORERS)}")
    if values["output"] == "-":
        raise UsageError("-o: stdout holds the figures; name a file for the predictions")
    for side in ([values["predictions"], *(values["run"] or ())], values["baseline"] or []):
        named = [name for name in side if name]
        places = [Path(name).resolve() for name in named]
        for name, place in zip(named, places, strict=True):
            if places.count(place) > 1:
                raise UsageError(f"{name}: stands twice on one side; each run is to be named once")


class Scoring:
    """One call of `editctl score`."""

    def __init__(self, session: Session, talk: "Talk", values: dict[str, Any]) -> None:
        from editctl.answers.kinds import KindOverrides

        self.session = session
        self.talk = talk
        self.values = values
        self.kinds = KindOverrides(values["kind"] or ())
        self.gold = self._gold()
        self._kept: list[list[Prediction]] = []

    def _gold(self) -> "dict[str, Question] | None":
        from editctl.evaluate.foreign.reader import question_mapping

        if not self.values["questions"]:
            return None
        mapping = question_mapping(self.values["map"] or ())
        found, shelf = open_questions(self.session, {**self.values, "map": mapping, "limit": None})
        gold = {question.id: question for question in self.kinds.over(found)}
        write_splits(self.talk, shelf, None)
        return gold

    def figures(self) -> dict[str, Any]:
        """Everything that is asked for."""
        from editctl.evaluate.figures.compare import compare_tallies, warnings_of
        from editctl.evaluate.figures.score import score_tallies

        sources = [self.session.open_input(name) for name in [self.values["predictions"], *(self.values["run"] or ())]]
        others = [self.session.open_input(name) for name in self.values["baseline"] or ()]
        target = self.session.open_output(self.values["output"]) if self.values["output"] else None
        again = self.values["scorer"] == "official" or bool(self.values["export_lm_eval"])
        runs = [self._tally(one, None if number else target, keep=again) for number, one in enumerate(sources)]
        baselines = [self._tally(source) for source in others]
        if self.gold is None:
            self.kinds.check()
        figures = score_tallies(runs)
        if self.values["scorer"] == "official":
            from editctl.evaluate.figures.official import official_scores

            figures["official"] = official_scores(prediction for one in self._kept for prediction in one)
        if baselines:
            figures["comparison"] = compare_tallies(runs, baselines)
            for warning in warnings_of(figures["comparison"]):
                self.talk.warn(warning)
        if self.values["export_lm_eval"]:
            self._export(self._kept[0], figures, _made_by(sources[0]))
        return figures

    def _tally(self, source: "InputFile", target: Any = None, *, keep: bool = False) -> "Tally":
        """One run's judged predictions, brought together; written to `target`, kept where they are needed again."""
        from editctl.evaluate.figures.tally import gather
        from editctl.evaluate.foreign.reader import PredictionReader

        conclusion = self._conclusion(source)
        reader = PredictionReader(self.values["map"] or (), self.gold, conclusion)
        found: Iterable[Prediction] = self._judged(source, reader, conclusion)
        models: dict[str, set[str]] = {}
        found = _models_noted(found, models)
        if target is not None:
            found = _written(found, target)
        if keep:
            self._kept.append(list(found))
            found = self._kept[-1]
        tally = gather(found, source.name)
        several = max(models.values(), key=len, default=set())
        if len(several) > 1:
            shown = ", ".join(sorted(several)[:4])
            self.talk.warn(
                f"{source.name}: rows of one question name {len(several)} models ({shown}); they are taken as samples "
                "of one; split the file to score each"
            )
        left = len(reader.unanswered())
        if left and self.values["limit"] is None:
            self.talk.warn(f"{source.name}: {left} of the {len(self.gold or ())} questions given have no prediction")
        return tally

    def _conclusion(self, source: "InputFile") -> str:
        """Opening of conclusion sentences: as told, or as the evaluation that made the file read them."""
        return str(self.values["conclusion"] or _made_by(source).get("conclusion") or CANONICAL)

    def _judged(self, source: "InputFile", reader: "PredictionReader", conclusion: str) -> "Iterator[Prediction]":
        from dataclasses import replace
        from itertools import islice

        from editctl.evaluate.judging import judged_again

        found: Iterator[Prediction] = islice(reader.read(_rows(source), source.name), self.values["limit"])
        if self.gold is None:
            found = (replace(one, question=self.kinds.apply(one.question)) for one in found)
        return judged_again(found, self.gold, conclusion, source.name)

    def _export(self, predictions: "list[Prediction]", figures: dict[str, Any], made_by: dict[str, Any]) -> None:
        from editctl.evaluate.foreign.harness_export import EPOCH, export_lm_eval

        student = (made_by.get("options") or {}).get("student")
        name = Path(student).name if student else Path(self.values["predictions"] or "-").name.partition(".")[0]
        paths = export_lm_eval(
            predictions,
            self.values["export_lm_eval"],
            model=name if name not in ("", "-") else "stdin",
            figures=figures,
            date=datetime.fromisoformat(made_by["started"]) if "started" in made_by else EPOCH,
        )
        self.talk.say(f"wrote {len(paths)} files to {paths[-1].parent}")


def _models_noted(predictions: "Iterable[Prediction]", models: dict[str, set[str]]) -> "Iterator[Prediction]":
    """Note which models a foreign file names for each question."""
    for prediction in predictions:
        name = prediction.question.extra.get("model")
        if isinstance(name, str):
            models.setdefault(prediction.question.id, set()).add(name)
        yield prediction


def _written(predictions: "Iterable[Prediction]", target: Any) -> "Iterator[Prediction]":
    from editctl.jsonl import write_row
    from editctl.rows import prediction_to_row

    for prediction in predictions:
        write_row(target, prediction_to_row(prediction))
        yield prediction


def _made_by(source: "InputFile") -> dict[str, Any]:
    """The manifest of the run that made a file; empty where it is not known, as of what comes through a pipe."""
    from editctl.files import sha256_of
    from editctl.manifest import find

    place = Path(source.path)
    return (find(sha256_of(place), source.path) if place.is_file() else None) or {}


def _rows(source: "InputFile") -> Any:
    """Rows of a file of predictions: by the format its name tells, else as JSON lines."""
    from editctl.jsonl import read_rows
    from editctl.tables import format_of, read_table

    try:
        format_of(source.path)
    except UsageError:
        return read_rows(source)
    return read_table(source)


def self_test(session: Session, values: dict[str, Any]) -> "SelfTest":
    """Test the answer reader on question files: all positional arguments are questions."""
    from editctl.answers.kinds import KindOverrides
    from editctl.evaluate.selftest import check as selftest
    from editctl.questions import QuestionReader
    from editctl.sets.shelf import Shelf
    from editctl.sources import read_questions

    for name in _NOT_WITH_SELF_TEST:
        if values[name]:
            raise UsageError(f"--self-test takes question files alone; leave out --{name.replace('_', '-')}")
    named = [name for name in [values["predictions"], *(values["questions"] or ())] if name]
    reader = QuestionReader(values["map"] or (), need_answer=False)
    shelf = Shelf(values["data_dir"])
    found = read_questions(names_or_stdin(named), reader, session.open_input, load_task, values["limit"], shelf)
    return selftest.self_test(KindOverrides(values["kind"] or ()).over(found), values["conclusion"] or CANONICAL)
