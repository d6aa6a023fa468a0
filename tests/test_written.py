"""gen-dual in formats: chains are parsed, programs and equations run, and only what comes to gold is right."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editctl.formats import FORMATS, Format
from editctl.generate.clean import Checked
from editctl.generate.settings import Settings
from editctl.generate.written import check, leaks_hint
from editctl.interfaces import Completion, Request
from editctl.records import DualChain, Question, Reject
from editctl.sandbox import programs
from tests.support_cli import Cli, lines, read
from tests.support_generate import SUM, Answering, Scripted, dual_chains, outcome_of
from tests.support_provider import Provider, Reply

PROGRAM = "x = 2\nans = x + 2"
WRONG = "x = 2\nans = x + 3"
EQUATIONS = "x = 2\nans = x + 2"
LOOP = "while True:\n    pass\nans = 4"
THREE = "Core question: How much is 2 + 2?\nProblem-solving information: The numbers are 2 and 2.\nSolution:\n"
TWICE = THREE.replace("2?", "2? Therefore, the answer is 7.")
HALF = Question(id="q2", question="What is 1 / 3?", answer="0.333333333333", kind="number")
PICK = Question(id="q3", question="Which?", answer="(B)", choices=("three", "four"), kind="choice")


@pytest.fixture(scope="module", autouse=True)
def impatient() -> Iterator[None]:
    """A program may take a fraction of a second here."""
    former = programs._open().pop("python", None)
    programs._open()["python"] = programs.Sandbox(seconds=0.3, workers=2)
    yield
    programs._open().pop("python").close()
    if former is not None:
        programs._open()["python"] = former


def checked(format: str, text: str, question: Question = SUM, **more: Any) -> tuple[str | None, str, str | None]:
    """Reason, verdict and answer."""
    completion = Completion(text=text, finish_reason=more.pop("finish_reason", "stop"))
    found = check(completion, question, Settings(format=format, **more))
    return found.reason, found.verdict.verdict, found.verdict.answer


# one completion


@pytest.mark.parametrize(
    ("format", "text", "reason", "verdict", "answer"),
    [
        ("pot", PROGRAM, None, "right", "4"),
        ("pot", f"Sure!\n```python\n{PROGRAM}\n```\nDone.", None, "right", "4"),
        ("pot", f"<think>2 and 2 …</think>\n{PROGRAM}", None, "right", "4"),
        ("pot", "    x = 2\n    ans = x + 2", None, "right", "4"),
        ("pot", "Q: What is 2 + 2?\nA: ```\nans = 4\n```", None, "right", "4"),
        ("pot", WRONG, None, "wrong", "5"),
        ("pot", "ans = 8 / 2", None, "right", "4"),
        ("pot", "def solution():\n    return 4", None, "right", "4"),
        ("pot", "ans = 4.5", None, "wrong", "4.5"),
        ("pot", "ans = [", "not-python", "none", None),
        ("pot", "Two and two make four. Therefore, the answer is 4.", "not-python", "none", None),
        ("pot", "ans = 1 / 0", "program-error", "none", None),
        ("pot", "print(4)", "program-no-ans", "none", None),
        ("pot", "import sympy\nans = 4", "program-unsupported", "none", None),
        ("pot", LOOP, "program-timeout", "none", None),
        ("pot", "ans = 'who knows'", "unread", "none", None),
        ("pot", "", "empty", "none", None),
        ("pot", "I'm sorry, but I can't help with that.", "refusal", "none", None),
        ("eot", EQUATIONS, None, "right", "4"),
        ("eot", "% the sum\nans - 2 = 2", None, "right", "4"),
        ("eot", "ans = x + 2", "program-unsolved", "none", None),
        ("eot", "x = 2", "program-no-ans", "none", None),
        ("eot", "ans = 1/2x", "program-error", "none", None),
        ("eot", "Two and two make four.", "no-equations", "none", None),
        ("kpdd-pot", THREE + PROGRAM, None, "right", "4"),
        ("kpdd-pot", THREE + WRONG, None, "wrong", "5"),
        ("kpdd-pot", THREE + "Two and two make four.", "not-python", "none", None),
        ("kpdd-pot", THREE + LOOP, "program-timeout", "none", None),
        ("kpdd-pot", PROGRAM, "no-core", "none", None),
        ("kpdd-cot", THREE + "Two and two make four. Therefore, the answer is 4.", None, "right", "4"),
        ("kpdd-cot", THREE + "Two and two make four.", "unread", "none", None),
        ("kpdd-cot", TWICE + "So the answer is 4.", "ambiguous", "right", "4"),
        ("kpdd-cot", "Solution: So the answer is 4.", "no-core", "none", None),
        ("kpdd-cot", "I'm sorry, but I can't help with that.", "refusal", "none", None),
    ],
)
def test_what_a_completion_comes_to(
    format: str, text: str, reason: str | None, verdict: str, answer: str | None
) -> None:
    assert checked(format, text) == (reason, verdict, answer)


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "cot"])
def test_reasons_that_every_format_has(format: str) -> None:
    text = {"pot": PROGRAM, "eot": EQUATIONS, "kpdd-pot": THREE + PROGRAM}.get(format, THREE + "So the answer is 4.")
    assert checked(format, text)[0] is None
    assert checked(format, text, finish_reason="length")[0] == "truncated"
    assert checked(format, text, finish_reason="content_filter")[0] == "refusal"
    assert checked(format, text, max_characters=10)[0] == "over-long"


def test_what_was_cut_off_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", lambda *_: pytest.fail("it was run"))
    assert checked("pot", PROGRAM, finish_reason="length")[0] == "truncated"
    assert checked("pot", PROGRAM, max_characters=5)[0] == "over-long"


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "cot"])
def test_what_was_cut_off_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(Format, "parse", lambda *_: pytest.fail("it was parsed"))
    assert checked(format, PROGRAM, finish_reason="length") == ("truncated", "none", None)
    assert checked(format, " x" * 10_001) == ("over-long", "none", None)


def test_results_are_judged_as_eval_judges_them() -> None:
    assert checked("pot", "ans = 1 / 3", HALF)[:2] == (None, "right")
    assert checked("eot", "3ans = 1", HALF)[1] in ("right", "wrong")
    assert checked("pot", "ans = 'four'", PICK) == (None, "right", "four")
    assert checked("pot", "ans = '(A)'", PICK) == (None, "wrong", "(A)")


def test_the_solution_of_kpdd_cot_is_cut_and_made_canonical() -> None:
    text = f"Here:\n\n**1. {THREE}\nTwo and two make four, so the answer is **4**.\n\nI hope that helps."
    found = check(Completion(text=text), SUM, Settings(format="kpdd-cot"))
    assert found.sections is not None
    assert found.sections["solution"] == "Two and two make four, Therefore, the answer is 4."
    assert "hope" not in found.text
    assert found.text.startswith("Core question: How much is 2 + 2?\nProblem-solving information: ")
    assert FORMATS["kpdd-cot"].parse(found.text) == found.sections


@pytest.mark.parametrize("keep", ["keep", "drop"])
def test_hidden_reasoning_is_kept_beside_or_dropped(keep: Any) -> None:
    completion = Completion(text=PROGRAM, reasoning="hm")
    found = check(completion, SUM, Settings(format="pot", reasoning=keep))
    assert (found.text, found.reasoning) == (PROGRAM, "hm" if keep == "keep" else None)


# one question


def made(format: str, question: Question = SUM, **said: Any) -> DualChain | Reject:
    return outcome_of(Scripted(**said), question, format=format)


def test_a_pair_of_programs() -> None:
    dual = made("pot", explain=f"```python\n{PROGRAM}\n```", corrupt=WRONG)
    assert isinstance(dual, DualChain)
    assert dual.right is not None
    assert dual.wrong is not None
    assert (dual.right.text, dual.right.answer, dual.right.sections) == (PROGRAM, "4", {"program": PROGRAM})
    assert (dual.wrong.text, dual.wrong.answer, dual.wrong.sections) == (WRONG, "5", {"program": WRONG})
    assert (dual.right.origin, dual.wrong.origin, dual.reason) == ("sampled", "corrupted", None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("x = 2\nans = x * 2", "same-answer"),
        (PROGRAM, "same-text"),
        ("ans = 1 / 0", "program-error"),
        ("Two and two make five.", "not-python"),
    ],
)
def test_a_corruption_must_run_and_come_to_something_else(said: str, reason: str) -> None:
    dual = made("pot", explain=PROGRAM, corrupt=[said] * 3)
    assert isinstance(dual, DualChain)
    assert (dual.wrong, dual.reason) == (None, reason)
    assert dual.right is not None


@pytest.mark.parametrize(
    ("format", "said", "reason"),
    [
        ("pot", PROGRAM, None),
        ("pot", WRONG, "other-answer"),
        ("pot", "# The given answer is 4.\nx = 2\nans = x + 2", "hint-leak"),
        ("pot", "ans = 4  # as it must be", "hint-leak"),
        ("pot", "x = 2\nans = '4'", "hint-leak"),
        ("pot", "ans = 0\nfor x in (2, 2):\n    ans = ans + x", None),
        ("eot", "ans = 4", "hint-leak"),
        ("eot", EQUATIONS, None),
        ("kpdd-pot", THREE + "ans = 4", "hint-leak"),
        ("kpdd-cot", THREE + "As the hint says, it is four. Therefore, the answer is 4.", "hint-leak"),
        ("kpdd-cot", THREE + "ans = 4\nTwo and two. Therefore, the answer is 4.", "hint-leak"),
    ],
)
def test_a_rectified_chain_comes_to_gold_without_being_told(format: str, said: str, reason: str | None) -> None:
    wrong = {"pot": WRONG, "eot": "ans = 5", "kpdd-pot": THREE + WRONG}.get(format, THREE + "So the answer is 5.")
    outcome = made(format, explain=wrong, rectify=[said] * 3)
    if reason is None:
        assert isinstance(outcome, DualChain)
        assert outcome.right is not None
        assert (outcome.right.origin, outcome.wrong and outcome.wrong.answer) == ("rectified", "5")
    else:
        assert isinstance(outcome, Reject)
        assert (outcome.step, outcome.reason, outcome.completion) == ("rectify", reason, said)


EIGHTEEN = Question(id="q4", question="How many?", answer="18", kind="number")


@pytest.mark.parametrize("gold", ["18", "$18", "18.0"])
@pytest.mark.parametrize(
    "program",
    [
        "ans = 18.0",
        "ans = (18)",
        "ans = int(18)",
        "ans: int = 18",
        "ans = 18;",
        "result = 18\nans = result",
        "ans = round(float('18'))",
        "def solution():\n    return 18",
        "def found():\n    return 18\nans = found()\nprint(ans)",
        "ans = abs(-18)",
    ],
)
def test_a_program_that_only_holds_the_answer_is_a_leak(program: str, gold: str) -> None:
    assert leaks("pot", program, replace(EIGHTEEN, answer=gold))
    assert leaks("kpdd-pot", THREE + program, replace(EIGHTEEN, answer=gold))


@pytest.mark.parametrize(
    "equations",
    ["18 = ans", "ans = 18.0", "ans = (18)", "x = 18\nans = x", "% so it is\nans = +18", "So:\nans = 18 dollars"],
)
def test_equations_that_only_hold_the_answer_are_a_leak(equations: str) -> None:
    assert leaks("eot", equations, EIGHTEEN)


def test_thousands_are_the_same_number() -> None:
    assert leaks("pot", "ans = 1000", replace(EIGHTEEN, answer="1,000"))
    assert leaks("eot", "ans = 1,000", replace(EIGHTEEN, answer="1,000"))


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("pot", "apples = 3\npears = 15\nans = apples + pears"),
        ("pot", "ans = 20\nans -= 2"),
        ("pot", "ans = sum([3, 15])"),
        ("pot", "import math\nans = math.sqrt(324)"),
        ("pot", "ans = max(3, 18)"),
        ("pot", "def more(x):\n    return x + 15\nans = more(3)"),
        ("pot", "for ans in (3, 18):\n    pass"),
        ("eot", "ans = 3 + 15"),
        ("eot", "2 ans = 36"),
        ("eot", "ans = 3(6)"),
        ("eot", "x = 9\nans = 2x"),
        ("eot", "ans - 3 = 15"),
        ("eot", "ans = sqrt(324)"),
        ("eot", "apples = 3\npears = 15\napples + pears = ans"),
    ],
)
def test_a_program_that_calculates_is_no_leak(format: str, text: str) -> None:
    assert not leaks(format, text, EIGHTEEN)


def test_a_choice_that_was_weighed_is_no_leak() -> None:
    assert leaks("pot", "ans = '(B)'", PICK)
    assert not leaks("pot", "three, four = False, True\nans = '(B)' if four and not three else '(A)'", PICK)


def leaks(format: str, text: str, question: Question) -> bool:
    """Whether a text that comes to gold is taken for the answer that was told."""
    found = check(Completion(text=text), question, Settings(format=format))
    assert (found.reason, found.verdict.verdict) == (None, "right")
    return leaks_hint(found, question)


# programs do not hold up the others


def test_a_program_that_runs_does_not_stop_the_calls_of_other_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    others_went_on = threading.Event()
    waited: list[bool] = []
    run = programs.run

    def slow(runner: Any, text: str) -> programs.Outcome:
        if "slow" in text:
            waited.append(others_went_on.wait(timeout=120))
        return run(runner, text)

    def answer(request: Request) -> str:
        if request.step == "corrupt":
            if request.question.id == "quick":
                others_went_on.set()
            return WRONG
        return f"# {request.question.id}\n{PROGRAM}"

    async def pause(request: Request) -> None:
        return None

    monkeypatch.setattr(programs, "run", slow)
    questions = [Question(id=name, question=f"{name}: 2 + 2?", answer="4") for name in ("slow", "quick")]
    outcomes = list(dual_chains(questions, Answering(answer, pause), format="pot"))
    assert waited == [True]
    assert [outcome.question.id for outcome in outcomes] == ["slow", "quick"]
    assert all(isinstance(outcome, DualChain) and outcome.wrong for outcome in outcomes)


def test_formats_without_programs_need_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()

    def noted(completion: Completion, question: Question, settings: Settings) -> Checked:
        threads.add(threading.current_thread().name)
        return check(completion, question, settings)

    monkeypatch.setattr("editctl.generate.maker.check", noted)
    says = THREE + "So the answer is 4."
    assert len(list(dual_chains([SUM], Answering(lambda request: says), format="kpdd-cot"))) == 1
    assert threads == {"MainThread"}


# a provider

ROWS = [
    {"id": f"q{number}", "task": "add", "question": f"What is {number} + 3?", "answer": str(number + 3)}
    for number in range(6)
]


def write(_: int, body: dict[str, Any]) -> Reply:
    """Programs in fences, broken ones, endless ones, none at all."""
    words = body["messages"][-1]["content"]
    number = int(words.rsplit("What is ", 1)[1].split(" + 3?")[0])
    program = f"Here it is:\n```python\nnumber = {number}\nans = number + 3\n```\n"
    if "Right solution:" in words:
        return Reply(text=program.replace("+ 3", "+ 4"))
    if "The final answer is" in words:
        return Reply(text=f"number = {number}\nans = number + 3")
    texts = [program, program.replace("+ 3", "- 3"), "ans = (", LOOP, "It is seven.", f"raise ValueError({number})"]
    return Reply(text=texts[number])


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nobody")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Provider(write) as one:
        yield one


def test_a_provider_s_programs_are_run(cli: Cli, provider: Provider) -> None:
    Path("q.jsonl").write_text(lines(ROWS))
    words = ("gen-dual", "q.jsonl", "-t", "openai/m", "--api-base", provider.url, "--format", "pot", "-o", "dual.jsonl")
    done = cli(*words, "--attempts", "2")
    assert done.code == 0, done.err
    rows = {row["id"]: row for row in read("dual.jsonl")}
    assert set(rows) == {"q0", "q1"}
    assert rows["q0"]["right"]["text"] == "number = 0\nans = number + 3"
    assert rows["q0"]["right"]["sections"] == {"program": rows["q0"]["right"]["text"]}
    assert (rows["q0"]["right"]["answer"], rows["q0"]["wrong"]["answer"]) == ("3", "4")
    assert [rows["q1"][side]["origin"] for side in ("right", "wrong")] == ["rectified", "sampled"]
    assert rows["q1"]["wrong"]["answer"] == "-2"
    rejects = {row["id"]: row for row in read("dual.rejects.jsonl")}
    assert {name: row["reason"] for name, row in rejects.items()} == {
        "q2": "not-python",
        "q3": "program-timeout",
        "q4": "not-python",
        "q5": "program-error",
    }
    assert rejects["q3"]["completion"] == LOOP
    assert Counter(row["attempts"] for row in rejects.values()) == {2: 4}
    calls = len(provider.seen)
    before = Path("dual.jsonl").read_bytes()
    assert cli(*words, "--attempts", "2").code == 0
    assert (len(provider.seen), Path("dual.jsonl").read_bytes()) == (calls, before)


def test_recorded_completions_are_read_in_a_format(cli: Cli) -> None:
    Path("q.jsonl").write_text(
        lines([{"id": "a", "question": "2 + 2?", "answer": "4"}, {"id": "b", "question": "1?", "answer": "1"}])
    )
    recorded = [
        {
            "id": "a",
            "completion": f"### Core Question\nHow much?\n### Information\n2, 2\n### Solution\n```py\n{PROGRAM}\n```",
        },
        {"id": "a", "step": "corrupt", "completion": THREE + WRONG},
        {"id": "b", "completion": "It is one."},
    ]
    Path("r.jsonl").write_text(lines(recorded))
    done = cli("gen-dual", "q.jsonl", "-t", "recorded:r.jsonl", "--format", "kpdd-pot", "-o", "dual.jsonl")
    assert done.code == 0, done.err
    (row,) = read("dual.jsonl")
    assert row["right"]["sections"] == {"core": "How much?", "information": "2, 2", "solution": PROGRAM}
    assert row["wrong"]["answer"] == "5"
    (reject,) = read("dual.rejects.jsonl")
    assert (reject["reason"], reject["completion"]) == ("no-core", "It is one.")
