"""A teacher that says what a test tells it to, and short ways to build what the generate stage takes."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from editctl.cli.teaching import QUESTIONS_A_CALL
from editctl.generate.asking import Asker
from editctl.generate.maker import Maker, Outcome
from editctl.generate.settings import Settings
from editctl.generate.shots import Shots
from editctl.generate.stage import finish, make_dual_chains
from editctl.generate.throttle import Throttle
from editctl.interfaces import CallFailed, Completion, Request
from editctl.prompts import Templates
from editctl.records import Question

RIGHT = "Two and two make four. Therefore, the answer is 4."
WRONG = "Two and two make five. Therefore, the answer is 5."
SUM = Question(id="q1", question="What is 2 + 2?", answer="4", task="add")

Said = str | Completion | Exception


class Scripted:
    """Plays a list of answers for each step; a step whose list has run out is `not-recorded`."""

    name = "scripted"
    offline = True

    def __init__(self, **answers: Said | Iterable[Said]) -> None:
        self.requests: list[Request] = []
        self.closed = 0
        self._left: Mapping[str, list[Said]] = {
            step: [said] if isinstance(said, str | Completion | Exception) else list(said)
            for step, said in answers.items()
        }

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        left = self._left.get(request.step, [])
        if not left:
            raise CallFailed("not-recorded", answered=True)
        said = left.pop(0)
        if isinstance(said, Exception):
            raise said
        return Completion(text=said) if isinstance(said, str) else said

    async def close(self) -> None:
        self.closed += 1


class Answering:
    """Asks a function for each answer, awaiting `pause(request)` first; notes how many calls were under way."""

    name = "answering"
    offline = True

    def __init__(self, answer: Callable[[Request], str], pause: Callable[[Request], Any] | None = None) -> None:
        self.answer = answer
        self.pause = pause
        self.asked: list[str] = []
        self.under_way = self.most_under_way = self.cancelled = self.closed = 0

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request.question.id)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        finished = False
        try:
            if self.pause is not None:
                await self.pause(request)
            text = self.answer(request)
            finished = True
            return Completion(text=text)
        finally:
            self.under_way -= 1
            self.cancelled += not finished

    async def close(self) -> None:
        self.closed += 1


def maker_of(shots: Shots | None = None, **settings: Any) -> Maker:
    """A maker with the shipped templates."""
    return Maker("scripted", Templates(), Settings(**settings), shots or Shots())


def asker_of(teacher: Any, concurrency: int = 16) -> Asker:
    """Asks without a ledger, which an offline teacher needs none of."""
    return Asker(teacher, Throttle(start=concurrency, most=concurrency))


def dual_chains(
    questions: Iterable[Question],
    teacher: Any,
    concurrency: int = 16,
    asker: Asker | None = None,
    **settings: Any,
) -> Iterator[Outcome]:
    """What the stage makes of questions."""
    maker = maker_of(**settings)
    maker.teacher = teacher.name
    window = concurrency * QUESTIONS_A_CALL
    return make_dual_chains(questions, maker, asker or asker_of(teacher, concurrency), window=window)


def outcome_of(teacher: Any, question: Question = SUM, number: int = 0, **settings: Any) -> Outcome:
    """What becomes of one question, `number` of its run, when everything the teacher says reaches the maker."""

    def answer(request: Request) -> Completion:
        len(request.messages)  # looked at, as every provider would
        completion: Completion = asyncio.run(teacher.complete(request))
        return completion

    return finish(maker_of(**settings).make(number, question), answer)
