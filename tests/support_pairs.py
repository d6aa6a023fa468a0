"""Pairs for the tests of what shows them."""

import io
from typing import Any

from rich.console import Console

from editctl.align.edits import align_texts
from editctl.align.units import words
from editctl.records import Alignment, Chain, DualChain, Question, Span
from editctl.report.pair_screen import PairScreen

RIGHT = (
    "There are 3 boxes with 4 pens each, so there are 3 * 4 = 12 pens in all. "
    "Two of them are red. Then 12 - 2 = 10 pens are blue.\nTherefore, the answer is 10."
)
WRONG = (
    "There are 3 boxes with 4 pens each, so there are 3 + 4 = 7 pens in all. "
    "Then 7 - 2 = 5 pens are blue.\nTherefore, the answer is 5."
)


def made(right: str = RIGHT, wrong: str = WRONG, **more: Any) -> Alignment:
    """A pair that is aligned in words."""
    dual = DualChain(
        question=Question(id="pens", question="How many pens are blue?", answer="10", task="count"),
        right=Chain(text=right, answer="10", origin="sampled"),
        wrong=Chain(text=wrong, answer="5", origin="corrupted", mistake="calculation", label="logical"),
        teacher="somebody",
        **more,
    )
    return Alignment(dual=dual, edits=align_texts(right, wrong, words, "word", None))


def spanned(text: str, spans: tuple[Span, ...]) -> Alignment:
    """A pair of a text and itself, with key spans as they are given, as an alignment in tokens would have them."""
    alignment = made(text, text)
    assert alignment.edits is not None
    values = {name: getattr(alignment.edits, name) for name in alignment.edits.__slots__}
    edits = type(alignment.edits)(**(values | {"unit": "token", "right": spans, "wrong": spans}))
    return Alignment(dual=alignment.dual, edits=edits)


def screen(width: int, *, color: bool = False, everything: bool = False) -> tuple[PairScreen, io.StringIO]:
    """A screen on a terminal of that width, and what it prints to."""
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, color_system="256", width=width, no_color=not color, highlight=False
    )
    return PairScreen(console, everything=everything), file
