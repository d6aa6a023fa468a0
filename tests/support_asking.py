"""A teacher that costs money, and short ways to ask it through a ledger."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from editctl.generate.asking import Asker, Manners
from editctl.generate.budget import Budget
from editctl.generate.ledger import Bill, Cap, Ledger
from editctl.generate.maker import Maker, Outcome
from editctl.generate.settings import Settings
from editctl.generate.stage import Shard, make_dual_chains
from editctl.generate.throttle import Throttle
from editctl.interfaces import Completion, Message, Price, Request
from editctl.jsonl import dumps
from editctl.prompts import Templates
from editctl.records import Question, Reject
from editctl.rows import dual_to_row, reject_to_row

PRICE = Price(input=0.25, output=0.5)
"""Dear, and exact in binary figures."""
A_CALL = 5.0
"""USD of a call of 10 and 5 tokens."""
HASTY = Manners(retries=2, patience=30.0, first_pause=0.001)
Said = Completion | Exception | str
Answer = Callable[[Request], Said]


def sums(count: int) -> list[Question]:
    """Questions of one task whose answers all differ."""
    return [
        Question(id=f"q{number}", question=f"What is {number} + 3?", answer=str(number + 3), task="add")
        for number in range(count)
    ]


def number_of(request: Request) -> int:
    """Which of the sums it asks for."""
    return int(str(request.question.answer)) - 3


def said(answer: object, prompt: int | None = 10, written: int | None = 5, usd: float | None = None) -> Completion:
    """A chain that ends in an answer."""
    text = f"I add the two numbers. Therefore, the answer is {answer}."
    return Completion(text=text, prompt_tokens=prompt, completion_tokens=written, usd=usd)


def solved(request: Request) -> Completion:
    """Every third explanation is wrong, every fourth first try can't be read; the rest is as asked."""
    number = number_of(request)
    if request.step == "explain" and request.attempt == 1 and number % 4 == 1:
        return replace(said(0), text="I do not know.")
    wrong = request.step == "corrupt" or (request.step == "explain" and number % 3 == 0)
    return said(number + 3 + wrong)


def plain(request: Request) -> Completion:
    """Every question is two calls: explained right, then corrupted."""
    return said(number_of(request) + 3 + (request.step == "corrupt"))


def call(text: str = "What?", **more: Any) -> Request:
    """One request for these words; those of one wording share an answer."""
    messages: list[Message] = [{"role": "user", "content": text}]
    question = Question(id=text, question=text, answer="3")
    usual = {"question": question, "messages": messages, "template": "explain", "step": "explain"}
    return Request(**{**usual, **more})


class Paid:
    """Is not offline: says what a function makes of each request, or raises it."""

    name = "paid"
    offline = False

    def __init__(self, answer: Answer = solved, pause: Callable[[Request], Any] | None = None) -> None:
        self.answer = answer
        self.pause = pause
        self.requests: list[Request] = []
        self.under_way = self.most_under_way = self.cancelled = self.closed = 0

    @property
    def asked(self) -> Counter[tuple[str, str, int]]:
        """How often each call was made: question, step, attempt."""
        return Counter((one.question.question, one.step, one.attempt) for one in self.requests)

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if self.pause is not None:
                await self.pause(request)
            answer = self.answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1
        if isinstance(answer, Exception):
            raise answer
        return Completion(text=answer) if isinstance(answer, str) else answer

    async def close(self) -> None:
        self.closed += 1


def in_turn(*answers: Said) -> Answer:
    """One after the other, whatever is asked; the last one for ever."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def asker_for(ledger: Ledger, teacher: Any, concurrency: int = 4, **more: Any) -> Asker:
    """Asks through a ledger; `cap`, `price` and `own_price` are the budget's, the rest the asker's."""
    money = {key: more.pop(key) for key in ("cap", "price", "own_price") if key in more}
    budget = Budget(ledger, teacher.name, **{"price": PRICE, **money})
    throttle = more.pop("throttle", None) or Throttle(start=concurrency, most=concurrency)
    return Asker(teacher, throttle, budget, more.pop("manners", HASTY), **more)


@contextmanager
def asking(path: Path, teacher: Any, concurrency: int = 4, *, run: str = "run", **more: Any) -> Iterator[Asker]:
    """As `asker_for`, over a ledger that is closed afterwards."""
    ledger = Ledger(path, run)
    try:
        yield asker_for(ledger, teacher, concurrency, **more)
    finally:
        ledger.close()


def maker_for(teacher: Any, **settings: Any) -> Maker:
    """A maker with the shipped templates."""
    return Maker(teacher.name, Templates(), Settings(**{"max_tokens": 50, **settings}))


def outcomes(
    asker: Asker, questions: Iterable[Question], *, window: int = 32, shard: Shard | None = None, **settings: Any
) -> Iterator[Outcome]:
    """What the stage makes of questions."""
    return make_dual_chains(questions, maker_for(asker.teacher, **settings), asker, window=window, shard=shard)


def as_bytes(made: Iterable[Outcome]) -> bytes:
    """The rows as they are written, pairs and rejects in one stream."""
    rows = (reject_to_row(one) if isinstance(one, Reject) else dual_to_row(one) for one in made)
    return "".join(f"{dumps(row)}\n" for row in rows).encode()


def charges(path: Path) -> dict[str, int]:
    """How many charges of each state a ledger's file holds."""
    with closing(sqlite3.connect(path)) as file:
        return dict(file.execute("SELECT state, count(*) FROM charge GROUP BY state").fetchall())


def spent(path: Path, run: str = "run") -> Bill:
    """What a run came to, read from the file."""
    ledger = Ledger(path, run)
    try:
        return ledger.spent()
    finally:
        ledger.close()


def capped(tokens: int | None = None, usd: float | None = None) -> Cap:
    """The most a run may cost."""
    return Cap(tokens=tokens, nanousd=None if usd is None else round(usd * 10**9))
