"""What the calls of a run came to: tokens and USD by step, paid now or in an earlier run."""

import math
from dataclasses import dataclass, field
from typing import Any

from editctl.interfaces import Completion


@dataclass(slots=True)
class StepCost:
    """Calls of one step whose completions this run uses."""

    calls: int = 0
    reused: int = 0
    """Of these, completions that were in the ledger already."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    """All calls whose price is known."""
    paid_now: float = 0.0
    """The part of it that this run paid."""
    unknown: int = 0
    """Calls whose price is not known."""

    def add(self, completion: Completion, *, reused: bool) -> None:
        """Count one completion."""
        self.calls += 1
        self.reused += reused
        self.prompt_tokens += completion.prompt_tokens or 0
        self.completion_tokens += completion.completion_tokens or 0
        if completion.usd is None:
            self.unknown += 1
            return
        self.usd += completion.usd
        self.paid_now += 0.0 if reused else completion.usd

    def facts(self) -> dict[str, Any]:
        """For the manifest; USD is null unless every price is known."""
        return {
            "calls": self.calls,
            "reused": self.reused,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": self.known(self.usd),
            "usd_paid_now": self.known(self.paid_now),
        }

    def known(self, usd: float) -> float | None:
        """A sum of prices, or None where one of them is missing: unknown is not 0."""
        return None if self.unknown else round(usd, 9)


@dataclass(slots=True)
class Costs:
    """Costs of a run by step."""

    steps: dict[str, StepCost] = field(default_factory=dict)

    def add(self, step: str, completion: Completion, *, reused: bool) -> None:
        """Count one completion."""
        self.steps.setdefault(step, StepCost()).add(completion, reused=reused)

    def total(self) -> StepCost:
        """All steps together."""
        whole = StepCost()
        for cost in self.steps.values():
            for name in StepCost.__slots__:
                setattr(whole, name, getattr(whole, name) + getattr(cost, name))
        return whole

    def facts(self, pairs: int, what: str = "pair") -> dict[str, Any]:
        """For the manifest: by step, in total, and for each pair (or `what` else was made)."""
        whole = self.total()
        usd = whole.known(whole.usd)
        return {
            **whole.facts(),
            f"usd_per_{what}": None if usd is None or not pairs else round(usd / pairs, 9),
            "steps": {step: cost.facts() for step, cost in self.steps.items()},
        }


def in_usd(amount: float | None) -> str:
    """An amount for people: cents from 1 USD on, three figures below; or `unknown`."""
    if amount is None:
        return "unknown"
    digits = 2 if amount >= 1 or amount <= 0 else 2 - math.floor(math.log10(amount))
    return f"{amount:,.{digits}f} USD"
