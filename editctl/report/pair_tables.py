"""Figures of pairs and rejects, as rows of tables. Takes the figures that `--json` prints."""

from collections.abc import Iterator, Mapping
from typing import Any

from editctl.report.tables import Table

BINS = 10
"""Bins of the histogram, each a tenth of the units."""
_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MOST_GROUPS = 12


def histogram(values: Mapping[float, int]) -> list[int]:
    """Counts by bin of shares that occur so many times; 1 itself lies in the last bin."""
    counts = [0] * BINS
    for value, count in values.items():
        counts[min(int(value * BINS), BINS - 1)] += count
    return counts


def pair_tables(facts: Mapping[str, Any], *, everything: bool = False) -> Iterator[Table]:
    """Counts, distributions by task and mistake, and a histogram; tables without rows are left out.

    `everything`: all groups, also where there are many.
    """
    for table in (_counts(facts), _rejects(facts), _distributions(facts, everything), _histogram(facts)):
        if table[2]:
            yield table


def _counts(facts: Mapping[str, Any]) -> Table:
    counts = sorted(facts["counts"].items(), key=lambda item: -item[1])
    return "", ["outcome", "rows"], [[name, count] for name, count in counts], ""


def _rejects(facts: Mapping[str, Any]) -> Table:
    rows: list[list[object]] = [[one["step"], one["reason"], one["rows"]] for one in facts["rejects"]]
    return "", ["rejected at", "reason", "rows"], rows, ""


def _distributions(facts: Mapping[str, Any], everything: bool) -> Table:
    groups = facts["groups"]
    shown = groups if everything or len(groups) <= _MOST_GROUPS else []
    named = [("all", "", facts), *((one["task"], one["mistake"], one) for one in shown if len(groups) > 1)]
    rows: list[list[object]] = [
        [task, mistake, one["similarity"]["n"], *_points(one["similarity"]), *_points(one["key_ratio"])]
        for task, mistake, one in named
        if one["similarity"] and one["key_ratio"]
    ]
    columns = ["task", "mistake", "n", "similarity", "p10", "p90", "key ratio", "p10", "p90"]
    note = "" if shown == groups else f"{len(groups)} groups of task and mistake; -v shows them"
    return "medians; key ratio of the right chains", columns, rows, note


def _points(figures: Mapping[str, float]) -> list[object]:
    return [f"{figures[point]:.1%}" for point in ("median", "p10", "p90")]


def _histogram(facts: Mapping[str, Any]) -> Table:
    counts = facts["largest_key_ratio"]
    most = max(counts, default=0)
    rows: list[list[object]] = [
        [f"{100 * number // BINS}-{100 * (number + 1) // BINS}%", count, _bar(count / most)]
        for number, count in enumerate(counts)
        if most
    ]
    return "", ["key ratio (larger side)", "pairs", ""], rows, ""


def _bar(share: float) -> str:
    whole, rest = divmod(round(share * _BAR * 8), 8)
    return ("█" * whole + _EIGHTHS[rest]).strip()
