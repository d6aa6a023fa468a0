"""Generated questions: numbering, splits, ids, and the honesty of right and wrong chains."""

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl import toytasks
from editctl.errors import UsageError
from editctl.interfaces import Puzzle, Task
from editctl.numbering import Draw, Permutation
from editctl.options import option
from editctl.plugins import boolean, chain, counting, swaps
from editctl.records import Span
from editctl.toytasks import Worked, WrongChain, parse_source, questions, recall

TASKS: dict[str, Task] = {
    "chain": chain.Chain(),
    "boolean": boolean.Boolean(),
    "swaps": swaps.Swaps(),
    "counting": counting.Counting(),
}
FAMILIES = sorted(TASKS)
load_task = TASKS.__getitem__
DIFFICULTIES = (1, 2, 3, 6, 8)


def worked(name: str, n: int, more: str = "") -> list[Worked]:
    source = parse_source(f"toy:{name}?n={n}{more}", load_task)
    return [recall(question.id, load_task) for question in questions(source)]


def conclusion(text: str) -> str:
    match = re.search(r"Therefore, the answer is (.*)\.$", text)
    assert match is not None
    return match[1]


# Numbering.


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_draws_of_different_numbers_differ(radices: list[int]) -> None:
    size = prod(radices)
    drawn = set()
    for code in range(size):
        draw = Draw(code)
        drawn.add(tuple(draw.below(radix) for radix in radices))
    assert len(drawn) == size


def test_arrange_gives_every_arrangement_once() -> None:
    found = [tuple(Draw(code).arrange("abcde", 3)) for code in range(5 * 4 * 3)]
    assert len(set(found)) == 60
    assert all(len(set(arrangement)) == 3 for arrangement in found)


@given(st.integers(1, 2000), st.text(max_size=5))
def test_permutation_is_a_bijection(size: int, key: str) -> None:
    permutation = Permutation(size, key)
    assert sorted(permutation(index) for index in range(size)) == list(range(size))


def test_permutation_scrambles_and_depends_on_the_key() -> None:
    one, two = ([Permutation(10**40, key)(index) for index in range(200)] for key in "ab")
    assert len(set(one)) == len(set(two)) == 200
    assert not set(one) & set(two)
    below_middle = sum(place < 10**40 // 2 for place in one)
    assert 60 < below_middle < 140


@pytest.mark.parametrize("index", [-1, 7])
def test_permutation_refuses_what_lies_outside(index: int) -> None:
    with pytest.raises(IndexError):
        Permutation(7, "")(index)


# Universes and splits.


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("split", ["train", "test", "ood"])
def test_every_split_has_more_than_ten_million_questions(name: str, split: str) -> None:
    assert parse_source(f"toy:{name}?split={split}", load_task).size > 10_000_000


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_different_numbers_give_different_questions(name: str, difficulty: int) -> None:
    task = TASKS[name]
    options = task.Options(difficulty=difficulty)
    size = task.size(options)
    chance = random.Random(difficulty)
    codes = {chance.randrange(size) for _ in range(1500)} | set(range(300)) | set(range(size - 300, size))
    assert len({task.puzzle(options, code).question for code in codes}) == len(codes)


@pytest.mark.parametrize("name", FAMILIES)
def test_neighbouring_numbers_differ_at_every_digit(name: str) -> None:
    """Codes that share all low or all high digits: a radix that the text doesn't show would be seen here."""
    task = TASKS[name]
    options = task.Options()
    size = task.size(options)
    for stride in (1, 7, 64, 1001, size // 4001):
        codes = range(0, 4000 * stride, stride)
        assert len({task.puzzle(options, code).question for code in codes}) == len(codes)


def test_chain_is_injective_over_a_whole_slice() -> None:
    task = TASKS["chain"]
    options = task.Options()
    codes = range(9 * 26 * 26 * 5)
    assert len({task.puzzle(options, code).question for code in codes}) == len(codes)


@pytest.mark.parametrize("name", FAMILIES)
def test_splits_share_no_question_whatever_seed_and_difficulty(name: str) -> None:
    seen: dict[str, str] = {}
    for split in ("train", "test", "ood"):
        for seed in (0, 1):
            for difficulty in (1, 3):
                more = f"&split={split}&seed={seed}&difficulty={difficulty}"
                for question in questions(parse_source(f"toy:{name}?n=300{more}", load_task)):
                    assert seen.setdefault(question.question, split) == split


def test_splits_part_a_universe_exactly() -> None:
    """Over a whole small universe: 80, 10 and 10 %, nothing twice, nothing left out, whatever the seed."""
    load = {"small": Small()}.__getitem__
    texts: dict[str, set[str]] = {}
    for text in ("split=train&n=80&difficulty=3", "split=test&n=10&difficulty=3", "split=ood&n=10"):
        found = [
            {question.question for question in questions(parse_source(f"toy:small?{text}&seed={seed}", load))}
            for seed in (0, 1, 2)
        ]
        assert found[0] == found[1] == found[2]
        texts[text] = found[0]
    assert sorted(map(len, texts.values())) == [10, 10, 80]
    assert len(set().union(*texts.values())) == 100


def test_seed_changes_the_order() -> None:
    one, two = (
        [question.question for question in questions(parse_source(f"toy:chain?seed={seed}", load_task))]
        for seed in (0, 1)
    )
    assert not set(one) & set(two)


def test_asking_for_more_than_there_is() -> None:
    load = {"small": Small()}.__getitem__
    with pytest.raises(UsageError, match="split test has 10 questions, but n is 11"):
        parse_source("toy:small?n=11&split=test", load)
    with pytest.raises(UsageError, match="has 10 questions, no index 10"):
        recall("toy:small?split=test&seed=0&index=10", load)
    # An id stays good where the split is smaller than the default n.
    assert recall("toy:small?split=test&seed=0&index=9", load).answer.isdigit()


# Ids and purity.


def test_the_same_in_another_process() -> None:
    program = (
        "import json, sys\n"
        "from editctl import toytasks\n"
        "from editctl.plugins import boolean, chain, counting, swaps\n"
        "tasks = {'chain': chain.Chain(), 'boolean': boolean.Boolean(), 'swaps': swaps.Swaps(),"
        " 'counting': counting.Counting()}\n"
        "ids = json.load(sys.stdin)\n"
        "found = [toytasks.recall(name, tasks.__getitem__) for name in ids]\n"
        "json.dump([[w.question.question, w.right] + [getattr(w.wrong(p, 3), 'text', None)"
        " for p in ('any', *w.patterns)] for w in found], sys.stdout)\n"
    )
    here = [item for name in FAMILIES for item in worked(name, 20, "&seed=5&split=ood")]
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps([item.question.id for item in here]),
        env={**os.environ, "PYTHONHASHSEED": "4242"},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [
        [item.question.question, item.right]
        + [getattr(item.wrong(pattern, 3), "text", None) for pattern in ("any", *item.patterns)]
        for item in here
    ]
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("more", ["", "&split=ood&seed=-3", "&difficulty=2&split=test&seed=9"])
def test_an_id_recalls_its_question(name: str, more: str) -> None:
    for question in questions(parse_source(f"toy:{name}?n=20{more}", load_task)):
        again = recall(question.id, load_task)
        assert again.question == question
        assert again.answer == question.answer


def test_ids_and_fields_of_a_question() -> None:
    source = parse_source("toy:chain?digits=2&n=18&seed=1&split=ood&difficulty=2", load_task)
    *_, last = questions(source)
    assert last.id == "toy:chain?split=ood&seed=1&index=17&difficulty=2&digits=2"
    assert last.task == "chain-ood"
    assert last.kind == "number"
    assert last.description == TASKS["chain"].description
    plain = next(questions(parse_source("toy:swaps", load_task)))
    assert (plain.id, plain.task, plain.kind) == ("toy:swaps?split=train&seed=0&index=0", "swaps", "choice")


def test_the_first_questions_do_not_depend_on_n() -> None:
    few, many = (list(questions(parse_source(f"toy:boolean?n={n}", load_task))) for n in (5, 50))
    assert many[:5] == few


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("toy:chain?sed=1", "did you mean seed"),
        ("toy:chain?dificulty=1", "did you mean difficulty"),
        ("toy:chain?split=dev", "train, test, ood"),
        ("toy:chain?n=0", "at least 1"),
        ("toy:chain?n=-5", "at least 1"),
        ("toy:chain?n=many", "a whole number"),
        ("toy:chain?difficulty=9", "use 1 to 8"),
        ("toy:chain?difficulty=0", "use 1 to 8"),
        ("toy:chain?digits=3", "use 1 to 2"),
        ("toy:boolean?digits=1", "no option 'digits'"),
        ("toy:chain?split=ood&difficulty=7", "split ood adds 2 to difficulty, but difficulty is 9"),
        ("toy:chain?n", "key=value"),
        ("toy:chain?n=1&n=2", "given twice"),
        ("toy:?n=1", "toy:NAME"),
        ("chain?n=1", "toy:NAME"),
    ],
)
def test_sources_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_source(text, load_task)


@pytest.mark.parametrize("text", ["q1", "toy:chain?n=3", "toy:chain?split=test&seed=1&index=x", ""])
def test_ids_that_no_toy_task_gave(text: str) -> None:
    with pytest.raises(UsageError, match="is no id of a generated question"):
        recall(text, load_task)


def test_option_values_are_escaped_in_ids() -> None:
    load = {"small": Small()}.__getitem__
    source = parse_source("toy:small?title=a%26b%3Dc&n=1", load)
    question = next(questions(source))
    assert question.id.endswith("&title=a%26b%3Dc")
    assert recall(question.id, load).question.question.startswith("a&b=c ")


# Gold answers, confirmed from the question text alone.


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
    for one, two in re.findall(r"(\w+) and (\w+) swap\.", text):
        held[one], held[two] = held[two], held[one]
    asked = re.findall(r"What does (\w+) have", text)[0]
    listed = re.findall(r"^(\([A-H]\)) (\w+)$", text, re.MULTILINE)
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
@pytest.mark.parametrize("more", ["&n=300", "&n=100&split=ood", "&n=100&difficulty=6&split=test"])
def test_gold_answers_are_right(name: str, more: str) -> None:
    for item in worked(name, 1, "") + [
        recall(question.id, load_task) for question in questions(parse_source(f"toy:{name}?{more[1:]}", load_task))
    ]:
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


# Wrong chains.


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
        spans_right = (wrong.slip_right, *wrong.consequences_right)
        spans_wrong = (wrong.slip_wrong, *wrong.consequences_wrong)
        assert item.right[: wrong.slip_right[0]] == wrong.text[: wrong.slip_wrong[0]]
        assert len(spans_right) == len(spans_wrong) > 1
        for right_span, wrong_span in zip(spans_right, spans_wrong, strict=True):
            assert 0 <= right_span[0] <= right_span[1] <= len(item.right)
            assert 0 <= wrong_span[0] <= wrong_span[1] <= len(wrong.text)
            assert item.right[slice(*right_span)] != wrong.text[slice(*wrong_span)]
        # Outside of the spans the two texts are the same, and the last span is the answer's.
        assert cut(item.right, spans_right) == cut(wrong.text, spans_wrong)
        assert wrong.text[slice(*spans_wrong[-1])] == wrong.answer
        assert all(one[1] <= two[0] for one, two in zip(spans_wrong, spans_wrong[1:], strict=False))


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
    assert all(texts == {getattr(item.wrong("calculation", salt), "text", "") for salt in range(5)}
               for texts, item in zip(several, items, strict=True))  # fmt: skip
    assert sum(len(texts) > 1 for texts in several) > 25


STEP = re.compile(r"Step (\d+): (\d) ([-+*]) (\d) = (-?\d+), keep (\d)\. ")


def faults(question: str, text: str) -> Counter[str]:
    """What is wrong in a chain's text, step by step, against the question and its own running digit."""
    value = re.findall(r"Start with (\d)", question)[0]
    told = {step[0]: step for step in STEP.findall(text)}
    found: Counter[str] = Counter()
    for number, order, operand in re.findall(r"Step (\d+): (add|subtract|multiply by) (\d)", question):
        if number not in told:
            found["skipped"] += 1
            continue
        _, first, sign, second, result, kept = told[number]
        found["stale"] += first != value
        found["sign"] += sign != {"add": "+", "subtract": "-", "multiply by": "*"}[order]
        found["operand"] += second != operand
        found["result"] += int(result) != {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign](
            int(first), int(second)
        )
        found["kept"] += kept != result[-1]
        value = kept
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
    total, found = "0", []
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
            found += ["number"] * (int(added) != words.index(number))
            found += ["sum"] * (int(before) + int(added) != int(total_now))
            total = total_now
        else:
            assert said.endswith(f", still {total}")
    return found + ["conclusion"] * (conclusion(text) != total)


def test_swaps_have_one_slip_and_its_consequences() -> None:
    for item, wrong in wrong_chains(worked("swaps", 150)):
        assert swap_faults(item.question.question, wrong.text) == 1
        assert swap_faults(item.question.question, item.right) == 0


def swap_faults(question: str, text: str) -> int:
    start, *steps = re.findall(r"(Start|\w+ and \w+ swap, [\w ]+): ([^.]*)\. ", text)
    held = dict(state.split() for state in start[1].split(", "))
    assert held == dict(re.findall(r"(\w+) has the (\w+)", question))
    ordered = re.findall(r"(\w+ and \w+) swap\.", question)
    # A skipped swap is one fault; otherwise the steps stand one against one.
    wrong = len(ordered) - len(steps)
    told = [head.partition(" swap, ")[0] for head, _ in steps]
    wrong += sum(one != two for one, two in zip(ordered, told, strict=True)) if not wrong else 0
    for head, said in steps:
        pair, _, change = head.partition(" swap, ")
        one, two = pair.split(" and ")
        after = {**held, one: held[two], two: held[one]}
        if change != "both change":
            kept = two if change == f"only {one} changes" else one
            after[kept] = held[kept]
            wrong += 1
        held = dict(state.split() for state in said.split(", "))
        assert held == after
    asked = re.findall(r"What does (\w+) have", question)[0]
    assert f"{conclusion(text)} {held[asked]}" in question
    return wrong


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
        # The last sentence's value is the answer: the slip was carried to the end.
        values = re.findall(r": (True|False)\. ", wrong.text)
        assert not values or wrong.answer in values
    assert seen == allowed


# A family of our own: small enough to look at as a whole.


@dataclass(frozen=True)
class SmallOptions:
    """Options of the small family."""

    difficulty: int = option(1, "adds nothing but a word")
    title: str = option("Double", "first word")


class Small:
    """A hundred questions."""

    description = "Double the number."
    patterns = ("calculation",)
    Options = SmallOptions

    def size(self, options: Any) -> int:
        return 100

    def puzzle(self, options: Any, code: int) -> Puzzle:
        answer = str(2 * code)
        right = ("It is ", answer, ". ", *toytasks.conclude(answer))
        return Puzzle(question=f"{options.title} {code} at {options.difficulty}", answer=answer, right=right)

    def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
        # Every other chain "forgets" to reach another answer, as a careless plugin may.
        wrong = str(2 * code + code % 2)
        return ("It is ", wrong, ". ", *toytasks.conclude(wrong))


def test_spans_of_a_small_chain() -> None:
    load = {"small": Small()}.__getitem__
    items = [recall(f"toy:small?split=train&seed=0&index={index}", load) for index in range(80)]
    odd = next(item for item in items if int(item.answer) % 4 == 2 and 10 <= int(item.answer) < 99)
    wrong = odd.wrong("calculation")
    assert wrong is not None
    assert wrong.slip_right == wrong.slip_wrong == (6, 8)
    assert wrong.consequences_wrong == ((34, 36),)
    even = next(item for item in items if int(item.answer) % 4 == 0)
    assert even.wrong("calculation") is None
    assert even.wrong("any") is None


def test_empty_pieces_give_empty_spans() -> None:
    """A step that is left out has an empty span at its place in the wrong chain."""
    found = [
        (item, wrong)
        for item, wrong in wrong_chains(worked("chain", 50))
        if wrong.slip_wrong[0] == wrong.slip_wrong[1]
    ]
    assert found
    for item, wrong in found:
        assert item.right[slice(*wrong.slip_right)].startswith("Step ")
        assert len([span for span in wrong.consequences_wrong if span == wrong.slip_wrong]) == 8
