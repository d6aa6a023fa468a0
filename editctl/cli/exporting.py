"""What `align --format` sets going: from its options to a file that another trainer reads."""

import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from editctl.cli.session import Session
from editctl.cli.training import recipe_options
from editctl.errors import InputError, UsageError, near_misses
from editctl.files import STDIO

if TYPE_CHECKING:
    from editctl.align.export.counts import Counts
    from editctl.align.export.weighted_tokens import Method
    from editctl.progress import Talk
    from editctl.records import Alignment
    from editctl.student import Style

FORMATS = ("trl", "axolotl", "parquet")
STYLES = {"trl": ("auto", "plain", "chat"), "axolotl": ("auto", "chat"), "parquet": ("auto", "plain", "chat")}
"""Prompt styles that a format can hold."""
IDLE: dict[str, tuple[str, Any]] = {
    "recipe": ("--recipe", "edit"),
    "recipe_option": ("-R", None),
    "prompt_style": ("--prompt-style", "auto"),
    "gap": ("--no-gap", True),
    "max_length": ("--max-length", 1024),
}
"""Options that only formats look at, with flag and default."""


def check_export(values: dict[str, Any]) -> None:
    """Whether the options go together; without a format, whether none that needs one is given.

    Raises:
        UsageError: they do not.
    """
    wanted = values["format"]
    if wanted is None:
        _refuse_idle(values)
        return
    if wanted not in FORMATS:
        raise UsageError(f"--format {wanted!r} is unknown; {near_misses(wanted, FORMATS)}")
    style, allowed = values["prompt_style"], STYLES[wanted]
    if style not in allowed:
        raise UsageError(f"--prompt-style {style!r}: --format {wanted} takes {' or '.join(allowed)}")
    if wanted == "trl":
        _refuse_recipe(values)
        return
    _method(values)
    if wanted == "parquet":
        _check_parquet(values)


def _refuse_idle(values: dict[str, Any]) -> None:
    """Without a format nothing has a use for what only formats look at."""
    for name, (flag, default) in IDLE.items():
        if _is_set(values[name], default):
            raise UsageError(f"{flag} goes with --format; alignments are facts, for any recipe and student")


def _refuse_recipe(values: dict[str, Any]) -> None:
    for name in ("recipe", "recipe_option"):
        flag, default = IDLE[name]
        if _is_set(values[name], default):
            raise UsageError(f"{flag} names what a recipe makes of pairs; --format trl writes them as they are")


def _is_set(value: Any, default: Any) -> bool:
    """Whether an option differs from its default; one that repeats is a list, which may be empty."""
    return bool(value) if default is None else value != default


def _check_parquet(values: dict[str, Any]) -> None:
    if not values["tokenizer"]:
        raise UsageError("--format parquet writes a student's tokens; name the student with --tokenizer MODEL")
    if values["output"] in (None, STDIO) and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("--format parquet writes bytes that a terminal can't show; name a file with -o")


def _method(values: dict[str, Any]) -> tuple[Any, Any]:
    """The recipe and its options."""
    from editctl import registry

    method = registry.load("recipes", values["recipe"])()
    return method, recipe_options({"preset": None, **values}, set(), method)


def export_rows(session: Session, talk: "Talk", values: dict[str, Any], alignments: Iterable["Alignment"]) -> None:
    """Write alignments in the format that `values` names, and say what was left out.

    Raises:
        InputError: nothing is left to write.
    """
    from editctl.align.export.counts import Counts

    counts = Counts()
    {"trl": _trl, "axolotl": _axolotl, "parquet": _parquet}[values["format"]](session, values, alignments, counts)
    if not counts.rows.total():
        raise InputError(f"nothing is left to write as {values['format']}: {counts.reasons()}")
    session.note(export={"format": values["format"], **counts.render()})
    _say(talk, values["format"], counts)


def _trl(session: Session, values: dict[str, Any], alignments: Iterable["Alignment"], counts: "Counts") -> None:
    from editctl.align.export.preferences import preferences
    from editctl.jsonl import write_row

    style: Style = "chat" if values["prompt_style"] == "chat" else "plain"
    target = session.open_output(values["output"])
    for row in preferences(alignments, style, counts, gap=values["gap"]):
        write_row(target, row)


def _axolotl(session: Session, values: dict[str, Any], alignments: Iterable["Alignment"], counts: "Counts") -> None:
    from editctl.align.export.turns import turns
    from editctl.jsonl import write_row
    from editctl.models import load_tokenizer

    recipe, options = _method(values)
    tokenizer = load_tokenizer(values["tokenizer"]) if values["tokenizer"] else None
    target = session.open_output(values["output"])
    for row in turns(alignments, recipe, options, counts, tokenizer=tokenizer):
        write_row(target, row)


def _parquet(session: Session, values: dict[str, Any], alignments: Iterable["Alignment"], counts: "Counts") -> None:
    from editctl.align.export.weighted_tokens import token_rows, write_table

    method = _student(values)
    facts = _facts(values, method)
    target = session.open_output(values["output"])
    write_table(token_rows(alignments, method, counts), facts, target)


def _student(values: dict[str, Any]) -> "Method":
    """Recipe, tokenizer and prompt style as training would have them."""
    from editctl.align.export.weighted_tokens import Method
    from editctl.models import load_tokenizer, reads_apart
    from editctl.student import choose_style
    from editctl.tokens import Codec

    recipe, options = _method(values)
    tokenizer, apart = load_tokenizer(values["tokenizer"]), reads_apart(values["tokenizer"])
    style = choose_style(values["prompt_style"], bool(tokenizer.chat_template), apart)
    codec = Codec(tokenizer, style, gap=values["gap"], encoder_decoder=apart)
    return Method(recipe, options, codec, values["max_length"])


def _facts(values: dict[str, Any], method: "Method") -> dict[str, Any]:
    """What a reader of the table must know to use it."""
    from dataclasses import asdict

    from editctl import __version__

    return {
        "version": __version__,
        "recipe": values["recipe"],
        "options": {key: _plain(value) for key, value in asdict(method.options).items()},
        "stages": [asdict(stage) for stage in method.recipe.stages(method.options)],
        "tokenizer": values["tokenizer"],
        "end_token": method.codec.end,
        "prompt_style": method.codec.style,
        "gap": method.codec.gap,
        "max_length": method.max_length,
        "encoder_decoder": method.codec.encoder_decoder,
    }


def _plain(value: Any) -> Any:
    """An option as JSON can spell it: infinity is text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _say(talk: "Talk", name: str, counts: "Counts") -> None:
    for what, found in (("questions", counts.left_out), ("examples", counts.examples_left_out)):
        rows: list[list[object]] = [[stage, reason, count] for (stage, reason), count in found.most_common()]
        if rows:
            talk.table("", ["stage", "left out", what], rows)
    flattened = counts.flattened.total()
    if flattened:
        talk.say(
            f"{flattened} rows have weights other than 0 and 1, which {name} can't say: there what weighs more than 0 "
            "counts 1, the rest nothing; `spans` has the exact weights"
        )
    talk.say(f"{counts.rows.total()} rows written as {name}")
