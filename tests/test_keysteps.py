"""From where two chains part to what is weighted."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.conclusion import find_conclusion
from editctl.keysteps import outside_conclusion, pair_fault, weigh
from editctl.records import Alignment, Edits
from tests.support_models import pair

TEXT = "1 + 2 = 3. Therefore, the answer is 3. Done."
CONCLUSION = (TEXT.index("Therefore"), TEXT.index(" Done"))


@pytest.mark.parametrize(
    ("spans", "kept"),
    [
        ([(8, 9)], [(8, 9)]),
        ([(36, 37)], []),
        ([(8, 9), (36, 37)], [(8, 9)]),
        ([(8, 20)], [(8, CONCLUSION[0])]),
        ([(30, 43)], [(CONCLUSION[1], 43)]),
        ([(0, len(TEXT))], [(0, CONCLUSION[0]), (CONCLUSION[1], len(TEXT))]),
        ([(CONCLUSION[0], CONCLUSION[1])], []),
        ([], []),
    ],
)
def test_the_conclusion_sentence_is_left_out(spans: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    assert list(outside_conclusion(TEXT, spans)) == kept


def test_a_text_without_conclusion_keeps_all() -> None:
    assert outside_conclusion("no end", [(0, 2), (3, 6)]) == ((0, 2), (3, 6))


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, len(TEXT))).map(sorted).map(tuple)))
def test_exactly_the_characters_outside_stay(spans: list[tuple[int, int]]) -> None:
    found = find_conclusion(TEXT)
    assert found is not None
    assert (found.start, found.end) == CONCLUSION
    inside = set(range(*CONCLUSION))
    wanted = {place for start, end in spans for place in range(start, end)} - inside
    assert {place for start, end in outside_conclusion(TEXT, spans) for place in range(start, end)} == wanted


def test_key_spans_stand_before_the_whole_text() -> None:
    assert weigh([(1, 2), (4, 6)], "abcdefg", 2.0, 0.5) == ((1, 2, 2.0), (4, 6, 2.0), (0, 7, 0.5))


def test_without_another_weight_only_key_spans_stand() -> None:
    assert weigh([(1, 2)], "abcdefg", -0.25, 0.0) == ((1, 2, -0.25),)


def changed(**facts: Any) -> Alignment:
    """A pair whose edits are changed."""
    alignment = pair()
    assert isinstance(alignment.edits, Edits)
    return replace(alignment, edits=replace(alignment.edits, **facts))


@pytest.mark.parametrize(
    ("alignment", "fault"),
    [
        (pair(), None),
        (replace(pair(), dual=replace(pair().dual, right=None), edits=None), "no-right-chain"),
        (replace(pair(), dual=replace(pair().dual, wrong=None), edits=None), "no-wrong-chain"),
        (replace(pair(), edits=None), "no-wrong-chain"),
        (pair(reason="same-answer"), "same-answer"),
        (changed(distance=0), "same-text"),
        (changed(key_ratio=(0.1, 0.61)), "over-max-key-ratio"),
        (changed(key_ratio=(0.61, 0.1)), "over-max-key-ratio"),
        (changed(key_ratio=(0.6, 0.6)), None),
        (changed(similarity=0.39), "under-min-similarity"),
        (changed(similarity=0.4), None),
    ],
)
def test_why_a_pair_can_teach_no_difference(alignment: Alignment, fault: str | None) -> None:
    assert pair_fault(alignment, max_key_ratio=0.6, min_similarity=0.4) == fault
