"""Pairs aligned together are aligned as each alone; figures do not grow; ids are refused twice."""

import itertools
import statistics
from collections import Counter
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.align.aligner import Aligner, aligner_for, check_choice, token_aligner
from editctl.align.edits import align_texts
from editctl.align.stage import TOGETHER, Figures, align, outcome_of, quantiles
from editctl.align.units import words
from editctl.errors import UsageError
from editctl.jsonl import FieldError, UniqueIds
from editctl.keysteps import pair_fault
from editctl.records import Alignment, Chain, DualChain, Question
from tests.support_models import byte_level, pair, sentence_pieces, word_pieces

PIECES = ["Step 1: ", "add 2 ", "keep 4. ", "é", "数", "’", "don't ", "🙂", "e\u0301", "(A)", "3.5 ", "\n", "so ", "."]
texts = st.lists(st.sampled_from(PIECES), max_size=10).map("".join)
MAKERS = {"byte-level": byte_level, "unigram": sentence_pieces, "wordpiece": word_pieces}


@lru_cache(maxsize=16)
def aligner_of(unit: str, match: str, tokenizer: str = "byte-level") -> Aligner:
    """One aligner of each kind a session."""
    assert match in ("units", "steps")
    if unit == "token":
        return token_aligner(MAKERS[tokenizer](), tokenizer, match)  # type: ignore[arg-type]
    return aligner_for(unit, None, match)  # type: ignore[arg-type]


KINDS = [
    *itertools.product(["word"], ["units", "steps"], ["byte-level"]),
    *itertools.product(["step"], ["units", "steps"], ["byte-level"]),
    *itertools.product(["token"], ["units", "steps"], MAKERS),
]


@settings(max_examples=60)
@given(st.lists(st.tuples(texts, texts), max_size=5))
@pytest.mark.parametrize(("unit", "match", "tokenizer"), KINDS)
def test_pairs_together_are_aligned_as_each_alone(
    unit: str, match: str, tokenizer: str, pairs: list[tuple[str, str]]
) -> None:
    aligner = aligner_of(unit, match, tokenizer)
    assert aligner.many(pairs) == [aligner.one(*one) for one in pairs]


@settings(max_examples=150)
@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_the_fast_way_is_the_plain_way(pairs: list[tuple[str, str]]) -> None:
    found = aligner_of("word", "units").many(pairs)
    assert found == [align_texts(right, wrong, words, "word", None) for right, wrong in pairs]


@settings(max_examples=60)
@given(texts, texts)
@pytest.mark.parametrize(("unit", "match", "tokenizer"), KINDS)
def test_swapping_the_texts_swaps_the_spans(unit: str, match: str, tokenizer: str, right: str, wrong: str) -> None:
    there, back = aligner_of(unit, match, tokenizer).many([(right, wrong), (wrong, right)])
    assert (there.right, there.wrong) == (back.wrong, back.right)
    assert (there.distance, there.similarity, there.key_ratio) == (
        back.distance,
        back.similarity,
        back.key_ratio[::-1],
    )


@given(texts)
@pytest.mark.parametrize(("unit", "match", "tokenizer"), KINDS)
def test_equal_texts_have_no_key_units(unit: str, match: str, tokenizer: str, text: str) -> None:
    edits = aligner_of(unit, match, tokenizer).one(text, text)
    assert (edits.right, edits.wrong, edits.distance, edits.similarity) == ((), (), 0, 1.0)
    assert (edits.unit, edits.match) == (unit, match)


def test_a_changed_step_is_key_as_a_whole() -> None:
    right, wrong = "Add 2: 4. Double: 8. So 8.", "Add 2: 5. Double: 8. So 8."
    edits = aligner_for("step").one(right, wrong)
    assert [right[start:end] for start, end in edits.right] == ["Add 2: 4."]
    assert [wrong[start:end] for start, end in edits.wrong] == ["Add 2: 5."]
    assert (edits.distance, edits.key_ratio) == (1, (0.3333, 0.3333))


def test_more_pairs_than_are_aligned_at_once_come_out_in_order() -> None:
    duals = [pair(number).dual for number in range(TOGETHER + 3)]
    found = list(align(duals, aligner_for("word")))
    assert [one.dual for one in found] == duals
    assert all(one.edits for one in found)


@pytest.mark.parametrize(
    ("unit", "tokenizer", "match", "said"),
    [
        ("wrod", None, "units", "unknown unit 'wrod'; did you mean word?"),
        ("word", "m", "units", "takes no --tokenizer"),
        ("step", "m", "units", "takes no --tokenizer"),
        ("token", None, "units", "needs --tokenizer"),
        ("word", None, "step", "did you mean steps?"),
    ],
)
def test_what_does_not_go_together_is_told(unit: str, tokenizer: str | None, match: str, said: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        check_choice(unit, tokenizer, match)
    assert said in str(caught.value)


@given(st.lists(st.integers(0, 10_000).map(lambda number: number / 10_000), min_size=2, max_size=60))
def test_quantiles_are_those_of_the_values(values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    found = quantiles(Counter(values))
    assert found is not None
    assert found["n"] == len(values)
    for name, value in (
        ("mean", statistics.fmean(values)),
        ("p10", cuts[0]),
        ("median", statistics.median(values)),
        ("p90", cuts[8]),
    ):
        assert found[name] == pytest.approx(value, abs=6e-5)


def test_figures_counted_in_parts_are_the_figures_of_the_whole() -> None:
    alignments = [pair(number) for number in range(6)]
    alignments.append(Alignment(dual=alignments[0].dual, edits=None))
    whole, parts = Figures(), Figures()
    for some in (alignments[:3], alignments[3:]):
        part = Figures()
        for one in some:
            whole.add(one)
            part.add(one)
        parts.merge(part)
    assert parts == whole
    assert parts.render() == whole.render()


def test_limits_count_the_pairs_beyond_them() -> None:
    figures = Figures()
    figures.add(pair(0))
    edits = pair(0).edits
    assert edits is not None
    ratio = max(edits.key_ratio)
    over = figures.render()["limits"]["over_max_key_ratio"]
    assert over == {name: int(ratio > float(name)) for name in ("0.2", "0.3", "0.5")}


@given(st.lists(st.text(max_size=3), max_size=40))
def test_ids_are_refused_exactly_when_they_came_before(names: list[str]) -> None:
    ids, seen = UniqueIds(), set()
    for name in names:
        if name in seen:
            with pytest.raises(FieldError, match="stands twice"):
                ids.add(name)
        else:
            ids.add(name)
        seen.add(name)


def test_many_ids_are_held_in_little_memory() -> None:
    ids = UniqueIds()
    count = 50_000
    for number in range(count):
        ids.add(f"question {number}")
    assert len(ids._slots) * ids._slots.itemsize / count < 30
    for number in (0, count // 2, count - 1):
        with pytest.raises(FieldError):
            ids.add(f"question {number}")


def test_what_only_stands_elsewhere_is_no_key_step_and_is_said_to_be_none() -> None:
    right = "Add 2 and get 4. Double it and get 8. Take off 1 and get 7. So 7."
    wrong = "Double it and get 8. Add 2 and get 4. Take off 1 and get 7. So 7."
    one = dual_of(right, wrong)
    (plain,), (first,) = (list(align([one], aligner_for("word", None, match))) for match in ("units", "steps"))
    assert outcome_of(plain) == "pair"
    assert first.edits is not None
    assert (first.edits.distance, outcome_of(first)) == (0, "no-key-steps")
    assert pair_fault(first, max_key_ratio=1.0, min_similarity=0.0) == "no-key-steps"


def dual_of(right: str, wrong: str) -> DualChain:
    """A dual chain of these texts."""
    chains = [Chain(text=text, answer=None, origin="given") for text in (right, wrong)]
    return DualChain(question=Question(id="q", question="?"), right=chains[0], wrong=chains[1], teacher=None)
