"""KPDD: the core question, the problem-solving information, then the solution, each by a student of its own.

What kpdd-cot and kpdd-pot share (arXiv 2407.10167: three stages in its first version, two in its fourth). Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

from editctl.formats import Format, labelled
from editctl.formatted import FormatOptions, right_sections, told_sections
from editctl.imitation import whole
from editctl.options import option
from editctl.recipe import DecodeStep, Stage
from editctl.records import Alignment, Chain, Example, Prompt, Question, Skip
from editctl.student import question_prompt


class Part(NamedTuple):
    """What one student writes."""

    name: str
    """Of its stage, its slot and its decode step."""
    sections: tuple[str, ...]


PARTS: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "3": (Part("core", ("core",)), Part("info", ("information",)), Part("solve", ("solution",))),
        "2": (Part("key", ("core", "information")), Part("solve", ("solution",))),
    }
)
"""By the option `stages`."""


@dataclass(frozen=True)
class KeyPointOptions(FormatOptions):
    """Options of kpdd-cot and kpdd-pot."""

    stages: Literal["3", "2"] = option("3", "texts one after the other; with 2 both key points are one text")
    shared: bool = option(False, "one student for all texts in place of one for each")


def stages(options: KeyPointOptions) -> Sequence[Stage]:
    """A stage for each student, all with the same figures; one stage of one student where it is shared."""
    stage = options.stage(options.normaliser)
    if options.shared:
        return [stage]
    return [replace(stage, name=part.name, slot=part.name) for part in PARTS[options.stages]]


def examples(stage: str, alignment: Alignment, form: Format, options: KeyPointOptions) -> Iterator[Example | Skip]:
    """P, the texts before and a label -> the text after that label; of all parts where one student is shared."""
    question, parts = alignment.dual.question, PARTS[options.stages]
    sections, fault = right_sections(alignment, form, rectified=options.rectified)
    if fault:
        yield Skip(question_id=question.id, reason=fault)
        return
    texts = [written(part, sections) for part in parts]
    for place, part in enumerate(parts):
        if options.shared or part.name == stage:
            yield whole(question, ask(question, texts[:place], parts=parts), texts[place])


def plan(form: Format, options: KeyPointOptions) -> Sequence[DecodeStep]:
    """Each part after the ones before it; a solution that is a program is run."""
    parts = PARTS[options.stages]
    return [
        DecodeStep(
            name=part.name,
            slot="student" if options.shared else part.name,
            prompt=partial(ask, parts=parts),
            runner=form.runner if part is parts[-1] else None,
            taught=partial(taught, part=part, form=form) if part is not parts[-1] else None,
        )
        for part in parts
    ]


def ask(question: Question, earlier: Sequence[str], *, parts: Sequence[Part]) -> Prompt:
    """P, each earlier text after its label, without the white space around it, and the label of the next one."""
    lines = [labelled(part.sections[0], text.strip()) for part, text in zip(parts, earlier, strict=False)]
    after = parts[len(earlier)].sections[0]
    # A space after a label is left to what joins prompt and target: no student is made to begin after a lone one.
    return question_prompt(question, cue="\n" + "\n".join([*lines, labelled(after, "").removesuffix(" ")]))


def written(part: Part, sections: Mapping[str, str]) -> str:
    """What the student of a part writes: its first section, whose label is its prompt's, then any other, labelled."""
    first, *others = part.sections
    return "\n".join([sections[first], *(labelled(name, sections[name]) for name in others)])


def taught(question: Question, chain: Chain, *, part: Part, form: Format) -> str | None:
    """The teacher's text for a part; None where the chain is not in the format."""
    sections = told_sections(chain, form)
    return written(part, sections) if sections else None
