"""KPDD-CoT: key points first, then a solution in words, each by a student of its own (arXiv 2407.10167)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from editctl import key_points
from editctl.formats import format_of
from editctl.key_points import KeyPointOptions
from editctl.recipe import DecodeStep, Stage
from editctl.records import Alignment, Example, Skip


@dataclass(frozen=True)
class KpddCotOptions(KeyPointOptions):
    """Options of kpdd-cot."""


class KpddCot:
    """KPDD-CoT: key points first, then a solution in words, each by a student of its own (arXiv 2407.10167)."""

    title: ClassVar[str] = "learn the core question, the information and the solution in words one after the other"
    Options = KpddCotOptions

    def stages(self, options: KpddCotOptions) -> Sequence[Stage]:
        """A stage for each student."""
        return key_points.stages(options)

    def examples(self, stage: str, alignment: Alignment, options: KpddCotOptions) -> Iterator[Example | Skip]:
        """P, key points so far and a label -> what stands after it."""
        return key_points.examples(stage, alignment, format_of("kpdd-cot"), options)

    def plan(self, options: KpddCotOptions) -> Sequence[DecodeStep]:
        """Key points, then the solution; the answer is read from the solution."""
        return key_points.plan(format_of("kpdd-cot"), options)
