"""What is asked about one question, as a generator: it yields calls that may be made at the same time, is sent their
answers, and returns what it was about. It knows no teacher and waits for nothing."""

from collections.abc import Generator, Sequence
from itertools import chain
from typing import TypeVar

from editctl.interfaces import CallFailed, Completion, Request

T = TypeVar("T")
Answer = Completion | CallFailed
Round = tuple[Request, ...]
Asking = Generator[Round, Sequence[Answer], T]
"""Yields calls, is sent their answers in the same order."""


def together(askings: Sequence[Asking[T]]) -> Asking[list[T]]:
    """Follow several at once; in each round, what every one that goes on asks next.

    A round is as slow as its slowest call: second tries of one sample wait for the first tries of all. In return the
    calls of a question and their order depend on nothing but their answers.
    """
    ended: dict[int, T] = {}
    heard: dict[int, Sequence[Answer] | None] = dict.fromkeys(range(len(askings)))
    while heard:
        rounds: dict[int, Round] = {}
        for number, answers in heard.items():
            try:
                rounds[number] = next(askings[number]) if answers is None else askings[number].send(answers)
            except StopIteration as end:
                ended[number] = end.value
        answered = iter((yield tuple(chain.from_iterable(rounds.values()))) if rounds else ())
        heard = {number: [next(answered) for _ in calls] for number, calls in rounds.items()}
    return [ended[number] for number in range(len(askings))]
