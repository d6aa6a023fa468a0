"""A text cut at spans: what lies inside one, and what between them. Pure; what shows key steps uses it."""

from collections.abc import Iterable

from editctl.records import Span


def pieces(text: str, spans: Iterable[Span]) -> tuple[tuple[str, bool], ...]:
    """The parts of a text in order, and whether each is a span of its own; joined they are the whole text.

    Spans are ascending and disjoint, as records hold them. Two that touch stay two parts; no part is empty.
    """
    parts, place = [], 0
    for start, end in spans:
        parts += [(text[place:start], False), (text[start:end], True)]
        place = end
    return tuple(part for part in (*parts, (text[place:], False)) if part[0])


def joined_over_spaces(text: str, spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same spans, those made one that only spaces and tabs stand between.

    For showing alignments whose units leave white space out (words, steps): what is key there stands together.
    """
    found: list[Span] = []
    for start, end in spans:
        if found and not text[found[-1][1] : start].strip(" \t"):
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return tuple(found)
