"""What became of the questions: counted by task and reason."""

from dataclasses import dataclass, field

from editctl.generate.maker import Outcome
from editctl.records import Reject


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the questions, by task and reason."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one question."""
        key = (outcome.question.task or "-", named(outcome))
        self.counts[key] = self.counts.get(key, 0) + 1

    def starting(self, beginning: str) -> int:
        """Questions whose outcome's name begins so: `pair`, `right only`, `reject`."""
        return sum(count for (_, name), count in self.counts.items() if name.startswith(beginning))

    def by_outcome(self) -> dict[str, int]:
        """Questions by outcome, most frequent first."""
        totals: dict[str, int] = {}
        for (_, outcome), count in self.counts.items():
            totals[outcome] = totals.get(outcome, 0) + count
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    def by_task(self) -> dict[str, dict[str, int]]:
        """Questions by task, then by outcome."""
        tasks: dict[str, dict[str, int]] = {}
        for (task, outcome), count in sorted(self.counts.items()):
            tasks.setdefault(task, {})[outcome] = count
        return tasks


def named(outcome: Outcome) -> str:
    """The name an outcome is counted under."""
    if isinstance(outcome, Reject):
        return f"reject: {outcome.step} {outcome.reason}"
    return f"pair: {outcome.wrong.origin} wrong chain" if outcome.wrong else f"right only: {outcome.reason}"
