"""What counts as one unit of a chain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.align.units import Units, group_tokens, token_cutter, words
from tests.support_models import byte_level, sentence_pieces, word_pieces


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The cat's mat.", ["The", "cat's", "mat", "."]),
        ("3.5 + 1,234 = 1/2 at 12:30, 7.", ["3.5", "+", "1,234", "=", "1/2", "at", "12:30", ",", "7", "."]),
        ("(A) or (B)?!", ["(", "A", ")", "or", "(", "B", ")", "?", "!"]),
        ("keep  two\n\tspaces", ["keep", "two", "spaces"]),
        ("x_1 = y2z", ["x_1", "=", "y2z"]),
        ("答案是四。かな ไทย", ["答", "案", "是", "四", "。", "か", "な", "ไ", "ท", "ย"]),
        ("de\u0301ja\u0300 vu", ["de\u0301ja\u0300", "vu"]),
        ("हिन्दी", ["हिन्दी"]),
        ("👍🏽👨‍👩‍👧🙂", ["👍🏽", "👨‍👩‍👧", "🙂"]),
        ("don’t", ["don’t"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    units = words(text)
    assert list(units.values) == found
    assert [text[start:end] for start, end in units.spans] == found


@given(st.text())
def test_words_lie_in_order_and_leave_nothing_but_white_space(text: str) -> None:
    units = words(text)
    ends = [0]
    for start, end in units.spans:
        assert ends[-1] <= start < end <= len(text)
        assert not text[ends[-1] : start].strip()
        ends.append(end)
    assert not text[ends[-1] :].strip()


@pytest.mark.parametrize(
    ("offsets", "spans", "values"),
    [
        ([(0, 1), (1, 3)], [(0, 1), (1, 3)], [(10,), (11,)]),
        ([(0, 1), (0, 1), (1, 2)], [(0, 1), (1, 2)], [(10, 11), (12,)]),
        ([(0, 3), (2, 5), (5, 6)], [(0, 5), (5, 6)], [(10, 11), (12,)]),
        ([(0, 0), (0, 2)], [(0, 2)], [(10, 11)]),
        ([(0, 2), (2, 2)], [(0, 2)], [(10, 11)]),
        ([(0, 1), (1, 1), (0, 1)], [(0, 1)], [(10, 11, 12)]),
        ([(0, 0)], [], []),
    ],
    ids=["apart", "bytes of one character", "overlap", "empty first", "empty last", "empty inside", "only empty"],
)
def test_tokens_that_share_a_character_are_one_unit(
    offsets: list[tuple[int, int]], spans: list[tuple[int, int]], values: list[tuple[int, ...]]
) -> None:
    assert group_tokens(range(10, 10 + len(offsets)), offsets) == Units(tuple(values), tuple(spans))


@pytest.mark.parametrize("make", [byte_level, sentence_pieces, word_pieces])
def test_token_units_never_overlap_and_hold_every_token(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    cut = token_cutter(tokenizer)

    @given(st.text(max_size=40))
    def check(text: str) -> None:
        units = cut(text)
        assert all(start < end <= len(text) for start, end in units.spans)
        assert all(one[1] <= other[0] for one, other in zip(units.spans, units.spans[1:], strict=False))
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if units.values:
            assert [token for value in units.values for token in value] == ids  # type: ignore[attr-defined]

    check()


def test_special_tokens_spelled_out_are_cut_as_text() -> None:
    tokenizer = byte_level()
    units = token_cutter(tokenizer)("say <|end|> now")
    assert all(tokenizer.eos_token_id not in value for value in units.values)  # type: ignore[operator]
    assert len(units.values) > 4
