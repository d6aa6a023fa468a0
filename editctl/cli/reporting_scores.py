"""Scores, comparisons and answers of a report: predictions in, by the same functions as `editctl score`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.errors import InputError, UsageError, near_misses

if TYPE_CHECKING:
    from editctl.cli.reporting_inputs import Inputs
    from editctl.evaluate.figures.tally import Tally
    from editctl.manifest import Manifest
    from editctl.progress import Talk
    from editctl.report.facts.outcomes import Method
    from editctl.report.facts.sources import Run, Source
    from editctl.report.page.model import Comparison, Outcome, ScoreRow


@dataclass(slots=True)
class Scores:
    """All files of predictions, judged and brought together."""

    methods: "list[Method]" = field(default_factory=list)
    tallies: "list[Tally]" = field(default_factory=list)
    runs: "list[Run | None]" = field(default_factory=list)
    """The run behind each, where it is shown too."""
    names: list[str] = field(default_factory=list)
    """Of what is scored and compared: each file by itself, or with `--pool` the runs of a method together."""
    pooled: list[list[int]] = field(default_factory=list)
    """The numbers of the files of each."""
    baseline: int | None = None
    comparisons: "list[Comparison]" = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, talk: "Talk", values: dict[str, Any], inputs: "Inputs") -> "Scores":
        """Read all predictions.

        Raises:
            InputError: with file, line and field.
            UsageError: a baseline that is none of the methods.
        """
        from editctl.report.facts.names import method_names
        from editctl.report.facts.outcomes import Method

        sources = inputs.of_kind("predictions")
        names, runs = method_names(sources, inputs.runs)
        methods = [Method(name, source) for name, source in zip(names, sources, strict=True)]
        found = cls(methods, [_tally(talk, method) for method in methods], runs)
        found.pool(values["pool"])
        found.baseline = found.numbered(values["baseline"])
        found.compare()
        return found

    def pool(self, wanted: bool) -> None:
        """Settle what is scored: each file, or the runs of one method together."""
        from editctl.report.facts.pooling import pooled_names, pools

        names = [method.name for method in self.methods]
        asked = [[(name, one.question.question) for name, one in tally.own.items()] for tally in self.tallies]
        each = [[number] for number in range(len(names))]
        sources = [method.source for method in self.methods]
        self.pooled = pools(sources, self.runs, asked) if wanted else each
        self.names = pooled_names(self.pooled, names, self.runs)
        for name, members in zip(self.names, self.pooled, strict=True):
            if len(members) > 1:
                self.notes.append(f"{name} pools {', '.join(names[number] for number in members)}")
        if wanted and self.pooled == each and each:
            self.notes.append("--pool: no two predictions are of runs (given too) that differ in nothing but the seed")

    def students(self) -> "dict[str, Manifest]":
        """The manifest of the training behind each file of predictions, by its hash."""
        pairs = zip(self.methods, self.runs, strict=True)
        return {method.source.sha256: run.lineage for method, run in pairs if run is not None and run.lineage}

    def rows(self) -> "tuple[ScoreRow, ...]":
        """Scores of every method, in the order of the files."""
        from editctl.evaluate.figures.score import score_tallies
        from editctl.report.facts.scores import score_rows

        found = [(name, score_tallies(self._tallies(number))) for number, name in enumerate(self.names)]
        return tuple(row for name, figures in found for row in score_rows(name, figures))

    def _tallies(self, number: int) -> "list[Tally]":
        return [self.tallies[member] for member in self.pooled[number]]

    def numbered(self, name: str | None) -> int | None:
        """Number of the method that a name, a run folder or a file means. Raises UsageError for none of them."""
        if name is None:
            return None
        place = Path(name).resolve()
        for number, members in enumerate(self.pooled):
            own = [self.methods[member] for member in members]
            runs = [run for member in members if (run := self.runs[member])]
            places = [*(Path(one.source.path) for one in own), *(run.folder for run in runs)]
            if name in (self.names[number], *(one.name for one in own)) or place in map(Path.resolve, places):
                return number
        if not self.methods:
            raise UsageError(f"--baseline {name}: there are no predictions to compare; name files that `eval` wrote")
        raise UsageError(f"--baseline {name!r}: no such method; {near_misses(name, self.names)}")

    def compare(self) -> None:
        """Compare methods with each other, or with the baseline; note what can't be compared, or only in part."""
        from editctl.evaluate.figures.compare import compare_tallies, warnings_of
        from editctl.report.facts.scores import compared, comparison

        for number, baseline in compared(len(self.names), self.baseline):
            ours, theirs = self._tallies(number), self._tallies(baseline)
            name, other = self.names[number], self.names[baseline]
            if not ours[0].own.keys() & theirs[0].own.keys():
                self.notes.append(f"{name} and {other} are not compared: their predictions share no question")
                continue
            try:
                figures = compare_tallies(ours, theirs)
            except InputError as error:
                self.notes.append(f"{name} and {other} are not compared: {str(error).partition(';')[0]}")
                continue
            self.comparisons.append(comparison(name, other, figures))
            self.notes += [f"{name} and {other}: {said}" for said in warnings_of(figures)]

    def outcomes(self, count: int) -> "tuple[tuple[Outcome, ...], int]":
        """Questions with what each method said, and how many there are."""
        from editctl.report.facts.outcomes import note, outcomes

        found, total = outcomes(self.methods, count)
        said = note(len(found), total, "--questions")
        self.notes += [said] if said else []
        return found, total


def _tally(talk: "Talk", method: "Method") -> "Tally":
    """One file's predictions, judged as `score` judges them."""
    from editctl.answers.conclusion import CANONICAL
    from editctl.evaluate.figures.tally import gather
    from editctl.evaluate.foreign.reader import PredictionReader
    from editctl.evaluate.judging import judged_again

    source: Source = method.source
    conclusion = str((source.manifest or {}).get("conclusion") or CANONICAL)
    rows = talk.track(source.rows(), source.name)
    found = PredictionReader((), None, conclusion).read(rows, source.name)
    tally = gather(judged_again(found, None, conclusion, source.name), source.name)
    for asked in tally.own.values():
        method.add(asked.question, asked.results, asked.share())
    return tally
