"""Pairs and rejects as JSON objects, one a line, the figures last."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from editctl.jsonl import dumps
from editctl.pieces import pieces
from editctl.records import Alignment, Chain, Reject, Span
from editctl.rows import alignment_to_row, reject_to_row

Piece = dict[str, Any]


class PairLines:
    """Writes what PairScreen prints, for programs."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write

    def pair(self, alignment: Alignment, outcome: str) -> None:
        """The row as `align` writes it, and each chain cut into key steps and what lies between them."""
        dual, edits = alignment.dual, alignment.edits
        cut = {
            "right": _pieces(dual.right, edits.right if edits else ()),
            "wrong": _pieces(dual.wrong, edits.wrong if edits else ()),
        }
        self.write(dumps({"kind": "pair", "outcome": outcome, "row": alignment_to_row(alignment), "pieces": cut}))

    def reject(self, reject: Reject) -> None:
        """The row as `gen-dual` writes it."""
        self.write(dumps({"kind": "reject", "outcome": reject.reason, "row": reject_to_row(reject)}))

    def summary(self, facts: Mapping[str, Any]) -> None:
        """The figures."""
        self.write(dumps({"kind": "summary", **facts}))


def _pieces(chain: Chain | None, spans: Iterable[Span]) -> list[Piece] | None:
    return None if chain is None else [{"text": text, "key": key} for text, key in pieces(chain.text, spans)]
