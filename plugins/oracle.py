"""The offline teacher of the toy tasks: knows every answer and every mistake, and can be told to fail."""

import random
from dataclasses import dataclass
from itertools import product
from typing import Any

from editctl import registry, toytasks
from editctl.errors import UsageError
from editctl.formats import COT, FORMATS, FormatFault
from editctl.interfaces import Completion, Formatted, Request, Task
from editctl.options import option
from editctl.worked import Worked

RECALLED = 64
"""Samples whose mistakes it knows again when it is to label them."""


@dataclass(frozen=True)
class OracleOptions:
    """Options of the oracle."""

    error_rate: float = option(0.0, "share of questions whose first explanation is wrong, so that rectification runs")

    def __post_init__(self) -> None:
        if not 0 <= self.error_rate <= 1:
            raise ValueError("error-rate must lie between 0 and 1")


class Oracle:
    """Answers from the toy task itself: exact, free, the same every time."""

    name = "oracle"
    offline = True
    Options = OracleOptions

    def __init__(self, argument: str, options: OracleOptions) -> None:
        if argument:
            raise UsageError(f"teacher oracle takes no argument ({argument!r}); options go with -T key=value")
        self.options = options
        self._tasks: dict[str, Task] = {}

    async def complete(self, request: Request) -> Completion:
        """As `complete_now`."""
        return self.complete_now(request)

    def complete_now(self, request: Request) -> Completion:
        """The chain the task writes for this request. Raises UsageError for a question that no toy task made."""
        if not request.question.id.startswith(toytasks.PREFIX):
            raise UsageError(
                f"teacher oracle answers generated questions only, and {request.question.id!r} is none: "
                "name toy:NAME as the source, or another teacher"
            )
        worked = toytasks.recall(request.question.id, self._task)
        if request.format not in (COT, *worked.formats):
            raise UsageError(self._refusal(request))
        if request.step == "label":
            return Completion(text=f"Category: {_pattern_of(request.chain or '', worked)}")
        wrong = None
        if request.step == "corrupt":
            wrong = worked.wrong_in(request.format, request.mistake or "any", request.sample)
        elif request.step == "explain" and self._fails(request):
            wrong = worked.wrong_in(request.format, "any", request.sample)
        return Completion(text=wrong or worked.right_in(request.format))

    async def close(self) -> None:
        """Nothing to give back."""

    def _fails(self, request: Request) -> bool:
        rate = self.options.error_rate
        return rate > 0 and random.Random(f"{request.seed}/{request.sample}/{request.question.id}").random() < rate

    def _refusal(self, request: Request) -> str:
        tasks = [name for name in sorted(registry.BUILT_IN["tasks"]) if _writes(self._task(name), request.format)]
        able = f"toy:{' or toy:'.join(tasks)} can" if tasks else "no toy task can"
        return f"teacher oracle can't write {request.question.id!r} in format {request.format}: {able}"

    def _task(self, name: str) -> Any:
        if name not in self._tasks:
            self._tasks[name] = registry.load("tasks", name)()
        return self._tasks[name]


def _pattern_of(wrong: str, worked: Worked) -> str:
    """The mistake pattern that gives this wrong chain, of any of the first samples; `other` where none does."""
    formats = [COT, *(name for name in worked.formats if _fits(wrong, name))]
    slips = product(range(RECALLED), worked.patterns, formats)
    return next((slip[1] for slip in slips if worked.wrong_in(slip[2], slip[1], slip[0]) == wrong), "other")


def _fits(text: str, format: str) -> bool:
    try:
        return bool(FORMATS[format].parse(text))
    except FormatFault:
        return False


def _writes(task: Task, format: str) -> bool:
    return isinstance(task, Formatted) and format in task.formats
