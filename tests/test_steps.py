"""Where steps stand, and alignments that match them first."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.align import steps as by_steps
from editctl.align.steps import key_units_by_steps, matched_steps, steps
from editctl.align.units import Cutter, Units, token_cutter, words
from editctl.steps import _STOP, label_span, step_spans
from tests.support_models import byte_level
from tests.support_toys import FAMILIES, worked

SPLITS = [
    ("Step 1: 6 + 8 = 14, keep 4. Step 2: 4 - 6 = -2.", ["Step 1: 6 + 8 = 14, keep 4.", "Step 2: 4 - 6 = -2."]),
    ("two figs: fruit, 0 + 2 = 2. one bat: no fruit.", ["two figs: fruit, 0 + 2 = 2.", "one bat: no fruit."]),
    ("It costs 3.5 dollars. So 1,234.50 is it", ["It costs 3.5 dollars.", "So 1,234.50 is it"]),
    ("Step 1. Add. Step 2. Take 5.", ["Step 1. Add.", "Step 2. Take 5."]),
    ("1. Add. 2. Take 5. 3) Done", ["1. Add.", "2. Take 5.", "3) Done"]),
    ("**1.** Foo bar. **Step 2:** baz.", ["**1.** Foo bar.", "**Step 2:** baz."]),
    ("2.1. Foo. iv. Bar.", ["2.1. Foo.", "iv. Bar."]),
    ("We know: 1. A is tall. 2. B is short.", ["We know: 1. A is tall.", "2. B is short."]),
    ("The answer is: 7. Then 8.", ["The answer is: 7.", "Then 8."]),
    ("(A). The cat. (B). The dog.", ["(A). The cat.", "(B). The dog."]),
    ("It is (A). So it is.", ["It is (A).", "So it is."]),
    ("order: [1. size] [2. age] noun. Next.", ["order: [1. size] [2. age] noun.", "Next."]),
    ("E.g. a dog, i.e. Rex. Mr. Smith left. Dr. No vs. Yes.",
     ["E.g. a dog, i.e. Rex.", "Mr. Smith left.", "Dr. No vs. Yes."]),
    ("John F. Kennedy spoke. It is B. Then Option C. Bob won.",
     ["John F. Kennedy spoke.", "It is B.", "Then Option C.", "Bob won."]),
    ("No. 5 is it. The answer is No. So there.", ["No. 5 is it.", "The answer is No.", "So there."]),
    ("The U.S. Army left the U.S. The end. At 5 p.m. we go. At 6 p.m. They go.",
     ["The U.S. Army left the U.S.", "The end.", "At 5 p.m. we go.", "At 6 p.m.", "They go."]),
    ("Wait... then it goes. Well... Now… so. Ok", ["Wait... then it goes.", "Well...", "Now… so.", "Ok"]),
    ('"low ? pears ? ?". Really? Yes! 5! = 120. "Is it?" She left.',
     ['"low ? pears ? ?".', "Really?", "Yes!", "5! = 120.", '"Is it?"', "She left."]),
    ("答案是四。所以选（二）。好！「对。」是", ["答案是四。", "所以选（二）。", "好！", "「对。」", "是"]),
    ("one\r\n\n two \u2028three", ["one", "two", "three"]),
    ("He said (it is so.) Then (so). She left.", ["He said (it is so.)", "Then (so).", "She left."]),
    ("", []),
    (" \n\t", []),
    (" . ", ["."]),
]  # fmt: skip
LABELS = {
    "Step 3: add": "Step 3:", "step 12. add": "step 12.", "3. add": "3.", "(3) add": "(3)", "[3] add": "[3]",
    "3) add": "3)", "3: [ ; stack": "3:", "- add": "-", "* add": "*", "- 3. add": "- 3.", "#### 1. Sum": "#### 1.",
    "**Step 2:** add": "**Step 2:**", "Swap 2: Ann": "Swap 2:", "(3): add": "(3):", "3.": "3.",
    "(A) is so": "", "3.5 is it": "", "3 + 4 = 7": "", "Step 3 adds": "", "-3 is less": "", "Take 3. Add": "",
    "add": "",
}  # fmt: skip
PIECES = st.sampled_from(
    ["Step ", "1", "2", "3", ": ", ". ", ".", "\n", " ", "e.g. ", "... ", "? ", "! ", "A", "b", "(B)", "= ", "是", "。",
     "🙂", "\u00a0"]
)  # fmt: skip
LINES = st.sampled_from(
    ["2 + 3 = 5", "2 + 3 = 6", "so it is 5", "so it is not 5", "it holds that 2 and 3 are 5", "Ann has the mug",
     "Bob has the mug", "Ann and Bob swap", "是 5", "x"]
)  # fmt: skip


@st.composite
def chains(draw: st.DrawFn) -> str:
    """Some lines, with numbers before them or not."""
    lines = draw(st.lists(LINES, max_size=7))
    numbering = draw(st.sampled_from(["", "Step {}: ", "{}. ", "({}) ", "- "]))
    between = draw(st.sampled_from([". ", ".\n"]))
    return "".join(f"{numbering.format(at)}{line}{between}" for at, line in enumerate(lines, 1))


def flagged(right: str, wrong: str, cut: Cutter = words) -> tuple[list[str], list[str]]:
    """Texts of the key units."""
    sides = cut(right), cut(wrong)
    _, key_right, key_wrong = key_units_by_steps((right, wrong), sides)
    return _texts(right, sides[0], key_right), _texts(wrong, sides[1], key_wrong)


def _texts(text: str, units: Units, keys: Sequence[int]) -> list[str]:
    return [text[slice(*units.spans[key])] for key in keys]


@pytest.mark.parametrize(("text", "found"), SPLITS)
def test_steps_are_lines_and_sentences(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in step_spans(text)] == found
    assert list(steps(text).values) == found


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_steps_lie_in_order_and_hold_every_character(text: str) -> None:
    reached = 0
    for start, end in step_spans(text):
        assert reached <= start < end <= len(text)
        assert not text[reached:start].strip()
        assert text[start:end] == text[start:end].strip()
        reached = end
    assert not text[reached:].strip()


def test_a_run_of_marks_is_tried_from_its_first_one_only() -> None:
    for run in ("!!!!", "...", "…", "?!.…"):
        assert [place for place in range(len(run)) if _STOP.match(run + ' "', place)] == [0]
    marks = "!" * 200_000
    assert step_spans(marks + "x") == ((0, 200_001),)
    assert step_spans(f"a{marks} B") == ((0, 200_001), (200_002, 200_003))


@given(st.lists(PIECES, max_size=30).map("".join))
def test_a_label_stands_at_the_beginning_of_its_step(text: str) -> None:
    for step in step_spans(text):
        start, end = label_span(text, step)
        assert step[0] == start <= end <= step[1]
        assert text[start:end] == text[start:end].strip()


@pytest.mark.parametrize(("step", "label"), LABELS.items())
def test_labels(step: str, label: str) -> None:
    text = f"Before. {step}"
    assert text[slice(*label_span(text, (8, len(text))))] == label


@pytest.mark.parametrize("name", FAMILIES)
def test_toy_chains_fall_into_their_steps(name: str) -> None:
    for item in worked(name, 40):
        found = [item.right[start:end] for start, end in step_spans(item.right)]
        assert " ".join(found) == item.right
        assert all(step.endswith(".") and ". " not in step for step in found)


def test_an_exchanged_step_is_not_key() -> None:
    right = "Step 1: 6 + 8 = 14, keep 4. Step 2: 9 * 2 = 18, keep 8. Step 3: 1 + 1 = 2, keep 2."
    wrong = "Step 1: 9 * 2 = 18, keep 8. Step 2: 6 + 8 = 14, keep 4. Step 3: 1 + 1 = 3, keep 2."
    assert flagged(right, wrong) == (["2"], ["3"])


def test_a_step_about_the_other_thing_is_no_exchanged_step() -> None:
    """What is said of two options the other way round is the mistake."""
    right = "Look at A. This is plainly said in earnest. Look at B. This seems meant as a joke."
    wrong = "Look at A. It may well be meant as a joke. Look at B. This is plainly said in earnest."
    assert all({"joke", "earnest"} <= set(side) for side in flagged(right, wrong))
    assert flagged(right, wrong.replace("It may well be", "This seems")) == ([], [])  # nobody could tell


def test_numbers_that_moved_up_are_not_key() -> None:
    right = "1. Ann has a mug. 2. Bob has a book. 3. They swap. 4. Ann has a book."
    wrong = "1. Ann has a mug. 2. They swap. 3. Ann has a mug."
    assert flagged(right, wrong) == (["2", ".", "Bob", "has", "a", "book", ".", "book"], ["mug"])


def test_another_style_of_numbers_is_not_key() -> None:
    right = "Step 1: 6 + 8 = 14.\nStep 2: 4 - 6 = -2."
    assert flagged(right, "1) 6 + 8 = 14.\n2) 4 - 6 = -3.") == (["2"], ["3"])
    assert flagged(right, "6 + 8 = 14. 4 - 6 = -3.") == (["2"], ["3"])


def test_rewording_is_key_within_its_step_only() -> None:
    right = "Ann has two mugs. Bob takes one of the mugs. So Ann has one mug."
    wrong = "Ann has two mugs. One of the mugs is taken by Bob. So Ann has no mug."
    assert flagged(right, wrong) == (["Bob", "takes", "one", "one"], ["One", "is", "taken", "by", "Bob", "no"])


def test_a_step_without_counterpart_is_key_as_a_whole() -> None:
    right = "- Add 2 and 3. - It rains in Rome today. - So 5."
    assert flagged(right, "- Add 2 and 3. - So 6.") == (["-", "It", "rains", "in", "Rome", "today", ".", "5"], ["6"])


def test_one_step_each_is_compared_in_full() -> None:
    assert flagged("a b c", "x b y") == (["a", "c"], ["x", "y"])
    assert flagged("", "x y") == ([], ["x", "y"])
    assert key_units_by_steps(("", ""), (words(""), words(""))) == (0, [], [])


def test_step_units_are_key_where_anything_but_the_number_changed() -> None:
    right, wrong = "1. Add 2. 2. So 5.", "1. So 5. 2. Add 3."
    assert flagged("1. Add 2. 2. So 5.", "2. Add 2. 3. So 5.", steps) == ([], [])
    assert flagged(right, wrong, steps)[0] == ["1. Add 2."]
    assert flagged(right, wrong, steps)[1] == ["2. Add 3."]


def test_tokens_are_the_same_with_and_without_the_space_before() -> None:
    right = "Step 1: 6 + 8 = 14, keep 4. Step 2: 4 - 6 = -2, keep 2."
    wrong = "Step 2: 4 - 6 = -2, keep 2. Step 1: 6 + 8 = 14, keep 5.\n"
    cut = token_cutter(byte_level())
    assert ["".join(side).strip() for side in flagged(right, wrong, cut)] == ["4", "5"]
    assert ["".join(side).strip() for side in flagged("Step 1: 6 + 8 = 14.", "6 + 8 = 15.\n", cut)] == ["14", "15"]


def check_consistent(right: str, wrong: str) -> None:
    """What is not key, and no numbering, is the same words on both sides; edits are the larger count of key units."""
    sides = words(right), words(wrong)
    edits, *keys = key_units_by_steps((right, wrong), sides)
    rest = []
    for text, units, side in zip((right, wrong), sides, keys, strict=True):
        assert side == sorted(set(side))
        ends = [label_span(text, span) for span in step_spans(text)]
        labels = {
            at for at, (start, end) in enumerate(units.spans) for label in ends if label[0] <= start < end <= label[1]
        }
        rest.append(Counter(units.values[at] for at in set(range(len(units.values))) - set(side) - labels))
    assert rest[0] == rest[1]
    assert edits == max(map(len, keys)) <= max(len(side.values) for side in sides)


@given(chains(), chains())
def test_sides_are_consistent(right: str, wrong: str) -> None:
    check_consistent(right, wrong)


@pytest.mark.parametrize("cut", [words, steps, token_cutter(byte_level())], ids=["word", "step", "token"])
def test_swapping_the_sides_swaps_the_keys(cut: Cutter) -> None:
    @given(chains(), chains())
    def check(right: str, wrong: str) -> None:
        sides = cut(right), cut(wrong)
        edits, key_right, key_wrong = key_units_by_steps((right, wrong), sides)
        assert key_units_by_steps((wrong, right), (sides[1], sides[0])) == (edits, key_wrong, key_right)
        assert matched_steps(wrong, right) == sorted((two, one) for one, two in matched_steps(right, wrong))

    check()


@given(chains())
def test_equal_texts_have_no_key_units(text: str) -> None:
    for cut in (words, steps):
        assert key_units_by_steps((text, text), (cut(text), cut(text))) == (0, [], [])


def check_matched_once(right: str, wrong: str) -> None:
    """Each step of either side at most once."""
    found = matched_steps(right, wrong)
    for side, text in enumerate((right, wrong)):
        own = [match[side] for match in found]
        assert len(set(own)) == len(own)
        assert set(own) <= set(step_spans(text))


@given(chains(), chains())
def test_each_step_is_matched_once(right: str, wrong: str) -> None:
    check_matched_once(right, wrong)


def long_pair(count: int) -> tuple[str, str]:
    """Chains of many steps: every seventh is wrong, every tenth left out, and eleven in a row are told differently."""
    right = [f"Step {at}: item {at} costs {at * 3} coins." for at in range(count)]
    wrong = [step if at % 7 else step.replace("coins", "notes") for at, step in enumerate(right) if at % 10 != 5]
    wrong[20:31] = [f"Nothing else like it number {at} stands here." for at in range(8)]
    return "\n".join(["First.", *right, "So."]), "\n".join(["Begin.", *wrong, "Thus."])


def test_too_many_steps_are_matched_by_equal_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    similarities = by_steps._similarities

    def counted(first: Sequence[str], second: Sequence[str]) -> Any:
        compared.append(len(first) * len(second))
        return similarities(first, second)

    monkeypatch.setattr(by_steps, "_similarities", counted)
    monkeypatch.setattr(by_steps, "MOST_CELLS", 30)
    right, wrong = long_pair(120)
    found = matched_steps(right, wrong)
    assert compared
    assert max(compared) <= 30
    assert found == matched_steps(right, wrong)
    assert matched_steps(wrong, right) == sorted((two, one) for one, two in found)
    shown = {(right[slice(*one)], wrong[slice(*other)]) for one, other in found}
    assert ("Step 118: item 118 costs 354 coins.",) * 2 in shown
    assert ("Step 49: item 49 costs 147 coins.", "Step 49: item 49 costs 147 notes.") in shown
    assert not any("Nothing else" in other for _, other in shown)
    _, key_right, key_wrong = key_units_by_steps((right, wrong), (words(right), words(wrong)))
    assert key_units_by_steps((wrong, right), (words(wrong), words(right)))[1:] == (key_wrong, key_right)
    assert key_units_by_steps((right, right), (words(right), words(right))) == (0, [], [])


def test_without_equal_steps_too_many_are_left_unmatched(monkeypatch: pytest.MonkeyPatch) -> None:
    right = "\n".join(f"It is {at} mugs." for at in range(6))
    wrong = right.replace("mugs", "cups")
    assert len(matched_steps(right, wrong)) == 6
    monkeypatch.setattr(by_steps, "MOST_CELLS", 35)
    assert matched_steps(right, wrong) == []
    monkeypatch.setattr(by_steps, "MOST_CELLS", 36)
    assert len(matched_steps(right, wrong)) == 6


@given(chains(), chains(), st.integers(1, 12))
def test_a_limit_keeps_symmetry_and_consistency(right: str, wrong: str, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(by_steps, "MOST_CELLS", limit)
        check_consistent(right, wrong)
        check_matched_once(right, wrong)
        found = matched_steps(right, wrong)
        assert matched_steps(wrong, right) == sorted((two, one) for one, two in found)
        assert key_units_by_steps((right, right), (words(right), words(right))) == (0, [], [])


@pytest.mark.parametrize("limit", [by_steps.MOST_CELLS, 6])
def test_the_choice_does_not_depend_on_the_hash_seed(limit: int) -> None:
    pairs = [
        (item.right, wrong.text)
        for name in FAMILIES
        for item in worked(name, 12)
        for pattern in item.patterns
        if (wrong := item.wrong(pattern))
    ]
    program = (
        f"import json, sys\nfrom editctl.align import steps\nsteps.MOST_CELLS = {limit}\n"
        "from editctl.align.steps import key_units_by_steps\nfrom editctl.align.units import words\n"
        "print(json.dumps([key_units_by_steps(tuple(p), (words(p[0]), words(p[1]))) for p in json.load(sys.stdin)]))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(pairs),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "77")
    ]
    assert found[0] == found[1]
    assert len(json.loads(found[0])) == len(pairs) > 100
