"""Several students in one run: which recipes may ask for them, how they are trained, kept, merged, asked, sent."""

import contextlib
import gc
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from editctl import registry
from editctl.cli.engines import run_around
from editctl.errors import InputError, Terminated, UsageError
from editctl.models import Student, load
from editctl.recipe import DecodeStep, Stage
from editctl.scratch import train_tokenizer
from editctl.slots import check_stages, slots_in
from editctl.student import question_prompt
from editctl.tokens import Codec
from editctl.train.adapters import Lora, joined_adapter
from editctl.train.checkpoints import RunState
from editctl.train.handover.folder import bytes_needed
from editctl.train.handover.hub import files_of
from editctl.train.handover.merge import merge
from editctl.train.memory import estimate
from editctl.train.plan import Settings, fingerprint, plan
from editctl.train.stage import Outcome, prepare, students, train
from editctl.train.stopping import Stop, stoppable
from editctl.train.surroundings import Surroundings
from tests.support_cli import Cli, read, snapshot
from tests.support_models import CORPUS, llama, pairs, scratch
from tests.support_slots import RECIPE, STAGES, facts, write_files

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
RUN = ("-r", "two.py:Two", "--device", "cpu", "--batch-questions", "6")
LORA = (*RUN, "-s", "base", "--lora-r", "2")
ASK = ("q.jsonl", "--max-new-tokens", "6", "--device", "cpu")


@pytest.fixture(autouse=True)
def quick() -> None:
    """Tiny models are faster on one thread, and garbage is not looked for in all that was ever imported."""
    torch.set_num_threads(1)
    gc.freeze()


# What a recipe may ask for


def stage(name: str, slot: str = "student", after: str | None = None) -> Stage:
    """A stage of which nothing else matters."""
    return Stage(name=name, epochs=1, learning_rate=1, normaliser="sum", slot=slot, starts_from=after)


def step(slot: str) -> DecodeStep:
    """A step of which nothing else matters."""
    return DecodeStep(name="ask", slot=slot, prompt=lambda question, earlier: question_prompt(question))


REFUSED = [
    ([], [], "recipe mine: has no stages"),
    ([stage("a"), stage("a", after="a")], [], "stage a: the name stands there twice"),
    ([stage("a"), stage("A", "b")], [], "stage A: the name stands there twice"),
    ([stage("a/b")], [], "stage 'a/b': names a folder of the run, so letters, digits, - and _ only"),
    ([stage("a", "../up")], [], "slot '../up': names a folder of the run"),
    ([stage("a", "")], [], "slot '': names a folder of the run"),
    ([stage("a", "one"), stage("b", "One")], [], "slot One: the name stands there twice"),
    ([stage("a", after="b")], [], "stage a starts from 'b', which is no stage; known: a"),
    ([stage("a", after="a")], [], "stage a starts from a, but it is the first of its slot"),
    ([stage("a", "one"), stage("b", "two", "a")], [], "stage b starts from a, which trains slot one, not two"),
    ([stage("a"), stage("b")], [], "stage b follows a in slot student, so it goes on from there: set starts_from"),
    ([stage("a"), stage("b", after="a"), stage("c", after="a")], [], "has to name the one before it in its slot, b"),
    ([stage("a", "solve")], [step("slove")], "step ask asks slot slove, which no stage trains; did you mean solve?"),
]


@pytest.mark.parametrize(("stages", "steps", "words"), REFUSED, ids=[one[2][:45] for one in REFUSED])
def test_what_one_run_can_not_train_is_refused(stages: list[Stage], steps: list[DecodeStep], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        check_stages("mine", stages, steps)


def test_slots_may_take_turns_and_steps_may_ask_any_of_them() -> None:
    stages = [stage("a", "one"), stage("b", "two"), stage("c", "one", "a"), stage("d", "two", "b")]
    check_stages("mine", stages, [step("two"), step("one"), step("two")])


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN["recipes"]))
def test_every_recipe_here_can_be_trained(name: str) -> None:
    method = registry.load("recipes", name)()
    check_stages(name, method.stages(method.Options()), method.plan(method.Options()))


# Training


def method() -> Any:
    """The recipe of two students."""
    space: dict[str, Any] = {"__name__": "two"}
    sys.modules.setdefault("two", type(sys)("two"))  # where its dataclass looks for its names
    exec(compile(RECIPE, "two.py", "exec"), space)
    return space["Two"]()


class Life:
    """One life of a run: its students as they are made, and what it came to."""

    def __init__(self, folder: Path, **choices: Any) -> None:
        self.settings = Settings(
            batch_questions=2, max_steps=6, save_every=1, lora=Lora(r=2, alpha=4, dropout=0.2), **choices
        )
        self.folder = folder
        self.made: list[weakref.ref[Any]] = []
        self.together = 0
        """Most models that were there at a time."""

    def fresh(self) -> Student:
        """A base student."""
        tokenizer = train_tokenizer(CORPUS, 400)
        model = llama(len(tokenizer))
        self.made.append(weakref.ref(model))
        self.together = max(self.together, sum(one() is not None for one in self.made))
        return Student("small", model, tokenizer, "pretrained")

    def lead(self, show: Any = lambda record: None, stop: Stop | None = None) -> dict[str, dict[str, Any]]:
        """Train; the weights of each slot that would be written."""
        self.said: list[str] = []
        recipe, student = method(), self.fresh()
        codec = Codec(student.tokenizer, "plain")
        planned = plan(recipe, recipe.Options(), pairs(4), codec, self.settings, "lora")
        state = RunState(self.folder)
        around = Surroundings(self.settings, "cpu", state, self.fresh, show, self.said.append, stop=stop or Stop())
        student, self.outcome = train(student, planned, codec, around)
        found = {}
        for slot, one in students(student, planned, around):
            own = joined_adapter(one)[1] if one.adapters else one.model.state_dict()
            found[slot] = {name: value.clone() for name, value in own.items()}
        return found


def assert_same(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> None:
    """Bit by bit."""
    assert one.keys() == other.keys() == {"hint", "solve"}
    for slot in one:
        assert one[slot].keys() == other[slot].keys()
        assert all(torch.equal(one[slot][name], other[slot][name]) for name in one[slot])


def figures(outcome: Outcome) -> list[dict[str, Any]]:
    """The history without what a clock says."""
    clock = ("tokens_per_second", "memory_mb")
    return [{key: value for key, value in record.items() if key not in clock} for record in outcome.history]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, dict[str, dict[str, Any]]]:
    """The run nobody disturbed."""
    torch.set_num_threads(1)
    gc.freeze()
    life = Life(tmp_path_factory.mktemp("calm"))
    return life, life.lead()


def test_only_one_student_is_in_memory(calm: tuple[Life, Any]) -> None:
    life, weights = calm
    assert life.together == 1
    assert len(life.made) == 4, "one to train and one to write, for each slot"
    assert not torch.equal(*(next(iter(weights[slot].values()))[:2] for slot in ("hint", "solve")))
    assert [record["stage"] for record in life.outcome.history] == ["hints"] * 2 + ["solve"] * 2 + ["again"] * 2


class Dead(BaseException):
    """The process is gone: nobody handles this."""


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_run_that_dies_in_any_slot_goes_on_there(calm: tuple[Life, Any], tmp_path: Path, after: int) -> None:
    left = iter(range(after))

    def show(record: dict[str, Any]) -> None:
        if next(left, None) is None:
            raise Dead

    with pytest.raises(Dead):
        Life(tmp_path).lead(show)
    life = Life(tmp_path)
    assert_same(life.lead(), calm[1])
    assert figures(life.outcome) == figures(calm[0].outcome)
    assert life.together == 1
    # A slot that is trained to its end is not loaded to go on behind it.
    assert len(life.made) == (3 if after > 1 else 4)
    assert ("stage hints is done already" in life.said) == (after > 1)


def test_a_run_that_is_told_to_stop_in_the_second_slot_goes_on_there(calm: tuple[Life, Any], tmp_path: Path) -> None:
    def show(record: dict[str, Any]) -> None:
        if (record["stage"], record["step"]) == ("solve", 1):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated), stoppable(lambda text: None) as stop:
        Life(tmp_path).lead(show, stop)
    kept = sorted(str(one.relative_to(tmp_path / "unfinished")) for one in tmp_path.rglob("checkpoint-*"))
    assert kept[-1] == "2-solve/checkpoint-1"
    life = Life(tmp_path)
    assert_same(life.lead(), calm[1])


def test_all_weights_of_several_students(tmp_path: Path) -> None:
    life = Life(tmp_path, full=True)
    first = life.lead()
    again = Life(tmp_path, full=True)  # everything is there already
    assert_same(again.lead(), first)
    assert life.together == again.together == 1
    assert len(again.made) == 3


def test_memory_is_that_of_one_student_and_disk_that_of_all() -> None:
    one, recipe = scratch(), method()
    one.origin = "pretrained"
    settings = Settings(lora=Lora(r=2))
    planned = plan(recipe, recipe.Options(), pairs(4), Codec(one.tokenizer, "plain"), settings, "lora")
    bare = sum(parameter.numel() * parameter.element_size() for parameter in one.model.parameters())
    prepare(one, 1, settings)
    prepare(one, 2, settings)
    adapters = 2 * 2 * 2 * 2 * (32 + 32) * 4  # stages, layers, matrices, rank
    assert estimate(one, planned, settings).weights == bare + adapters
    plain = Student("big", torch.nn.Linear(100, 50), None, "pretrained")
    assert bytes_needed(plain, None, 3) == 20_000_000 + int(1.5 * 3 * 4 * (5000 + 50))
    assert bytes_needed(plain, 6, 3) == 20_000_000 + int(1.5 * 4 * 6 * 150), "the rank is that of all together"


def test_a_run_that_gives_a_stage_to_another_slot_is_another_run() -> None:
    one, settings, marks = scratch(), Settings(), []
    for recipe in (method(), method()):
        planned = plan(recipe, recipe.Options(), pairs(4), Codec(one.tokenizer, "plain"), settings, "scratch")
        marks.append([planned, fingerprint(planned, settings, one, {})["stages"]])
    (planned, first), (_, again) = marks
    assert first == again
    moved = [replace(item, data=replace(item.data, stage=replace(item.data.stage, slot="hint"))) for item in planned]
    assert fingerprint(moved, settings, one, {})["stages"] != first
    usual = [replace(item, data=replace(item.data, stage=replace(item.data.stage, slot="student"))) for item in planned]
    # Runs that began before there were slots go on.
    assert all("slot" not in mark for mark in fingerprint(usual, settings, one, {})["stages"])


# The command


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs are made of and, once a test has asked for it, a finished one of adapters."""
    folder = tmp_path_factory.mktemp("shelf")
    write_files(folder)
    return folder


@pytest.fixture
def place(cli: Cli, tmp_path: Path, shelf: Path) -> Path:
    """A folder of the test's own with the files and the run."""
    for one in ("aligned.jsonl", "q.jsonl", "two.py", "base"):
        (tmp_path / one).symlink_to(shelf / one)
    if not (shelf / "run").exists():
        done = cli("train", "aligned.jsonl", *LORA, "--merge", "-o", "run")
        assert done.code == 0, done.err
        assert "Warning" not in done.err
        (shelf / "said").write_text(done.err)
        (tmp_path / "run").rename(shelf / "run")
    shutil.copytree(shelf / "run", tmp_path / "run")
    return tmp_path


def test_the_folder_holds_a_student_for_each_slot(place: Path, shelf: Path) -> None:
    found = {str(one.relative_to(place / "run")) for one in (place / "run").rglob("*") if one.is_file()}
    own = {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    plain = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    top = {"README.md", "editctl.json"}
    slots = ("hint", "solve")
    assert found == top | {f"merged/{name}" for name in top} | {
        f"slots/{slot}/{name}" for slot in slots for name in own
    } | {f"merged/slots/{slot}/{name}" for slot in slots for name in plain}
    told = facts(place / "run")
    stages: Any = told["stages"]
    assert [(one["name"], one["slot"]) for one in stages] == [("hints", "hint"), ("solve", "solve"), ("again", "solve")]
    assert slots_in(told) == ["hint", "solve"]
    said = (shelf / "said").read_text()
    assert "slot solve, stage again: 2 updates" in said
    assert "students: run/slots/hint, run/slots/solve" in said


@pytest.mark.parametrize(("slot", "rank"), [("hint", 2), ("solve", 4)])
def test_each_student_loads_by_itself(place: Path, slot: str, rank: int) -> None:
    folder = place / "run/slots" / slot
    assert load(str(folder), device="cpu", dtype="float32").adapters == ("start",)
    base = AutoModelForCausalLM.from_pretrained(place / "base")
    adapted = PeftModel.from_pretrained(base, folder)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == rank
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("Q:What is 1 + 2 (0)?\n\nA:", return_tensors="pt")["input_ids"]
    plain = AutoModelForCausalLM.from_pretrained(place / "run/merged/slots" / slot)
    with torch.inference_mode():
        assert torch.allclose(adapted(input_ids=ids).logits, plain(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize("slot", ["hint", "solve"])
def test_a_slot_is_what_it_would_be_without_the_other(cli: Cli, place: Path, slot: str) -> None:
    done = cli("train", "aligned.jsonl", *LORA, "-R", f"only={slot}", "-o", "alone")
    assert done.code == 0, done.err
    both, alone = (place / name / "slots" / slot / "adapter_model.safetensors" for name in ("run", "alone"))
    assert both.read_bytes() == alone.read_bytes()
    assert [one.name for one in (place / "alone/slots").iterdir()] == [slot]


def test_tiny_students_share_a_tokenizer_and_each_is_whole(cli: Cli, place: Path) -> None:
    done = cli("train", "aligned.jsonl", *RUN, "-o", "small")
    assert done.code == 0, done.err
    hint, solve = (place / "small/slots" / slot for slot in ("hint", "solve"))
    assert (hint / "tokenizer.json").read_bytes() == (solve / "tokenizer.json").read_bytes()
    one, other = (load_file(folder / "model.safetensors") for folder in (hint, solve))
    assert one.keys() == other.keys()
    assert not torch.equal(*(found["model.layers.0.mlp.up_proj.weight"] for found in (one, other)))
    assert AutoModelForCausalLM.from_pretrained(hint).config.use_cache
    done = cli("eval", "small", *ASK, "-o", "p.jsonl")
    assert done.code == 0, done.err
    assert [len(row["steps"]) for row in read(place / "p.jsonl")] == [2] * 6
    run_code(place, "small", merged=True)


def run_code(place: Path, run: str, merged: bool) -> None:
    """The code of a run's card runs."""
    card = (place / run / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", card, flags=re.M | re.S)
    code = code.replace('"RUN"', repr(str(place / run))).replace("'base'", repr(str(place / "base")))
    space: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code.replace("max_new_tokens=512", "max_new_tokens=3"), "card", "exec"), space)
    assert list(space["models"]) == ["slots/hint", "slots/solve"]
    assert space["model"] is space["models"]["slots/hint"], "the prompt shown is the first step's"
    assert isinstance(space["model"], PeftModel) != merged


def test_the_card_says_how_each_is_loaded(place: Path) -> None:
    card = (place / "run/README.md").read_text()
    assert "- students: 2, each in a folder of its own (`slots/hint`, `slots/solve`)" in card
    assert "| solve | again | 6 |" in card
    assert "`solution` of the student in `slots/solve`" in card
    served = "--max-lora-rank 8 --lora-modules hint=RUN/slots/hint solve=RUN/slots/solve"
    assert served in card, "the larger rank is 4"
    run_code(place, "run", merged=False)
    run_code(place, "run/merged", merged=True)
    assert "vllm serve RUN/slots/hint\nvllm serve RUN/slots/solve" in (place / "run/merged/README.md").read_text()


def test_the_run_and_its_merged_copy_answer_alike(cli: Cli, place: Path) -> None:
    for student, name in (("run", "a.jsonl"), ("run/merged", "b.jsonl")):
        done = cli("eval", student, *ASK, "-o", name)
        assert done.code == 0, done.err
    a, b = read(place / "a.jsonl"), read(place / "b.jsonl")
    assert [row["steps"] for row in a] == [row["steps"] for row in b]
    engines = json.loads((place / "a.manifest.json").read_text())["engines"]
    assert engines["hint"]["student"]["files"] != engines["solve"]["student"]["files"]


def test_one_student_alone_is_asked_only_as_one_says(cli: Cli, place: Path) -> None:
    assert run_around(place / "run/slots/solve") == place / "run"
    assert run_around(place / "base") is None
    done = cli("eval", "run/slots/solve", *ASK)
    assert done.code == 2
    assert "is one of the students of run, which answer together: evaluate run" in done.err
    done = cli("eval", "run/slots/solve", *ASK, "-r", "std-cot")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--api-base", "http://localhost:1/v1"), "this recipe asks 2 students (hint, solve); a server is one"),
        (("--engine", "vllm"), "this recipe asks 2 students (hint, solve), and vLLM takes the whole GPU for one"),
    ],
)
def test_what_asks_one_student_only_is_refused(cli: Cli, place: Path, words: tuple[str, ...], said: str) -> None:
    done = cli("eval", "run", *ASK, *words)
    assert done.code == 2
    assert said in done.err


def test_what_is_missing_of_a_run_is_said_in_one_line(cli: Cli, place: Path) -> None:
    (place / "run/slots/solve/adapter_config.json").unlink()
    for words, said in (
        (("eval", "run", *ASK), "student run/slots/solve: the folder holds no model"),
        (
            ("eval", "run", *ASK, "-r", "std-cot"),
            "the run has 2 students in its slots, and can't be taken for one; name run/slots/hint",
        ),
        (("train", "aligned.jsonl", "-s", "run", "-o", "new"), "name run/slots/hint or run/slots/solve"),
    ):
        done = cli(*words)
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert said in done.err
    shutil.rmtree(place / "run/slots/hint")
    done = cli("eval", "run", *ASK)
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "its student for slot hint is missing: there is no run/slots/hint" in done.err


def test_training_goes_on_from_one_of_the_students(cli: Cli, place: Path) -> None:
    words = ("-s", "run/slots/solve", "-r", "std-cot", "--lora-r", "3", "--max-steps", "1", "--device", "cpu")
    done = cli("train", "aligned.jsonl", *words, "-o", "next")
    assert done.code == 0, done.err
    assert json.loads((place / "next/adapter_config.json").read_text())["r"] == 7


def test_a_finished_run_is_finished_and_gets_what_it_lacks(cli: Cli, place: Path) -> None:
    shutil.rmtree(place / "run/merged/slots/hint")
    before = snapshot(place / "run/slots")
    done = cli("train", "aligned.jsonl", *LORA, "--merge", "--resume", "-o", "run")
    assert done.code == 0, done.err
    assert "run: is finished; there is nothing to go on with" in done.err
    shutil.rmtree(place / "run/merged")
    done = cli("train", "aligned.jsonl", *LORA, "--merge", "--resume", "-o", "run")
    assert done.code == 0, done.err
    assert (place / "run/merged/slots/hint/model.safetensors").is_file()
    assert snapshot(place / "run/slots") == before
    assert [one.name for one in (place / "run").iterdir() if one.name.startswith(".")] == []


def test_stages_that_changed_begin_anew_and_those_before_stand(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from editctl.train.handover import folder

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folder, "open_to_readers", broken)
        assert cli("train", "aligned.jsonl", *LORA, "-o", "new").code == 2
    assert sorted(one.name for one in (place / "new/unfinished").iterdir() if one.is_dir()) == list(STAGES)
    monkeypatch.chdir(place)
    done = cli("train", "aligned.jsonl", *LORA, "-R", "late=0.002", "--resume", "-o", "new")
    assert done.code == 0, done.err
    assert "hints, solve stands; again begins anew" in done.err
    assert "stage hints is done already" in done.err
    one, other = (place / run / "slots/hint/adapter_model.safetensors" for run in ("run", "new"))
    assert one.read_bytes() == other.read_bytes()


def test_a_dry_run_estimates_the_student_with_the_most_stages(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []

    def spy(student: Student, *more: Any) -> Any:
        seen.append(student.adapters)
        return estimate(student, *more)

    monkeypatch.setattr("editctl.train.memory.estimate", spy)
    assert cli("train", "aligned.jsonl", *LORA, "--dry-run").code == 0
    assert seen == [("stage1", "stage2")]


def test_the_plan_names_the_slots(cli: Cli, place: Path) -> None:
    done = cli("train", "aligned.jsonl", *LORA, "--dry-run")
    assert done.code == 0, done.err
    assert "2 students, one after the other: hint (hints), solve (solve, again)" in done.out
    assert re.search(r"^slot +stage ", done.out, re.M)
    done = cli("train", "aligned.jsonl", *LORA, "--dry-run", "--json")
    assert [one["slot"] for one in json.loads(done.out)["stages"]] == ["hint", "solve", "solve"]


def test_a_step_that_asks_what_another_student_was_shown_is_found(cli: Cli, place: Path) -> None:
    done = cli("train", "aligned.jsonl", *LORA, "-R", "stray=true", "-o", "new")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "step solution of slot solve asks with a text that training never shows" in done.err
    assert not (place / "new").exists()


# Handed on


def test_what_is_sent_to_the_hub_holds_all_students_and_nothing_else(place: Path) -> None:
    run = place / "run"
    (run / "slots/solve/optimizer.pt").write_text("private")
    (run / "slots/deep/er").mkdir(parents=True)
    (run / "slots/deep/er/config.json").write_text("{}")
    (run / "slots/hint/config.json").write_text(json.dumps({"auto_map": {"AutoModel": "own.Model"}}))
    (run / "slots/hint/own.py").write_text("")
    sent = {str(one.relative_to(run)) for one in files_of(run)}
    files = {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    slots = {f"slots/{slot}/{name}" for slot in ("hint", "solve") for name in files}
    assert sent == slots | {"README.md", "editctl.json", "slots/hint/config.json", "slots/hint/own.py"}


@pytest.mark.parametrize("name", ["../../away", "/etc", "", "a/b"])
def test_a_run_file_from_elsewhere_leads_nowhere(place: Path, name: str) -> None:
    told: Any = facts(place / "run")
    told["stages"][0]["slot"] = name
    (place / "run/editctl.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="is no name of a folder"):
        merge(str(place / "run"), place / "plain")
    assert not (place / "plain").exists()


def test_a_slot_that_can_not_be_merged_leaves_nothing(place: Path) -> None:
    (place / "run/slots/solve/adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(UsageError, match="slots/solve"):
        merge(str(place / "run"), place / "plain")
    assert [one.name for one in place.iterdir() if "plain" in one.name] == []


def test_merging_in_few_bits_is_refused_at_once(cli: Cli, place: Path) -> None:
    done = cli("train", "aligned.jsonl", *LORA, "--four-bit", "--merge", "-o", "new")
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert "weights of 4 bits would round away what was trained" in done.err


@pytest.mark.full
@pytest.mark.parametrize("more", [(), ("--shard",)], ids=["ddp", "shard"])
def test_several_processes_train_the_same_students(cli: Cli, place: Path, more: tuple[str, ...]) -> None:
    words = ("train", "aligned.jsonl", *LORA, "--lora-dropout", "0", "--optimizer", "sgd", "--learning-rate", "0.5")
    assert cli(*words, "-o", "one").code == 0
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "editctl"]
    done = subprocess.run(
        [*line, *words, *more, "-o", "many"], cwd=place, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr
    for slot in ("hint", "solve"):
        one, many = (load_file(place / run / "slots" / slot / "adapter_model.safetensors") for run in ("one", "many"))
        assert one.keys() == many.keys()
        assert max(float((one[name] - many[name]).abs().max()) for name in one) < 1e-5
        assert any(bool(value.any()) for name, value in many.items() if "lora_B" in name)
