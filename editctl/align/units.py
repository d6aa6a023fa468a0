"""Cuts a chain into the units that are compared: words, or a tokenizer's tokens. Pure but for the tokenizer given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from editctl.records import Span
from editctl.words import word_spans


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one text: comparable values, and the characters each covers, in order."""

    values: tuple[object, ...]
    spans: tuple[Span, ...]


Cutter = Callable[[str], Units]


def words(text: str) -> Units:
    """Words, numbers and single punctuation marks; white space separates and is no unit."""
    spans = word_spans(text)
    return Units(tuple(text[start:end] for start, end in spans), spans)


def token_cutter(tokenizer: Any) -> Cutter:
    """Units of a fast Hugging Face tokenizer.

    Tokens that share a character (the bytes of an emoji) are one unit, and a token that covers no character of its
    own (a sentencepiece dummy) belongs to the next: so spans always lead back to the same tokens.
    """
    many = tokens_of_texts(tokenizer)
    return lambda text: many([text])[0]


def tokens_of_texts(tokenizer: Any) -> Callable[[Sequence[str]], list[Units]]:
    """As `token_cutter`, for many texts at once."""

    def cut(texts: Sequence[str]) -> list[Units]:
        if not texts:
            return []
        encoded = tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=True,
            verbose=False,
        )
        return [group_tokens(*one) for one in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)]

    return cut


def group_tokens(ids: Sequence[int], offsets: Sequence[Span]) -> Units:
    """Tokens with overlapping or empty character ranges joined into units."""
    values: list[tuple[int, ...]] = []
    spans: list[Span] = []
    pending: tuple[int, ...] = ()
    for token, (start, end) in zip(ids, offsets, strict=True):
        if start == end:
            pending += (token,)
        elif spans and start < spans[-1][1]:
            values[-1] += (*pending, token)
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            pending = ()
        else:
            values.append((*pending, token))
            spans.append((start, end))
            pending = ()
    if pending and values:
        values[-1] += pending
    return Units(tuple(values), tuple(spans))
