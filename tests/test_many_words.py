"""Words of many texts at once: the same words as one text at a time, whatever the texts."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from editctl.align import many_words
from editctl.align.aligner import aligner_for
from editctl.align.many_edits import word_edits
from editctl.align.many_words import WordTable, cut_many
from editctl.words import word_spans

PIECES = [
    *"aZ_09'.,:/-+() \n\t\r\x1c\x00\x7f’é½²—“×数ไ🙂한ʼञ",
    *(
        "don't",
        "x2",
        "2nd",
        "3.5",
        "1,234",
        "12:30",
        "1/2",
        "y2.5",
        "e\u0301",
        "\u200d",
        "🇩🇪",
        "👍🏽",
        "\u00a0",
        "\u2028",
    ),
    *(
        "internationalisation",
        "internationalised",
        "überraschungen",
        "überraschungsei",
        "a'b",
        "o’clock",
        "'數",
        "l'été",
    ),
]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def words_of(table: WordTable, place: int) -> list[tuple[int, int]]:
    """Where the words of one text stand."""
    begin, end = table.bounds[place : place + 2]
    return [table.span(place, word) for word in range(end - begin)]


def check(given_texts: Sequence[str]) -> WordTable:
    """Every text that is not unsure is cut as the regular expression cuts it, and equal words have equal values."""
    table = cut_many(given_texts)
    values: dict[str, str] = {}
    spelt: dict[str, str] = {}
    for place, text in enumerate(given_texts):
        if place in table.unsure:
            continue
        spans = word_spans(text)
        assert words_of(table, place) == list(spans), repr(text)
        for (start, end), value in zip(spans, table.values[table.bounds[place] :], strict=False):
            assert values.setdefault(value, text[start:end]) == text[start:end]
            assert spelt.setdefault(text[start:end], value) == value
    return table


@settings(max_examples=400)
@given(st.lists(texts, max_size=6))
@example(["'don't_1 don't5 5's y2.5 2nd 1.2.3 1..2 a.b", "", " ", "rock'n'roll'"])
@example(["a'數", "z’é數 b"])
@example(["e\u0301", "a", "\u0301"])
@example(["\u00a0"])
def test_many_texts_are_cut_as_each_alone(given_texts: list[str]) -> None:
    check(given_texts)


@settings(max_examples=300)
@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_text_is_cut_as_it_would_be_alone(given_texts: list[str]) -> None:
    check(given_texts)


@pytest.mark.parametrize(
    "text",
    [
        "Step 1: 3 + 1 = 4, keep 4. Therefore, the answer is (B).",
        "“Don’t” – she said – costs €3.50 × 2 ≥ 7…",
        "答案是四。かな ไทย и кириллица, ελληνικά",
        "½ cup, x² + y₂",
    ],
)
def test_usual_texts_are_cut_together(text: str) -> None:
    assert not check([text]).unsure


@pytest.mark.parametrize("text", ["e\u0301", "👍🏽", "🇩🇪", "👨‍👩‍👧", "हिन्दी", "a\u200bb", "don't_1", "can't5"])
def test_what_joins_other_characters_is_left_to_the_regular_expression(text: str) -> None:
    table = cut_many(["before", text, "after it"])
    assert table.unsure == {1}
    assert [words_of(table, place) for place in (0, 2)] == [[(0, 6)], [(0, 5), (6, 8)]]


def test_long_words_that_begin_alike_are_different_words() -> None:
    table = check(["internationally international internationally", "internationale"])
    first, second, third, fourth = list(table.values)
    assert first == third
    assert len({first, second, fourth}) == 3


def test_a_short_word_is_not_the_beginning_of_a_longer_one() -> None:
    table = check(["a ab abc a\x00 abcdefgh abcdefghi"])
    assert len(table.values) == 7
    assert len(set(table.values)) == 6


@pytest.mark.parametrize("bits", [1, 3])
def test_words_that_want_the_same_place_are_told_apart(monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    monkeypatch.setattr(many_words, "_PLACE_BITS", bits)
    table = check([" ".join(f"w{number}" for number in range(300)), "w7 w299 internationally w7"])
    assert not table.unsure
    assert len(set(table.values)) == 301


def test_more_words_than_can_be_told_apart_are_left_to_the_regular_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_words, "_NUMBERS", 3)
    assert not check(["internationally überraschungen internationally"]).unsure
    table = check(["internationally international", "überraschungen internationale", "a"])
    assert table.unsure == {0, 1, 2}
    assert len(table.values) == table.bounds[-1] == 5
    texts = ("internationally international", "überraschungen internationale")
    assert word_edits([texts, ("a", "b")]) == [None, None]
    assert aligner_for("word").many([texts]) == [aligner_for("word").one(*texts)]


def test_nothing_is_cut_to_nothing() -> None:
    assert cut_many([]).bounds == [0]
    assert cut_many(["", ""]).bounds == [0, 0, 0]


def test_every_character_is_of_the_kind_that_the_regular_expression_takes_it_for() -> None:
    for first in range(0x80, 0x3400, 64):
        characters = [chr(code) for code in range(first, first + 64)]
        check([form.replace("_", one) for one in characters for form in ("a_b", "(_(", "1_2", "__x", " _ ", "'_")])
