"""CasCoD: a rationale first, then the answer to question and rationale (EMNLP 2024, arXiv 2405.19842)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from editctl.cut import PUBLISHED_OPTIONS, CutOptions, concluding, cut, right_cut
from editctl.imitation import PUBLISHED, whole
from editctl.recipe import DecodeStep, Preset, Stage
from editctl.records import Alignment, Chain, Example, Prompt, Question, Skip
from editctl.student import question_prompt

CUE = "Rationale:"


@dataclass(frozen=True)
class CascodOptions(CutOptions):
    """Options of cascod."""


class Cascod:
    """CasCoD: the rationale from the question, then the answer from both, in two steps (EMNLP 2024)."""

    title: ClassVar[str] = "learn the rationale and, after it, the answer as two steps of one student"
    Options = CascodOptions
    presets: ClassVar[Mapping[str, Preset]] = {"paper": Preset(options=PUBLISHED_OPTIONS, settings=PUBLISHED)}

    def stages(self, options: CascodOptions) -> Sequence[Stage]:
        """One stage over both steps."""
        return options.stages()

    def examples(self, stage: str, alignment: Alignment, options: CascodOptions) -> Iterator[Example | Skip]:
        """P and cue -> rationale (1 - alpha); P, cue, rationale and opening -> answer (alpha)."""
        question = alignment.dual.question
        parts = right_cut(alignment, rectified=options.rectified, opening=options.conclusion)
        if isinstance(parts, Skip):
            yield parts
            return
        second = ask_answer(question, (parts.rationale,), opening=options.conclusion)
        yield whole(question, ask_rationale(question, ()), parts.rationale, share=1 - options.alpha)
        yield whole(question, second, parts.answer, share=options.alpha)

    def plan(self, options: CascodOptions) -> Sequence[DecodeStep]:
        """The rationale, then the answer after it; what is read is the opening and the second text."""
        taught = partial(taught_rationale, opening=options.conclusion)
        return [
            DecodeStep(name="rationale", prompt=ask_rationale, taught=taught),
            DecodeStep(
                name="answer", prompt=partial(ask_answer, opening=options.conclusion), opening=options.conclusion
            ),
        ]


def ask_rationale(question: Question, earlier: Sequence[str]) -> Prompt:
    """P and the cue."""
    return question_prompt(question, cue=CUE)


def taught_rationale(question: Question, chain: Chain, *, opening: str) -> str | None:
    """The teacher's chain before its conclusion; None where it has none."""
    parts = cut(chain.text, opening)
    return None if isinstance(parts, str) else parts.rationale


def ask_answer(question: Question, earlier: Sequence[str], *, opening: str) -> Prompt:
    """P and the cue, then as the student's own text the rationale, a new line and the opening."""
    return question_prompt(question, cue=CUE, forced=concluding(earlier[0], opening))
