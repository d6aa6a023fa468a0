"""What is said of a pair or a reject above its texts."""

from collections.abc import Iterable, Iterator

from rich.text import Text

from editctl.progress import clean
from editctl.records import Alignment, Chain, DualChain, Edits, Question, Reject
from editctl.report.chains import Side

PAIR = "pair"
"""The outcome of a row that teaches a difference."""
_UNITS = {"word": "words", "token": "tokens", "step": "steps"}


def heading(question: Question, outcome: str) -> Text:
    """Id, task, and what became of the question."""
    task = f"  [{clean(question.task)}]" if question.task else ""
    return Text.assemble(
        (clean(question.id), "bold"), task, "  ", (clean(outcome), "" if outcome == PAIR else "yellow")
    )


def pair_facts(alignment: Alignment) -> Iterator[Text]:
    """Gold answer, mistake and teacher; then what the alignment says."""
    dual, edits = alignment.dual, alignment.edits
    first = [_gold(dual.question), *_mistake(dual.wrong), f"teacher {dual.teacher}" if dual.teacher else ""]
    yield from _line(first)
    if edits is not None:
        yield from _line(_edits(edits))


def reject_facts(reject: Reject) -> Iterator[Text]:
    """Gold answer, and where the question failed and why."""
    tries = f"{reject.attempts} attempt{'' if reject.attempts == 1 else 's'}"
    yield from _line([_gold(reject.question)])
    yield from _line([f"rejected at {reject.step} after {tries}: {reject.reason}"])


def chain_head(dual: DualChain, side: Side) -> Text:
    """Side, origin and answer of a chain, or that there is none."""
    chain = dual.right if side == "right" else dual.wrong
    if chain is None:
        return Text(f"no {side} chain" + (f": {clean(dual.reason)}" if dual.reason else ""), style="yellow")
    answer = "no answer read" if chain.answer is None else f"answer {clean(chain.answer)}"
    return Text.assemble((side, "bold"), f" ({chain.origin}), {answer}:")


def more(dual: DualChain) -> Iterator[tuple[str, str]]:
    """Title and text of what is told on request: task description, choices, templates, hidden reasoning."""
    question = dual.question
    if question.description:
        yield "description", question.description
    if question.choices:
        yield "choices", "\n".join(question.choices)
    for side, chain in (("right", dual.right), ("wrong", dual.wrong)):
        if chain is not None and chain.template:
            yield f"template of the {side} chain", chain.template
        if chain is not None and chain.reasoning:
            yield f"hidden reasoning of the {side} chain", chain.reasoning


def _gold(question: Question) -> str:
    return "" if question.answer is None else f"gold answer {question.answer}"


def _mistake(wrong: Chain | None) -> list[str]:
    if wrong is None:
        return []
    label = f"labelled {wrong.label}" if wrong.label else ""
    if not wrong.mistake:
        return [f"mistake {label}" if label else ""]
    return [f"mistake {wrong.mistake}" + (f", {label}" if label else "")]


def _edits(edits: Edits) -> list[str]:
    units = _UNITS.get(edits.unit, edits.unit) + (f" of {edits.tokenizer}" if edits.tokenizer else "")
    how = f"{units}, steps matched first" if edits.match == "steps" else units
    right, wrong = edits.key_ratio
    return [
        f"similarity {edits.similarity:g}",
        f"{edits.distance} edit{'' if edits.distance == 1 else 's'} in {how}",
        f"key {right:.1%} of right, {wrong:.1%} of wrong",
    ]


def _line(facts: Iterable[str]) -> Iterator[Text]:
    said = "; ".join(clean(fact) for fact in facts if fact)
    if said:
        yield Text(said)
