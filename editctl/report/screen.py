"""Views and figures on a console, for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from editctl.progress import clean, print_table
from editctl.report import tokens
from editctl.report.folding import print_lines
from editctl.report.tables import tables
from editctl.views import ExampleView, LeftOut, StageFigures

Look = LeftOut | Sequence[ExampleView]
"""What one stage makes of one question."""
_INDENT = "    "


class Screen:
    """Prints question after question, then the figures. Folds lines on a terminal, and nowhere else."""

    def __init__(self, console: Console, *, each_token: bool = False) -> None:
        self.console = console
        self.marked = console.no_color or console.color_system is None
        self.each_token = each_token
        self._begun = False

    def question(self, looks: Iterable[Look]) -> None:
        """One question in all its stages."""
        looks = list(looks)
        strongest = tokens.strongest([one for one in _flat(looks) if not isinstance(one, LeftOut)])
        before: str | None = None
        if not self._begun:
            self._print(tokens.legend(self.marked))
            self._begun = True
        for number, one in enumerate(_flat(looks)):
            if not number:
                self._print(Text())
                self._print(tokens.heading(one))
            if isinstance(one, LeftOut):
                self._print(tokens.left_out_line(one), _INDENT[:2])
                continue
            self._example(one, strongest, as_before=one.prompt == before)
            before = one.prompt

    def _example(self, view: ExampleView, strongest: float, *, as_before: bool) -> None:
        self._print(tokens.facts_line(view), _INDENT[:2])
        self._print(Text(tokens.prompt_head(view, as_before=as_before)), _INDENT)
        if not as_before:
            self._print(tokens.prompt_text(view), _INDENT + "  ")
        self._print(Text(tokens.target_head(view, marked=self.marked)), _INDENT)
        self._print(tokens.target_text(view, marked=self.marked, strongest=strongest), _INDENT + "  ")
        if self.each_token:
            columns = ["place", "id", "label", "token", "weight", "part"]
            print_table(self.console, "", columns, list(tokens.rows(view)))
            self._print(Text())

    def _print(self, text: Text, indent: str = "") -> None:
        print_lines(self.console, text.split("\n"), indent)

    def figures(self, facts: Mapping[str, Any], stages: Sequence[StageFigures]) -> None:
        """Tables over the whole file."""
        if self._begun:
            self._print(Text())
        self._print(Text(clean(_headline(facts)), style="bold"))
        for title, columns, rows, note in tables(stages):
            self._print(Text())
            print_table(self.console, title, columns, rows)
            if note:
                self._print(Text(note))
        for stage in stages:
            self._notes(stage)

    def _notes(self, stage: StageFigures) -> None:
        unknown = sum(side.unknown_tokens for side in stage.sides)
        if unknown:
            self._print(Text(f"\nstage {clean(stage.stage)}: {unknown} target tokens are unknown to the tokenizer"))
        if not stage.questions:
            self._print(Text(f"\nstage {clean(stage.stage)}: no question is left, `train` would refuse to start"))


def _flat(looks: Iterable[Look]) -> list[ExampleView | LeftOut]:
    return [one for look in looks for one in ([look] if isinstance(look, LeftOut) else look)]


def _headline(facts: Mapping[str, Any]) -> str:
    preset = f", preset {facts['preset']}" if facts["preset"] else ""
    gap = "" if facts["gap"] or facts["prompt_style"] == "chat" else " without gap"
    return (
        f"figures of all {facts['questions']} questions ({facts['shown']} shown): recipe {facts['recipe']}{preset}, "
        f"student {facts['student']}, {facts['prompt_style']} prompts{gap}, at most {facts['max_length']} tokens"
    )
