"""Chains cut at their conclusion, for recipes that teach a rationale and an answer as texts of their own. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from editctl.answers.conclusion import CANONICAL, split_conclusion
from editctl.imitation import ImitationOptions, Normaliser, check_alpha, check_conclusion, right_fault
from editctl.options import option
from editctl.recipe import Stage
from editctl.records import Alignment, Skip

PUBLISHED_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "epochs": 15.0,
        "learning_rate": 2e-4,
        "decay": 0.95,
        "rectified": False,
        "alpha": 0.1,
        "conclusion": CANONICAL,
        "normaliser": "target",
    }
)
"""What the CasCoD authors' script gives each of these recipes; docs/recipes.md says where papers have other values."""


@dataclass(frozen=True)
class CutOptions(ImitationOptions):
    """Options of recipes that cut chains at their conclusion."""

    alpha: float = option(0.1, "share of the answer in the loss; the rationale has the rest")
    conclusion: str = option(CANONICAL, "opening of the conclusion sentence, at which chains are cut")
    normaliser: Normaliser = option("target", "what the loss is divided by")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_alpha(self.alpha)
        check_conclusion(self.conclusion)

    def stages(self) -> Sequence[Stage]:
        """The one stage."""
        return [self.stage(self.normaliser)]


@dataclass(frozen=True, slots=True)
class Cut:
    """A chain in two parts."""

    text: str
    """The chain as it stands."""
    rationale: str
    """What stands before the conclusion, without white space around it."""
    answer: str
    """The answer in it as in ` (D).`: a space before, a full stop behind."""


def cut(text: str, opening: str) -> Cut | str:
    """A chain cut at its first conclusion, whatever its form; where it can't be, the reason."""
    parts = split_conclusion(text, opening)
    if parts is None:
        return "no-conclusion"
    rationale, answer = parts
    if not rationale.strip():
        return "no-rationale"
    return Cut(text, bare(rationale), answer) if answer.strip(" .") else "no-answer"


def right_cut(alignment: Alignment, *, rectified: bool, opening: str) -> Cut | Skip:
    """The right chain in two parts, or why its question is of no use."""
    right = alignment.dual.right
    fault = right_fault(alignment, rectified=rectified)
    found = cut(right.text, opening) if right and not fault else fault or "no-right-chain"
    return Skip(question_id=alignment.dual.question.id, reason=found) if isinstance(found, str) else found


def bare(rationale: str) -> str:
    """A rationale as it is shown again: a student begins with the gap that joins prompt and target, a chain may end in
    white space, and neither is to be forced."""
    return rationale.strip()


def concluding(rationale: str, opening: str) -> str:
    """A rationale up to where its answer begins: a new line and the opening of the conclusion."""
    return f"{bare(rationale)}\n{opening}"
