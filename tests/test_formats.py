"""Chain formats: what is read, what is refused, and that what is written is read again."""

import warnings
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from editctl.errors import UsageError
from editctl.formats import COT, FORMATS, LABELS, SYNONYMS, Format, FormatFault, format_of, labelled, sections_of
from editctl.records import Chain

POT, EOT, KPDD_COT, KPDD_POT = (FORMATS[name] for name in ("pot", "eot", "kpdd-cot", "kpdd-pot"))
THREE = {"core": "What is left?", "information": "The start is 3.", "solution": "Three. Therefore, the answer is 3."}
REASONS = {
    *("no-core", "no-information", "no-solution", "no-program", "no-equations"),
    *("not-python", "repeated-section"),
}
PROGRAM = "x = 3\nif x:\n    ans = x"

WORDS = st.sampled_from(
    [
        *(
            "a",
            "What is left?",
            "x = 1",
            "ans = 3",
            "    y = 2",
            "if x:",
            "# Solution: no",
            "% note",
            "\n",
            "\n\n",
            " ",
        ),
        *LABELS.values(),
        *("solution:", "**Hints**", "### Information", "1. Core question: b", "```", "```python", "- c", ">>> d", "\t"),
        *(
            "The given information: e",
            "Step 1: 2 + 2 = 4, keep 4.",
            "Solution",
            "**",
            "“Solution”: f",
            "é 😀",
            "\u2028",
        ),
    ]
)
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map("\n".join), st.lists(WORDS).map("".join))
PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=40)
LINES = st.lists(PLAIN, min_size=1, max_size=4).map("\n".join).map(str.strip).filter(bool)
NUMBERED = st.integers(1, 12)


def read_back(format: Format, sections: Mapping[str, str]) -> bool:
    """Whether the format takes the sections; if so, its text holds them exactly."""
    try:
        text = format.render(sections)
    except FormatFault:
        return False
    assert format.parse(text) == dict(sections)
    assert format.render(format.parse(text)) == text
    return True


def fault_of(format: Format, text: str) -> str:
    """The reason why a text is refused."""
    with pytest.raises(FormatFault) as caught:
        format.parse(text)
    assert str(caught.value)
    return caught.value.reason


# what is written is read again


@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_what_is_rendered_is_read_again(name: str, data: st.DataObject) -> None:
    format = FORMATS[name]
    read_back(format, {section: data.draw(TEXTS) for section in format.sections})


@given(st.sampled_from(sorted(FORMATS)), TEXTS)
def test_any_text_is_read_or_refused_with_a_reason(name: str, text: str) -> None:
    format = FORMATS[name]
    sections, reason = {}, None
    try:
        sections = format.parse(text)
    except FormatFault as fault:
        reason = fault.reason
    if reason is not None:
        assert reason in REASONS
        return
    assert tuple(sections) == format.sections
    assert all(sections.values())
    read_back(format, sections)


@given(LINES, LINES, LINES)
@example("0 \n0", "0 \n0", "0 \n0")
def test_plain_sections_are_taken(core: str, information: str, solution: str) -> None:
    sections = {"core": f"What {core}", "information": f"a {information}", "solution": f"so {solution}"}
    has_label = any(":" in text or "：" in text or "*" in text or "_" in text for text in sections.values())
    assert has_label or read_back(KPDD_COT, {name: text.strip() for name, text in sections.items()})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), min_size=1), st.booleans())
def test_programs_and_equations_are_taken(steps: list[tuple[str, int]], indented: bool) -> None:
    lines = [f"{'    ' if indented else ''}{name} = {number}" for name, number in steps]
    program = "\n".join(["if True:", *lines] if indented else lines)
    assert read_back(POT, {"program": program})
    assert read_back(KPDD_POT, {**THREE, "solution": program})
    assert read_back(EOT, {"equations": "\n".join(lines).strip()})


def test_the_canonical_text() -> None:
    assert KPDD_COT.render(THREE) == (
        "Core question: What is left?\nProblem-solving information: The start is 3.\n"
        "Solution:\nThree. Therefore, the answer is 3."
    )
    assert POT.render({"program": PROGRAM}) == PROGRAM
    assert EOT.render({"equations": "% x\nans = 3"}) == "% x\nans = 3"
    assert [labelled(name, "s") for name in KPDD_COT.sections] == [
        *("Core question: s", "Problem-solving information: s", "Solution:\ns")
    ]


def test_the_text_of_cot_is_the_chain() -> None:
    assert FORMATS[COT].parse("Core question: anything") == {}
    assert FORMATS[COT].render({}) == ""


# what teachers write

MARKS = [
    "{}: ",
    "{}:\n",
    "**{}:** ",
    "**{}**: ",
    "### {}\n",
    "### {}: ",
    "**{}**\n",
    "- {}: ",
    "* **{}**: ",
    "__{}__: ",
]
MARKS += [
    "* **{}**: ",
    "__{}__: ",
    "#{}:\n\n",
    "> {}: ",
    "{} (in short): ",
    "The {}: ",
    "{}： ",
    "  {} : ",
    "***{}:*** ",
    "## **{}**\n",
]


@given(st.data(), st.booleans(), NUMBERED)
def test_labels_may_be_marked_up(data: st.DataObject, numbered: bool, number: int) -> None:
    parts = []
    for at, (name, text) in enumerate(THREE.items()):
        word = data.draw(st.sampled_from([LABELS[name].rstrip(":"), *sorted(SYNONYMS[name])]))
        word = data.draw(st.sampled_from([word, word.upper(), word.title()]))
        mark = data.draw(st.sampled_from(MARKS))
        mark = mark.replace("{}", f"{number + at}. {{}}") if numbered and not mark.startswith("The") else mark
        parts.append(mark.format(word) + text)
    text = data.draw(st.sampled_from(["", "Sure, here it is!\n\n"])) + data.draw(st.sampled_from(["\n", "\n\n"])).join(
        parts
    )
    assert KPDD_COT.parse(text) == THREE


@pytest.mark.parametrize(
    "text",
    [
        "**1. Core question: What is left?**\n**2. Hints: The start is 3.**\n**3. Solution:**\n{}",
        "```\nCore question: What is left?\nInformation: The start is 3.\nSolution: {}\n```",
        "```text\nCore question: What is left?\nInformation: The start is 3.\nSolution: {}\n```\n",
        "Core question: What is left?\r\nInformation: The start is 3.\r\nSolution:\r\n{}",
        "(1) Core question: What is left?\n(2) Information: The start is 3.\n(3) Solution: {}",
        "Step 1: Core question: What is left?\nStep 2: Key information: The start is 3.\nStep 3: Solution: {}",
        "Information: The start is 3.\nCore question: What is left?\nSolution: {}",
        "## Core question\n**Core question:** What is left?\n## Information\nThe start is 3.\n## Solution\n{}",
    ],
)
def test_further_ways_to_write_the_sections(text: str) -> None:
    assert KPDD_COT.parse(text.format(THREE["solution"])) == THREE


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        f"\n\n{PROGRAM}\n\n",
        f"Here is the program:\n\n```python\n{PROGRAM}\n```\n\nIt leaves 3 in `ans`.",
        f"```\n{PROGRAM}\n```",
        f"~~~py\n{PROGRAM}\n~~~",
        f"```python\n{PROGRAM}",
        "    x = 3\n    if x:\n        ans = x",
        f"Program:\n{PROGRAM}",
        f"**Python program:**\n{PROGRAM}",
        f"### Solution\n{PROGRAM}",
        PROGRAM.replace("\n", "\r\n"),
        ">>> x = 3\n>>> if x:\n...     ans = x",
    ],
)
def test_ways_to_write_a_program(text: str) -> None:
    assert POT.parse(text) == {"program": PROGRAM}
    three = f"Core question: What is left?\nInformation: The start is 3.\nSolution:\n{text}"
    assert KPDD_POT.parse(three) == {**THREE, "solution": PROGRAM}


@pytest.mark.parametrize(
    "text",
    [
        "x = 3\nans = x",
        "Equations:\nx = 3\nans = x",
        "**System of equations:**\n\nx = 3  \nans = x\n",
        "Here they are:\n```\nx = 3\nans = x\n```\nSo ans is 3.",
        "```latex\nx = 3\nans = x\n```",
        "Equations: x = 3\nans = x",
    ],
)
def test_ways_to_write_equations(text: str) -> None:
    assert EOT.parse(text) == {"equations": "x = 3\nans = x"}


def test_comments_of_a_program_are_no_labels() -> None:
    program = "# Core question: how many?\n# Solution: add\nans = 1 + 1"
    assert read_back(KPDD_POT, {**THREE, "solution": program})
    assert read_back(POT, {"program": program})
    assert read_back(POT, {"program": "# Solution\nans = 2"})
    assert read_back(POT, {"program": "# Program:\nans = 2"})


def test_an_annotation_is_no_label() -> None:
    assert POT.parse("solution: int = 3\nans = solution") == {"program": "solution: int = 3\nans = solution"}


def test_a_name_that_begins_with_a_capital_is_a_label() -> None:
    assert POT.parse("Program: ans = 3") == {"program": "ans = 3"}
    assert POT.parse("**Solution:** x = 3\nans = x") == {"program": "x = 3\nans = x"}


def test_a_comment_stays_whatever_it_is_called() -> None:
    for program in ("# Solution: x = 2\nans = 2", "# Program\nans = 2", "# Code: x\n# Solution\nans = 2"):
        assert POT.parse(program) == {"program": program}


@pytest.mark.parametrize("before", [" " * 20_000, "*" * 20_000, "_" * 20_000, "* " * 10_000, " " * 201])
def test_a_label_stands_near_the_beginning_of_its_line(before: str) -> None:
    text = f"Core question: a\nInformation: b\n{before}Solution: c"
    assert fault_of(KPDD_COT, text) == "no-solution"
    assert fault_of(POT, f"{before}Program:\n??") == "not-python"
    assert KPDD_COT.parse(f"Core question: a\nInformation: b\n{' ' * 150}Solution: c")["solution"] == "c"


@pytest.mark.parametrize("length", [180, 200, 20_000])
def test_what_follows_a_label_is_read_whole(length: int) -> None:
    long = "x" + "y " * (length // 2) + "z"
    sections = {**THREE, "core": long, "information": long}
    assert KPDD_COT.parse(KPDD_COT.render(sections)) == sections
    assert EOT.parse(f"**Equations: ans = {long}**") == {"equations": f"ans = {long}"}
    assert EOT.parse(f"**Equations**{' ' * length}\nans = 3") == {"equations": "ans = 3"}
    assert fault_of(EOT, f"Equations{' ' * length}no colon") == "no-equations"


@pytest.mark.parametrize("dash", ["\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", " "])
def test_any_dash_will_do_in_a_label(dash: str) -> None:
    text = f"Core question: What is left?\n**Problem{dash}solving information:** The start is 3.\nSolution: {{}}"
    assert KPDD_COT.parse(text.format(THREE["solution"])) == THREE


@pytest.mark.parametrize(
    "text",
    [
        "Core question:\n```\nWhat is left?\n```\nInformation:\n```text\nThe start is 3.\n```\nSolution:\n{}",
        "Core question: ```\nWhat is left?\n```\nInformation: ~~~\nThe start is 3.\n~~~\nSolution:\n{}",
        "**Core question:**\n\n```question\nWhat is left?\n```\n\n**Hints:** The start is 3.\n\nSolution:\n{}",
    ],
)
def test_fences_around_core_question_and_information_go(text: str) -> None:
    sections = KPDD_COT.parse(text.format(THREE["solution"]))
    assert sections == THREE
    assert read_back(KPDD_COT, sections)
    program = KPDD_POT.parse(text.format(f"```python\n{PROGRAM}\n```"))
    assert program == {**THREE, "solution": PROGRAM}


def test_a_fence_inside_the_information_stays() -> None:
    for information in ("The table is:\n```\n1 2\n```", "Take ``` a ``` for x.", "``` a ``` is x."):
        assert read_back(KPDD_COT, {**THREE, "information": information})
    text = "Core question: a\nInformation:\n```\n1 2\n```\nare the numbers.\nSolution: b"
    assert KPDD_COT.parse(text)["information"] == "1 2\nare the numbers."
    assert fault_of(KPDD_COT, "Core question:\n```\n```\nInformation: b\nSolution: c") == "no-core"


# what is refused


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("kpdd-cot", "", "no-core"),
        ("kpdd-cot", "The answer is 3.", "no-core"),
        ("kpdd-cot", "Information: a\nSolution: b", "no-core"),
        ("kpdd-cot", "Core question: a\nSolution: b", "no-information"),
        ("kpdd-cot", "Core question: a\nInformation:\n\nSolution: b", "no-information"),
        ("kpdd-cot", "Core question: a\nInformation: b", "no-solution"),
        ("kpdd-cot", "Core question: a\nInformation: b\nSolution:\n \n", "no-solution"),
        ("kpdd-cot", "Core question: a\nInformation: b\nSolution: c\nCore question: d", "repeated-section"),
        ("kpdd-cot", "Core question: a\nCore question: d\nInformation: b\nSolution: c", "repeated-section"),
        ("kpdd-pot", "Core question: a\nInformation: b\nSolution: It is three.", "not-python"),
        ("kpdd-pot", "Core question: a\nInformation: b\nSolution:\n```python\n```", "not-python"),
        ("kpdd-pot", "Core question: a\nInformation: b\nSolution:", "no-solution"),
        ("pot", "", "no-program"),
        ("pot", "```python\n\n```", "no-program"),
        ("pot", "We add two and two.", "not-python"),
        ("pot", "Here:\nans = 4", "not-python"),
        ("pot", "# nothing but words", "not-python"),
        ("pot", "ans = (4", "not-python"),
        ("pot", "ans = 4\0", "not-python"),
        ("pot", "(" * 5000 + ")" * 5000, "not-python"),
        ("pot", "-" * 90_000 + "1", "not-python"),
        ("pot", "x = 1\n" * 40_000, "not-python"),
        ("eot", "", "no-equations"),
        ("eot", "Two and two make four.", "no-equations"),
        ("eot", "% x = 3\n# ans = x", "no-equations"),
    ],
)
def test_a_text_that_is_not_in_the_format_has_a_reason(name: str, text: str, reason: str) -> None:
    assert fault_of(FORMATS[name], text) == reason


@pytest.mark.parametrize(
    ("name", "sections", "reason"),
    [
        ("kpdd-cot", {**THREE, "core": ""}, "no-core"),
        ("kpdd-cot", {**THREE, "information": " \n"}, "no-information"),
        ("kpdd-cot", {**THREE, "core": "a\nSolution: b"}, "repeated-section"),
        ("kpdd-cot", {**THREE, "core": "a\nInformation: b"}, "repeated-section"),
        ("kpdd-cot", {**THREE, "solution": "a\n**Core question:** b"}, "repeated-section"),
        ("kpdd-cot", {**THREE, "core": " a"}, "ambiguous"),
        ("kpdd-cot", {**THREE, "core": "a\n```"}, "no-information"),
        ("kpdd-cot", {"core": "a"}, "other-sections"),
        ("kpdd-cot", {**THREE, "program": "a"}, "other-sections"),
        ("kpdd-pot", THREE, "not-python"),
        ("pot", {"program": "```\nans = 3\n```"}, "ambiguous"),
        ("pot", {"program": "ans = 3\n"}, "ambiguous"),
        ("pot", {"program": ""}, "no-program"),
        ("eot", {"equations": "Equations: x = 3"}, "ambiguous"),
        ("eot", {"program": "x = 3"}, "other-sections"),
        ("cot", {"program": "x = 3"}, "other-sections"),
    ],
)
def test_sections_that_could_not_be_read_back_are_refused(name: str, sections: dict[str, str], reason: str) -> None:
    with pytest.raises(FormatFault) as caught:
        FORMATS[name].render(sections)
    assert caught.value.reason == reason


def test_odd_escapes_are_no_warning_and_filters_stay() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert POT.parse("ans = '\\d'") == {"program": "ans = '\\d'"}
        assert warnings.filters == before


# names and chains


def test_names() -> None:
    assert list(FORMATS) == ["cot", "pot", "eot", "kpdd-cot", "kpdd-pot"]
    assert [one.runner for one in FORMATS.values()] == [None, "python", "equations", None, "python"]
    assert format_of("pot") is POT
    with pytest.raises(UsageError, match="unknown chain format 'kpd-cot'; did you mean kpdd-cot"):
        format_of("kpd-cot")


def chain(text: str, sections: Mapping[str, str] | None = None) -> Chain:
    return Chain(text=text, answer="3", origin="given", sections=sections)


def test_a_chain_s_own_sections_come_first() -> None:
    assert sections_of(chain("ignored", THREE), KPDD_COT) == THREE
    assert sections_of(chain("ignored", {**THREE, "core": " What is left?\n"}), KPDD_COT) == THREE
    assert sections_of(chain(KPDD_COT.render(THREE)), KPDD_COT) == THREE
    assert sections_of(chain("anything"), FORMATS[COT]) == {}
    with pytest.raises(FormatFault, match="program"):
        sections_of(chain("Two and two."), POT)
    with pytest.raises(FormatFault) as caught:
        sections_of(chain("ignored", {**THREE, "core": ""}), KPDD_COT)
    assert caught.value.reason == "no-core"


@pytest.mark.parametrize(("name", "text"), [("equations", "ans = 3"), ("program", "ans = 3")])
def test_a_chain_of_another_format_is_never_taken_for_this_one(name: str, text: str) -> None:
    format = POT if name == "equations" else EOT
    with pytest.raises(FormatFault, match=name) as caught:
        sections_of(chain(text, {name: text}), format)
    assert caught.value.reason == "other-format"
