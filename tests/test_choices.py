"""Options of multiple-choice questions, and which one an answer means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.answers.choices import options_of
from editctl.answers.conclusion import CANONICAL
from editctl.answers.verdicts import judge, read_answer
from editctl.records import Question

BALLS = "Who has what?\nOptions:\n(A) red ball\n(B) purple present\n(C) pink ball\n(D) brown present"


def ask(answer: str, text: str = "What?", choices: tuple[str, ...] | None = None) -> Question:
    return Question(id="q", question=text, answer=answer, choices=choices)


def verdict(answer: str, question: Question) -> str:
    return judge(f"We think of (A), of 5 and of no. {CANONICAL} {answer}", question).verdict


@pytest.mark.parametrize("gold", ["(D)", "D"])
@pytest.mark.parametrize(
    "answer",
    [
        "(D).", "D.", "D", "d)", "(d).", "D) brown present.", "D. brown present.", "(D) brown present.",
        "D: brown present",
        "brown present.", "the brown present.", "a brown present, as Dave took it.", "option (D).",
        "Option D.",
        "**(D)**.", "**D**", ": (D)", ":\n\n(D)", '"(D)".', "(D).)", r"$\text{(D)}$.", r"\boxed{D}.",
        r"\(\boxed{\text{D}}\)",
        "not (A) but (D).", "not the red ball but the brown present.", "(D), not (A).",
        "(D) rather than (A).",
        "(D) because (A) and (B) are wrong.", "D, because A is wrong.", "clearly (D).", "(D) blue cup.",
        "(D).\n\n(The right answer is (A), not (D).)", "[D].", "{(D)}", "D!", "the brown present, not the red ball.",
        "the brown present rather than the red ball",
    ],
)  # fmt: skip
def test_choice_right(answer: str, gold: str) -> None:
    assert verdict(answer, ask(gold, BALLS)) == "right"
    assert read_answer(f"{CANONICAL} {answer}", ask(gold, BALLS)).answer == "(D)"


@pytest.mark.parametrize("answer", ["(A).", "B", "red ball.", "a pink ball", "A. red ball", "(C) brown present"])
def test_choice_wrong(answer: str) -> None:
    assert verdict(answer, ask("(D)", BALLS)) == "wrong"


@pytest.mark.parametrize(
    "answer",
    [
        "either A or D.", "A and D", "A, B and D.", "neither (A) nor (D).", "not (D).", "the green cup.", "ball",
        "not the brown present", "red ball or brown present", "anything but (D).", "everything but D", "all but (D).",
    ],
)  # fmt: skip
def test_choice_unread(answer: str) -> None:
    assert verdict(answer, ask("(D)", BALLS)) == "none"


@pytest.mark.parametrize(
    "answer",
    [
        "(A) and (D).", "both (A) and (D).", "(A) or (D).", "(A), (D).", "(D)/(A)", "(E).", "(None of the above).",
        "none of the options", "neither",
    ],
)  # fmt: skip
def test_an_answer_that_is_no_single_option_is_wrong_and_not_missing(answer: str) -> None:
    assert verdict(answer, ask("(D)", BALLS)) == "wrong"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Before? G. After? L.", "(A)"), ("before? g. after? l", "(A)"), ("**Before? G. After? N.**", "(B)"),
        ("Before? G. After? N. Because N is last.", "(B)"), ("Before? G.", None), ("Before? G. After? Nile.", None),
        ("Panic! At noon", "(C)"), ("Panic! At night", "(D)"), ("Panic! At nightfall", None),
    ],
)  # fmt: skip
def test_an_option_of_several_sentences_written_out(answer: str, expected: str | None) -> None:
    choices = ("Before? G. After? L.", "Before? G. After? N.", "Panic! At noon", "Panic! At night")
    assert read_answer(f"So the answer is {answer}\nNext line.", ask("(A)", choices=choices)).answer == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("1", "(1)"), ("(1)", "(1)"), ("option (1)", "(1)"), ("July 1", "(3)"), ("(2) July 1", "(2)"), ("15", "(2)"),
        ("June 15", "(2)"), ("= 15", "(2)"), ("9", None),
    ],
)  # fmt: skip
def test_a_label_is_not_the_number_in_an_options_text(answer: str, expected: str | None) -> None:
    text = "When?\nOptions:\n(1) June 7\n(2) June 15\n(3) July 1\n(4) July 8"
    assert read_answer(f"So the answer is {answer}.", ask("(1)", text)).answer == expected


def test_numbers_decide_only_where_every_option_has_one() -> None:
    some = ("more than 20 g as it is hot", "less than 20 g as it is hot", "20 g as nothing is lost")
    assert read_answer("So the answer is (A) more than 20 g.", ask("(A)", choices=some)).answer == "(A)"
    assert read_answer("So the answer is 20 g.", ask("(A)", choices=some)).answer == "(C)"
    assert read_answer("So the answer is under 20.", ask("(A)", choices=some)).answer is None
    assert read_answer("So the answer is 20.", ask("(A)", choices=("20", "none"))).answer == "(A)"
    assert read_answer("So the answer is 20 g.", ask("(A)", choices=("20", "none"))).answer == "(A)"
    assert read_answer("So the answer is 20 - 5 = 15 apples.", ask("(A)", choices=("12", "15"))).answer == "(B)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BALLS, (("A", "red ball"), ("B", "purple present"), ("C", "pink ball"), ("D", "brown present"))),
        ("Which?\nOptions:\nA) red\nB) blue", (("A", "red"), ("B", "blue"))),
        ("Which?\nOptions:\nA. red\nB. blue\n\nThink.", (("A", "red"), ("B", "blue"))),
        ("Which?\nOptions:\n(1)red\n(2)blue", (("1", "red"), ("2", "blue"))),
        ("Which?\nOptions: (A) red (B) blue", (("A", "red"), ("B", "blue"))),
        ("Which?\nOptions:\nA red\nB? blue\n(C)pink", (("A", "red"), ("B", "blue"), ("C", "pink"))),
        ("Which?\nOptions:\n(B) red\nball\n(C) blue", (("B", "red ball"), ("C", "blue"))),
        ("Which?\n(A) red\n(B) blue", (("A", "red"), ("B", "blue"))),
        ("Is it?\nOptions:\n- Yes\n- No", ()),
        ("Is it?", ()),
    ],
)
def test_options_in_the_question(text: str, expected: tuple[tuple[str, str], ...]) -> None:
    assert options_of(None, text) == expected


def test_options_beside_the_question() -> None:
    assert options_of(("(A) red", "blue", "C. pink"), "?") == (("A", "red"), ("B", "blue"), ("C", "pink"))
    listed = "Which?\nOptions:\n(1) red\n(2) blue"
    assert options_of(("red", "blue"), listed) == (("1", "red"), ("2", "blue"))
    assert options_of(("red", "green"), listed) == (("A", "red"), ("B", "green"))
    question = ask("blue", choices=("red", "blue"))
    assert verdict("(B).", question) == "right"
    assert verdict("5 or more", ask("(A)", choices=("5", "6"))) == "right"


@settings(deadline=None)
@given(
    st.lists(st.from_regex(r"[a-z]{3,9} [a-z]{3,9}", fullmatch=True), min_size=2, max_size=11, unique=True), st.data()
)
def test_rendered_choices_are_right(texts: list[str], data: st.DataObject) -> None:
    gold, other = (data.draw(st.integers(0, len(texts) - 1)) for _ in range(2))
    question = ask(f"({chr(65 + gold)})", choices=tuple(texts))
    expected = "right" if gold == other else "wrong"
    for form in ("({label}).", "{label}.", "({label}) {text}.", "{text}."):
        assert verdict(form.format(label=chr(65 + other), text=texts[other]), question) == expected


HEADINGS = ["Options:", "answer choices :", ". CHOICES:", "Answer ", "options", "choice", "(A) red", "(B) blue"]


@given(st.lists(st.sampled_from([*HEADINGS, *"\n .\x1cİ"]), max_size=9).map("".join))
def test_options_stand_behind_the_last_heading_whatever_letters_the_question_has(text: str) -> None:
    assert options_of(None, text) == options_of(None, f"é\n{text}")
