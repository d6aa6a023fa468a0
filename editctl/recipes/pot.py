"""PoT: write a program, whose result is the answer (program-of-thought distillation, PoTD)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from editctl.formatted import CuedOptions, cued_examples, cued_plan
from editctl.options import option
from editctl.recipe import DecodeStep, Preset, Stage
from editctl.records import Alignment, Example, Skip

CUE = "\nProgram:\n"
CARD_CUE = "\nProgram: Let's design executable python program (return ans) to solve the question."


@dataclass(frozen=True)
class PotOptions(CuedOptions):
    """Options of pot."""

    cue: str = option(CUE, "what stands after the question and asks for a program")


class Pot:
    """PoT: the question in, a Python program out; running it gives the answer (PoTD, in arXiv 2407.10167)."""

    title: ClassVar[str] = "learn to write a program that is run for the answer"
    Options = PotOptions
    presets: ClassVar[Mapping[str, Preset]] = {
        "card": Preset(options={"cue": CARD_CUE}, settings={"prompt_style": "plain", "max_length": 512})
    }

    def stages(self, options: PotOptions) -> Sequence[Stage]:
        """One stage over right programs."""
        return [options.stage(options.normaliser)]

    def examples(self, stage: str, alignment: Alignment, options: PotOptions) -> Iterator[Example | Skip]:
        """P and cue -> program."""
        return cued_examples(alignment, "pot", options)

    def plan(self, options: PotOptions) -> Sequence[DecodeStep]:
        """Asked with the prompt trained on; Python runs the text."""
        return cued_plan("pot", options)
