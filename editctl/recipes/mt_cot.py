"""MT-CoT: the whole chain and the answer alone as two tasks of one student."""

from typing import ClassVar

from editctl.cut import Cut
from editctl.multitask import Multitask


class MtCot(Multitask):
    """MT-CoT: the chain with its conclusion as one task, the answer alone as another (Li et al. 2022)."""

    title: ClassVar[str] = "learn the whole chain, and the answer alone, as two tasks"

    def explanation(self, right: Cut) -> str:
        """The right chain as it stands."""
        return right.text
