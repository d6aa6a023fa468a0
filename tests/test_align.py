"""Where two chains part: minimal, the same for both sides, the same on every machine."""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.align.aligner import aligner_for
from editctl.align.edits import align_texts, key_units
from editctl.align.stage import Figures, align, outcome_of
from editctl.align.units import Units, token_cutter, words
from editctl.keysteps import weigh
from editctl.records import Alignment, Chain, DualChain, Question
from editctl.tokens import token_weights
from tests.support_models import byte_level, pair, sentence_pieces, word_pieces

units_of_few_kinds = st.lists(st.sampled_from("abcd"), max_size=12)
pieces = [*"ab12 .,\n(=é數学👍🏽🙂", "e\u0301", " 14", " keep", "Step", "  ", "\u200d", "ह", "ि", "<|end|>"]
texts = st.lists(st.sampled_from(pieces), max_size=14).map("".join)
TOKENIZERS = {
    "byte-level": byte_level,
    "byte-level, trimmed": lambda: byte_level(trim=True),
    "unigram": sentence_pieces,
    "wordpiece": word_pieces,
}


@lru_cache(maxsize=8)
def tokenizer_of(name: str) -> Any:
    """One tokenizer of each kind a session."""
    return TOKENIZERS[name]()


def plain_distance(right: Sequence[object], wrong: Sequence[object]) -> int:
    """Levenshtein's distance by its definition, row by row."""
    above = list(range(len(wrong) + 1))
    for number, one in enumerate(right, 1):
        row = [number]
        for column, other in enumerate(wrong, 1):
            row.append(min(above[column] + 1, row[-1] + 1, above[column - 1] + (one != other)))
        above = row
    return above[-1]


@given(units_of_few_kinds, units_of_few_kinds)
def test_the_distance_is_minimal(right: list[str], wrong: list[str]) -> None:
    assert key_units(right, wrong)[0] == plain_distance(right, wrong)


@given(units_of_few_kinds, units_of_few_kinds)
def test_what_is_not_key_is_the_same_on_both_sides_in_order(right: list[str], wrong: list[str]) -> None:
    distance, right_keys, wrong_keys = key_units(right, wrong)
    kept = [value for place, value in enumerate(right) if place not in right_keys]
    assert kept == [value for place, value in enumerate(wrong) if place not in wrong_keys]
    assert max(len(right_keys), len(wrong_keys)) <= distance <= len(right_keys) + len(wrong_keys)
    assert right_keys == sorted(set(right_keys))
    assert wrong_keys == sorted(set(wrong_keys))


@given(units_of_few_kinds, units_of_few_kinds)
def test_swapping_the_chains_swaps_the_keys(right: list[str], wrong: list[str]) -> None:
    distance, right_keys, wrong_keys = key_units(right, wrong)
    assert key_units(wrong, right) == (distance, wrong_keys, right_keys)


def shared(one: Sequence[object], other: Sequence[object]) -> int:
    """Units that two chains have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(one, other, strict=False)))


@given(units_of_few_kinds, units_of_few_kinds)
def test_common_beginning_and_end_are_never_key(right: list[str], wrong: list[str]) -> None:
    begin = shared(right, wrong)
    end = shared(right[begin:][::-1], wrong[begin:][::-1])
    _, right_keys, wrong_keys = key_units(right, wrong)
    assert all(begin <= key < len(right) - end for key in right_keys)
    assert all(begin <= key < len(wrong) - end for key in wrong_keys)


def test_the_row_of_the_contract() -> None:
    edits = align_texts(
        "17 + 25 = 42. Therefore, the answer is 42.",
        "17 + 25 = 32. Therefore, the answer is 32.",
        words,
        "word",
        None,
    )
    assert edits.right == edits.wrong == ((10, 12), (39, 41))
    assert edits.distance == 2
    assert edits.similarity == round(1 - 2 / 13, 4)
    assert edits.key_ratio == (round(2 / 13, 4),) * 2
    assert (edits.unit, edits.tokenizer) == ("word", None)


def test_a_deletion_is_key_on_the_right_side_only() -> None:
    edits = align_texts("keep 4, add 2 and stop", "keep 4 and stop", words, "word", None)
    assert ["keep 4, add 2 and stop"[start:end] for start, end in edits.right] == [",", "add", "2"]
    assert (edits.wrong, edits.distance) == ((), 3)
    assert edits.key_ratio == (round(3 / 7, 4), 0.0)


def test_padding_cannot_change_the_alignment() -> None:
    """The official code pads both rows: an insertion near the end then flags the conclusion. Not here."""
    right = "A B C D . Therefore , the answer is (A)"
    wrong = "A B x x x x x x x x x x x x x x D . Therefore , the answer is (B)"
    edits = align_texts(right, wrong, words, "word", None)
    assert [right[start:end] for start, end in edits.right] == ["C", "A"]
    assert [wrong[start:end] for start, end in edits.wrong][-1] == "B"
    assert all(wrong[start:end] in ("x", "B") for start, end in edits.wrong)


@settings(max_examples=60)
@given(texts, texts)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_spans_lead_back_to_the_tokens_that_made_them(name: str, right: str, wrong: str) -> None:
    tokenizer = tokenizer_of(name)
    cut = token_cutter(tokenizer)
    edits = align_texts(right, wrong, cut, "token", name)
    sides = cut(right), cut(wrong)
    _, *keys = key_units(sides[0].values, sides[1].values)
    for text, spans, units, numbers in zip((right, wrong), (edits.right, edits.wrong), sides, keys, strict=True):
        assert _keys_by_weight(tokenizer, text, spans) == _keys_by_number(units, numbers)
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert all(one[1] < other[0] for one, other in pairwise(spans))


def _keys_by_weight(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]) -> list[bool]:
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
    weights = token_weights(text, encoded["offset_mapping"], weigh(spans, text, 1.0, 0.0))
    return [bool(weight) for weight in weights] if any(start < end for start, end in encoded["offset_mapping"]) else []


def _keys_by_number(units: Units, numbers: Sequence[int]) -> list[bool]:
    return [number in numbers for number, value in enumerate(units.values) for _ in value]  # type: ignore[attr-defined]


@settings(max_examples=40)
@given(texts, texts)
@pytest.mark.parametrize("name", ["words", *TOKENIZERS])
def test_swapping_the_texts_swaps_the_spans(name: str, right: str, wrong: str) -> None:
    cut = words if name == "words" else token_cutter(tokenizer_of(name))
    edits, other = (align_texts(*sides, cut, "word", None) for sides in ((right, wrong), (wrong, right)))
    assert (edits.right, edits.wrong, edits.distance) == (other.wrong, other.right, other.distance)


def test_hash_seeds_change_nothing() -> None:
    code = (
        "from editctl.align.edits import align_texts; from editctl.align.units import words\n"
        "print(align_texts('a b a c a b d a', 'b a a d b c a a', words, 'word', None))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(found) == 1
    assert "distance" in found.pop()


def dual(right: str | None, wrong: str | None, reason: str | None = None) -> DualChain:
    """A dual chain of these texts."""
    chains = [Chain(text=text, answer=None, origin="given") if text is not None else None for text in (right, wrong)]
    return DualChain(
        question=Question(id="q", question="?", task="t"), right=chains[0], wrong=chains[1], teacher=None, reason=reason
    )


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (dual("a b", "a c"), "pair"),
        (dual("a b", None), "no-wrong-chain"),
        (dual(None, "a c"), "no-right-chain"),
        (dual("a b", "a b"), "same-text"),
        (dual("a b", "a c", "same-answer"), "same-answer"),
    ],
)
def test_every_dual_chain_comes_out_with_its_outcome(record: DualChain, outcome: str) -> None:
    (alignment,) = align([record], aligner_for("word"))
    assert alignment.dual is record
    assert (alignment.edits is None) == (record.right is None or record.wrong is None)
    assert outcome_of(alignment) == outcome


def test_figures_of_a_file() -> None:
    alignments = [pair(0), pair(1), Alignment(dual=dual("a", None), edits=None)]
    figures = Figures()
    for alignment in alignments:
        figures.add(alignment)
    facts = figures.render()
    assert facts["counts"] == {"pair": 2, "no-wrong-chain": 1}
    assert facts["similarity"]["n"] == 2
    assert facts["similarity"]["mean"] == facts["similarity"]["median"] == round(1 - 2 / 13, 4)
    assert facts["key_share_in_conclusion"] == 0.5
    assert [(group["task"], group["mistake"], group["similarity"]["n"]) for group in facts["groups"]] == [
        ("add", "corrupted", 2)
    ]


def test_figures_of_nothing() -> None:
    facts = Figures().render()
    assert facts["similarity"] is None
    assert facts["key_share_in_conclusion"] is None
