"""The teacher of the toy tasks."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from editctl import registry
from editctl.errors import UsageError
from editctl.generate.teachers import find_teacher
from editctl.interfaces import Immediate, Request
from editctl.records import DualChain, Question, Step
from editctl.toytasks import parse_source, questions
from tests.support_generate import dual_chains

TASKS = sorted(registry.BUILT_IN["tasks"])
STEPS: tuple[Step, ...] = ("explain", "corrupt", "rectify")


def toys(text: str) -> list[Question]:
    return list(questions(parse_source(text, lambda name: registry.load("tasks", name)())))


def run(text: str, error_rate: float = 0.0, **settings: Any) -> list[DualChain]:
    teacher = find_teacher("oracle", {"error-rate": str(error_rate)})
    outcomes = list(dual_chains(toys(text), teacher, **settings))
    assert all(isinstance(outcome, DualChain) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, DualChain)]


@pytest.mark.parametrize("task", TASKS)
def test_every_toy_question_becomes_a_pair(task: str) -> None:
    for dual in run(f"toy:{task}?n=60"):
        assert dual.right is not None
        assert dual.wrong is not None
        assert (dual.right.origin, dual.wrong.origin, dual.teacher) == ("sampled", "corrupted", "oracle")
        assert dual.right.answer != dual.wrong.answer


@pytest.mark.parametrize("task", TASKS)
def test_about_the_asked_share_is_wrong_first_and_then_rectified(task: str) -> None:
    duals = run(f"toy:{task}?n=500", error_rate=0.3)
    origins = Counter((dual.right.origin, dual.wrong.origin) for dual in duals if dual.right and dual.wrong)
    assert set(origins) == {("sampled", "corrupted"), ("rectified", "sampled")}
    assert 0.24 * 500 < origins["rectified", "sampled"] < 0.36 * 500  # four standard deviations of a fair draw
    assert run(f"toy:{task}?n=500", error_rate=0.3) == duals


def test_the_seed_chooses_who_fails() -> None:
    one, other = (run("toy:chain?n=100", error_rate=0.5, seed=seed) for seed in (0, 1))
    assert [dual.right and dual.right.origin for dual in one] != [dual.right and dual.right.origin for dual in other]


@pytest.mark.parametrize(("rate", "origin"), [(0.0, "sampled"), (1.0, "rectified")])
def test_none_and_all_can_fail(rate: float, origin: str) -> None:
    assert {dual.right and dual.right.origin for dual in run("toy:chain?n=50", error_rate=rate)} == {origin}


def test_the_pattern_asked_for_stands_in_the_chain() -> None:
    duals = run("toy:chain?n=40", mistakes=("logical", "calculation"))
    assert [dual.wrong and dual.wrong.mistake for dual in duals] == ["logical", "calculation"] * 20
    logical, calculation = (run("toy:chain?n=40", mistakes=(name,)) for name in ("logical", "calculation"))
    assert [dual.wrong and dual.wrong.text for dual in logical] != [
        dual.wrong and dual.wrong.text for dual in calculation
    ]


def test_a_pattern_the_task_does_not_know_falls_back_to_its_own() -> None:
    teacher = find_teacher("oracle", {})
    question = toys("toy:chain?n=1")[0]

    def wrong(mistake: str) -> str:
        request = Request(question=question, step="corrupt", messages=(), template="", mistake=mistake, chain="x")
        return asyncio.run(teacher.complete(request)).text

    patterns = registry.load("tasks", "chain")().patterns
    assert "knowledge-of-cats" not in patterns
    assert wrong("knowledge-of-cats") in {wrong(pattern) for pattern in patterns}


def test_it_answers_at_once_what_it_answers_in_time() -> None:
    teacher = find_teacher("oracle", {"error-rate": "0.5"})
    assert isinstance(teacher, Immediate)
    for question in toys("toy:swaps?n=20"):
        for step in STEPS:
            request = Request(question=question, step=step, messages=(), template="", mistake="any", chain="x")
            assert teacher.complete_now(request) == asyncio.run(teacher.complete(request))


@pytest.mark.parametrize("identifier", ["q1", "toy:", "toy:chain?split=train", "toy:nosuch?split=train&seed=0&index=1"])
def test_a_question_of_another_source_is_refused(identifier: str) -> None:
    question = Question(id=identifier, question="2 + 2?", answer="4")
    with pytest.raises(UsageError) as caught:
        list(dual_chains([question], find_teacher("oracle", {})))
    assert caught.value.exit_code == 2


def test_the_refusal_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"generated questions only.*'q1'.*another teacher"):
        list(dual_chains([Question(id="q1", question="2?", answer="2")], find_teacher("oracle", {})))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("oracle:x", {}, "takes no argument"),
        ("oracle", {"error-rate": "1.5"}, "between 0 and 1"),
        ("oracle", {"error-rate": "often"}, "a number"),
        ("oracle", {"eror-rate": "0.5"}, "did you mean error-rate"),
    ],
)
def test_bad_options_are_refused(spec: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_teacher(spec, options)
