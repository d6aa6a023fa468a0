"""SCOTT, reduced: right chains, and wrong answers after wrong rationales, under marks of their own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from editctl.cut import PUBLISHED_OPTIONS, CutOptions, concluding, cut
from editctl.imitation import PUBLISHED, right_fault, whole
from editctl.keysteps import pair_fault
from editctl.options import option
from editctl.recipe import DecodeStep, Preset, Stage
from editctl.records import Alignment, Example, Prompt, Question, Skip
from editctl.student import question_prompt

FACTUAL = "[Factual] "
COUNTERFACTUAL = "[Counterfactual] "


@dataclass(frozen=True)
class ScottOptions(CutOptions):
    """Options of scott."""

    alpha: float = option(0.5, "share of the wrong answer in the loss (SCOTT: 0.5; the CasCoD authors' script: 0.1)")


class Scott:
    """SCOTT: right chains, and the wrong answers that wrong rationales lead to (ACL 2023, as CasCoD reduced it)."""

    title: ClassVar[str] = "imitate right chains, and learn the wrong answers that wrong rationales lead to"
    Options = ScottOptions
    presets: ClassVar[Mapping[str, Preset]] = {"paper": Preset(options=PUBLISHED_OPTIONS, settings=PUBLISHED)}

    def stages(self, options: ScottOptions) -> Sequence[Stage]:
        """One stage over both kinds of examples."""
        return options.stages()

    def examples(self, stage: str, alignment: Alignment, options: ScottOptions) -> Iterator[Example | Skip]:
        """Mark and P -> right chain (1 - alpha); the other mark, P and a wrong rationale -> wrong answer (alpha)."""
        question, right = alignment.dual.question, alignment.dual.right
        fault = right_fault(alignment, rectified=options.rectified)
        if right is None or fault:
            yield Skip(question_id=question.id, reason=fault or "no-right-chain")
            return
        yield whole(question, ask_factual(question, ()), right.text, share=1 - options.alpha)
        yield from _counterfactual(alignment, options)

    def plan(self, options: ScottOptions) -> Sequence[DecodeStep]:
        """Asked as right chains were."""
        return [DecodeStep(name="chain", prompt=ask_factual)]


def ask_factual(question: Question, earlier: Sequence[str]) -> Prompt:
    """The mark of right chains, and P."""
    return question_prompt(question, prefix=FACTUAL)


def _counterfactual(alignment: Alignment, options: ScottOptions) -> Iterator[Example]:
    """The wrong answer after its rationale, where a wrong chain parts from the right one and concludes."""
    question, wrong = alignment.dual.question, alignment.dual.wrong
    if wrong is None or pair_fault(alignment, max_key_ratio=1.0, min_similarity=0.0) is not None:
        return
    parts = cut(wrong.text, options.conclusion)
    if isinstance(parts, str):
        return
    forced = concluding(parts.rationale, options.conclusion)
    prompt = question_prompt(question, prefix=COUNTERFACTUAL, forced=forced)
    # The side tells whose loss is shown; nothing pushes this answer away, its weights are positive.
    yield whole(question, prompt, parts.answer, share=options.alpha, side="wrong")
