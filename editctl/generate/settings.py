"""What a run of gen-dual is asked to do, as one value."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from editctl.answers.conclusion import CANONICAL
from editctl.errors import UsageError, near_misses
from editctl.options import parse_pairs
from editctl.records import Step

FIRST_TEMPERATURE = 0.2
SAMPLING_TEMPERATURE = 0.7
"""Of a first try, where several explanations of a question are to differ."""
LABELLING_TEMPERATURE = 0.0
TEMPERATURE_STEP = 0.2
LAST_TEMPERATURE = 1.0
Reasoning = Literal["keep", "use", "drop"]


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
    reasoning: Reasoning = "keep"
    """A reasoning model's hidden text: kept beside the chain, used as its beginning, or dropped."""
    seed: int = 0
    format: str = "cot"
    """Chain format that is asked for (see formats.py)."""
    samples: int = 1
    """Explanations asked for, of each question."""
    mine: bool = False
    """Pair the most alike right and wrong samples before any other step is paid for."""
    temperature: float | None = None
    """Of a step's first try; None is 0.2, 0.7 for several explanations of one question, 0 for labels."""

    def temperature_of(self, step: Step, attempt: int) -> float:
        """Of a try (from 1): 0.2 more than the one before, up to 1, and never below the first."""
        first = self._first_temperature(step) if self.temperature is None else self.temperature
        return max(first, round(min(first + TEMPERATURE_STEP * (attempt - 1), LAST_TEMPERATURE), 2))

    def _first_temperature(self, step: Step) -> float:
        if step == "label":
            return LABELLING_TEMPERATURE
        return SAMPLING_TEMPERATURE if step == "explain" and self.samples > 1 else FIRST_TEMPERATURE


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


def parse_reasoning(text: str) -> Reasoning:
    """What to do with hidden reasoning. Raises UsageError."""
    for known in get_args(Reasoning):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"--reasoning {text}: one of {', '.join(get_args(Reasoning))} is needed")
