"""MT-Ra: the answer with a rationale after it, and the answer alone, as two tasks of one student."""

from typing import ClassVar

from editctl.cut import Cut
from editctl.multitask import Multitask


class MtRa(Multitask):
    """MT-Ra: the answer and then its explanation as one task, the answer alone as another (Li et al. 2022)."""

    title: ClassVar[str] = "learn the answer with an explanation after it, and the answer alone, as two tasks"

    def explanation(self, right: Cut) -> str:
        """The answer in a sentence, and the chain before its conclusion."""
        return f"The answer is{right.answer} Explanation: {right.rationale}"
