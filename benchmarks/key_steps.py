"""Are the flagged units the ones that matter? Measured where the truth is known, and looked at where it is not.

    python benchmarks/key_steps.py                                    # two minutes
    python benchmarks/key_steps.py --data FOLDER --write docs/key-steps.md --json

On generated questions the place of the slip is known (key_steps_truth.py). Wrong chains are aligned as they are, and
told differently (key_steps_disturb.py), by words, tokens and steps, all units at once or steps first; flagged units
are held against the slip, and against the slip and its consequences (key_steps_measure.py). Intervals are 95 %, by
bootstrap over questions. FOLDER (or EDITCTL_DATA) may hold real pairs (key_steps_real.py); without it that part is
left out. `--write FILE` puts the tables between the marks of a Markdown file.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import key_steps_tables as tables
import numpy as np
from key_steps_disturb import DISTURBANCES, NONE
from key_steps_measure import PARTS, Flagged, control_counts, counts_of, difference, figures, flag, narrowed_counts
from key_steps_real import PAIRS, read_pairs, real_figures
from key_steps_truth import TRUTHS, Truth, truth_of

from editctl import registry
from editctl.align.steps import steps
from editctl.align.units import Cutter, token_cutter, words
from editctl.keysteps import Control
from editctl.records import Match
from editctl.scratch import train_tokenizer
from editctl.toytasks import parse_source, questions, recall
from editctl.worked import Worked

TASKS = ("chain", "boolean", "swaps", "counting")
MATCHES: tuple[Match, ...] = get_args(Match)
CONTROLS: tuple[Control, ...] = tuple(name for name in get_args(Control) if name != "none")
VOCABULARY = 2048
TRAINED_ON = 300
"""Training questions a task whose chains the tokenizer learns from; no more than are measured."""
RATIO_BANDS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.01)
SIMILARITY_BANDS = (-0.01, 0.5, 0.7, 0.8, 0.9, 1.01)
LIMITS = (1.0, 0.5, 0.4, 0.3, 0.2)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    questions: int
    seed: int
    data: Path | None


@dataclass(slots=True)
class Seen:
    """Counts of all chains by question: what every figure is made of."""

    plan: Plan
    cells: dict[tuple[str, str, str, str, str], Any] = field(default_factory=dict)
    """By task, pattern, disturbance, unit and match: questions x sides x truths x (both, flagged only, true only)."""
    controls: dict[tuple[str, str], Any] = field(default_factory=dict)
    """By task and control, all patterns together, undisturbed."""
    pairs: list[tuple[int, str, str, float, float, Any]] = field(default_factory=list)
    """Of words: question, disturbance, match, key ratio, similarity, counts."""
    chains: int = 0
    without_trace: int = 0
    """Wrong chains whose slip is a step left out: nothing of it is there to be found."""

    def add(self, key: tuple[str, str, str, str, str], question: int, counts: Any) -> None:
        """Count one alignment."""
        self._of(self.cells, key)[question] += counts

    def add_control(self, key: tuple[str, str], question: int, counts: Any) -> None:
        """Count one control."""
        self._of(self.controls, key)[question] += counts

    def _of(self, cells: dict[Any, Any], key: Any) -> Any:
        return cells.setdefault(key, np.zeros((self.plan.questions, 2, len(TRUTHS), 3), dtype=np.int64))

    def total(self, task: str | None, pattern: str | None, disturbance: str, unit: str, match: str) -> Any:
        """Counts by question of all cells that fit; questions of several tasks stand one after the other."""
        wanted = TASKS if task is None else (task,)
        parts = []
        for own in wanted:
            rest = (disturbance, unit, match)
            keys = [key for key in self.cells if key[0] == own and key[2:] == rest and pattern in (None, key[1])]
            parts.append(sum(self.cells[key] for key in keys))
        return np.concatenate(parts)


def worked_questions(task: str, split: str, count: int, seed: int) -> Iterator[Worked]:
    """Worked solutions of a task's first questions."""
    source = parse_source(f"toy:{task}?n={count}&seed={seed}&split={split}", _load_task)
    return (recall(question.id, _load_task) for question in questions(source))


def _load_task(name: str) -> Any:
    return registry.load("tasks", name)()


def wrong_chains(worked: Worked) -> Iterator[tuple[str, Truth]]:
    """Every pattern's wrong chain with its truth."""
    for pattern in worked.patterns:
        wrong = worked.wrong(pattern)
        if wrong is not None:
            yield pattern, truth_of(wrong)


def cutters_of(plan: Plan) -> dict[str, Cutter]:
    """Words, tokens of a tokenizer that has learnt the tasks' language, and steps."""
    texts = [
        text
        for task in TASKS
        for worked in worked_questions(task, "train", min(TRAINED_ON, plan.questions), plan.seed)
        for text in (worked.right, *(truth.wrong.text for _, truth in wrong_chains(worked)))
    ]
    return {"word": words, "token": token_cutter(train_tokenizer(texts, VOCABULARY)), "step": steps}


def gather(plan: Plan) -> Seen:
    """Align every wrong chain in every way."""
    seen, cutters = Seen(plan), cutters_of(plan)
    for place, task in enumerate(TASKS):
        for number, worked in enumerate(worked_questions(task, "test", plan.questions, plan.seed)):
            for pattern, truth in wrong_chains(worked):
                seen.chains += 1
                seen.without_trace += "s" not in truth.wrong.marks
                at = number, place * plan.questions + number
                _align(seen, cutters, (task, pattern), at, truth, f"{worked.question.id} {pattern}")
    return seen


def _align(
    seen: Seen, cutters: dict[str, Cutter], cell: tuple[str, str], at: tuple[int, int], truth: Truth, seed: str
) -> None:
    """Align a wrong chain in every way; `at` is the question's number within its task and among all."""
    for name, disturb in DISTURBANCES.items():
        told = Truth(truth.right, disturb(truth.wrong, seed))
        for unit, cut in cutters.items():
            for match in MATCHES:
                flagged = flag((told.right.text, told.wrong.text), cut, match)
                counts = counts_of(flagged, told)
                seen.add((*cell, name, unit, match), at[0], counts)
                if unit == "word":
                    seen.pairs.append((at[1], name, match, flagged.key_ratio, flagged.similarity, counts))
                    if (name, match) == (NONE, "units"):
                        _align_controls(seen, flagged, (cell[0], at[0]), told, seed)


def _align_controls(seen: Seen, flagged: Flagged, at: tuple[str, int], truth: Truth, seed: str) -> None:
    for control in CONTROLS:
        seen.add_control((at[0], control), at[1], control_counts(flagged, truth, control, seed))
    for part in PARTS:
        seen.add_control((at[0], part), at[1], narrowed_counts(flagged, truth, part))


def report(seen: Seen, plan: Plan, units: Sequence[str] = ("word", "token", "step")) -> dict[str, Any]:
    """All figures."""
    patterns = dict.fromkeys((key[0], key[1]) for key in seen.cells)
    cells = [(task, pattern) for task, pattern in patterns] + [(None, None)]
    return {
        "questions_a_task": plan.questions,
        "seed": plan.seed,
        "chains": seen.chains,
        "without_trace": seen.without_trace,
        "patterns": {
            f"{task or 'all'}, {pattern or 'all'}": {
                f"{unit}, {match}": figures(seen.total(task, pattern, NONE, unit, match))
                for unit in units
                for match in MATCHES
            }
            for task, pattern in cells
        },
        "controls": {
            name: figures(np.concatenate([seen.controls[task, name] for task in TASKS])) for name in (*PARTS, *CONTROLS)
        },
        "disturbances": {
            f"{task or 'all'}, {unit}": {name: _compared(seen, task, name, unit) for name in DISTURBANCES}
            for task in (None, *TASKS)
            for unit in units
        },
        "key_ratio": _bands(seen, 3, RATIO_BANDS),
        "similarity": _bands(seen, 4, SIMILARITY_BANDS),
        "limits": _limits(seen),
    }


def _compared(seen: Seen, task: str | None, disturbance: str, unit: str) -> dict[str, Any]:
    """Both ways to match under one disturbance, and what steps first gains."""
    both = {match: seen.total(task, None, disturbance, unit, match) for match in MATCHES}
    return {
        **{match: figures(counts)["both"] for match, counts in both.items()},
        "gain": difference(both["steps"], both["units"]),
    }


def _bands(seen: Seen, column: int, edges: Sequence[float]) -> dict[str, Any]:
    """F1 of words by band of key ratio or similarity, all ways of telling together."""
    found: dict[str, Any] = {}
    for low, high in pairwise(edges):
        name = f"{max(low, 0):g} to {min(high, 1):g}"
        found[name] = {match: _band(seen, match, column, (low, high)) for match in MATCHES}
    return found


def _band(seen: Seen, match: str, column: int, band: tuple[float, float]) -> dict[str, Any]:
    counts = np.zeros((len(TASKS) * seen.plan.questions, 2, len(TRUTHS), 3))
    shares = {NONE: 0, "told differently": 0}
    for pair in seen.pairs:
        if pair[2] == match and band[0] <= float(pair[column]) < band[1]:
            counts[pair[0]] += pair[5]
            shares[NONE if pair[1] == NONE else "told differently"] += 1
    return {**shares, **figures(counts)["both"]}


def _limits(seen: Seen) -> dict[str, Any]:
    """What `max-key-ratio` keeps, and what the flagged words of that are worth."""
    return {f"{limit:g}": {match: _limit(seen, match, limit) for match in MATCHES} for limit in LIMITS}


def _limit(seen: Seen, match: str, limit: float) -> dict[str, Any]:
    counts = np.zeros((len(TASKS) * seen.plan.questions, 2, len(TRUTHS), 3))
    kept = dict.fromkeys(DISTURBANCES, 0)
    for question, disturbance, way, ratio, _, own in seen.pairs:
        if way == match and ratio <= limit:
            counts[question] += own
            kept[disturbance] += 1
    return {"kept": {name: round(count / seen.chains, 4) for name, count in kept.items()}, **figures(counts)["both"]}


def real(plan: Plan) -> dict[str, Any] | None:
    """Figures of the real pairs, where there are some."""
    if plan.data is None or not (plan.data / PAIRS).exists():
        return None
    pairs = read_pairs(plan.data)
    tokenizer = train_tokenizer([text for pair in pairs for text in (pair.right, pair.wrong)], VOCABULARY)
    return real_figures(pairs, {"word": words, "token": token_cutter(tokenizer), "step": steps})


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400, help="questions a task")
    parser.add_argument("--seed", type=int, default=1, help="which questions")
    parser.add_argument("--data", type=Path, default=os.environ.get("EDITCTL_DATA"), help="folder with real pairs")
    parser.add_argument("--write", type=Path, help="Markdown file whose tables are written anew")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args(given)


def main() -> None:
    """Measure, print, write."""
    given, began = parse(), time.perf_counter()
    plan = Plan(given.questions, given.seed, Path(given.data) if given.data else None)
    result = report(gather(plan), plan) | {"real": real(plan)}
    made = tables.render(result)
    for name, table in made.items():
        print(f"{name}\n\n{table}\n")
    if given.write:
        page = given.write.read_text(encoding="utf-8")
        given.write.write_text(tables.replace(page, made), encoding="utf-8")
    result["seconds"] = round(time.perf_counter() - began, 1)
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
