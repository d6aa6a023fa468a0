"""Two tasks of one student, an explanation and the answer, told apart by cues (Li et al. 2022; Hsieh et al. 2023).

The strings are those of the CasCoD authors' code (EMNLP 2024), which calls the three forms MT-Re, MT-Ra and MT-CoT.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from editctl.cut import PUBLISHED_OPTIONS, Cut, CutOptions, right_cut
from editctl.imitation import PUBLISHED, whole
from editctl.options import option
from editctl.recipe import DecodeStep, Preset, Stage
from editctl.records import Alignment, Example, Prompt, Question, Skip
from editctl.student import question_prompt

EXPLANATION_CUE = "\n[Explanation Generation]:"
ANSWER_CUE = "\n[Answer Prediction]:"


@dataclass(frozen=True)
class MultitaskOptions(CutOptions):
    """Options of mt-re, mt-ra and mt-cot."""

    ask: Literal["answer", "explanation"] = option("answer", "which task is asked; published: answer, no rationale")


class Multitask(ABC):
    """What mt-re, mt-ra and mt-cot share: all but the explanation."""

    Options = MultitaskOptions
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset(options={**PUBLISHED_OPTIONS, "ask": "answer"}, settings=PUBLISHED)
    }
    explanation_cue: ClassVar[str] = EXPLANATION_CUE
    answer_cue: ClassVar[str] = ANSWER_CUE
    concludes: ClassVar[bool] = True
    """Whether the explanation gives the answer; where it does not, the answer is asked for after it."""

    @abstractmethod
    def explanation(self, right: Cut) -> str:
        """What the student learns to write after the explanation's cue."""

    def stages(self, options: MultitaskOptions) -> Sequence[Stage]:
        """One stage over both tasks."""
        return options.stages()

    def examples(self, stage: str, alignment: Alignment, options: MultitaskOptions) -> Iterator[Example | Skip]:
        """P and cue -> explanation (1 - alpha); P and the other cue -> answer (alpha)."""
        question = alignment.dual.question
        right = right_cut(alignment, rectified=options.rectified, opening=options.conclusion)
        if isinstance(right, Skip):
            yield right
            return
        explained = ask_by(question, (), cue=self.explanation_cue)
        answered = ask_by(question, (), cue=self.answer_cue)
        yield whole(question, explained, self.explanation(right), share=1 - options.alpha)
        yield whole(question, answered, right.answer, share=options.alpha)

    def plan(self, options: MultitaskOptions) -> Sequence[DecodeStep]:
        """The answer, read after the conclusion's opening; or the explanation, and the answer after it where the
        explanation does not give it."""
        explained = DecodeStep(name="explanation", prompt=partial(ask_by, cue=self.explanation_cue))
        answered = DecodeStep(name="answer", prompt=partial(ask_by, cue=self.answer_cue), opening=options.conclusion)
        if options.ask == "answer":
            return [answered]
        return [explained] if self.concludes else [explained, answered]


def ask_by(question: Question, earlier: Sequence[str], *, cue: str) -> Prompt:
    """P and a cue."""
    return question_prompt(question, cue=cue)
