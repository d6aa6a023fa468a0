"""What recipes over chains with named sections share: a right chain's sections or why there are none, and the recipe
of a text that is run, which `pot` and `eot` are. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from editctl.formats import Format, FormatFault, format_of, sections_of
from editctl.imitation import ImitationOptions, Normaliser, is_program, whole
from editctl.options import option
from editctl.recipe import DecodeStep
from editctl.records import Alignment, Chain, Example, Prompt, Question, Skip
from editctl.student import question_prompt


@dataclass(frozen=True)
class FormatOptions(ImitationOptions):
    """Options of every recipe over a format."""

    normaliser: Normaliser = option("target", "what the loss is divided by")


@dataclass(frozen=True)
class CuedOptions(FormatOptions):
    """Options of recipes whose student writes a text that is run."""

    cue: str = option("\n", "what stands after the question")


def right_sections(alignment: Alignment, form: Format, *, rectified: bool) -> tuple[Mapping[str, str], str | None]:
    """The sections of the right chain, and why there are none."""
    right = alignment.dual.right
    if right is None:
        return {}, "no-right-chain"
    if right.origin == "rectified" and not rectified:
        return {}, "rectified"
    if form.runner is None and is_program(right):  # both KPDD formats have the same sections
        return {}, "is-program"
    try:
        return sections_of(right, form), None
    except FormatFault as fault:
        return {}, fault.reason


def told_sections(chain: Chain, form: Format) -> Mapping[str, str] | None:
    """The sections of a chain; None where it is not in the format."""
    try:
        return sections_of(chain, form)
    except FormatFault:
        return None


def cued_examples(alignment: Alignment, name: str, options: CuedOptions) -> Iterator[Example | Skip]:
    """P and the cue -> the chain's one section."""
    question, form = alignment.dual.question, format_of(name)
    sections, fault = right_sections(alignment, form, rectified=options.rectified)
    if fault:
        yield Skip(question_id=question.id, reason=fault)
        return
    yield whole(question, ask_with_cue(question, (), cue=options.cue), sections[form.sections[0]])


def cued_plan(name: str, options: CuedOptions) -> Sequence[DecodeStep]:
    """Asked with the prompt trained on; what is written is run."""
    form = format_of(name)
    ask = partial(ask_with_cue, cue=options.cue)
    return [DecodeStep(name=form.sections[0], prompt=ask, runner=form.runner)]


def ask_with_cue(question: Question, earlier: Sequence[str], *, cue: str) -> Prompt:
    """P and the cue."""
    return question_prompt(question, cue=cue)
