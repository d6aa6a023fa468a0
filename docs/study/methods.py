"""What the study compares, at which sizes, and which comparisons were settled before anything was run."""

from collections.abc import Mapping
from dataclasses import dataclass

RATE = "0.002"
"""Peak learning rate of imitation: what editctl takes for a student from scratch."""
EDIT_RATES = ("learning-rate=0.02", "key-learning-rate=0.0005")
"""EDIT's two rates, told for LoRA: editctl takes a tenth of them for all weights, so 2e-3 and then 5e-5."""
FAST_RATES = ("learning-rate=0.02", "key-learning-rate=0.005")
"""The second stage at ten times that rate."""
FIRST_STAGE = (5, 8)
"""EDIT's first stage has 5 of its 8 epochs, by default."""
START = "first stage"
"""EDIT's student before its second stage: a row to look at, with fewer updates and in no test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table."""

    title: str
    recipe: str
    options: tuple[str, ...] = ()
    """Of the recipe, as -R takes them."""
    goes_on: bool = False
    """Whether it is a second stage on EDIT's first one, which all such methods of a seed share."""


def _second(title: str, *options: str, rates: tuple[str, ...] = EDIT_RATES) -> Method:
    return Method(title=title, recipe="edit", options=(*rates, *options), goes_on=True)


METHODS: Mapping[str, Method] = {
    "std-cot": Method(title="imitates right chains", recipe="std-cot"),
    "cascod": Method(title="rationale, then answer", recipe="cascod"),
    "edit": _second("right key tokens 1, wrong ones -0.025"),
    "edit-anchored": _second("gamma = 1, alpha = 3: all right tokens, key ones three times", "gamma=1", "alpha=3"),
    "edit-imitate": _second("gamma = 1, beta = 0: all right tokens alike, no wrong ones", "gamma=1", "beta=0"),
    "edit-random": _second("as many random words in place of the key ones", "control=random"),
    "edit-numbers": _second("all numbers in place of the key words", "control=numbers"),
    "edit-conclusion": _second("the conclusion in place of the key words", "control=conclusion"),
    "edit-all": _second("all words in place of the key ones", "control=all"),
    "edit-first": _second("edit, key words of the first step that changes only", "first-step=true"),
    "edit-fast": _second("edit, second stage at ten times the rate", rates=FAST_RATES),
}
BASELINE = "std-cot"
CONTROLS = ("edit-random", "edit-numbers", "edit-conclusion", "edit-all", "edit-imitate")
"""What edit itself is tested against."""
LATER = (("edit-first", "edit"),)
"""Asked for when the other rows were known."""


def comparisons(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """The pairs that are tested, of methods that were run.

    Each one against std-cot, edit against its controls, and what was asked for later.
    """
    pairs = [(name, BASELINE) for name in methods if name != BASELINE and BASELINE in methods]
    pairs += [("edit", name) for name in CONTROLS if name in methods and "edit" in methods]
    return pairs + [pair for pair in LATER if set(pair) <= set(methods)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is made, trained and asked."""

    questions: int
    """To train on, others for each seed."""
    updates: int
    """Of each method, all its stages together."""
    batch: int
    """Questions of an update."""
    asked: int
    """New questions in domain, and as many out of domain: the same for all methods and seeds."""
    new_tokens: int
    error_rate: float = 0.2
    """Share of the teacher's first answers that are wrong, so that a part of the pairs is rectified."""

    @property
    def first_stage(self) -> int:
        """Updates of EDIT's first stage."""
        return round(self.updates * FIRST_STAGE[0] / FIRST_STAGE[1])


SIZES: Mapping[str, Size] = {
    "tiny": Size(questions=48, updates=6, batch=8, asked=8, new_tokens=24),
    "small": Size(questions=2_000, updates=320, batch=12, asked=250, new_tokens=400),
    "large": Size(questions=20_000, updates=3_200, batch=32, asked=2_000, new_tokens=400),
}
TASKS = ("chain", "counting")
