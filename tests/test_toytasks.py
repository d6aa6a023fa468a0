"""Generated questions: numbering, splits, ids, and where a wrong chain says it parts."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl import toytasks
from editctl.errors import UsageError
from editctl.interfaces import Puzzle
from editctl.numbering import Draw, Permutation
from editctl.options import option
from editctl.toytasks import parse_source, questions, recall
from tests.support_toys import DIFFICULTIES, FAMILIES, TASKS, load_task, worked

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


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("boolean", "8056610dd9aa94a1"),
        ("chain", "c44a4943b8b0ba1f"),
        ("counting", "c2b90c2552273a7e"),
        ("swaps", "0043bc4cec2a2702"),
    ],
)
def test_an_id_means_the_same_for_good(name: str, digest: str) -> None:
    text = hashlib.sha256()
    for split in ("train", "test", "ood"):
        for item in worked(name, 30, f"&seed=1&split={split}&difficulty=3"):
            told = (getattr(item.wrong(pattern, 0), "text", "") for pattern in ("any", *item.patterns))
            text.update("\0".join((item.question.id, item.question.question, item.right, *told)).encode())
    assert text.hexdigest()[:16] == digest


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_depends_on_what_was_asked_before(name: str) -> None:
    task = TASKS[name]
    asked = [(task.Options(difficulty=level), code) for code in range(12) for level in (1, 2, 3)]

    def told(options: Any, code: int) -> tuple[Any, ...]:
        slips = [task.slip(options, code, pattern, random.Random(code)) for pattern in task.patterns]
        return task.puzzle(options, code), slips

    forward = [told(*one) for one in asked]
    assert [told(*one) for one in reversed(asked)] == forward[::-1]
    assert len({puzzle.question for puzzle, _ in forward}) == len(asked)


# A family of our own: small enough to look at as a whole.


@dataclass(frozen=True)
class SmallOptions:
    """Options of the small family."""

    difficulty: int = option(1, "adds nothing but a word")
    title: str = option("Double", "first word")


class Small:
    """A hundred questions."""

    description = "Double the number."
    patterns: tuple[str, ...] = ("calculation",)
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
    assert wrong.spans_right == wrong.spans_wrong == ((6, 8), (35, 37))
    even = next(item for item in items if int(item.answer) % 4 == 0)
    assert even.wrong("calculation") is None
    assert even.wrong("any") is None


def test_a_wrong_chain_has_as_many_pieces_as_the_right_one() -> None:
    class Careless(Small):
        def slip(self, options: Any, code: int, pattern: str, chance: random.Random) -> tuple[str, ...] | None:
            return ("It is 7. ", *toytasks.conclude("7"))

    item = recall("toy:careless?split=train&seed=0&index=1", {"careless": Careless()}.__getitem__)
    with pytest.raises(ValueError, match="has 4 pieces, not 6"):
        item.wrong("calculation")
