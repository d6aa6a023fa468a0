"""What a chain of files took: calls, tokens and US dollars of teachers, seconds of every command."""

from collections.abc import Mapping
from typing import Any

from editctl.manifest import Manifest
from editctl.report.facts.lineage import manifests

_COUNTED = ("calls", "reused", "failed_calls", "prompt_tokens", "completion_tokens")
_NAMES = {
    "calls": "calls",
    "reused": "of these answered before",
    "failed_calls": "calls that failed",
    "prompt_tokens": "prompt tokens",
    "completion_tokens": "completion tokens",
}


def costs_of(manifest: Manifest | None) -> tuple[tuple[str, str], ...]:
    """Name and text of each cost, the teachers' first; labelling stands apart from making."""
    found = list(manifests(manifest)) if manifest else []
    asked = [one for one in found if one.get("command") == "gen-dual" and isinstance(one.get("cost"), Mapping)]
    made = [one["cost"] for one in asked if "labels" not in one]
    labelled = [one["cost"] for one in asked if "labels" in one]
    return (*_teacher("", made), *_teacher("labels: ", labelled), *_seconds(found))


def _teacher(before: str, costs: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    if not costs:
        return []
    sums = {key: sum(_number(cost.get(key)) for cost in costs) for key in _COUNTED}
    told = [(f"{before}{_NAMES[key]}", f"{value:,}") for key, value in sums.items() if value or key == "calls"]
    for key, name in (("usd", "US dollars"), ("usd_paid_now", "of these paid in this run")):
        known = [cost.get(key) for cost in costs]
        text = "not known" if None in known else usd(sum(_number(one) for one in known))
        if key == "usd" or (text != "not known" and text != told[-1][1]):
            told.append((f"{before}{name}", text))
    return told


def _seconds(found: list[Manifest]) -> list[tuple[str, str]]:
    spent: dict[str, float] = {}
    for one in found:
        if one.get("seconds") is not None:
            command = str(one.get("command"))
            spent[command] = spent.get(command, 0) + _number(one["seconds"])
    return [(f"{command}, seconds", f"{seconds:,.1f}") for command, seconds in spent.items()]


def usd(amount: float) -> str:
    """An amount: cents from 1 dollar on, three figures below."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.3g}"


def _number(value: object) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
