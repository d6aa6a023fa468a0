"""A student of two halves writes: the prompts are read once, side by side; then all texts go on token by token.

Texts begin at the same column, so nothing is padded but the prompts, on the right and masked.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from editctl.decoding.cache import Cache
from editctl.decoding.row import Done, Row, draws

COMPACT = 8
"""Finished texts leave the batch when they are one in this many."""


class Writer(Protocol):
    """What a decoder is to a batch."""

    model: Any
    temperature: float
    opening: tuple[int, ...]

    def choose(self, logits_BV: Any, draws_B: Any) -> Any:
        """One token for each row."""
        ...


class ApartBatch:
    """Texts whose prompts an encoder reads."""

    def __init__(self, writer: Writer, rows: list[Row]) -> None:
        self.writer = writer
        self.rows = rows
        self.device = next(writer.model.parameters()).device
        width = max(len(row.job.ids) for row in rows)
        ids_BR = torch.zeros((len(rows), width), dtype=torch.long)
        mask_BR = torch.zeros_like(ids_BR)
        for number, row in enumerate(rows):
            ids_BR[number, : len(row.job.ids)] = torch.tensor(row.job.ids)
            mask_BR[number, : len(row.job.ids)] = 1
        self.mask_BR = mask_BR.to(self.device)
        inner = writer.model.get_base_model() if hasattr(writer.model, "get_base_model") else writer.model
        self.read_BRD = inner.get_encoder()(input_ids=ids_BR.to(self.device), attention_mask=self.mask_BR)[0]
        self.cache = EncoderDecoderCache(Cache(), Cache())
        self.draws_BL = draws(rows, self.device, drawn=bool(writer.temperature))

    def run(self, told: Callable[[int, Done], None]) -> None:
        """Write until every row has ended."""
        given_BT = torch.tensor([self.writer.opening] * len(self.rows), device=self.device)
        step = 0
        while True:
            tokens_B = self.writer.choose(self._logits(given_BT), self.draws_BL[:, step])
            open_rows = []
            for number, token in enumerate(tokens_B.tolist()):
                if not self._ends(self.rows[number], token, told):
                    open_rows.append(number)
            if not open_rows:
                return
            if len(self.rows) - len(open_rows) >= max(1, len(self.rows) // COMPACT):
                tokens_B = tokens_B[open_rows]
                self._compact(open_rows)
            given_BT = tokens_B[:, None]
            step += 1

    def _logits(self, given_BT: Any) -> Any:
        """Logits behind each row's last token, shape (rows, vocabulary), float32."""
        out = self.writer.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.read_BRD),
            attention_mask=self.mask_BR,
            decoder_input_ids=given_BT,
            past_key_values=self.cache,
            use_cache=True,
        )
        return out.logits[:, -1].float()

    def _ends(self, row: Row, token: int, told: Callable[[int, Done], None]) -> bool:
        if row.ended:
            return True
        done = row.take(token)
        if done is None:
            return False
        row.ended = True
        told(row.place, done)
        return True

    def _compact(self, stay: Sequence[int]) -> None:
        """Finished rows leave."""
        for cache in (self.cache.self_attention_cache, self.cache.cross_attention_cache):
            cache.select(stay, 0)
        index = torch.tensor(stay, device=self.device)
        self.mask_BR, self.read_BRD = self.mask_BR[index], self.read_BRD[index]
        self.draws_BL = self.draws_BL[index]
        self.rows = [self.rows[number] for number in stay]
