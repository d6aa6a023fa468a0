"""What calls may cost and did cost: no call is made that could pass the cap."""

import asyncio
import math
from dataclasses import dataclass, field, replace

from editctl.errors import BudgetReached
from editctl.generate.costs import in_usd
from editctl.generate.ledger import NANO, Bill, Cap, Entry, Ledger, from_nanousd, to_nanousd
from editctl.generate.ledger_batches import ReservedCall
from editctl.interfaces import CallFailed, Completion, Price, Request
from editctl.prices import worst_case_tokens


@dataclass(slots=True)
class Budget:
    """Reserves the most a call can cost before it is made, and settles what it did cost."""

    ledger: Ledger
    model: str
    cap: Cap = field(default_factory=Cap)
    price: Price | None = None
    """What a token costs; None is not known."""
    own_price: bool = False
    """True where the user named the price: it then counts, whatever the provider's client says a call cost."""
    waiting: int = 0
    """Calls that wait for room under the cap."""
    _open: int = 0
    """Reservations of ours that are not settled yet."""
    _settled: asyncio.Event = field(default_factory=asyncio.Event)
    _overshoot: float = 1.0
    """How far a bill has gone beyond its reservation, at worst."""

    async def begin(self) -> None:
        """Count what this run paid before its price was known."""
        if self.price is not None and self.ledger.spent().nanousd is None:
            await self.ledger.price(max(self.price.input, self.price.output) * NANO)

    async def reserve(self, key: bytes, request: Request, *, durably: bool = False) -> ReservedCall:
        """Hold the most a call can cost; waits while calls under way may leave room. `settle` must follow.

        Under a cap, or `durably`, the reservation is on disk when this returns; else soon after.

        Raises:
            BudgetReached: it does not fit, and nothing is under way that could make room.
        """
        worst, overshoot = self._worst_case(request), self._overshoot
        if self.cap == Cap() and not durably:
            self._open += 1
            return ReservedCall(key, request.step, self.ledger.note(key, worst), worst, overshoot)
        while True:
            self._settled.clear()
            self._open += 1
            charge = await self.ledger.reserve(key, worst, self.cap)
            if charge is not None:
                return ReservedCall(key, request.step, charge, worst, overshoot)
            self._open -= 1
            if not self._open:
                self._settled.set()
                raise BudgetReached(self._reached(worst))
            self.waiting += 1
            try:
                await self._settled.wait()
            finally:
                self.waiting -= 1

    def settle(self) -> None:
        """A call has ended, however it did: whoever waits for room may look again."""
        self._open -= 1
        self._settled.set()

    def book(self, call: ReservedCall, said: Completion | CallFailed) -> tuple[Entry, Bill]:
        """What is recorded of an answer, and what it cost."""
        if isinstance(said, CallFailed):
            failure = (said.reason, said.detail)
            return Entry(key=call.key, model=self.model, step=call.step, completion=None, failure=failure), Bill(0, 0)
        completion = self.priced(said, anew=self.own_price)
        entry = Entry(key=call.key, model=self.model, step=call.step, completion=completion)
        return entry, self._bill(completion, call)

    def priced(self, completion: Completion, *, anew: bool = False) -> Completion:
        """With the price of the call, where it can be known; `anew` also where it has one."""
        price = self.price
        if price is None or completion.prompt_tokens is None or completion.completion_tokens is None:
            return completion
        if completion.usd is not None and not anew:
            return completion
        return replace(completion, usd=price.usd(completion.prompt_tokens, completion.completion_tokens))

    def _worst_case(self, request: Request) -> Bill:
        """The most a call can cost."""
        prompt = worst_case_tokens(request.messages)
        tokens = (prompt + request.max_tokens) * self._overshoot
        usd = None if self.price is None else self.price.usd(prompt, request.max_tokens) * self._overshoot
        return Bill(math.ceil(tokens), None if usd is None else to_nanousd(usd))

    def _bill(self, completion: Completion, call: ReservedCall) -> Bill:
        """What a call did cost; its worst case where the provider doesn't say."""
        worst = call.worst
        known = completion.prompt_tokens is not None and completion.completion_tokens is not None
        tokens = (completion.prompt_tokens or 0) + (completion.completion_tokens or 0) if known else worst.tokens
        nanousd = worst.nanousd if completion.usd is None else to_nanousd(completion.usd)
        # Some models think beyond max_tokens: whoever overdraws once is expected to do so again.
        over = [tokens / max(worst.tokens, 1)]
        over += [nanousd / worst.nanousd] if nanousd and worst.nanousd else []
        self._overshoot = max(self._overshoot, call.overshoot * max(over))
        return Bill(tokens, nanousd)

    def _reached(self, worst: Bill) -> str:
        spent, cap = self.ledger.spent(), self.cap
        parts = []
        if cap.nanousd is not None:
            needs, used = in_usd(from_nanousd(worst.nanousd)), in_usd(from_nanousd(spent.nanousd))
            parts.append(f"{used} of {in_usd(from_nanousd(cap.nanousd))} are spent, the next call may cost {needs}")
        if cap.tokens is not None:
            parts.append(f"{spent.tokens} of {cap.tokens} tokens are spent, the next call may take {worst.tokens}")
        calls, held = self.ledger.held()
        if calls:
            usd = "" if held.nanousd is None else f" of up to {in_usd(from_nanousd(held.nanousd))}"
            parts.append(
                f"{calls} calls{usd} that earlier runs left without an answer count as spent "
                f"(`editctl ledger prune {self.ledger.path} --open` frees them)"
            )
        return (
            f"budget reached: {'; '.join(parts)}; what is finished is written, "
            "the same command with a higher budget goes on"
        )
