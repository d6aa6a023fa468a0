"""A student writes many texts side by side, and what it has read is not read twice.

Unlike transformers' `generate`, texts that are finished leave the batch, sampling depends on a text's own seed and not
on its neighbours, and a text can be gone on with after other words were put behind it (a decode plan's later steps).
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from editctl.decoding.apart import COMPACT, ApartBatch
from editctl.decoding.cache import Cache, Memory, assemble, can_hold
from editctl.decoding.fallback import by_generate
from editctl.decoding.row import Done, Job, Row, draws
from editctl.models import Student, decoder_start
from editctl.tokens import Codec

MOST_READ_AGAIN = 64
"""Texts that differ from what is remembered by more tokens than this are read anew, apart from the others."""

Told = Callable[[int, Done], None]


class Decoder:
    """Writes with one student."""

    def __init__(
        self,
        student: Student,
        *,
        end: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        codec: Codec | None = None,
    ) -> None:
        """`end`: the token that ends a text; temperature 0 takes the likeliest token. `codec`: how the student's ids
        are read, where its tokenizer alone does not know."""
        self.model = student.model
        self.tokenizer = student.tokenizer
        self.end = end
        self.temperature = temperature
        self.top_p = top_p
        self.codec = codec
        self.apart = student.encoder_decoder
        self.opening = (decoder_start(student), *(codec.start if codec else ())) if self.apart else ()
        self.remembers = can_hold(student.model)
        inner = student.model.get_base_model() if hasattr(student.model, "get_base_model") else student.model
        self._takes = set(inspect.signature(inner.forward).parameters)

    def write(
        self,
        jobs: Mapping[int, Job],
        told: Told,
        memory: Mapping[int, Memory] | None = None,
        *,
        keep: bool = False,
    ) -> dict[int, Memory]:
        """Write one batch; each text is told when it ends, by its place.

        `memory` holds what was read and written before at the same places; where a job's ids begin alike, that part
        is not read again. With `keep` the same is returned for a later call.
        """
        self.model.eval()
        rows = [Row(place, job, self.end, self._text) for place, job in jobs.items()]
        with torch.inference_mode():
            if self.apart:
                ApartBatch(self, rows).run(told)
                return {}
            if not self.remembers:
                by_generate(self.model, rows, told, temperature=self.temperature, top_p=self.top_p)
                return {}
            kept: dict[int, Memory] | None = {} if keep else None
            for group in _groups(rows, memory or {}):
                _Batch(self, group, memory or {}).run(told, kept)
        return kept or {}

    def _text(self, ids: Any) -> str:
        if self.codec is not None:
            return self.codec.decode(ids)
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def logits(self, ids: Any, mask: Any, positions: Any, cache: Cache) -> Any:
        """Logits behind each row's last token, shape (rows, vocabulary), float32."""
        more: dict[str, Any] = {}
        if "position_ids" in self._takes:
            more["position_ids"] = positions
        if "logits_to_keep" in self._takes:
            more["logits_to_keep"] = 1
        out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **more)
        return out.logits[:, -1].float()

    def choose(self, logits_BV: Any, draws_B: Any) -> Any:
        """One token for each row; `draws_B` are random numbers in [0, 1)."""
        if not self.temperature:
            return logits_BV.argmax(-1)
        likely_BV, order_BV = torch.softmax(logits_BV / self.temperature, -1).sort(dim=-1, descending=True, stable=True)
        # The likeliest tokens that together reach top_p (Holtzman et al. 2020), the first one always.
        excluded_BV = likely_BV.cumsum(-1) - likely_BV >= self.top_p
        excluded_BV[:, 0] = False
        likely_BV = likely_BV.masked_fill(excluded_BV, 0.0)
        upto_BV = likely_BV.cumsum(-1)
        rank_B = (upto_BV <= draws_B[:, None] * upto_BV[:, -1:]).sum(-1)
        last_B = (likely_BV > 0).sum(-1) - 1
        return order_BV.gather(-1, torch.minimum(rank_B, last_B)[:, None])[:, 0]


def _groups(rows: list[Row], memory: Mapping[int, Memory]) -> list[list[Row]]:
    """Rows whose remembered part serves, and rows that are read anew: all of a batch read equally many tokens."""
    near = [row for row in rows if row.place in memory and _unread(row.job, row.place, memory) <= MOST_READ_AGAIN]
    places = {row.place for row in near}
    far = [row for row in rows if row.place not in places]
    return [group for group in (near, far) if group]


def _unread(job: Job, place: int, memory: Mapping[int, Memory]) -> int:
    return len(job.ids) - (memory[place].shared_with(job.ids) if place in memory else 0)


class _Batch:
    """Rows padded on the left, so that all go on at the same column."""

    def __init__(self, decoder: Decoder, rows: list[Row], memory: Mapping[int, Memory]) -> None:
        self.decoder = decoder
        self.rows = rows
        lengths = [len(row.job.ids) for row in rows]
        width = max(lengths)
        ids_BT = torch.zeros((len(rows), width), dtype=torch.long)
        mask_BT = torch.zeros_like(ids_BT)
        for number, row in enumerate(rows):
            ids_BT[number, width - lengths[number] :] = torch.tensor(row.job.ids)
            mask_BT[number, width - lengths[number] :] = 1
        fresh = min(width, max(_unread(row.job, row.place, memory) for row in rows))
        self.cache = assemble([memory.get(row.place) for row in rows], lengths, width, fresh)
        device = next(decoder.model.parameters()).device
        self.mask_BT = mask_BT.to(device)
        self.positions_BT = (self.mask_BT.cumsum(-1) - 1).clamp(min=0)[:, -fresh:]
        self.draws_BL = draws(rows, device, drawn=bool(decoder.temperature))
        self.logits_BV = self._read(ids_BT[:, -fresh:].to(device))

    def _read(self, ids_BN: Any) -> Any:
        return self.decoder.logits(ids_BN, self.mask_BT, self.positions_BT, self.cache)

    def run(self, told: Told, kept: dict[int, Memory] | None) -> None:
        """Write until every row has ended."""
        open_rows = list(range(len(self.rows)))
        step = 0
        while True:
            tokens_B = self.decoder.choose(self.logits_BV, self.draws_BL[:, step])
            chosen = tokens_B.tolist()
            open_rows = [number for number in open_rows if not self._ends(number, chosen[number], told, kept)]
            if not open_rows:
                return
            if len(self.rows) - len(open_rows) >= max(1, len(self.rows) // COMPACT):
                tokens_B = tokens_B[open_rows]
                self._compact(open_rows)
                open_rows = list(range(len(self.rows)))
            self.mask_BT = torch.nn.functional.pad(self.mask_BT, (0, 1), value=1)
            self.positions_BT = self.positions_BT[:, -1:] + 1
            self.logits_BV = self._read(tokens_B[:, None])
            step += 1

    def _ends(self, number: int, token: int, told: Told, kept: dict[int, Memory] | None) -> bool:
        row = self.rows[number]
        done = row.take(token)
        if done is None:
            return False
        if kept is not None:
            kept[row.place] = self.cache.remember(number, [*row.job.ids, *row.written], self._padding(number))
        told(row.place, done)
        return True

    def _padding(self, number: int) -> int:
        return int(self.mask_BT.shape[1] - self.mask_BT[number].sum())

    def _compact(self, stay: list[int]) -> None:
        """Finished rows leave, and with them the columns that are padding in all that stay."""
        spare = min(map(self._padding, stay))
        self.cache.select(stay, spare)
        self.mask_BT = self.mask_BT[stay, spare:]
        self.positions_BT = self.positions_BT[stay]
        self.draws_BL = self.draws_BL[stay]
        self.rows = [self.rows[number] for number in stay]
