"""Toy tasks: gold answers and right chains, confirmed from the question text alone."""

import re
from collections import Counter
from typing import Any

import pytest

from tests.support_toys import FAMILIES, conclusion, worked


def solve_chain(text: str) -> str:
    value = int(re.findall(r"Start with (\d)", text)[0])
    for order, operand in re.findall(r"Step \d+: (add|subtract|multiply by) (\d+)\.", text):
        number = int(operand)
        value = {"add": value + number, "subtract": value - number, "multiply by": value * number}[order]
        value = int(str(value)[-1])
    return str(value)


def solve_boolean(text: str) -> str:
    expression = text.removesuffix(" is True or False?")
    assert re.fullmatch(r"(?:True|False|and|or|not|[0-9<>() ])+", expression)
    return str(eval(expression, {"__builtins__": {}}))


def solve_swaps(text: str) -> str:
    held = dict(re.findall(r"(\w+) has the (\w+)", text))
    for one, two in re.findall(r"Swap \d+: (\w+) and (\w+)\.", text):
        held[one], held[two] = held[two], held[one]
    asked = re.findall(r"What does (\w+) have", text)[0]
    listed: list[tuple[str, str]] = re.findall(r"^(\([A-H]\)) (\w+)$", text, re.MULTILINE)
    assert sorted(thing for _, thing in listed) == sorted(held.values())
    return next(label for label, thing in listed if thing == held[asked])


KNOWN = {
    "fruits": "apple banana orange pear plum lemon fig melon",
    "vegetables": "carrot onion turnip leek beet parsnip cabbage yam",
    "birds": "duck robin eagle owl swan parrot hen penguin",
    "musical instruments": "drum flute piano violin guitar trumpet harp banjo",
}


def solve_counting(text: str) -> str:
    asked = re.findall(r"How many ([a-z ]+) do I have", text)[0]
    items = re.findall(r"(one|two|three|four) (\w+)", text)
    assert all(noun.endswith("s") == (number != "one") for number, noun in items)
    words = ["", "one", "two", "three", "four"]
    return str(sum(words.index(number) for number, noun in items if noun.removesuffix("s") in KNOWN[asked].split()))


SOLVERS = {"chain": solve_chain, "boolean": solve_boolean, "swaps": solve_swaps, "counting": solve_counting}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("more", [(300,), (100, "&split=ood"), (100, "&difficulty=6&split=test")])
def test_gold_answers_are_right(name: str, more: tuple[Any, ...]) -> None:
    for item in worked(name, *more):
        assert SOLVERS[name](item.question.question) == item.answer == item.question.answer
        assert conclusion(item.right) == item.answer


def test_two_digit_chains_are_right() -> None:
    for item in worked("chain", 200, "&digits=2"):
        assert solve_chain(item.question.question) == item.answer == conclusion(item.right)


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_are_balanced(name: str) -> None:
    answers = Counter(item.answer for item in worked(name, 1000))
    assert answers.most_common(1)[0][1] < (600 if name == "boolean" else 450)
    assert len(answers) >= {"chain": 10, "boolean": 2, "swaps": 3, "counting": 10}[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_out_of_domain_chains_are_longer(name: str) -> None:
    def words(split: str) -> int:
        return sum(len(item.right.split()) for item in worked(name, 100, f"&split={split}"))

    assert words("ood") > 1.25 * words("test")


@pytest.mark.parametrize("name", FAMILIES)
def test_default_chains_are_short(name: str) -> None:
    lengths = [len(item.right.split()) for item in worked(name, 200)]
    assert sum(lengths) / len(lengths) < 90
