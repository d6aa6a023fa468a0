"""The toy tasks under test, and what their tests ask of them."""

import re

from editctl.interfaces import Task
from editctl.plugins import boolean, chain, counting, swaps
from editctl.toytasks import parse_source, questions, recall
from editctl.worked import Worked

TASKS: dict[str, Task] = {
    "chain": chain.Chain(),
    "boolean": boolean.Boolean(),
    "swaps": swaps.Swaps(),
    "counting": counting.Counting(),
}
FAMILIES = sorted(TASKS)
load_task = TASKS.__getitem__
DIFFICULTIES = (1, 2, 3, 6, 8)


def worked(name: str, n: int, more: str = "") -> list[Worked]:
    """Worked solutions of the first n questions of a task."""
    source = parse_source(f"toy:{name}?n={n}{more}", load_task)
    return [recall(question.id, load_task) for question in questions(source)]


def conclusion(text: str) -> str:
    """The answer of a chain that ends in the conclusion sentence."""
    match = re.search(r"Therefore, the answer is (.*)\.$", text)
    assert match is not None
    return match[1]
