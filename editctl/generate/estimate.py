"""What a run would ask and may cost, without asking: `--dry-run`.

Every question is taken as far as the ledger knows the answers; its next prompt is rendered and measured. What comes
after it is estimated, from the recorded completions where there are any.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from editctl.generate.costs import in_usd
from editctl.generate.keys import key_of
from editctl.generate.ledger import Ledger
from editctl.generate.maker import Maker
from editctl.generate.rounds import Answer, Asking, Round
from editctl.interfaces import CallFailed, Completion, Price, Request, Teacher
from editctl.prices import likely_tokens
from editctl.records import DualChain, Question, Step

SHORT = 100
"""Tokens of a short chain: the low guess where nothing is recorded yet. The high one is the limit asked for."""
ENOUGH = 5
"""Recorded completions of a step from which on they are the guess."""
SAMPLED = 200
"""Questions whose later prompts are rendered with an empty chain, to know what stands around it."""
LATER: tuple[Step, ...] = ("corrupt", "rectify")
STEPS: tuple[Step, ...] = ("explain", *LATER)
NOTHING = "nothing"
"""Follows an explanation whose question ends with it: a pair was mined, or the teacher can't be asked more."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls and their tokens."""

    calls: float = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def facts(self, price: Price | None) -> dict[str, Any]:
        """Whole numbers, and USD where the price is known."""
        prompt, completion = round(self.prompt_tokens), round(self.completion_tokens)
        return {
            "calls": round(self.calls),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "usd": None if price is None else round(price.usd(prompt, completion), 6),
        }


@dataclass(slots=True)
class Estimate:
    """What was found on the way, and what follows from it."""

    price: Price | None
    attempts: int
    max_tokens: int
    steps: tuple[Step, ...] = STEPS
    """What is asked at all."""
    mine: bool = False
    """Whether samples may make a pair, so that nothing follows them."""
    questions: int = 0
    recorded: int = 0
    """Completions that are in the ledger already."""
    open_calls: Counter[Step] = field(default_factory=Counter)
    """Calls that come next, by step; several samples of a question are several."""
    unexplained: int = 0
    """Questions that wait for some of these explanations."""
    open_tokens: Counter[Step] = field(default_factory=Counter)
    """Prompt tokens of these calls."""
    lengths: dict[Step, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Completion tokens of recorded calls."""
    frames: dict[Step, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Prompt tokens of later steps without the chain."""
    explained: Counter[str] = field(default_factory=Counter)
    """Questions whose explanations are recorded, by the step they lead to (or `nothing`)."""

    def facts(self) -> dict[str, Any]:
        """For `--json`: calls, tokens and USD by step and in total, each low and high."""
        steps = {step: self._range([step]) for step in self.steps}
        return {
            "questions": self.questions,
            "recorded": self.recorded,
            "samples": {step: len(lengths) for step, lengths in self.lengths.items()},
            "steps": {step: self._facts(*found) for step, found in steps.items()},
            "total": self._facts(*self._range(self.steps)),
            "price": None
            if self.price is None
            else {"input": self.price.input * 1e6, "output": self.price.output * 1e6, "unit": "USD per million tokens"},
        }

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Columns and rows for people."""
        facts = self.facts()
        rows: list[list[object]] = [[step, *_cells(one)] for step, one in facts["steps"].items()]
        return ["step", "calls", "prompt tokens", "completion tokens", "cost"], [
            *rows,
            ["all", *_cells(facts["total"])],
        ]

    def remarks(self) -> Iterator[str]:
        """What the figures rest on."""
        what = "rows" if "label" in self.steps else "questions"
        yield f"{self.questions} {what}; {self.recorded} completions are in the ledger and cost nothing more"
        if set(LATER) <= set(self.steps):
            if self.mine:
                yield "a question with right and wrong samples needs no further call: low takes all for such ones"
            yield "a question that is explained right is corrupted, another one rectified: the rows are no sum"
        if self.price is None:
            yield "the price is not known: --price IN,OUT (USD per million tokens) sets it"
        if any(len(self.lengths[step]) < ENOUGH for step in self.steps if self._range([step])[1].calls):
            yield (
                f"low: one try a step, {SHORT} tokens a completion; high: {self.attempts} tries of {self.max_tokens}; "
                "steps with recorded completions go by those: run a few questions first (-n 20) for a closer estimate"
            )

    def _facts(self, low: Amount, high: Amount) -> dict[str, Any]:
        return {"low": low.facts(self.price), "high": high.facts(self.price)}

    def _range(self, steps: Iterable[Step]) -> tuple[Amount, Amount]:
        """The least and the most that some steps may come to, over all that may follow explanations."""
        steps = list(steps)
        shares = self._shares()
        lows = [sum((self._amount(step, share, high=False) for step in steps), Amount()) for share in shares]
        highs = [sum((self._amount(step, share, high=True) for step in steps), Amount()) for share in shares]
        return min(lows, key=self._weight), max(highs, key=self._weight)

    def _weight(self, amount: Amount) -> float:
        price = self.price
        if price is None or not (price.input or price.output):
            return amount.prompt_tokens + amount.completion_tokens
        return price.input * amount.prompt_tokens + price.output * amount.completion_tokens

    def _shares(self) -> list[dict[Step, float]]:
        """Shares of the questions that each later step may follow."""
        known = self.explained.total()
        if known >= ENOUGH:
            return [{step: self.explained[step] / known for step in LATER}]
        only: list[dict[Step, float]] = [{step: 1.0} for step in LATER if step in self.steps]
        return [*only, {}] if self.mine or not only else only

    def _amount(self, step: Step, shares: dict[Step, float], *, high: bool) -> Amount:
        """One step's calls: those that are known to come next, and those that will follow explanations."""
        length = self._length(step, high=high)
        tries = self.attempts if high else 1
        calls, tokens = float(self.open_calls[step]), float(self.open_tokens[step])
        if step in LATER:
            following = self.unexplained * shares.get(step, 0.0)
            frame = statistics.fmean(self.frames[step]) if self.frames[step] else 0.0
            chain = self._length("explain", high=high) if step == "corrupt" else 0.0
            calls += following
            tokens += following * (frame + chain)
        return Amount(calls * tries, tokens * tries, calls * tries * length)

    def _length(self, step: Step, *, high: bool) -> float:
        lengths = self.lengths[step]
        if len(lengths) < ENOUGH:
            return self.max_tokens if high else min(SHORT, self.max_tokens)
        tenths = statistics.quantiles(lengths, n=10, method="inclusive")
        return tenths[-1 if high else 0]


def estimate(
    questions: Iterable[tuple[int, Question]],
    maker: Maker,
    teacher: Teacher,
    ledger: Ledger | None,
    price: Price | None,
) -> Estimate:
    """Measure what a run over these questions has still to ask. `price` None is not known."""
    steps = tuple(step for step in STEPS if step in maker.steps)
    found = Estimate(price, maker.settings.attempts, maker.settings.max_tokens, steps, maker.settings.mine)
    for number, question in questions:
        found.questions += 1
        follow(maker.make(number, question), teacher, ledger, found)
        if found.questions <= SAMPLED:
            _frame(question, number, maker, found)
    return found


def follow(asking: Asking[Any], teacher: Teacher, ledger: Ledger | None, found: Estimate) -> None:
    """Take a question as far as its first calls that are not recorded."""
    before: Round = ()
    try:
        calls = next(asking)
        while True:
            answers = [_recorded(request, teacher, ledger, found) for request in calls]
            known = [answer for answer in answers if answer is not None]
            if len(known) < len(answers):
                found.unexplained += calls[0].step == "explain"
                return
            before = calls
            calls = asking.send(known)
            if before[0].step == "explain" and calls[0].step != "explain":
                found.explained[calls[0].step] += 1
    except StopIteration as end:
        if isinstance(end.value, DualChain) and before and before[0].step == "explain":
            found.explained[NOTHING] += 1


def _recorded(request: Request, teacher: Teacher, ledger: Ledger | None, found: Estimate) -> Answer | None:
    """The answer that the ledger holds; None, and the call counted, where it holds none."""
    entry = None if ledger is None else ledger.find(key_of(teacher, request))
    if entry is None:
        found.open_calls[request.step] += 1
        found.open_tokens[request.step] += likely_tokens(request.messages)
        return None
    found.recorded += 1
    answer = entry.completion or CallFailed(*(entry.failure or ("", "")), answered=True)
    _sample(request, answer, found)
    return answer


def _sample(request: Request, answer: Completion | CallFailed, found: Estimate) -> None:
    if isinstance(answer, Completion) and answer.completion_tokens is not None:
        found.lengths[request.step].append(answer.completion_tokens)


def _frame(question: Question, number: int, maker: Maker, found: Estimate) -> None:
    """Measure what stands around the chain in the prompts of later steps."""
    mistakes = maker.settings.mistakes
    for step in set(LATER) & set(found.steps):
        mistake = mistakes[number % len(mistakes)] if step == "corrupt" else None
        found.frames[step].append(likely_tokens(maker.render(step, question, mistake, "")[0]))


def _cells(one: dict[str, Any]) -> list[object]:
    low, high = one["low"], one["high"]
    cells: list[object] = [_span(f"{low[key]:,}", f"{high[key]:,}") for key in list(low)[:3]]
    usd = _span(in_usd(low["usd"]), in_usd(high["usd"]))
    # The unit stands once: `0.0021 to 0.34 USD`.
    return [*cells, usd.replace(" USD to ", " to ")]


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
