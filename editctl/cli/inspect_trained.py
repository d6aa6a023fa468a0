"""What the trainer will see, token by token, without a model."""

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

import typer

from editctl.cli.inspect_names import Names
from editctl.cli.session import Session

if TYPE_CHECKING:
    from editctl import progress
    from editctl.recipe import Stage
    from editctl.records import Alignment
    from editctl.report.lines import Lines
    from editctl.report.screen import Screen
    from editctl.train.sight.figures import Tally
    from editctl.train.sight.view import Lens
    from editctl.views import ExampleView, LeftOut

_MANY = 500
"""Questions whose counting is worth a progress bar."""


def show_trained(talk: "progress.Talk", values: dict[str, Any], given: Set[str]) -> None:
    """Print each chosen question's examples, then the figures of the whole file."""
    from editctl.cli.pager import paged
    from editctl.progress import Talk, stdout_console

    with Session("inspect", values, talk, allow_partial=values["allow_partial"]) as session:
        alignments, lens, stages = _prepare(session, values, given)
        shown = _shown(alignments, values)
    console = stdout_console(color=not values["no_color"])
    with paged(console, values["pager"] and not values["json"]) as paging:
        # A bar would be drawn over the pager.
        said = Talk(quiet=True) if paging else talk
        _show(said, values, lens, stages, alignments, shown, _screen(values, console))


def _prepare(
    session: Session, values: dict[str, Any], given: Set[str]
) -> tuple[list["Alignment"], "Lens", Sequence["Stage"]]:
    from editctl import registry
    from editctl.cli.training import recipe_options
    from editctl.models import check_name, reads_apart
    from editctl.student import choose_style
    from editctl.tokens import Codec
    from editctl.train.sight.view import Lens

    method = registry.load("recipes", values["recipe"])()
    chosen = recipe_options(values, given, method)
    stages = _stages(method.stages(chosen), values["stage"])
    check_name(values["student"])
    choose_style(values["prompt_style"], True)
    alignments = _read(session, values["file"])
    tokenizer = _tokenizer(values["student"], method, chosen, alignments)
    apart = reads_apart(values["student"])
    style = choose_style(values["prompt_style"], bool(tokenizer.chat_template), apart)
    codec = Codec(tokenizer, style, gap=values["gap"], encoder_decoder=apart)
    return alignments, Lens(method, chosen, codec, values["max_length"]), stages


def _stages(stages: Sequence["Stage"], name: str | None) -> Sequence["Stage"]:
    from editctl.errors import UsageError, near_misses

    chosen = [stage for stage in stages if name in (None, stage.name)]
    if not chosen:
        raise UsageError(f"--stage {name!r} is unknown; {near_misses(str(name), [stage.name for stage in stages])}")
    return chosen


def _read(session: Session, path: str | None) -> list["Alignment"]:
    from editctl.jsonl import read_records
    from editctl.rows import alignment_from_row

    alignments = list(read_records(session.open_input(path), alignment_from_row))
    session.finish_inputs()
    return alignments


def _tokenizer(student: str, method: Any, chosen: Any, alignments: Sequence["Alignment"]) -> Any:
    """The student's tokenizer as training would have it; no weights are read."""
    from editctl.models import TINY, load_tokenizer
    from editctl.scratch import train_tokenizer
    from editctl.train.plan import texts_of

    if student == TINY:
        return train_tokenizer(texts_of(method, chosen, alignments), 2048)
    return load_tokenizer(_tokenizer_place(student))


def _tokenizer_place(student: str) -> str:
    """Where the tokenizer lies: an adapter's folder may leave it to its base."""
    from pathlib import Path

    from editctl.models import ADAPTER_FILE, base_of

    place = Path(student) / ADAPTER_FILE
    if not place.is_file() or (place.parent / "tokenizer_config.json").is_file():
        return student
    return base_of(place.parent)


def _shown(alignments: Sequence["Alignment"], values: dict[str, Any]) -> list[int]:
    """Numbers of the questions to show.

    Raises:
        UsageError: an id or a task that no row has.
    """
    ids, tasks = Names("--id", values["id"]), Names("--task", values["task"])
    questions = [alignment.dual.question for alignment in alignments]
    passed = [(ids.takes([question.id]), tasks.takes([question.task or "-"])) for question in questions]
    ids.check()
    tasks.check()
    return [number for number, both in enumerate(passed) if all(both)][: values["limit"]]


def _show(
    talk: "progress.Talk",
    values: dict[str, Any],
    lens: "Lens",
    stages: Sequence["Stage"],
    alignments: Sequence["Alignment"],
    shown: Sequence[int],
    screen: "Screen | Lines",
) -> None:
    from editctl.train.sight.figures import Tally

    tallies = [Tally(stage) for stage in stages]
    for number in shown:
        screen.question(_looked(lens, tallies, alignments[number], number))
    rest = sorted(set(range(len(alignments))) - set(shown))
    for number in talk.track(rest, "count", len(rest)) if len(rest) >= _MANY else rest:
        _looked(lens, tallies, alignments[number], number)
    facts = {
        "student": values["student"],
        "recipe": values["recipe"],
        "preset": values["preset"],
        "prompt_style": lens.codec.style,
        "gap": lens.codec.gap,
        "max_length": lens.max_length,
        "questions": len(alignments),
        "shown": len(shown),
    }
    screen.figures(facts, [tally.figures() for tally in tallies])


def _looked(
    lens: "Lens", tallies: Sequence["Tally"], alignment: "Alignment", number: int
) -> list["LeftOut | Sequence[ExampleView]"]:
    """What each stage makes of a question, which is added to the stage's figures too."""
    from editctl.train.sight.view import look
    from editctl.views import LeftOut

    seen = [look(lens, tally.stage, alignment) for tally in tallies]
    for tally, one in zip(tallies, seen, strict=True):
        tally.add(number, one)
    return [one if isinstance(one, LeftOut) else one.views for one in seen]


def _screen(values: dict[str, Any], console: Any) -> "Screen | Lines":
    from editctl.report.lines import Lines
    from editctl.report.screen import Screen

    return Lines(typer.echo) if values["json"] else Screen(console, each_token=values["verbose"])
