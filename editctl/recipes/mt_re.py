"""MT-Re: the rationale and the answer as two tasks of one student."""

from typing import ClassVar

from editctl.cut import Cut
from editctl.multitask import Multitask


class MtRe(Multitask):
    """MT-Re, distilling step-by-step: rationale and answer, each from the question (Li 2022, Hsieh 2023)."""

    title: ClassVar[str] = "learn the rationale and the answer as two tasks"
    explanation_cue: ClassVar[str] = "\nRationale:"
    answer_cue: ClassVar[str] = "\nAnswer:"
    concludes: ClassVar[bool] = False

    def explanation(self, right: Cut) -> str:
        """The chain before its conclusion."""
        return right.rationale
