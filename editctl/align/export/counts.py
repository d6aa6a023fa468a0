"""What an export wrote, and what it had to leave out or could not say."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

ALL = "-"
"""Stands for the stage where a format knows no stages."""


@dataclass(slots=True)
class Counts:
    """Counts of one export."""

    rows: Counter[str] = field(default_factory=Counter)
    """By stage."""
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Questions by stage and reason."""
    examples_left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Single examples of questions that are there, by stage and reason."""
    flattened: Counter[str] = field(default_factory=Counter)
    """Rows whose weights the format can't say as they are, by stage."""

    def render(self) -> dict[str, Any]:
        """All counts, for the manifest."""
        return {
            "rows": dict(self.rows),
            "left_out": _by_stage(self.left_out),
            "examples_left_out": _by_stage(self.examples_left_out),
            "rows_with_flattened_weights": dict(self.flattened),
        }

    def reasons(self) -> str:
        """Why questions were left out, most frequent first, for one line of text."""
        found: Counter[str] = Counter()
        for (_, reason), count in (self.left_out + self.examples_left_out).items():
            found[reason] += count
        return ", ".join(f"{count} {reason}" for reason, count in found.most_common()) or "there was none"


def _by_stage(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for (stage, reason), count in counts.most_common():
        found[stage][reason] = count
    return dict(found)
