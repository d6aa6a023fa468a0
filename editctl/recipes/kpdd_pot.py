"""KPDD-PoT: key points first, then a program, each by a student of its own (arXiv 2407.10167)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from editctl import key_points
from editctl.formats import format_of
from editctl.key_points import KeyPointOptions
from editctl.recipe import DecodeStep, Stage
from editctl.records import Alignment, Example, Skip


@dataclass(frozen=True)
class KpddPotOptions(KeyPointOptions):
    """Options of kpdd-pot."""


class KpddPot:
    """KPDD-PoT: key points first, then a program, each by a student of its own (arXiv 2407.10167)."""

    title: ClassVar[str] = "learn the core question, the information and a program one after the other"
    Options = KpddPotOptions

    def stages(self, options: KpddPotOptions) -> Sequence[Stage]:
        """A stage for each student."""
        return key_points.stages(options)

    def examples(self, stage: str, alignment: Alignment, options: KpddPotOptions) -> Iterator[Example | Skip]:
        """P, key points so far and a label -> what stands after it."""
        return key_points.examples(stage, alignment, format_of("kpdd-pot"), options)

    def plan(self, options: KpddPotOptions) -> Sequence[DecodeStep]:
        """Key points, then the solution; the last text is run."""
        return key_points.plan(format_of("kpdd-pot"), options)
