"""Pairs as TRL's preference data: prompt, chosen, rejected. Facts only: no recipe has a say here.

TRL calls it the preference format with an explicit prompt, standard (texts) or conversational (turns).
"""

from collections.abc import Iterable, Iterator
from math import inf

from editctl.align.export.counts import ALL, Counts
from editctl.jsonl import Row
from editctl.keysteps import pair_fault
from editctl.records import Alignment, Prompt
from editctl.student import Style, lead, question_prompt, render


def preferences(alignments: Iterable[Alignment], style: Style, counts: Counts, *, gap: bool = True) -> Iterator[Row]:
    """One row for each pair; what is no pair is counted by reason.

    `gap`: whether a space joins prompt and answer in plain style, as in training; it stands at the answer's beginning.
    """
    for alignment in alignments:
        fault = pair_fault(alignment, max_key_ratio=inf, min_similarity=-inf)
        if fault is not None:
            counts.left_out[ALL, fault] += 1
            continue
        counts.rows[ALL] += 1
        yield _row(alignment, style, gap)


def _row(alignment: Alignment, style: Style, gap: bool) -> Row:
    dual = alignment.dual
    assert dual.right is not None
    assert dual.wrong is not None
    prompt = question_prompt(dual.question)
    row: Row = {"id": dual.question.id, "task": dual.question.task}
    if style == "chat":
        return row | {
            "prompt": [_turn("user", prompt.user)],
            "chosen": [_turn("assistant", dual.right.text)],
            "rejected": [_turn("assistant", dual.wrong.text)],
        }
    return row | {
        "prompt": render(prompt, style, None, gap),
        "chosen": _answer(prompt, dual.right.text, style, gap),
        "rejected": _answer(prompt, dual.wrong.text, style, gap),
    }


def _answer(prompt: Prompt, text: str, style: Style, gap: bool) -> str:
    return lead(render(prompt, style, None, gap), text, style, gap) + text


def _turn(role: str, content: str) -> Row:
    return {"role": role, "content": content}
