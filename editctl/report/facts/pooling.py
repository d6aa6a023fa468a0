"""Which files of predictions are runs of one method: those whose trainings differ in nothing but the seed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from editctl.report.facts.names import unique
from editctl.report.facts.sources import Run, Source, mappings

_OF_THE_SEED = ("seed", "student's weights")
"""What a training's fingerprint holds that another seed changes: a student from scratch begins with other weights."""
_ASKED = ("samples", "temperature", "top_p", "max_new_tokens", "recipe", "recipe_option", "prompt_style", "conclusion")
"""Options of `eval` that change what is written."""
Asked = tuple[str, str]
"""Id and text of a question."""


def pools(sources: Sequence[Source], runs: Sequence[Run | None], asked: Sequence[Iterable[Asked]]) -> list[list[int]]:
    """The numbers of the files of each method, in the order of their first; `asked` are each file's questions.

    A file whose run is not shown, or has the seed of another one in the pool, stays a method of its own.
    """
    found: list[list[int]] = []
    open_pools: dict[str, tuple[list[int], set[Any]]] = {}
    for number, (source, run, questions) in enumerate(zip(sources, runs, asked, strict=True)):
        seed = run.facts.get("seed") if run else None
        key = _key(source, run, questions) if run and seed is not None else None
        members, seeds = open_pools.get(key, ([], set())) if key else ([], set())
        if seed in seeds:
            members = []
        elif key:
            open_pools[key] = (members, seeds)
            seeds.add(seed)
        if not members:
            found.append(members)
        members.append(number)
    return found


def _key(source: Source, run: Run, questions: Iterable[Asked]) -> str | None:
    """Everything of a training and an evaluation but the seed; None where the run does not tell."""
    told = run.facts.get("run")
    if not isinstance(told, Mapping):
        return None
    # Which questions are held out goes by the seed, and with them the data of each stage: the file is what counts.
    stages = [
        {key: value for key, value in one.items() if key != "training data"} for one in mappings(told.get("stages"))
    ]
    options = (source.manifest or {}).get("options") or {}
    own = {
        **{key: value for key, value in told.items() if key not in _OF_THE_SEED},
        "stages": stages,
        "data": [one.get("sha256") for one in mappings(run.lineage.get("inputs"))],
        "asked": {name: options.get(name) for name in _ASKED},
        "questions": sorted(questions),
    }
    return json.dumps(own, sort_keys=True, default=str)


def pooled_names(pooled: Sequence[Sequence[int]], names: Sequence[str], runs: Sequence[Run | None]) -> list[str]:
    """A method's name; of several runs what their names begin with, or their recipe, and how many there are."""
    found = []
    for members in pooled:
        own = [names[number] for number in members]
        first = runs[members[0]]
        alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*own, strict=False))
        together = "".join(letters[0] for letters in alike).rstrip("-_.,/ 0123456789(")
        together = together or str(first and first.facts.get("recipe"))
        found.append(own[0] if len(own) == 1 else f"{together} ({len(own)} seeds)")
    return unique(found)
