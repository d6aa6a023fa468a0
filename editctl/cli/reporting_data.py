"""The pairs, dual chains and rejects of a report: every file read once, row by row."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from editctl.cli.reporting_inputs import Inputs
    from editctl.progress import Talk
    from editctl.records import Alignment, DualChain
    from editctl.report.facts.distributions import Distributions
    from editctl.report.facts.funnel import Counted
    from editctl.report.facts.pairs import Sample
    from editctl.report.facts.sources import Source
    from editctl.report.page.model import Funnel

ON_THE_FLY = "aligned for this report"


@dataclass(slots=True)
class Data:
    """What files of pairs and rejects hold, read once."""

    inputs: "Inputs"
    sample: "Sample"
    distributions: "Distributions"
    counted: "dict[str, Counted]" = field(default_factory=dict)
    aligned_here: list[str] = field(default_factory=list)
    """Files of dual chains whose pairs were aligned for the report."""

    @classmethod
    def read(cls, talk: "Talk", values: dict[str, Any], inputs: "Inputs") -> "Data":
        """Read all files. Raises InputError with file, line and field."""
        from editctl.report.facts.distributions import Distributions
        from editctl.report.facts.pairs import Sample

        data = cls(inputs, Sample(values["pairs"]), Distributions())
        covered = inputs.covered
        for source in inputs.of_kind("alignments", "dual chains", "rejects"):
            if source.kind == "rejects":
                data._rejects(source)
            elif source.kind == "dual chains" and source.sha256 in covered:
                data._count(source)
            else:
                data._pairs(talk, source)
        return data

    def _pairs(self, talk: "Talk", source: "Source") -> None:
        from editctl.align.stage import outcome_of
        from editctl.report.facts.funnel import Counted
        from editctl.report.facts.pairs import add_alignment

        how = ON_THE_FLY if source.kind == "dual chains" else ""
        counted = self.counted.setdefault(source.sha256, Counted())
        for alignment in talk.track(_alignments(source), source.name):
            outcome = outcome_of(alignment)
            counted.add(alignment, outcome)
            self.distributions.add(source.name, alignment)
            add_alignment(self.sample, source.name, alignment, outcome, how)
        if how:
            self.aligned_here.append(source.name)

    def _count(self, source: "Source") -> None:
        """Dual chains whose alignments are shown."""
        from editctl.report.facts.funnel import Counted

        counted = self.counted.setdefault(source.sha256, Counted())
        for alignment in _alignments(source) if source.manifest is None else ():
            counted.add(alignment, "")

    def _rejects(self, source: "Source") -> None:
        from editctl.report.facts.funnel import Counted
        from editctl.report.facts.pairs import add_reject
        from editctl.rows import reject_from_row

        counted = self.counted.setdefault(source.sha256, Counted())
        for _, reject in source.records(reject_from_row):
            counted.add_reject(reject)
            add_reject(self.sample, source.name, reject)

    def notes(self) -> "Iterator[str]":
        """What to say of the pairs as a whole."""
        for name in self.aligned_here:
            yield f"{name} holds dual chains without an alignment; they were aligned in words for this report"
        said = self.sample.note("--pairs")
        if said:
            yield said

    def funnels(self) -> "Iterator[Funnel]":
        """One for each run, and for each file that no run and no alignment shown comes from."""
        from editctl.report.facts import funnel

        known = funnel.Known(self.counted, dict(self._rejects_beside()))
        for run in self.inputs.runs:
            found = funnel.of_run(run, known)
            if found is not None:
                yield found
        covered = self.inputs.covered
        for source in self.inputs.of_kind("alignments", "dual chains"):
            if source.sha256 not in covered:
                ended = funnel.of_alignments if source.kind == "alignments" else funnel.of_duals
                found = ended(source, known)
                if found is not None:
                    yield found

    def _rejects_beside(self) -> "Iterator[tuple[str, Counted]]":
        """Counts of rejects by the hash of the dual chains they lie beside."""
        from editctl.manifest import beside

        rejects = {os.path.realpath(source.path): source for source in self.inputs.of_kind("rejects")}
        for source in self.inputs.of_kind("dual chains"):
            other = rejects.get(os.path.realpath(beside(Path(source.path), "rejects", ".jsonl")))
            if other is not None:
                yield source.sha256, self.counted[other.sha256]


def _alignments(source: "Source") -> "Iterator[Alignment]":
    """The alignments of a file; dual chains are aligned in words, as `align` does it."""
    from editctl.align.pairs import PairReader
    from editctl.records import Alignment
    from editctl.rows import alignment_from_row

    if source.kind == "alignments":
        yield from (alignment for _, alignment in source.records(alignment_from_row))
        return
    # A reader remembers every id to refuse a second one, which is too much for a large file: so one for each row.
    for _, dual in source.records(lambda row: PairReader().convert(row)):
        yield Alignment(dual=dual, edits=_edits(dual))


def _edits(dual: "DualChain") -> Any:
    from editctl.align.edits import align_texts
    from editctl.align.units import words

    if dual.right is None or dual.wrong is None:
        return None
    return align_texts(dual.right.text, dual.wrong.text, words, "word", None)
