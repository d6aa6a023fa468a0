"""Toy tasks: a wrong chain makes one mistake of its kind and carries it through to another answer."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable

import pytest

from editctl.records import Span
from editctl.worked import Worked, WrongChain
from tests.support_toys import DIFFICULTIES, FAMILIES, TASKS, conclusion, worked

KNOWN = {
    "fruits": "apple banana orange pear plum lemon fig melon",
    "vegetables": "carrot onion turnip leek beet parsnip cabbage yam",
    "birds": "duck robin eagle owl swan parrot hen penguin",
    "musical instruments": "drum flute piano violin guitar trumpet harp banjo",
}


def wrong_chains(items: Iterable[Worked], salts: Iterable[int] = (0, 1)) -> list[tuple[Worked, WrongChain]]:
    chains = [(item, item.wrong(pattern, salt)) for item in items for salt in salts for pattern in item.patterns]
    return [(item, wrong) for item, wrong in chains if wrong is not None]


def cut(text: str, spans: Iterable[Span]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + "\0" + text[end:]
    return text


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("difficulty", [1, 2, 5])
def test_wrong_chains_part_where_they_say(name: str, difficulty: int) -> None:
    found = wrong_chains(worked(name, 100, f"&difficulty={difficulty}"))
    assert len(found) > 500 if len(TASKS[name].patterns) == 3 else len(found) > 350
    for item, wrong in found:
        assert wrong.answer == conclusion(wrong.text) != item.answer
        spans_right, spans_wrong = wrong.spans_right, wrong.spans_wrong
        assert item.right[: spans_right[0][0]] == wrong.text[: spans_wrong[0][0]]
        assert len(spans_right) == len(spans_wrong) > 1
        for right_span, wrong_span in zip(spans_right, spans_wrong, strict=True):
            assert 0 <= right_span[0] <= right_span[1] <= len(item.right)
            assert 0 <= wrong_span[0] <= wrong_span[1] <= len(wrong.text)
            assert item.right[slice(*right_span)] != wrong.text[slice(*wrong_span)]
        # Outside of the spans the two texts are the same, and the last span is the answer's.
        assert cut(item.right, spans_right) == cut(wrong.text, spans_wrong)
        assert wrong.text[slice(*spans_wrong[-1])] == wrong.answer
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans_wrong))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_patterns_fit_nearly_every_question(name: str, difficulty: int) -> None:
    items = worked(name, 150, f"&difficulty={difficulty}")
    for pattern in TASKS[name].patterns:
        assert sum(item.wrong(pattern) is not None for item in items) >= 0.93 * len(items)
    for item in items:
        assert any(item.wrong(pattern) for pattern in item.patterns)
        assert item.wrong("any") is not None


def test_any_and_unknown_patterns_take_the_tasks_own() -> None:
    items = worked("swaps", 60)
    chosen = [item.wrong("any") for item in items]
    assert {wrong.pattern for wrong in chosen if wrong} == {"logical", "knowledge"}
    assert [item.wrong("calculation") for item in items] == chosen


def test_salt_changes_the_slip() -> None:
    items = worked("chain", 30)
    several = [{getattr(item.wrong("calculation", salt), "text", "") for salt in range(5)} for item in items]
    assert sum(len(texts) > 1 for texts in several) > 25


STEP = re.compile(r"Step (\d+): (\d) ([-+*]) (\d) = (-?\d+), keep (\d)\. ")


def faults(question: str, text: str) -> Counter[str]:
    """What is wrong in a chain's text, step by step, against the question and its own running digit."""
    value = earlier = re.findall(r"Start with (\d)", question)[0]
    told = {step[0]: step for step in STEP.findall(text)}
    found: Counter[str] = Counter()
    for number, order, operand in re.findall(r"Step (\d+): (add|subtract|multiply by) (\d)", question):
        if number not in told:
            found["skipped"] += 1
            continue
        _, first, sign, second, result, kept = told[number]
        found["stale"] += first != value
        assert first in (value, earlier)
        found["sign"] += sign != {"add": "+", "subtract": "-", "multiply by": "*"}[order]
        found["operand"] += second != operand
        found["result"] += int(result) != {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign](
            int(first), int(second)
        )
        found["kept"] += kept != result[-1]
        earlier, value = value, kept
    found["conclusion"] += conclusion(text) != value
    return +found


def test_chain_has_one_slip_and_its_consequences() -> None:
    allowed = {
        "logical": {"skipped", "stale"},
        "knowledge": {"sign", "kept"},
        "calculation": {"result"},
    }
    seen: Counter[str] = Counter()
    items = worked("chain", 200)
    for item, wrong in wrong_chains(items):
        found = faults(item.question.question, wrong.text)
        assert found.total() == 1
        assert set(found) <= allowed[wrong.pattern]
        seen += found
    assert set(seen) == set().union(*allowed.values())
    assert not any(faults(item.question.question, item.right) for item in items)


def test_counting_has_one_slip_and_its_consequences() -> None:
    items = worked("counting", 200)
    seen: set[tuple[str, str]] = set()
    for item, wrong in wrong_chains(items):
        found = counting_faults(item.question.question, wrong.text)
        assert len(found) == 1
        seen.add((wrong.pattern, found[0]))
    assert seen == {
        ("logical", "left out"),
        ("logical", "stale"),
        ("knowledge", "category"),
        ("calculation", "number"),
        ("calculation", "sum"),
    }
    assert not any(counting_faults(item.question.question, item.right) for item in items)


def counting_faults(question: str, text: str) -> list[str]:
    asked = re.findall(r"How many ([a-z ]+) do I have", question)[0]
    words = ["", "one", "two", "three", "four"]
    earlier, total, found = "0", "0", []
    told = dict(re.findall(r"((?:one|two|three|four) \w+): ([^.]*)\. ", text))
    for number, noun in re.findall(r"(one|two|three|four) (\w+)", question):
        said = told.get(f"{number} {noun}")
        if said is None:
            found.append("left out")
            continue
        if said.startswith("no ") == (noun.removesuffix("s") in KNOWN[asked].split()):
            found.append("category")
        if match := re.search(r", (\d+) \+ (\d+) = (\d+)$", said):
            before, added, total_now = match.groups()
            found += ["stale"] * (before != total)
            assert before in (total, earlier)
            found += ["number"] * (int(added) != words.index(number))
            found += ["sum"] * (int(before) + int(added) != int(total_now))
            earlier, total = total, total_now
        else:
            assert said.endswith(f", still {total}")
    return found + ["conclusion"] * (conclusion(text) != total)


def test_swaps_have_one_slip_and_its_consequences() -> None:
    for item, wrong in wrong_chains(worked("swaps", 150)):
        assert swap_faults(item.question.question, wrong.text) == 1
        assert swap_faults(item.question.question, item.right) == 0


def swap_faults(question: str, text: str) -> int:
    """Slips found, sentence by sentence, each against what was held before it."""
    held = dict(re.findall(r"(\w+) has the (\w+)", question))
    assert text.startswith(f"Start: {', '.join(map(' '.join, held.items()))}. ")
    ordered = re.findall(r"Swap (\d+): (\w+) and (\w+)\.", question)
    steps = {step[0]: step[1:] for step in SWAP.findall(text)}
    wrong = 0
    for number, one, two in ordered:
        if number not in steps:
            wrong += 1
            continue
        first, gave, second, got, change, new, now = steps[number]
        wrong += (first, second) != (one, two)
        assert (gave, got) == (held[first], held[second])
        after = {**held, first: got, second: gave}
        if change != "both change":
            kept = second if change == f"only {first} changes" else first
            after[kept] = held[kept]
            wrong += 1
        assert new == f"{first} {after[first]}, {second} {after[second]}"
        held = dict(state.split() for state in now.split(", "))
        assert held == after
    asked = re.findall(r"What does (\w+) have", question)[0]
    assert f"{conclusion(text)} {held[asked]}" in question
    return wrong


SWAP = re.compile(r"Swap (\d+): (\w+) (\w+), (\w+) (\w+), ([\w ]+): ([^.]*)\. Now ([^.]*)\. ")

COMPARED = re.compile(r"(\d) ([<>]) (\d) asks if \d is (larger|smaller): (True|False)")
JOINED = re.compile(r"(True|False) (and|or) (True|False) has (\d) True, (?:and|or) needs ([\w ]+): (True|False)")
NEGATED = re.compile(r"not (True|False) is the (opposite|same): (True|False)")


def boolean_faults(text: str) -> list[str]:
    """What is wrong within single sentences; what is left out or carried over badly is not looked for."""
    found = []
    for one, sign, two, asked, value in COMPARED.findall(text):
        found += ["sign"] * (asked != {">": "larger", "<": "smaller"}[sign])
        truth = int(one) > int(two) if asked == "larger" else int(one) < int(two)
        found += ["compared"] * (str(truth) != value)
    for one, word, two, count, needed, value in JOINED.findall(text):
        number = int(count)
        rules = {"1": number >= 1, "2": number == 2, "exactly 1": number == 1, "2 alike": number != 1}
        found += ["counted"] * (number != [one, two].count("True"))
        found += ["word"] * (needed != {"and": "2", "or": "1"}[word])
        found += ["inferred"] * (str(rules[needed]) != value)
    for before, said, value in NEGATED.findall(text):
        found += ["not"] * (said == "same")
        assert (before == value) == (said == "same")
    return found


def assert_value_carried(text: str) -> None:
    """What a bracket or a `not` came to is what the next one starts from, to the end."""
    running = None
    for sentence in text.split(". ")[:-1]:
        if match := JOINED.fullmatch(sentence):
            assert running is None or running in match.group(1, 3)
            running = match[6]
        elif match := NEGATED.fullmatch(sentence):
            assert running == match[1]
            running = match[3]
        else:
            assert COMPARED.fullmatch(sentence)
    assert running == conclusion(text)


def test_boolean_has_one_slip_of_its_pattern() -> None:
    allowed = {
        "logical": {(), ("inferred",)},
        "knowledge": {("sign",), ("word",), ("not",)},
        "calculation": {("compared",), ("counted",)},
    }
    seen: dict[str, set[tuple[str, ...]]] = {pattern: set() for pattern in allowed}
    items = worked("boolean", 200)
    for item, wrong in wrong_chains(items):
        seen[wrong.pattern].add(tuple(boolean_faults(wrong.text)))
        assert boolean_faults(item.right) == []
        assert_value_carried(wrong.text)
        assert_value_carried(item.right)
    assert seen == allowed


def test_empty_pieces_give_empty_spans() -> None:
    """A step that is left out has an empty span at its place in the wrong chain."""
    chains = wrong_chains(worked("chain", 50))
    found = [(item, wrong) for item, wrong in chains if not wrong.text[slice(*wrong.spans_wrong[0])]]
    assert found
    for item, wrong in found:
        slip, *consequences = wrong.spans_wrong
        assert item.right[slice(*wrong.spans_right[0])].startswith("Step ")
        assert consequences.count(slip) == 8
