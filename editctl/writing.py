"""What a tokenizer loses, written nevertheless: as spare tokens, which no text uses. Exact: any text comes back.

T5's tokenizers make one space of any white space and have no piece for `{`, `<` or a backslash, so of a program little
would be left. But they have a hundred numbered tokens without a role (`<extra_id_0>`); here these stand for what is
lost. A text that its tokenizer can write is left to it; any other is cut into pieces that it can, with spare tokens
between them. Everything follows from the tokenizer alone, so training and asking can't differ.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from editctl.records import Span

_ALWAYS = (" ", "")
"""A space at the edge of a piece, and the border between two pieces that touch: without it they would be two words."""
_LISTED = (
    *("\n", *_ALWAYS, "    ", "\n    ", "\n        ", "\n\n", "  ", "\t"),
    *("{", "}", "<", "\\", "^", "~", "`", " < ", " <= ", "<=", "```", "|", "[", "]", "_", "@", "#", "$", "*"),
    *("≤", "≥", "≠", "≈", "×", "÷", "−", "·", "√", "π", "²", "³", "½", "¼", "¾", "→", "⇒", "∞", "∈", "∠", "△", "…"),
)
"""Texts that get a token of their own where the tokenizer loses them, in the order in which spare tokens are taken: low
numbers are those that T5 met most in pretraining. The order is part of what trained students know: add at its end."""
_DIGITS = 16
"""Spare tokens that spell anything else: the digits of its bytes (UTF-8)."""


class Writing:
    """Texts <-> ids, with one tokenizer and its spare tokens."""

    def __init__(self, tokenizer: Any, spare: Sequence[int]) -> None:
        """`spare`: ids of tokens that nothing else stands for, at least `enough` of them."""
        self._tokenizer = tokenizer
        self._spare = frozenset(spare)
        self._kept: dict[str, bool] = {}
        self._digits = tuple(spare[-_DIGITS:])
        lost = (text for text in _LISTED if text in _ALWAYS or not self._is_kept(f"a{text}a"))
        self._tokens = dict(zip(lost, spare[:-_DIGITS], strict=False))
        self._texts = {token: text for text, token in self._tokens.items()}
        own = sorted(self._tokens.keys() - {*_ALWAYS}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, own)) or r"(?!)")

    @classmethod
    def of(cls, tokenizer: Any) -> "Writing | None":
        """None where the tokenizer has too few spare tokens."""
        spare = spare_tokens(tokenizer)
        return cls(tokenizer, spare) if len(spare) >= _DIGITS + len(_ALWAYS) else None

    @property
    def loses(self) -> bool:
        """Whether the tokenizer alone can't write what programs are made of."""
        return not self._is_kept("a\n    b  {c} <d> \\e")

    def encode(self, text: str) -> tuple[list[int], list[Span]]:
        """Ids, and the characters that each stands for."""
        ids, offsets = self._plain(text)
        if self._read(ids) == text:
            return ids, offsets
        page = _Page([], [], False)
        done = 0
        for found in self._pattern.finditer(text):
            self._words(page, text, done, found.start())
            page.add([self._tokens[found[0]]], [found.span()])
            done = found.end()
        self._words(page, text, done, len(text))
        return page.ids, page.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """The text of any ids, whoever wrote them."""
        runs = ((kind, list(run)) for kind, run in groupby(ids, self._kind))
        return "".join(self._run(kind, run) for kind, run in runs)

    def _kind(self, token: int) -> str:
        return "listed" if token in self._texts else "digit" if token in self._digits else "plain"

    def _run(self, kind: str, ids: list[int]) -> str:
        if kind == "listed":
            return "".join(self._texts[token] for token in ids)
        if kind == "plain":
            return self._read(ids)
        digits = [self._digits.index(token) for token in ids]
        pairs = zip(digits[::2], digits[1::2], strict=False)
        return bytes(high * _DIGITS + low for high, low in pairs).decode(errors="replace")

    def _plain(self, text: str) -> tuple[list[int], list[Span]]:
        """What the tokenizer makes of a text."""
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True, verbose=False
        )
        return list(encoded["input_ids"]), [(start, end) for start, end in encoded["offset_mapping"]]

    def _read(self, ids: Sequence[int]) -> str:
        """What the tokenizer reads; special tokens, spare ones among them, are nothing to it."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _is_kept(self, text: str) -> bool:
        if text not in self._kept:
            self._kept[text] = self._read(self._plain(text)[0]) == text
        return self._kept[text]

    def _words(self, page: "_Page", text: str, start: int, end: int) -> None:
        """Write a part of a text in which no listed text stands: words of kept characters, one by one what is lost."""
        kinds = "".join("s" if one == " " else "k" if self._is_kept(one) else "x" for one in text[start:end])
        for found in re.finditer(r"k+(?:sk+)*|.", kinds):
            if found[0][0] == "k":
                self._piece(page, text, start + found.start(), start + found.end())
            else:
                self._character(page, text, start + found.start())

    def _piece(self, page: "_Page", text: str, start: int, end: int) -> None:
        """Write a piece as the tokenizer does; halves of it where that would lose something."""
        ids, offsets = self._plain(text[start:end])
        if self._read(ids) == text[start:end]:
            if page.open:
                page.add([self._tokens[""]], [(start, start)])
            page.add(ids, [(first + start, last + start) for first, last in offsets], is_open=True)
        elif end - start == 1:
            self._character(page, text, start)
        else:
            middle = (start + end) // 2
            self._piece(page, text, start, middle)
            self._piece(page, text, middle, end)

    def _character(self, page: "_Page", text: str, place: int) -> None:
        own = self._tokens.get(text[place])
        digits = (digit for byte in text[place].encode() for digit in divmod(byte, _DIGITS))
        ids = [self._digits[digit] for digit in digits] if own is None else [own]
        page.add(ids, [(place, place + 1)] * len(ids))


class _Page:
    """What is written so far."""

    def __init__(self, ids: list[int], offsets: list[Span], is_open: bool) -> None:
        """`is_open`: it ends in a piece, which the next piece must not touch."""
        self.ids = ids
        self.offsets = offsets
        self.open = is_open

    def add(self, ids: Sequence[int], offsets: Sequence[Span], *, is_open: bool = False) -> None:
        self.ids += ids
        self.offsets += offsets
        self.open = is_open


def spare_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Ids of special tokens without a role: the largest family whose names differ in a number alone, by that number."""
    families: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for number, token in tokenizer.added_tokens_decoder.items():
        name = re.fullmatch(r"(\D*)(\d+)(\D*)", token.content)
        if name and token.special:
            families[name[1], name[3]][int(name[2])] = number
    largest = max(families.values(), key=len, default={})
    return tuple(largest[number] for number in sorted(largest))
