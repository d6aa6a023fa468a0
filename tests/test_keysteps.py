"""From where two chains part to what is weighted."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.align.edits import align_texts, key_units
from editctl.align.units import words
from editctl.answers.conclusion import find_conclusion
from editctl.keysteps import Weighing, in_first_step, outside_conclusion, pair_fault, side_weighing, weigh
from editctl.records import Alignment, Edits
from editctl.steps import step_spans
from editctl.words import touching, word_spans
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


def test_the_conclusion_opens_as_told() -> None:
    assert outside_conclusion("no end. Es ist 4.", [(0, 2), (15, 16)], "Es ist") == ((0, 2),)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, len(TEXT))).map(sorted).map(tuple)))
def test_exactly_the_characters_outside_stay(spans: list[tuple[int, int]]) -> None:
    found = find_conclusion(TEXT)
    assert found is not None
    assert (found.start, found.end) == CONCLUSION
    inside = set(range(*CONCLUSION))
    wanted = {place for start, end in spans for place in range(start, end)} - inside
    assert {place for start, end in outside_conclusion(TEXT, spans) for place in range(start, end)} == wanted


@pytest.mark.parametrize(
    ("text", "spans", "kept"),
    [
        ("One two. Three four. Five.", [(9, 14), (15, 19), (21, 25)], [(9, 14), (15, 19)]),
        ("One two. Three four. Five.", [(21, 25)], [(21, 25)]),
        ("a b\nc d", [(2, 5)], [(2, 3)]),
        ("a b\nc d", [(3, 5)], [(4, 5)]),
        ("a  b\n\nc", [(1, 3), (4, 6)], [(1, 3)]),
        ("a\n\nb", [(1, 3)], [(1, 3)]),
        ("a. b.", [], []),
        ("", [], []),
    ],
)
def test_the_first_step_that_changes_is_kept(
    text: str, spans: list[tuple[int, int]], kept: list[tuple[int, int]]
) -> None:
    assert list(in_first_step(text, spans)) == kept


@settings(deadline=None)
@given(st.text(alphabet="ab. \n3", max_size=40), st.text(alphabet="ab. \n3", max_size=40))
def test_nothing_is_kept_beyond_the_first_step_and_nothing_in_it_is_lost(right: str, wrong: str) -> None:
    spans = align_texts(right, wrong, words, "word", None).right
    kept = {place for start, end in in_first_step(right, spans) for place in range(start, end)}
    key = {place for start, end in spans for place in range(start, end)}
    step = next(({*range(start, end)} for start, end in step_spans(right) if key & {*range(start, end)}), set())
    assert kept == key & step


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
        (changed(distance=0), "no-key-steps"),
        (changed(key_ratio=(0.1, 0.61)), "over-max-key-ratio"),
        (changed(key_ratio=(0.61, 0.1)), "over-max-key-ratio"),
        (changed(key_ratio=(0.6, 0.6)), None),
        (changed(similarity=0.39), "under-min-similarity"),
        (changed(similarity=0.4), None),
    ],
)
def test_why_a_pair_can_teach_no_difference(alignment: Alignment, fault: str | None) -> None:
    assert pair_fault(alignment, max_key_ratio=0.6, min_similarity=0.4) == fault


CHAINS = st.lists(
    st.sampled_from(["a", "b", "17", "3.5", "(", ").", "naïve", "\n", "四", "so", "x_1"]), min_size=1, max_size=12
).map(" ".join)
ENDINGS = st.sampled_from(["", " Therefore, the answer is 4.", " So the answer is (B). Done."])
CONTROLS = ("random", "numbers", "conclusion", "all")


def own_units(text: str, spans: Any) -> set[tuple[int, int]]:
    """The words that lie inside spans, by looking at each."""
    units = words(text).spans
    return {unit for unit in units if any(first <= unit[0] and unit[1] <= last for first, last in spans)}


@settings(deadline=None)
@given(CHAINS, CHAINS, ENDINGS, st.sampled_from(CONTROLS), st.booleans(), st.booleans())
def test_a_control_weighs_as_much_as_the_key_steps(
    right: str, wrong: str, ending: str, control: Any, skip: bool, first: bool
) -> None:
    right += ending
    edits = align_texts(right, wrong, words, "word", None)
    key = own_units(right, edits.right)
    found = find_conclusion(right) if skip else None
    inside = own_units(right, [(found.start, found.end)]) if found else set()
    kept = key - inside
    if first:
        steps = (own_units(right, [step]) & kept for step in step_spans(right))
        kept = next(filter(None, steps), set())
    weighing = side_weighing(right, edits.right, control, seed="q right", skip_conclusion=skip, first_step=first)
    if weighing is None:
        assert kept
        return
    units = own_units(right, weighing.spans)
    if not kept:
        assert weighing == Weighing(())
        return
    assert weighing.factor * len(units) == pytest.approx(len(kept))
    assert not units & inside
    if control == "random":
        assert not units & key
        others = set(words(right).spans) - key - inside
        assert len(units) == min(len(others), len(kept))


@settings(deadline=None)
@given(CHAINS, ENDINGS)
def test_controls_take_what_they_are_named_after(text: str, ending: str) -> None:
    text += ending
    key = [words(text).spans[0]] if words(text).spans else []
    if not key:
        return
    numbers = [span for span in words(text).spans if re.fullmatch(r"\d[\d.]*", text[slice(*span)])]
    found = find_conclusion(text)
    wanted = {
        "numbers": numbers,
        "conclusion": sorted(own_units(text, [(found.start, found.end)])) if found else [],
        "all": list(words(text).spans),
    }
    for control, units in wanted.items():
        weighing = side_weighing(text, key, control, seed="")  # type: ignore[arg-type]
        assert (sorted(own_units(text, weighing.spans)) if weighing else []) == units


def test_without_a_control_key_spans_stay() -> None:
    assert side_weighing(TEXT, [(8, 9), (36, 37)], "none", seed="") == Weighing(((8, 9), (36, 37)))
    assert side_weighing(TEXT, [(8, 9), (36, 37)], "none", seed="", skip_conclusion=True) == Weighing(((8, 9),))


@pytest.mark.parametrize("control", CONTROLS)
def test_a_side_without_key_steps_weighs_nothing(control: Any) -> None:
    assert side_weighing(TEXT, [], control, seed="") == Weighing(())
    assert side_weighing(TEXT, [(36, 37)], control, seed="", skip_conclusion=True) == Weighing(())


def test_key_tokens_count_as_the_words_they_touch() -> None:
    # Tokens: "na", "ï" of one word, a new line, and one that holds the ends of two words.
    text = "naïve\nbut fine, so it is"
    weighing = side_weighing(text, [(0, 2), (2, 3), (5, 6), (8, 11)], "all", seed="")
    assert weighing is not None
    assert weighing.factor * len(words(text).spans) == pytest.approx(4)


def test_a_token_that_touches_a_word_keeps_it_out_of_the_draw() -> None:
    text = "naïve but fine"
    drawn = [side_weighing(text, [(0, 2)], "random", seed=str(number)) for number in range(9)]
    assert {one.spans for one in drawn if one} == {((6, 9),), ((10, 14),)}


def test_other_processes_draw_the_same_words() -> None:
    code = (
        "from editctl.keysteps import side_weighing\n"
        f"print(side_weighing({TEXT!r}, [(8, 9)], 'random', seed='q\\ud800 right').spans)"
    )
    own = side_weighing(TEXT, [(8, 9)], "random", seed="q\ud800 right")
    assert own is not None
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(own.spans)


@settings(deadline=None)
@given(st.text())
def test_words_of_controls_are_the_units_of_alignments(text: str) -> None:
    assert words(text).spans == word_spans(text)


@settings(deadline=None)
@given(CHAINS, CHAINS)
def test_key_words_are_the_key_units_of_an_alignment(right: str, wrong: str) -> None:
    edits = align_texts(right, wrong, words, "word", None)
    _, key_right, key_wrong = key_units(words(right).values, words(wrong).values)
    assert len(touching(word_spans(right), edits.right)) == len(key_right)
    assert len(touching(word_spans(wrong), edits.wrong)) == len(key_wrong)
