"""The offline teacher of the toy tasks: knows every answer and every mistake, and can be told to fail."""

import random
from dataclasses import dataclass
from typing import Any

from editctl import registry, toytasks
from editctl.errors import UsageError
from editctl.interfaces import Completion, Request, Task
from editctl.options import option


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
        salt = request.sample
        if request.step == "corrupt":
            wrong = worked.wrong(request.mistake or "any", salt)
            return Completion(text=wrong.text if wrong else worked.right)
        if request.step == "explain" and self._fails(request):
            wrong = worked.wrong("any", salt)
            return Completion(text=wrong.text if wrong else worked.right)
        return Completion(text=worked.right)

    async def close(self) -> None:
        """Nothing to give back."""

    def _fails(self, request: Request) -> bool:
        rate = self.options.error_rate
        return rate > 0 and random.Random(f"{request.seed}/{request.sample}/{request.question.id}").random() < rate

    def _task(self, name: str) -> Any:
        if name not in self._tasks:
            self._tasks[name] = registry.load("tasks", name)()
        return self._tasks[name]
