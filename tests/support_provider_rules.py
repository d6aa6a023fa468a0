"""How the provider on loopback answers, misbehaves and kills, as plain values.

It answers sums deterministically from what a request asks, with a mark of it in every text, so that a text in a ledger
tells which request it was paid for.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support_provider import Reply, body_hash

MARK = re.compile(r"\(ref ([0-9a-f]{16})\)")
_SUM = re.compile(r"What is (\d+) \+ (\d+)\?")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When the provider does something else than answer; the first rule that fits decides."""

    kind: str
    """One of support_provider.FAULTS."""
    first: int = 0
    last: int = 10**9
    """Numbers of the requests, from 0 since the rules were set, to which it applies (`last` not included)."""
    rate: float = 1.0
    """Share of those it hits, drawn from the body's hash and the number of times the body was sent."""
    seed: int = 0
    tries: int = 10**9
    """Hits only so many first sendings of a body, counted since the rules were set."""
    holds: str = ""
    """Text that the body must hold."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def fits(self, number: int, text: str, mark: str, sending: int) -> bool:
        """Whether it hits a request; `sending` counts from 1."""
        if not self.first <= number < self.last or sending > self.tries or self.holds not in text:
            return False
        drawn = hashlib.sha256(f"{self.seed} {mark} {sending}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") / 2**32 < self.rate


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How the provider behaves."""

    rules: tuple[Rule, ...] = ()
    latency: float = 0.01
    """Seconds, more or less, before an answer."""
    completion_tokens: int = 7
    plain: bool = False
    """Every sum is answered right and corrupted well: two calls a question."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """When the provider kills a client: no other process can choose the moment so well."""

    pid: int
    key: str
    """Which client's requests count."""
    what: str
    """arrived or answered."""
    count: int
    delay: float = 0.0
    """Seconds after that."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of the log."""

    what: str
    """arrived, answered (the answer is about to be sent; also where nobody waits for it any more)."""
    number: int
    """Of the request, from 0."""
    mark: str
    """Hash of its body."""
    key: str
    """Which client sent it."""
    step: str = ""
    about: str = ""
    """The sum."""
    fault: str | None = None
    """What was done instead of answering; None for a good answer."""
    at: float = 0.0


def asked_of(body: Mapping[str, Any]) -> tuple[str, int, int]:
    """Step and sum."""
    asked = str(body["messages"][-1]["content"])
    left, right = map(int, _SUM.findall(asked)[-1])
    step = "corrupt" if "Right solution:" in asked else "rectify" if "The final answer is" in asked else "explain"
    return step, left, right


def answer_sum(body: Mapping[str, Any], behaviour: Behaviour) -> Reply:
    """What a teacher of middling talent says; every body has one answer."""
    mark = body_hash(body)
    step, left, right = asked_of(body)
    draw = 0 if behaviour.plain else int(mark, 16) % 100
    good, poor = left + right, left + right + 1
    said = {"explain": good if draw < 70 else poor, "corrupt": poor if draw < 85 else good}.get(step, good)
    text = f"{left} and {right} make {said}. Therefore, the answer is {said}. (ref {mark})"
    reply = Reply(text=text, completion_tokens=behaviour.completion_tokens)
    if draw >= 97:
        return replace(reply, reasoning=f"{left}, then {right}.")
    if draw >= 94:
        return replace(reply, text=f"Let me see: {left} and (ref {mark})", finish_reason="length")
    if draw >= 90:
        return replace(reply, text=f"That is hard to say. (ref {mark})")
    return reply
