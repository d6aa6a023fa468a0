"""An evaluation from the command line: engines, samples, earlier steps, what survives an interruption."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from editctl.errors import EditctlError
from editctl.evaluate.asking import Asker, Work, seed_of, taught_works, works
from editctl.evaluate.engine import Ask, Failed, Told, Written
from editctl.evaluate.engines.weights import adapter_effect
from editctl.evaluate.journal import ENDING, Journal
from editctl.files import sha256_of
from editctl.fingerprints import identity
from editctl.manifest import find, save
from editctl.models import load
from editctl.recipe import DecodeStep
from editctl.recipes.cascod import Cascod, CascodOptions
from editctl.records import Prompt, Question
from editctl.rows import alignment_to_row, dual_to_row
from editctl.student import question_prompt
from tests.support_cli import Cli, lines, read
from tests.support_models import pairs, saved
from tests.support_students import verdict_on

PAIRS = pairs(6)
QUESTIONS = [one.dual.question for one in PAIRS]
PLAN = [
    DecodeStep(name="one", prompt=lambda question, _: question_prompt(question)),
    DecodeStep(name="two", prompt=lambda question, earlier: Prompt(user=question.question, forced=earlier[0])),
]


class Book:
    """An engine that answers by the question's name, in batches of a size, and notes what it is asked."""

    takes_forced = True
    prompts = "tokens"

    def __init__(self, size: int = 2, *, joint: bool = False, faults: Mapping[str, str] | None = None) -> None:
        self.size = size
        self.joint = joint
        self.faults = dict(faults or {})
        self.asked: list[list[Ask]] = []
        self.stops_after: int | None = None

    def batches(self, prompts: Sequence[Prompt], limit: int) -> list[list[int]]:
        """As they come."""
        return [list(range(start, min(start + self.size, len(prompts)))) for start in range(0, len(prompts), self.size)]

    def converse(self) -> "Book":
        """Itself."""
        return self

    def write(self, asks: Mapping[int, Ask], told: Told) -> None:
        """The last first, as a real one might."""
        self.asked.append(list(asks.values()))
        for place, ask in reversed(list(asks.items())):
            if self.stops_after == 0:
                raise EditctlError("the key was withdrawn")
            self.stops_after = None if self.stops_after is None else self.stops_after - 1
            text = f"{ask.prompt.user}|{ask.prompt.forced}|{ask.seed}"
            fault = self.faults.get(ask.prompt.user)
            told(place, Failed(reason=fault) if fault else Written(text=text, tokens=2))

    def facts(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def close(self) -> None:
        """Nothing."""


def ask(book: Any, journal: Journal, asked: Sequence[Work], plan: Sequence[DecodeStep] = PLAN) -> None:
    """Ask all of a book."""
    Asker(plan, {"student": book}, journal, limit=9, seed=5).ask(asked)


def test_steps_follow_each_other_and_every_text_has_its_own_seed() -> None:
    asked = works(QUESTIONS[:3], samples=2)
    with Journal(None, {}) as journal:
        ask(Book(), journal, asked)
    for work in asked:
        first, second = journal.found[work.key].steps
        assert first.endswith(f"||{seed_of(5, work, 'one')}")
        assert second == f"{work.question.question}|{first}|{seed_of(5, work, 'two')}"
        assert journal.found[work.key].tokens == 4
    assert len({seed_of(seed, work, step) for seed in (0, 1) for work in asked for step in ("one", "two")}) == 24


def test_a_text_that_can_not_be_had_fails_its_question_alone() -> None:
    prompts = [question_prompt(question).user for question in QUESTIONS]
    with Journal(None, {}) as journal:
        ask(Book(faults={prompts[1]: "timeout"}), journal, works(QUESTIONS[:3]))
    failed = {key[0]: one.failed for key, one in journal.found.items()}
    assert failed == {QUESTIONS[0].id: None, QUESTIONS[1].id: "timeout", QUESTIONS[2].id: None}
    assert journal.found[QUESTIONS[1].id, 0, "own"].steps == ()


@pytest.mark.parametrize(("joint", "again"), [(False, [[1], [1]]), (True, [[2], [2]])])
def test_only_what_is_missing_is_asked_again(tmp_path: Path, joint: bool, again: list[list[int]]) -> None:
    book = Book(joint=joint)
    book.stops_after = 7
    with Journal(tmp_path / "j", {}) as journal, pytest.raises(EditctlError, match="withdrawn"):
        ask(book, journal, works(QUESTIONS))
    before = dict(journal.found)
    assert len(before) == 3
    other = Book(joint=joint)
    with Journal(tmp_path / "j", {}) as journal:
        ask(other, journal, works(QUESTIONS))
        assert {key: journal.found[key] for key in before} == before
    assert [[len(asks)] for asks in other.asked] == [*again, [2], [2]]
    undisturbed = Journal(None, {})
    ask(Book(joint=joint), undisturbed, works(QUESTIONS))
    assert journal.found == undisturbed.found


def test_the_teachers_earlier_steps_stand_in_for_the_students() -> None:
    plan = Cascod().plan(CascodOptions())
    chains = {one.dual.question.id: one.dual.right for one in PAIRS[:2] if one.dual.right}
    chains[QUESTIONS[2].id] = replace(chains[QUESTIONS[0].id], text="It concludes nothing.")
    taught, lacking = taught_works(works(QUESTIONS[:4]), chains, plan)
    assert [work.question.id for work in taught] == [one.id for one in QUESTIONS[:2]]
    assert lacking == [one.id for one in QUESTIONS[2:4]]
    text = chains[QUESTIONS[0].id].text.partition(" Therefore")[0]
    assert taught[0].given == (text,)
    with Journal(None, {}) as journal:
        book = Book()
        ask(book, journal, taught, plan)
    assert [len(asks) for asks in book.asked] == [2]
    assert book.asked[0][0].prompt.forced == f"{text}\nTherefore, the answer is"
    assert journal.found[QUESTIONS[0].id, 0, "teacher"].steps[0] == text


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base student, and the runs that were trained before, by their options."""
    folder = tmp_path_factory.mktemp("shelf")
    saved(folder / "base")
    return folder


@pytest.fixture
def place(tmp_path: Path, shelf: Path) -> Path:
    """A folder with pairs, teacher's chains and questions."""
    torch.set_num_threads(1)
    (tmp_path / "shelf").symlink_to(shelf)
    (tmp_path / "aligned.jsonl").write_text(lines(alignment_to_row(one) for one in PAIRS))
    (tmp_path / "dual.jsonl").write_text(lines(dual_to_row(one.dual) for one in PAIRS[:4]))
    rows = [
        {"id": one.id, "question": f"Now: {one.question}", "answer": one.answer, "task": one.task} for one in QUESTIONS
    ]
    (tmp_path / "q.jsonl").write_text(lines(rows))
    return tmp_path


def train(cli: Cli, *words: str) -> None:
    """A run folder `run`, on the shared base or the tiny student; trained once for the same options."""
    known = Path("shelf") / "-".join(words).replace("/", "-").replace(":", "-")
    shutil.rmtree("run", ignore_errors=True)
    if known.exists():
        shutil.copytree(known, "run")
        return
    options = ("-o", "run", "--device", "cpu", "--max-steps", "4", "--learning-rate", "0.01", "--force")
    student = [str(Path("shelf").resolve() / "base") if word == "base" else word for word in words]
    done = cli("train", "aligned.jsonl", *options, *student)
    assert done.code == 0, done.err
    shutil.copytree("run", known)


def evaluate(cli: Cli, *words: str, code: int = 0) -> dict[str, Any]:
    """The figures of an evaluation."""
    done = cli("eval", "run", "q.jsonl", "--max-new-tokens", "12", "--json", "--device", "cpu", *words)
    assert done.code == code, done.err
    figures: dict[str, Any] = json.loads(done.out) if done.out else {"err": " ".join(done.err.split())}
    return figures


def test_samples_are_rows_of_their_own_and_come_again(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base")
    for name in ("a.jsonl", "b.jsonl"):
        evaluate(cli, "--samples", "3", "--temperature", "1.0", "-o", name)
    assert (place / "a.jsonl").read_bytes() == (place / "b.jsonl").read_bytes()
    rows = read(place / "a.jsonl")
    assert [(row["id"], row["sample"]) for row in rows] == [
        (one.id, number) for one in QUESTIONS for number in range(3)
    ]
    assert len({tuple(row["steps"]) for row in rows}) > 6
    evaluate(cli, "--samples", "3", "--temperature", "1.0", "-o", "c.jsonl", "--seed", "1")
    assert [row["steps"] for row in read(place / "c.jsonl")] != [row["steps"] for row in rows]
    alone = evaluate(cli, "--temperature", "1.0", "-o", "d.jsonl")
    assert alone["n"] == 6
    assert [row["steps"] for row in read(place / "d.jsonl")] == [row["steps"] for row in rows[::3]]


def test_batches_change_nothing(cli: Cli, place: Path) -> None:
    train(cli, "-r", "cascod", "-s", "base")
    for name, budget in (("a.jsonl", "60"), ("b.jsonl", "9999")):
        evaluate(cli, "-o", name, "--batch-tokens", budget)
    assert (place / "a.jsonl").read_bytes() == (place / "b.jsonl").read_bytes()


def test_earlier_steps_of_the_teacher_are_scored_apart(cli: Cli, place: Path) -> None:
    train(cli, "-r", "cascod", "-s", "base")
    plain = evaluate(cli)
    figures = evaluate(cli, "--teacher-chains", "dual.jsonl", "-o", "p.jsonl")
    assert figures["n"] == 6
    assert {key: figures[key] for key in ("accuracy", "unanswered")} == {
        key: plain[key] for key in ("accuracy", "unanswered")
    }
    assert figures["earlier_steps"]["teacher"]["n"] == 4
    rows = [row for row in read(place / "p.jsonl") if row["earlier"] == "teacher"]
    assert [row["id"] for row in rows] == [one.id for one in QUESTIONS[:4]]
    chain = PAIRS[0].dual.right
    assert chain is not None
    assert rows[0]["steps"][0] == chain.text.partition(" Therefore")[0]
    again = cli("score", "p.jsonl", "--json")
    assert json.loads(again.out)["earlier_steps"] == figures["earlier_steps"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "2"], "greedy samples are all the same; set --temperature"),
        (["--engine", "magic"], "use auto, local, server or vllm"),
        (["--engine", "server"], "needs --api-base"),
        (["--api-model", "x"], "--api-model goes with --api-base"),
        (["--endpoint", "chat"], "--endpoint goes with --api-base"),
        (["--engine", "local", "--api-base", "http://127.0.0.1:9/v1"], "goes with --engine server"),
        (["--api-base", "http://127.0.0.1:9/v1", "--endpoint", "mail"], "use auto, completions, tokens, chat"),
        (["--teacher-chains", "dual.jsonl"], "no step of this recipe reads an earlier one"),
        (["--teacher-chains", "q.jsonl"], "holds questions"),
    ],
)
def test_options_that_do_not_go_together(cli: Cli, place: Path, words: list[str], message: str) -> None:
    train(cli, "-r", "std-cot", "--max-steps", "1")
    assert message in evaluate(cli, *words, code=2)["err"]


def test_a_prompt_that_fills_the_student_fails_its_question_alone(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base")
    rows = read(place / "q.jsonl")
    rows[2]["question"] = "word " * 5000
    (place / "q.jsonl").write_text(lines(rows))
    done = cli("eval", "run", "q.jsonl", "--max-new-tokens", "5", "--device", "cpu", "-o", "p.jsonl", "--json")
    assert done.code == 3
    assert "1 of 6 texts could not be had (too-long)" in " ".join(done.err.split())
    figures = json.loads(done.out)
    assert (figures["n"], figures["failed"]) == (5, 1)
    assert read(place / "p.jsonl")[2]["reason"] == "failed:too-long"
    assert json.loads(cli("score", "p.jsonl", "--json").out)["failed"] == 1
    assert (place / f"p.jsonl{ENDING}").exists()


def test_less_room_than_asked_for_is_told(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base")
    done = cli("eval", "run", "q.jsonl", "-n", "1", "--max-new-tokens", "99999", "--device", "cpu")
    assert done.code == 0
    assert "1 texts had less room than --max-new-tokens" in " ".join(done.err.split())


def test_an_untrained_adapter_is_told_and_an_idle_one_refused(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base", "--max-steps", "0")
    done = cli("eval", "run", "q.jsonl", "--max-new-tokens", "2", "--device", "cpu")
    assert "the adapter was never trained" in done.err
    train(cli, "-r", "std-cot", "-s", "base")
    student = load("run", device="cpu", dtype="float32")
    assert (adapter_effect(student, [[5, 6]]) or 0) > 0
    trained = identity("run", student.model)
    for module in student.model.modules():
        if isinstance(getattr(module, "scaling", None), dict):
            module.scaling = dict.fromkeys(module.scaling, 0.0)
    with pytest.raises(EditctlError, match="answers as without them"):
        adapter_effect(student, [[5, 6]])
    assert identity(str(place / "shelf/base"))["files"] == trained["base"]


SLOTS = """
from editctl.recipe import DecodeStep
from editctl.recipes.std_cot import StdCot
from editctl.student import question_prompt
class Two(StdCot):
    title = "asks two students"
    def plan(self, options):
        return [DecodeStep(name="first", slot="core", prompt=lambda q, _: question_prompt(q)),
                DecodeStep(name="second", slot="solve", prompt=lambda q, t: question_prompt(q, cue=" " + t[0][:5]))]
"""


def test_a_plan_may_ask_several_students(cli: Cli, place: Path) -> None:
    (place / "two.py").write_text(SLOTS)
    for name, seed in (("core", "1"), ("solve", "2")):
        train(cli, "-r", "std-cot", "--seed", seed, "--max-steps", "30")
        (place / "both/slots").mkdir(parents=True, exist_ok=True)
        (place / "run").rename(place / "both/slots" / name)
    (place / "both/config.json").write_text("{}")
    words = ("q.jsonl", "--max-new-tokens", "9", "--device", "cpu", "-r", "two.py:Two")
    done = cli("eval", "both", *words, "-o", "p.jsonl")
    assert done.code == 0, done.err
    alone = cli(
        "eval",
        "both/slots/core",
        "q.jsonl",
        "--max-new-tokens",
        "9",
        "--device",
        "cpu",
        "-r",
        "std-cot",
        "-o",
        "c.jsonl",
    )
    assert alone.code == 0, alone.err
    both, core = read(place / "p.jsonl"), read(place / "c.jsonl")
    assert [row["steps"][0] for row in both] == [row["steps"][0] for row in core]
    refused = cli("eval", "both/slots/core", *words)
    assert refused.code == 2
    assert "this recipe asks several students" in " ".join(refused.err.split())


PROGRAMS = """
from editctl.recipe import DecodeStep
from editctl.recipes.std_cot import StdCot
from editctl.student import question_prompt
class Pot(StdCot):
    title = "writes programs"
    def examples(self, stage, alignment, options):
        from dataclasses import replace
        for one in super().examples(stage, alignment, options):
            text = "ans = " + alignment.dual.question.answer
            yield replace(one, target=text, spans=((0, len(text), 1.0),))
    def plan(self, options):
        return [DecodeStep(name="program", prompt=lambda q, _: question_prompt(q), runner="python")]
"""


def test_a_plan_may_end_in_a_program(cli: Cli, place: Path) -> None:
    (place / "pot.py").write_text(PROGRAMS)
    rows = [{"id": one.id, "question": one.question, "answer": one.answer, "task": one.task} for one in QUESTIONS]
    (place / "q.jsonl").write_text(lines(rows))
    train(cli, "-r", "pot.py:Pot", "--max-steps", "60")
    figures = evaluate(cli, "-o", "p.jsonl")
    assert figures["correct"] == 6
    written = read(place / "p.jsonl")
    assert {(row["runner"], row["steps"][0].strip()[:5]) for row in written} == {("python", "ans =")}
    written[0]["steps"] = ["while True: pass"]
    written[1]["steps"] = ["answer = 3"]
    (place / "p.jsonl").write_text(lines(written))
    again = json.loads(cli("score", "p.jsonl", "--json").out)
    assert again["reasons"] == {"program-timeout": 1, "program-no-ans": 1}


KILLER = """
import os, signal, sys
from editctl.evaluate import journal
left, own = int(sys.argv.pop(1)), journal.Journal._write
def write(self, row):
    global left
    left -= 1
    if left == 0:
        if self._file is not None:
            self._file.write('{"id": "half of a li')
            self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    own(self, row)
journal.Journal._write = write
from editctl.cli.main import main
main()
"""


@pytest.mark.full
@pytest.mark.parametrize("recipe", ["std-cot", "cascod"])
def test_five_kills_change_nothing(cli: Cli, place: Path, recipe: str) -> None:
    train(cli, "-r", recipe, "-s", "base")
    (place / "killer.py").write_text(KILLER)
    words = ["eval", "run", "q.jsonl", "--max-new-tokens", "12", "--device", "cpu", "--batch-tokens", "150"]
    words += ["--samples", "2", "--temperature", "0.8"]
    assert cli(*words, "-o", "whole.jsonl").code == 0
    for writes in (1, 2, 4, 3, 5):
        command = [sys.executable, "killer.py", str(writes), *words, "-o", "killed.jsonl"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == -9, done.stderr
        assert not (place / "killed.jsonl").exists()
    done_last = cli(*words, "-o", "killed.jsonl")
    assert done_last.code == 0
    assert "texts are there from an evaluation that did not finish" in " ".join(done_last.err.split())
    assert (place / "killed.jsonl").read_bytes() == (place / "whole.jsonl").read_bytes()
    assert not (place / f"killed.jsonl{ENDING}").exists()


def test_an_unfinished_evaluation_is_not_mixed_with_another(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base")
    (place / "killer.py").write_text(KILLER)
    words = ["eval", "run", "q.jsonl", "--max-new-tokens", "6", "--device", "cpu", "-o", "p.jsonl"]
    command = [sys.executable, "killer.py", "4", *words]
    subprocess.run(command, cwd=place, capture_output=True, timeout=240, check=False)
    assert (place / f"p.jsonl{ENDING}").exists()
    refused = cli(*words, "--temperature", "0.5")
    assert refused.code == 2
    assert "asked for otherwise (engines.student.temperature differ)" in " ".join(refused.err.split())
    train(cli, "-r", "std-cot", "-s", "base", "--max-steps", "5")
    assert "(engines.student.student.files differ)" in " ".join(cli(*words).err.split())
    assert cli(*words, "--force").code == 0
    assert not (place / f"p.jsonl{ENDING}").exists()


def test_the_conclusion_of_the_chains_is_the_one_that_is_read(cli: Cli, place: Path) -> None:
    opening = "Die Antwort lautet"
    made = cli("gen-dual", "toy:chain?n=8", "-t", "oracle", "-o", "d.jsonl", "--conclusion", opening, "-q")
    assert made.code == 0, made.err
    assert all(opening in row["right"]["text"] for row in read(place / "d.jsonl"))
    assert cli("align", "d.jsonl", "-o", "aligned.jsonl", "-q").code == 0
    train = ("train", "aligned.jsonl", "-r", "std-cot", "-o", "run", "--max-steps", "1", "--device", "cpu", "-q")
    assert cli(*train).code == 0
    rows = [{**row, "steps": [f"2 + 2 = 4. {opening} {row['answer']}."]} for row in _asked(cli, place)]
    (place / "p.jsonl").write_text(lines(rows))
    assert json.loads((place / "p.manifest.json").read_text())["conclusion"] == opening
    assert json.loads(cli("score", "p.jsonl", "--json", "--conclusion", opening).out)["correct"] == 8
    assert json.loads(cli("score", "p.jsonl", "--json").out)["correct"] == 0  # nobody knows who made this file


def test_score_reads_by_the_conclusion_that_eval_read_by(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base")
    evaluate(cli, "-o", "p.jsonl", "--conclusion", "word")
    text = (place / "p.jsonl").read_text()
    manifest = find(hashlib.sha256(text.encode()).hexdigest())
    assert manifest is not None
    rows = [{**row, "steps": [f"2 + 2 = 4. Die Antwort: word {row['answer']}."]} for row in read(place / "p.jsonl")]
    (place / "p.jsonl").write_text(lines(rows))
    save(manifest, sha256_of(place / "p.jsonl"), None)
    assert json.loads(cli("score", "p.jsonl", "--json").out)["correct"] == 6
    assert json.loads(cli("score", "p.jsonl", "--json", "--conclusion", "none such").out)["correct"] == 0


def test_what_was_only_thought_is_no_answer() -> None:
    question = Question(id="q", question="2 + 2?", answer="4", kind="number")
    thought = "<think>Therefore, the answer is 5. No.</think> 2 + 2 = 4. Therefore, the answer is 4."
    assert verdict_on(question, (thought,)).verdict == "right"
    assert verdict_on(question, ("<think>Therefore, the answer is 4.",)).verdict == "none"


def _asked(cli: Cli, place: Path) -> list[dict[str, Any]]:
    done = cli("eval", "run", "toy:chain?n=8&split=test", "--max-new-tokens", "2", "--device", "cpu", "-o", "p.jsonl")
    assert done.code == 0, done.err
    return read(place / "p.jsonl")


def test_predictions_go_down_a_pipe_alone(cli: Cli, place: Path) -> None:
    train(cli, "-r", "std-cot", "-s", "base")
    for json_too in ([], ["--json"]):
        done = cli("eval", "run", "q.jsonl", "--max-new-tokens", "2", "--device", "cpu", "-o", "-", *json_too)
        assert done.code == 0, done.err
        assert [json.loads(row)["id"] for row in done.out.splitlines()] == [one.id for one in QUESTIONS]
        assert ('"accuracy"' if json_too else "accuracy") in done.err
        assert not list(place.glob("*.generations.jsonl"))


def test_questions_without_the_description_that_training_had_are_told(cli: Cli, place: Path) -> None:
    made = cli("gen-dual", "toy:chain?n=8", "-t", "oracle", "-o", "d.jsonl", "-q")
    assert made.code == 0, made.err
    assert cli("align", "d.jsonl", "-o", "aligned.jsonl", "-q").code == 0
    done = cli("train", "aligned.jsonl", "-r", "std-cot", "-o", "run", "--max-steps", "1", "--device", "cpu", "-q")
    assert done.code == 0, done.err
    words = ("--max-new-tokens", "2", "--device", "cpu")
    assert "6 of 6 questions have no description" in " ".join(cli("eval", "run", "q.jsonl", *words).err.split())
    assert "description" not in cli("eval", "run", "toy:chain?n=4&split=test", *words).err


def test_a_blank_conclusion_is_refused(cli: Cli) -> None:
    assert "--conclusion is blank" in cli("eval", "run", "q.jsonl", "--conclusion", " ").err
