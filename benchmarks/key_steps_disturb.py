"""The same wrong chain told differently, with its truth carried along. Pure.

Each disturbance changes what a reader would not call a mistake; what it adds or rewrites is marked as no part of one.
"""

import re
import zlib
from collections.abc import Callable, Sequence

from key_steps_truth import CONSEQUENCE, PLAIN, SLIP, Marked, plain

from editctl.steps import label_span, step_spans

Disturb = Callable[[Marked, str], Marked]
NONE = "none"
_NUMBERED = re.compile(r"(?:Step|Swap) (\d+): ")
WORDINGS = (
    (re.compile(r" = (-?\d+), keep (\d)\."), (" gives ", 1, ", of which ", 2, " stays.")),
    (re.compile(r" asks if (\d) is (larger|smaller): "), (": is ", 1, " ", 2, "? That is ")),
    (re.compile(r" has (\d) True, (and|or) needs "), (" counts ", 1, " True; ", 2, " takes at least ")),
    (re.compile(r" is the (opposite|same): "), (" turns into the ", 1, ", so ")),
    (re.compile(r"\. Now "), (". After that it is ",)),
    (re.compile(r"Start: "), ("At the beginning ",)),
    (re.compile(r", (both change|only \w+ changes): "), (" - ", 1, " - which makes ")),
    (re.compile(r" (\w+) has the (\w+), option ([A-H])\."), (" So ", 1, " ends with the ", 2, ", which is ", 3, ".")),
    (re.compile(r": (no )?((?:musical )?[a-z]+), (?=\d)"), (" (", 1, 2, ") make ")),
    (re.compile(r": (no )?((?:musical )?[a-z]+), still "), (" (", 1, 2, ") leave it at ")),
)
"""Fixed wordings of the toy tasks, and others that mean the same: texts, and numbers of what is kept with its truth."""


def undisturbed(wrong: Marked, seed: str) -> Marked:
    """The chain as it is."""
    return wrong


def paraphrased(wrong: Marked, seed: str) -> Marked:
    """Every fixed wording put into other words."""
    for pattern, parts in WORDINGS:
        wrong = _replace(wrong, pattern, parts)
    return wrong


def half_paraphrased(wrong: Marked, seed: str) -> Marked:
    """Every second step put into other words, beginning with the first or the second one by the seed."""
    blocks = _blocks(wrong)
    turn = zlib.crc32(seed.encode()) % 2
    return _joined([paraphrased(block, seed) if at % 2 == turn else block for at, block in enumerate(blocks)])


def reordered(wrong: Marked, seed: str) -> Marked:
    """Two neighbouring steps, chosen by the seed, exchanged; numbers stay with their places.

    Both are numbered or neither is, and neither is the conclusion; where there are no such two, the chain as it is.
    """
    parts = [_off_label(block) for block in _blocks(wrong)]
    places = [at for at in range(len(parts) - 2) if bool(parts[at][0].text) == bool(parts[at + 1][0].text)]
    if places:
        at = places[zlib.crc32(seed.encode()) % len(places)]
        (one, first), (other, second) = parts[at : at + 2]
        parts[at : at + 2] = [(one, second), (other, first)]
    return _joined([label + rest for label, rest in parts])


def relabelled(wrong: Marked, seed: str) -> Marked:
    """`Step 2: ` becomes `2) `; where steps have no numbers, every one gets one."""
    if _NUMBERED.search(wrong.text):
        return _replace(wrong, _NUMBERED, (1, ") "))
    blocks = _blocks(wrong)
    return _joined([plain(f"{at}) ") + block for at, block in enumerate(blocks[:-1], 1)] + blocks[-1:])


def inserted(wrong: Marked, seed: str) -> Marked:
    """A step that says nothing stands in front, and the numbers of all others go up by one."""
    numbered = _NUMBERED.search(wrong.text)
    if numbered is None:
        return plain("Let me go through this in order. ") + wrong
    word = numbered[0].split()[0]
    parts, at = [plain(f"{word} 1: read the question with care. ")], 0
    for found in _NUMBERED.finditer(wrong.text):
        number = slice(*found.span(1))
        shown = plain(str(int(found[1]) + 1))
        shown = Marked(shown.text, wrong.marks[number.start] * len(shown.text))
        parts += [wrong[at : number.start], shown]
        at = number.stop
    return _sum([*parts, wrong[at:]])


DISTURBANCES: dict[str, Disturb] = {
    NONE: undisturbed,
    "steps exchanged": reordered,
    "step inserted": inserted,
    "relabelled": relabelled,
    "half reworded": half_paraphrased,
    "reworded": paraphrased,
}


def _blocks(wrong: Marked) -> list[Marked]:
    """The steps as the task tells them, without the space after each: a numbered one takes those after it along."""
    starts: list[int] = []
    numbered = False
    for span in step_spans(wrong.text):
        label = label_span(wrong.text, span)
        if numbered and label[0] == label[1] and wrong.text.startswith("Now ", span[0]):
            continue
        numbered = label[0] < label[1]
        starts.append(span[0])
    ends = [*starts[1:], len(wrong.text)]
    return [_stripped(wrong[start:end]) for start, end in zip(starts, ends, strict=True)]


def _off_label(block: Marked) -> tuple[Marked, Marked]:
    """The numbering with the white space after it, and the rest."""
    end = label_span(block.text, (0, len(block.text)))[1]
    end += len(block.text[end:]) - len(block.text[end:].lstrip()) if end else 0
    return block[:end], block[end:]


def _stripped(block: Marked) -> Marked:
    return block[: len(block.text.rstrip())]


def _joined(blocks: Sequence[Marked]) -> Marked:
    return _sum([part for block in blocks for part in (plain(" "), block)][1:])


def _sum(parts: Sequence[Marked]) -> Marked:
    return Marked("".join(part.text for part in parts), "".join(part.marks for part in parts))


def _replace(wrong: Marked, pattern: re.Pattern[str], parts: Sequence[str | int]) -> Marked:
    """Each match told by the parts: texts that stand for what is dropped, and groups with their own marks."""
    made, at = [], 0
    for found in pattern.finditer(wrong.text):
        made.append(wrong[at : found.start()])
        kept = [slice(*found.span(part)) for part in parts if isinstance(part, int) and found[part] is not None]
        dropped = _worst(_without(wrong.marks, found.span(), kept))
        for part in parts:
            if isinstance(part, str):
                made.append(Marked(part, dropped * len(part)))
            elif found[part] is not None:
                made.append(wrong[slice(*found.span(part))])
        at = found.end()
    return _sum([*made, wrong[at:]])


def _without(marks: str, span: tuple[int, int], kept: Sequence[slice]) -> str:
    return "".join(mark for at, mark in enumerate(marks[slice(*span)], span[0]) if not any(
        part.start <= at < part.stop for part in kept
    ))  # fmt: skip


def _worst(marks: str) -> str:
    """What replaces a part of a mistake is one, too."""
    return next((mark for mark in (SLIP, CONSEQUENCE) if mark in marks), PLAIN)
