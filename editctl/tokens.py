"""Texts -> token ids, the same for training and asking; and character spans -> token weights.

Knows tokenizers as objects that are handed in; loads none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from editctl.errors import UsageError
from editctl.records import Example, Prompt, Skip, Span, WeightedSpan
from editctl.student import Style, lead, render
from editctl.writing import Writing

_STAND_IN = "EDITCTLSTANDIN"
"""Stands for the user's text while a chat template is cut into its parts."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt and target as token ids; `offsets` are the target tokens' characters in the target."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    offsets: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Weighted:
    """One example in tokens."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    """Target ids up to the last weighted one: what stands behind it feeds nothing."""
    weights: tuple[float, ...]
    """Weight of each of these, the example's share not yet applied."""
    whole: int
    """Tokens of the whole target, its end token included."""
    share: float
    wrong: bool
    """True where the loss is reported in the wrong part."""
    apart: bool = field(default=False, repr=False)
    """Prompt and target are two sequences, as an encoder-decoder student has them."""

    @property
    def length(self) -> int:
        """Tokens of prompt and target."""
        return len(self.prompt) + len(self.target)


class Codec:
    """One student's tokenizer and prompt style."""

    def __init__(self, tokenizer: Any, style: Style, *, gap: bool = True, encoder_decoder: bool = False) -> None:
        """`gap`: whether a space joins prompt and target in plain style; `encoder_decoder`: the prompt is read whole,
        closed by the end token, and the target is a text of its own.

        Raises:
            UsageError: a tokenizer that has no offsets or no end token, or an encoder-decoder student in chat style.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError("the student's tokenizer is a slow one; editctl needs offset mappings (a tokenizer.json)")
        if tokenizer.eos_token_id is None:
            raise UsageError("the student's tokenizer has no end-of-text token, so it could never learn to stop")
        if encoder_decoder and style == "chat":
            raise UsageError("prompt style chat: an encoder-decoder student takes no turns; use plain")
        self.tokenizer = tokenizer
        self.style = style
        self.gap = gap
        self.encoder_decoder = encoder_decoder
        self.writing = Writing.of(tokenizer) if encoder_decoder else None
        self.special = _special_tokens(tokenizer)
        self.start = self._start()
        self.end = self._end_of_turn() if style == "chat" else int(tokenizer.eos_token_id)

    def _start(self) -> tuple[int, ...]:
        """What the tokenizer itself puts before a text (a chat template brings its own)."""
        own = tuple(self.tokenizer("")["input_ids"])
        bos = self.tokenizer.bos_token_id
        return own[:1] if self.style == "plain" and bos is not None and own[:1] == (bos,) else ()

    def _end_of_turn(self) -> int:
        """First special token the chat template puts after the assistant's text; else the end-of-text token."""
        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _STAND_IN}]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False)
        after = self._ids(text.rpartition(_STAND_IN)[2], special=True)[0]
        special = self.special.values()
        return next((token for token in after if token in special), int(self.tokenizer.eos_token_id))

    def _ids(self, text: str, *, special: bool) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        encoded = self.tokenizer(
            text,
            add_special_tokens=False,
            return_offsets_mapping=True,
            split_special_tokens=not special,
            verbose=False,
        )
        return tuple(encoded["input_ids"]), tuple(tuple(pair) for pair in encoded["offset_mapping"])

    def _holds_special(self, *texts: str) -> bool:
        return any(special in text for special in self.special for text in texts)

    def text(self, prompt: Prompt) -> str:
        """What the student reads, as text."""
        return render(prompt, self.style, self.tokenizer, self.gap)

    def lead(self, prompt: Prompt, target: str) -> str:
        """What joins prompt and target; nothing where they are two texts."""
        return "" if self.encoder_decoder else lead(self.text(prompt), target, self.style, self.gap)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a target's ids, as a student wrote them; special tokens are no part of it."""
        if self.writing is not None:
            return self.writing.decode(ids)
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _write(self, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        """A whole text of an encoder-decoder student."""
        if self.writing is None:
            return self._ids(text, special=False)
        ids, offsets = self.writing.encode(text)
        return tuple(ids), tuple(offsets)

    def prompt(self, prompt: Prompt) -> tuple[int, ...]:
        """Ids of what the student reads. Special tokens spelled out in data stay plain text."""
        if self.encoder_decoder:
            read = self._write(self.text(prompt))[0]
            return (*self.start, *read, self.end) if read else ()
        if self.style == "plain":
            return self.start + self._ids(self.text(prompt), special=False)[0]
        if not self._holds_special(prompt.user, prompt.forced):
            return self._ids(self.text(prompt), special=True)[0]
        head, _, tail = render(Prompt(user=_STAND_IN), "chat", self.tokenizer).partition(_STAND_IN)
        parts = ((head, True), (prompt.user, False), (tail, True), (prompt.forced, False))
        return tuple(token for text, special in parts for token in self._ids(text, special=special)[0])

    def encode(self, prompt: Prompt, target: str) -> Encoded:
        """Ids of prompt and target, cut where the student will begin to write.

        The target's ids are those that follow the prompt's in the joint text, where the prompt's ids are its prefix;
        else (a merge across the border) the target is tokenised as a continuation of its own.
        """
        prompt_ids = self.prompt(prompt)
        if self.encoder_decoder:
            return self._apart(prompt_ids, target)
        text = self.text(prompt)
        gap = self.lead(prompt, target)
        if self.style == "plain" or not self._holds_special(prompt.user, prompt.forced, target):
            ids, offsets = self._ids(text + gap + target, special=self.style == "chat")
            border = len(prompt_ids) - len(self.start)
            if self.start + ids[:border] == prompt_ids and all(start >= len(text) for start, _ in offsets[border:]):
                return Encoded(prompt_ids, ids[border:], _shifted(offsets[border:], len(text) + len(gap), len(target)))
        ids, offsets = self._ids(gap + target, special=False)
        return Encoded(prompt_ids, ids, _shifted(offsets, len(gap), len(target)))

    def _apart(self, prompt: tuple[int, ...], target: str) -> Encoded:
        """The target as a text of its own. One space before it is left out where the tokenizer would not tell."""
        bare = target[1:] if target[:1] == " " else target
        if bare != target and self._ids(bare, special=False)[0] != self._ids(target, special=False)[0]:
            bare = target
        ids, offsets = self._write(bare)
        return Encoded(prompt, ids, _shifted(offsets, len(bare) - len(target), len(target)))


def _special_tokens(tokenizer: Any) -> dict[str, int]:
    """Every special token's text and id, those without a role of their own (`<|eot_id|>`) included."""
    named = {token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens if token}
    added = tokenizer.added_tokens_decoder.items()
    return named | {token.content: number for number, token in added if token.special and token.content}


def _shifted(offsets: Sequence[Span], by: int, length: int) -> tuple[Span, ...]:
    return tuple((min(max(start - by, 0), length), min(max(end - by, 0), length)) for start, end in offsets)


def token_weights(text: str, offsets: Sequence[Span], spans: Sequence[WeightedSpan]) -> list[float]:
    """Weight of each token of `text`.

    A token takes the weight of the first span that it shares a character with that is no white space (any character,
    where it is white space throughout); a token without characters takes its right neighbour's.
    """
    ranks = _paint(len(text), spans)
    weights: list[float | None] = []
    for start, end in offsets:
        visible = [place for place in range(start, end) if not text[place].isspace()] or range(start, end)
        rank = min((ranks[place] for place in visible), default=None)
        weights.append(None if rank is None else spans[rank][2] if rank < len(spans) else 0.0)
    return _fill_empty(weights)


def _paint(length: int, spans: Sequence[WeightedSpan]) -> list[int]:
    """For each character the number of the first span that covers it; len(spans) where none does."""
    ranks = [len(spans)] * length
    for rank in range(len(spans) - 1, -1, -1):
        start, end, _ = spans[rank]
        ranks[start:end] = [rank] * (end - start)
    return ranks


def _fill_empty(weights: list[float | None]) -> list[float]:
    filled: list[float] = []
    last = next((weight for weight in reversed(weights) if weight is not None), 0.0)
    for weight in reversed(weights):
        last = last if weight is None else weight
        filled.append(last)
    return filled[::-1]


def weigh_all(items: Sequence[Example | Skip], codec: Codec, max_length: int) -> dict[int, Weighted] | str:
    """The examples of one question that have a weighted token, by their place among all of them.

    In place of them the reason why the question is left out: a question is trained on whole or not at all.
    """
    found = {}
    for number, item in enumerate(items):
        if isinstance(item, Skip):
            return item.reason
        example = weigh(item, codec)
        if example.target and not example.prompt:  # nothing to predict the first token from
            return "empty-prompt"
        if example.length > max_length:  # a weighted token would be lost
            return "over-max-length"
        if example.target:
            found[number] = example
    return found or "no-weighted-token"


def weigh(example: Example, codec: Codec) -> Weighted:
    """One example's ids and weights; without any target token where none of them counts."""
    encoded = codec.encode(example.prompt, example.target)
    target = (*encoded.target, codec.end)
    weights = (*token_weights(example.target, encoded.offsets, example.spans), example.end_weight)
    counted = max((place for place, weight in enumerate(weights, 1) if weight and example.share), default=0)
    return Weighted(
        prompt=encoded.prompt if counted else (),
        target=target[:counted],
        weights=weights[:counted],
        whole=len(target),
        share=example.share,
        wrong=example.side == "wrong",
        apart=codec.encoder_decoder,
    )
