"""What recipes that imitate chains share: their options, one example of a whole text, the published settings. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Literal

from editctl.formats import FormatFault, format_of, sections_of
from editctl.options import option
from editctl.recipe import Stage
from editctl.records import Alignment, Chain, Example, Prompt, Question
from editctl.student import question_prompt

Normaliser = Literal["target", "tokens", "weighted", "sum"]
IMITATE = "imitate"

PUBLISHED: Mapping[str, Any] = MappingProxyType(
    {
        "batch_questions": 256,
        "max_length": 1024,
        "weight_decay": 0.0,
        "max_grad_norm": 0.0,
        "schedule": "epochs",
        "warmup_steps": 0,
        "lora_r": 64,
        "lora_alpha": 32,
        "lora_dropout": 0.05,
        "prompt_style": "plain",
        "gap": False,
    }
)
"""Settings of `train` that the EDIT and CasCoD authors share (EDIT, ACL 2025, appendix); docs/recipes.md says where
their scripts differ from their tables."""


@dataclass(frozen=True)
class ImitationOptions:
    """Options that every one-stage recipe has."""

    epochs: float = option(5.0, "passes over the questions (EDIT, CasCoD: 15)")
    learning_rate: float = option(2e-4, "peak learning rate for LoRA")
    decay: float = option(0.95, "factor on the learning rate after each epoch")
    rectified: bool = option(True, "whether questions with a rectified right chain are trained on too")

    def __post_init__(self) -> None:
        check_schedule(self.epochs, self.learning_rate, self.decay)

    def stage(self, normaliser: Normaliser) -> Stage:
        """The one stage."""
        return Stage(
            name=IMITATE,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            decay=self.decay,
            normaliser=normaliser,
        )


def check_schedule(epochs: float, learning_rate: float, decay: float) -> None:
    """Raises ValueError for what no training can follow."""
    if not (0 <= epochs < inf and 0 < learning_rate < inf):
        raise ValueError("epochs must not be negative, learning-rate must be above 0")
    if not 0 < decay <= 1:
        raise ValueError("decay must be above 0 and at most 1")


def check_alpha(alpha: float) -> None:
    """Raises ValueError for a share outside [0, 1]."""
    if not 0 <= alpha <= 1:
        raise ValueError("alpha is a share of the loss: it lies between 0 and 1")


def check_conclusion(opening: str) -> None:
    """Raises ValueError for an opening of conclusion sentences that could not be found again."""
    if not opening or opening != opening.strip():
        raise ValueError("conclusion must not be blank, nor begin or end with white space")


def right_fault(alignment: Alignment, *, rectified: bool) -> str | None:
    """Why a question has no right chain to imitate as a text that concludes, or None where it has."""
    right = alignment.dual.right
    if right is None:
        return "no-right-chain"
    if right.origin == "rectified" and not rectified:
        return "rectified"
    return "is-program" if is_program(right) else None


def is_program(chain: Chain) -> bool:
    """Whether a chain is a program or equations: its answer is a result, and no conclusion is there to be read."""
    names = set(chain.sections or ())
    if "solution" not in names:
        return bool(names & {"program", "equations"})
    try:
        return bool(sections_of(chain, format_of("kpdd-pot")))
    except FormatFault:
        return False


def whole(
    question: Question,
    prompt: Prompt,
    target: str,
    share: float = 1.0,
    side: Literal["right", "wrong"] = "right",
) -> Example:
    """An example in which every token of the target and its end count the same."""
    return Example(
        question_id=question.id,
        prompt=prompt,
        target=target,
        spans=((0, len(target), 1.0),),
        end_weight=1.0,
        share=share,
        side=side,
    )


def ask(question: Question, earlier: Sequence[str]) -> Prompt:
    """The decode step of recipes that are asked with P alone."""
    return question_prompt(question)
