"""What a run would ask and may cost: figures worked out by hand, and nothing asked for them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editctl.generate.estimate import Estimate, estimate
from editctl.generate.ledger import Ledger
from editctl.generate.maker import Maker
from editctl.generate.settings import Settings
from editctl.generate.stage import Shard, make_dual_chains
from editctl.interfaces import CallFailed, Completion, Price, Request
from editctl.prompts import Templates
from editctl.records import Question
from tests.support_asking import Answer, Paid, asking, said
from tests.support_cli import Cli, lines

PRICE = Price(input=1.0, output=10.0)
PROMPTS = {
    # With a question of 20 characters: 20, 24 (without a chain) and 28 characters are 5, 6 and 7 tokens,
    # and 4 more for the turn.
    "explain": "{{ question }}",
    "mistakes/any": "{{ question }}{{ chain }}!!!!",
    "rectify": "{{ question }}????????",
}
EXPLAIN, CORRUPT, RECTIFY = 9, 10, 11
NONE = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """Asks in few words, twice at most, for 200 tokens."""
    for name, text in PROMPTS.items():
        path = tmp_path / "templates" / f"{name}.jinja"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Maker("paid", Templates([str(tmp_path / "templates")]), Settings(attempts=2, max_tokens=200))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "ledger.sqlite"


def sums(first: int, last: int) -> list[Question]:
    """Questions of 20 characters each."""
    found = [
        Question(id=f"q{number}", question=f"What is {number} + 03 now?", answer=str(number + 3))
        for number in range(first, last + 1)
    ]
    assert all(len(one.question) == 20 for one in found)
    return found


def gold(request: Request) -> int:
    """The right answer."""
    return int(str(request.question.answer))


def some_wrong(request: Request) -> Completion:
    """Explanations of every third question are wrong; the k-th explanation takes 10 k tokens."""
    right = request.step == "rectify" or (request.step == "explain" and gold(request) % 3)
    written = 10 * (gold(request) - 12) if request.step == "explain" else 7
    return said(gold(request) + (not right), 9, written)


@contextmanager
def opened(path: Path) -> Iterator[Ledger]:
    """A ledger that is closed afterwards."""
    ledger = Ledger(path, "run")
    try:
        yield ledger
    finally:
        ledger.close()


def record(path: Path, maker: Maker, questions: list[Question], answer: Answer, **more: Any) -> Paid:
    """Make dual chains of some questions beforehand."""
    teacher = Paid(answer)
    with asking(path, teacher) as asker:
        list(make_dual_chains(questions, maker, asker, **more))
    return teacher


def measured(
    questions: list[Question], maker: Maker, path: Path | None = None, price: Price | None = PRICE
) -> Estimate:
    """The estimate, made without a call."""
    teacher = Paid()
    if path is None:
        found = estimate(enumerate(questions), maker, teacher, None, price)
    else:
        with opened(path) as ledger:
            found = estimate(enumerate(questions), maker, teacher, ledger, price)
            assert ledger.spent().tokens >= 0
    assert teacher.requests == []
    return found


def amount(calls: int, prompt: int, completion: int) -> dict[str, Any]:
    """As the facts tell it."""
    usd = prompt + 10 * completion
    return {"calls": calls, "prompt_tokens": prompt, "completion_tokens": completion, "usd": pytest.approx(usd, abs=20)}


def exact(calls: int, prompt: int, completion: int) -> dict[str, Any]:
    """As the facts tell it, to the cent."""
    return {**amount(calls, prompt, completion), "usd": prompt + 10.0 * completion}


def test_without_samples(maker: Maker) -> None:
    """Low: one try and 100 tokens a call; high: two tries of 200; right or wrong, whichever is less or more."""
    facts = measured(sums(10, 12), maker).facts()
    assert facts == {
        "questions": 3,
        "recorded": 0,
        "samples": {"explain": 0, "corrupt": 0, "rectify": 0},
        "steps": {
            "explain": {"low": exact(3, 3 * EXPLAIN, 300), "high": exact(6, 6 * EXPLAIN, 1200)},
            "corrupt": {"low": NONE, "high": exact(6, 6 * (CORRUPT + 200), 1200)},
            "rectify": {"low": NONE, "high": exact(6, 6 * RECTIFY, 1200)},
        },
        "total": {
            # Every question takes two steps: rectifying is the cheaper second one, corrupting the dearer.
            "low": exact(6, 3 * EXPLAIN + 3 * RECTIFY, 600),
            "high": exact(12, 6 * EXPLAIN + 6 * (CORRUPT + 200), 2400),
        },
        "price": {"input": 1e6, "output": 1e7, "unit": "USD per million tokens"},
    }


def test_no_completion_is_longer_than_its_limit(maker: Maker) -> None:
    maker.settings = replace(maker.settings, max_tokens=30)
    facts = measured(sums(10, 12), maker).facts()
    assert facts["steps"]["explain"]["low"]["completion_tokens"] == 3 * 30
    assert facts["steps"]["explain"]["high"]["completion_tokens"] == 6 * 30


def test_with_samples(maker: Maker, path: Path) -> None:
    """Six questions are recorded, four of them explained right: four new ones are taken to be like them."""
    known = record(path, maker, sums(10, 15), some_wrong)
    assert len(known.requests) == 12
    facts = measured(sums(10, 19), maker, path).facts()
    assert (facts["questions"], facts["recorded"]) == (10, 12)
    assert facts["samples"] == {"explain": 6, "corrupt": 4, "rectify": 2}
    # Explanations took 10, 20, ... 60 tokens: a tenth was below 15, a tenth above 55.
    assert facts["steps"]["explain"] == {"low": exact(4, 36, 60), "high": exact(8, 72, 440)}
    # 4 x 2/3 of them will be right. Four samples of corruptions are too few to go by.
    assert facts["steps"]["corrupt"] == {"low": amount(3, 67, 267), "high": amount(5, 347, 1067)}
    assert facts["steps"]["rectify"] == {"low": amount(1, 15, 133), "high": amount(3, 29, 533)}
    assert facts["total"] == {"low": exact(8, 117, 460), "high": exact(16, 448, 2040)}


def test_tries_that_could_not_be_read_say_nothing_of_right_and_wrong(maker: Maker, path: Path) -> None:
    """Five explanations are right at their second try: every other one is expected to be right."""

    def answer(request: Request) -> Completion:
        if request.step == "explain" and request.attempt == 1:
            return replace(said(0), text="No idea.")
        return said(gold(request) + (request.step == "corrupt"))

    record(path, maker, sums(10, 14), answer)
    facts = measured(sums(10, 17), maker, path).facts()
    assert (facts["recorded"], facts["samples"]["explain"]) == (15, 10)
    assert facts["steps"]["explain"]["low"]["calls"] == 3
    assert (facts["steps"]["corrupt"]["low"]["calls"], facts["steps"]["corrupt"]["high"]["calls"]) == (3, 6)
    assert facts["steps"]["rectify"] == {"low": NONE, "high": NONE}


def test_a_question_whose_next_step_is_known_is_measured_there(maker: Maker, path: Path) -> None:
    """Three explanations are recorded, no corruption: these are what is left, with the real chains in them."""

    def only_explained(request: Request) -> Any:
        return said(gold(request)) if request.step == "explain" else CallFailed("provider-error", "down")

    record(path, maker, sums(10, 12), only_explained)
    facts = measured(sums(10, 12), maker, path).facts()
    chain = said(13).text
    prompt = 3 * (4 + -(-(24 + len(chain)) // 4))
    assert facts["recorded"] == 3
    assert facts["steps"]["explain"] == {"low": NONE, "high": NONE}
    assert facts["steps"]["rectify"] == {"low": NONE, "high": NONE}
    assert facts["steps"]["corrupt"] == {"low": exact(3, prompt, 300), "high": exact(6, 2 * prompt, 1200)}
    assert facts["total"] == facts["steps"]["corrupt"]


def test_nothing_is_left_when_everything_is_recorded(maker: Maker, path: Path) -> None:
    def answer(request: Request) -> Any:
        if gold(request) == 14:
            return CallFailed("refusal", "flagged", answered=True)
        if gold(request) == 15:
            return replace(said(0), text="No idea.")
        return some_wrong(request)

    known = record(path, maker, sums(10, 15), answer)
    found = measured(sums(10, 15), maker, path)
    assert found.recorded == len(known.requests)
    facts = found.facts()
    assert facts["total"] == {"low": NONE, "high": NONE}
    assert all(step == {"low": NONE, "high": NONE} for step in facts["steps"].values())
    assert [remark for remark in found.remarks() if "a closer estimate" in remark] == []


def test_another_option_leaves_more_to_ask(maker: Maker, path: Path) -> None:
    """Another seed is another call; another limit of attempts is not."""
    record(path, maker, sums(10, 12), some_wrong)
    maker.settings = replace(maker.settings, attempts=5)
    assert measured(sums(10, 12), maker, path).facts()["total"]["high"]["calls"] == 0
    maker.settings = replace(maker.settings, seed=1)
    assert measured(sums(10, 12), maker, path).facts()["steps"]["explain"]["low"]["calls"] == 3


def test_questions_without_an_answer_ask_nothing(maker: Maker) -> None:
    hopeless = [replace(one, answer=None) for one in sums(10, 12)]
    facts = measured(hopeless, maker).facts()
    assert facts["questions"] == 3
    assert facts["total"] == {"low": NONE, "high": NONE}


def test_an_unknown_price_is_unknown(maker: Maker) -> None:
    found = measured(sums(10, 12), maker, price=None)
    facts = found.facts()
    assert facts["price"] is None
    for part in (facts["total"], *facts["steps"].values()):
        assert part["low"]["usd"] is None
        assert part["high"]["usd"] is None
    assert [row[-1] for row in found.table()[1]] == ["unknown"] * 4
    assert any("--price IN,OUT" in remark for remark in found.remarks())
    assert facts["total"]["high"]["calls"] == 12


def test_the_table_says_what_the_facts_say(maker: Maker) -> None:
    columns, rows = measured(sums(10, 12), maker).table()
    assert columns == ["step", "calls", "prompt tokens", "completion tokens", "cost"]
    assert rows == [
        ["explain", "3 to 6", "27 to 54", "300 to 1,200", "3,027.00 to 12,054.00 USD"],
        ["corrupt", "0 to 6", "0 to 1,260", "0 to 1,200", "0.00 to 13,260.00 USD"],
        ["rectify", "0 to 6", "0 to 66", "0 to 1,200", "0.00 to 12,066.00 USD"],
        ["all", "6 to 12", "60 to 1,314", "600 to 2,400", "6,060.00 to 25,314.00 USD"],
    ]


def test_the_whole_is_never_less_than_a_part_nor_more_than_all(maker: Maker, path: Path) -> None:
    record(path, maker, sums(10, 15), some_wrong)
    for known in (None, path):
        facts = measured(sums(10, 30), maker, known).facts()
        parts = list(facts["steps"].values())
        for kind in ("calls", "prompt_tokens", "completion_tokens", "usd"):
            assert facts["total"]["low"][kind] >= max(part["low"][kind] for part in parts)
            assert facts["total"]["high"][kind] <= sum(part["high"][kind] for part in parts) + 3


def test_what_then_happens_lies_within_the_estimate(maker: Maker, path: Path) -> None:
    facts = measured(sums(10, 30), maker).facts()["total"]
    with asking(path, Paid(lambda request: replace(some_wrong(request), completion_tokens=150)), price=PRICE) as asker:
        list(make_dual_chains(sums(10, 30), maker, asker))
    whole = asker.costs.total()
    assert facts["low"]["calls"] <= whole.calls <= facts["high"]["calls"]
    assert facts["low"]["completion_tokens"] <= whole.completion_tokens <= facts["high"]["completion_tokens"]
    assert facts["low"]["usd"] <= whole.usd <= facts["high"]["usd"]


def test_a_part_is_estimated_as_a_part(maker: Maker) -> None:
    teacher = Paid()
    calls = [
        estimate(Shard(index, 3).of(sums(10, 17)), maker, teacher, None, PRICE).facts()["steps"]["explain"]["low"]
        for index in range(3)
    ]
    assert [one["calls"] for one in calls] == [3, 3, 2]


def test_the_json_has_stable_keys(cli: Cli, tmp_path: Path) -> None:
    """Scripts read it; an offline teacher is estimated too."""
    (tmp_path / "q.jsonl").write_text(lines({"question": one.question, "answer": one.answer} for one in sums(10, 12)))
    done = cli("gen-dual", "q.jsonl", "-t", "recorded:q.recorded", "--dry-run", "--json")
    assert done.code == 2  # the recordings are not there
    (tmp_path / "q.recorded").write_text("")
    for words in (("toy:chain?n=3", "-t", "oracle"), ("q.jsonl", "-t", "openai/m", "--api-base", "http://127.0.0.1:9")):
        done = cli("gen-dual", *words, "--dry-run", "--json")
        assert done.code == 0, done.err
        facts = json.loads(done.out)
        assert list(facts) == ["questions", "recorded", "samples", "steps", "total", "price"]
        assert facts["questions"] == 3
        assert list(facts["steps"]) == ["explain", "corrupt", "rectify"]
        for part in (facts["total"], *facts["steps"].values()):
            assert list(part) == ["low", "high"]
            for one in part.values():
                assert list(one) == ["calls", "prompt_tokens", "completion_tokens", "usd"]
        if "oracle" in words:
            assert facts["total"]["high"]["usd"] == 0  # an offline teacher is known to cost nothing
        else:
            assert facts["price"] is None
            assert facts["total"]["high"]["usd"] is None
