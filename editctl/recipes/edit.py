"""EDIT: imitate right chains, then learn the key steps from dual chains (ACL 2025, arXiv 2405.19737)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from editctl.answers.conclusion import CANONICAL
from editctl.imitation import IMITATE, PUBLISHED, Normaliser, ask, check_conclusion, is_program, right_fault, whole
from editctl.keysteps import Control, Weighing, pair_fault, side_weighing, weigh
from editctl.options import option
from editctl.recipe import DecodeStep, Preset, Stage
from editctl.records import Alignment, Chain, Example, Skip, Span
from editctl.student import question_prompt

KEY_STEPS = "key-steps"


@dataclass(frozen=True)
class EditOptions:
    """Options of edit."""

    alpha: float = option(1.0, "weight of key tokens of the right chain")
    beta: float = option(0.025, "weight against key tokens of the wrong chain")
    gamma: float = option(0.0, "weight of the other tokens of the right chain in the second stage")
    pairs: Literal["all", "corrupted", "rectified"] = option("all", "which pairs the second stage sees")
    rectified: bool = option(True, "whether the first stage imitates rectified chains too")
    key_steps: bool = option(True, "whether there is a second stage")
    skip_conclusion: bool = option(False, "leave the conclusion sentence out of the key steps")
    first_step: bool = option(False, "keep only the key steps of the first step that changes, on each side")
    conclusion: str = option(CANONICAL, "opening of the conclusion sentence, for skip-conclusion and control")
    control: Control = option("none", "what is weighted in place of the key steps, for honest comparisons")
    max_key_ratio: float = option(1.0, "skip pairs in which a larger share of a side's units is key")
    min_similarity: float = option(0.0, "skip pairs that are less alike")
    normaliser: Normaliser = option("target", "what the second stage divides by")
    wrong_limit: float = option(20.0, "stop when the wrong side's mean loss passes this many nats a token")
    epochs: float = option(5.0, "passes of the first stage (published: 15)")
    key_epochs: float = option(3.0, "passes of the second stage (published: 10)")
    learning_rate: float = option(2e-4, "peak learning rate of the first stage, for LoRA")
    key_learning_rate: float = option(5e-6, "peak learning rate of the second stage, for LoRA")
    decay: float = option(0.95, "factor on the learning rate after each epoch")

    def __post_init__(self) -> None:
        _check_schedule(self)
        check_conclusion(self.conclusion)
        if not all(0 <= weight < inf for weight in (self.alpha, self.beta, self.gamma)):
            raise ValueError("alpha, beta and gamma must not be negative; beta is subtracted for you")
        if not (0 <= self.max_key_ratio <= 1 and 0 <= self.min_similarity <= 1):
            raise ValueError("max-key-ratio and min-similarity lie between 0 and 1")
        if not self.wrong_limit > 0:
            raise ValueError("wrong-limit must be above 0")
        if self.skip_conclusion and self.control == "conclusion":
            raise ValueError("control=conclusion weights what skip-conclusion leaves out: choose one")
        if self.key_steps and not (self.alpha or self.beta or self.gamma):
            raise ValueError("alpha, beta and gamma are all 0: use key-steps=false to leave the second stage out")


def _check_schedule(options: EditOptions) -> None:
    if not all(0 <= epochs < inf for epochs in (options.epochs, options.key_epochs)):
        raise ValueError("epochs and key-epochs must not be negative")
    if not all(0 < rate < inf for rate in (options.learning_rate, options.key_learning_rate)):
        raise ValueError("learning-rate and key-learning-rate must be above 0")
    if not 0 < options.decay <= 1:
        raise ValueError("decay must be above 0 and at most 1")


PAPER = Preset(
    options={
        "alpha": 1.0,
        "beta": 0.025,
        "gamma": 0.0,
        "pairs": "all",
        "rectified": True,
        "key_steps": True,
        "skip_conclusion": False,
        "first_step": False,
        "control": "none",
        "max_key_ratio": 1.0,
        "min_similarity": 0.0,
        "normaliser": "target",
        "epochs": 15.0,
        "key_epochs": 10.0,
        "learning_rate": 2e-4,
        "key_learning_rate": 5e-6,
        "decay": 0.95,
    },
    settings=PUBLISHED,
)


class Edit:
    """EDIT: std-cot on right chains, then key reasoning steps learning on dual chains (ACL 2025, section 3)."""

    title: ClassVar[str] = "imitate right chains, then learn the key steps where right and wrong part"
    Options = EditOptions
    presets: ClassVar[Mapping[str, Preset]] = {"paper": PAPER}

    def stages(self, options: EditOptions) -> Sequence[Stage]:
        """Imitation, then key steps on a student that goes on from it."""
        imitate = Stage(
            name=IMITATE,
            epochs=options.epochs,
            learning_rate=options.learning_rate,
            decay=options.decay,
            normaliser="tokens",
        )
        key_steps = Stage(
            name=KEY_STEPS,
            epochs=options.key_epochs,
            learning_rate=options.key_learning_rate,
            decay=options.decay,
            normaliser=options.normaliser,
            wrong_limit=options.wrong_limit,
            starts_from=IMITATE,
        )
        return [imitate, key_steps] if options.key_steps else [imitate]

    def examples(self, stage: str, alignment: Alignment, options: EditOptions) -> Iterator[Example | Skip]:
        """Right chains whole in the first stage; key spans of both sides in the second."""
        reason = _fault(stage, alignment, options)
        if reason is not None:
            yield Skip(question_id=alignment.dual.question.id, reason=reason)
        elif stage == IMITATE:
            yield from _imitate(alignment)
        else:
            yield from _key_steps(alignment, options)

    def plan(self, options: EditOptions) -> Sequence[DecodeStep]:
        """Asked with the prompt trained on."""
        return [DecodeStep(name="chain", prompt=ask)]


def _fault(stage: str, alignment: Alignment, options: EditOptions) -> str | None:
    if stage == IMITATE:
        return right_fault(alignment, rectified=options.rectified)
    fault = pair_fault(alignment, max_key_ratio=options.max_key_ratio, min_similarity=options.min_similarity)
    if fault is None and options.pairs != "all":
        chains = (alignment.dual.right, alignment.dual.wrong)
        fault = None if options.pairs in {chain.origin for chain in chains if chain} else f"not-{options.pairs}"
    if fault is None and alignment.dual.right is not None and is_program(alignment.dual.right):
        fault = "is-program"
    return fault


def _imitate(alignment: Alignment) -> Iterator[Example]:
    dual = alignment.dual
    assert dual.right is not None
    yield whole(dual.question, question_prompt(dual.question), dual.right.text)


def _key_steps(alignment: Alignment, options: EditOptions) -> Iterator[Example | Skip]:
    """Key reasoning steps learning (KRSL): weighted likelihood of the right side's key tokens, weighted unlikelihood of
    the wrong side's. The paper prints the objective as a maximum of losses; the minimum is meant, and its code does it.
    """
    dual, edits = alignment.dual, alignment.edits
    assert dual.right is not None
    assert dual.wrong is not None
    assert edits is not None
    identifier = dual.question.id
    right = _weighing(dual.right, edits.right, options.alpha, f"{identifier} right", options)
    wrong = _weighing(dual.wrong, edits.wrong, options.beta, f"{identifier} wrong", options)
    if right is None or wrong is None:
        yield Skip(question_id=identifier, reason=f"control-{options.control}-finds-no-unit")
        return
    if not right.spans and not wrong.spans and not options.gamma:
        yield Skip(question_id=identifier, reason="no-key-step-outside-conclusion")
        return
    prompt = question_prompt(dual.question)
    yield Example(
        question_id=identifier,
        prompt=prompt,
        target=dual.right.text,
        spans=weigh(right.spans, dual.right.text, options.alpha * right.factor, options.gamma),
        end_weight=options.gamma,
    )
    yield Example(
        question_id=identifier,
        prompt=prompt,
        target=dual.wrong.text,
        spans=weigh(wrong.spans, dual.wrong.text, -options.beta * wrong.factor, 0.0),
        side="wrong",
    )


def _weighing(chain: Chain, spans: Sequence[Span], weight: float, seed: str, options: EditOptions) -> Weighing | None:
    """None where a side that counts has no unit for the control."""
    found = side_weighing(
        chain.text,
        spans,
        options.control,
        seed=seed,
        first_step=options.first_step,
        skip_conclusion=options.skip_conclusion,
        opening=options.conclusion,
    )
    return Weighing(()) if found is None and not weight else found
