"""EoT: write equations, whose solution is the answer (equation-of-thought distillation, arXiv 2401.11864)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from editctl.formatted import CuedOptions, cued_examples, cued_plan
from editctl.options import option
from editctl.recipe import DecodeStep, Preset, Stage
from editctl.records import Alignment, Example, Skip

CUE = "\nEquations:\n"
CARD_CUE = "\nSystem of linear equations: (Do not simplify)"


@dataclass(frozen=True)
class EotOptions(CuedOptions):
    """Options of eot."""

    cue: str = option(CUE, "what stands after the question and asks for equations")


class Eot:
    """EoT: the question in, equations out; solving them for `ans` gives the answer (EoTD, arXiv 2401.11864)."""

    title: ClassVar[str] = "learn to write equations that are solved for the answer"
    Options = EotOptions
    presets: ClassVar[Mapping[str, Preset]] = {
        "card": Preset(options={"cue": CARD_CUE}, settings={"prompt_style": "plain", "max_length": 512})
    }

    def stages(self, options: EotOptions) -> Sequence[Stage]:
        """One stage over right equations."""
        return [options.stage(options.normaliser)]

    def examples(self, stage: str, alignment: Alignment, options: EotOptions) -> Iterator[Example | Skip]:
        """P and cue -> equations."""
        return cued_examples(alignment, "eot", options)

    def plan(self, options: EotOptions) -> Sequence[DecodeStep]:
        """Asked with the prompt trained on; the solver runs the text."""
        return cued_plan("eot", options)
