"""What a run of gen-dual is asked to do, as one value."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from editctl.conclusion import CANONICAL
from editctl.errors import UsageError
from editctl.options import parse_pairs

FIRST_TEMPERATURE = 0.2
TEMPERATURE_STEP = 0.2
LAST_TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Choices of a run; the defaults are the documented ones."""

    mistakes: tuple[str, ...] = ("any",)
    """Mistake patterns, dealt to the questions in turn."""
    attempts: int = 3
    """Tries a step."""
    max_tokens: int = 2048
    """Longest completion asked for; the paper's figure (EDIT, ACL 2025, table 13)."""
    max_characters: int = 20_000
    """Longest chain kept."""
    conclusion: str = CANONICAL
    """Canonical opening of the conclusion sentence."""
    system: str | None = None
    """System turn put in place of the templates' own."""
    concurrency: int = 16
    """Calls under way at once."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the questions, by task and reason."""

    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, task: str, outcome: str) -> None:
        """Count one question."""
        self.counts[task, outcome] = self.counts.get((task, outcome), 0) + 1

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


def deal(weights: dict[str, int]) -> tuple[str, ...]:
    """One round of dealing: each name as often as its weight, spread as evenly as can be.

    The k-th question gets the name at `k % len(round)`, so the shares are exact over every full round and do not
    depend on concurrency.
    """
    total = sum(weights.values())
    credit = dict.fromkeys(weights, 0)
    turns = []
    for _ in range(total):
        for name, weight in weights.items():
            credit[name] += weight
        chosen = max(credit, key=lambda name: credit[name])
        credit[chosen] -= total
        turns.append(chosen)
    return tuple(turns)


def parse_mistakes(text: str, known: Iterable[str]) -> dict[str, int]:
    """`logical,knowledge` or `logical=2,calculation=1` as weights by pattern.

    Raises:
        UsageError: an unknown pattern (with near misses), one named twice, or a weight that is no whole number >= 1.
    """
    from editctl.errors import near_misses

    names = list(known)
    weights: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, weight = next(iter(parse_pairs([part if "=" in part else f"{part}=1"], "-m").items()))
        if name not in names:
            raise UsageError(f"unknown mistake pattern {name!r}; {near_misses(name, names)}")
        if name in weights:
            raise UsageError(f"-m names {name} twice")
        if not weight.isdecimal() or not 1 <= int(weight) <= 1000:
            raise UsageError(f"-m {part}: the weight must be a whole number from 1 to 1000")
        weights[name] = int(weight)
    if not weights:
        raise UsageError("-m names no mistake pattern")
    return weights
