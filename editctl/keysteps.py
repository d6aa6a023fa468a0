"""From where two chains part to what a recipe weights: facts in the record, choices here. Pure."""

from collections.abc import Sequence

from editctl.conclusion import find_conclusion
from editctl.records import Alignment, Span, WeightedSpan


def outside_conclusion(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """The parts of the spans that lie before or after the conclusion sentence."""
    conclusion = find_conclusion(text)
    if conclusion is None:
        return tuple(spans)
    parts = []
    for start, end in spans:
        parts += [(start, min(end, conclusion.start)), (max(start, conclusion.end), end)]
    return tuple((start, end) for start, end in parts if start < end)


def weigh(key_spans: Sequence[Span], text: str, key_weight: float, other_weight: float) -> tuple[WeightedSpan, ...]:
    """Key spans first, so that a token which touches one is key; the whole text after them."""
    spans = tuple((start, end, key_weight) for start, end in key_spans)
    return (*spans, (0, len(text), other_weight)) if other_weight else spans


def pair_fault(alignment: Alignment, *, max_key_ratio: float, min_similarity: float) -> str | None:
    """Why an alignment can't teach a difference, or None when it can."""
    dual, edits = alignment.dual, alignment.edits
    if dual.right is None:
        return "no-right-chain"
    if dual.wrong is None or edits is None:
        return "no-wrong-chain"
    if dual.reason:
        return dual.reason
    if not edits.distance:
        return "same-text"
    if max(edits.key_ratio) > max_key_ratio:
        return "over-max-key-ratio"
    return "under-min-similarity" if edits.similarity < min_similarity else None
