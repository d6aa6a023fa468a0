"""Every recipe from questions to scores, as a user runs it: gen-dual | align | train | eval on a toy task."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from editctl import registry
from editctl.evaluate.judging import FAILED
from editctl.options import fill, parse_pairs
from tests.support_cli import Cli, Row, read, shell
from tests.support_models import saved

FORMATS = {
    **dict.fromkeys(("answer-sft", "cascod", "edit", "std-cot", "std-cot-dual"), "cot"),
    **dict.fromkeys(("mt-cot", "mt-ra", "mt-re", "scott", "step-by-step"), "cot"),
    **{name: name for name in ("eot", "kpdd-cot", "kpdd-pot", "pot")},
}
"""Every recipe, and the format of the chains it trains on."""
RUNNERS = {"eot": "equations", "kpdd-pot": "python", "pot": "python"}
"""Of the recipes whose last text is run."""
QUESTIONS = 6
SOURCES = ("toy:chain?split=test&n=1", "toy:chain?split=ood&n=1", "toy:chain?n=1")
"""New questions, and one that there are chains of."""
ASKED = 3
TEACHER = ("-t", "oracle", "-T", "error-rate=0.3", "-m", "logical,calculation")
SMALL = ("--max-steps", "6", "--batch-questions", "3", "--lora-r", "4", "--save-every", "0")


@dataclass(frozen=True)
class Case:
    """A recipe with options."""

    recipe: str
    options: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    """Of the students it trains, where it is not one alone."""
    student: str = ""
    """The small saved one unless told otherwise."""

    def __str__(self) -> str:
        return "-".join([self.recipe, *self.options, self.student]).rstrip("-")


ALIAS = "step-by-step"
"""A second name of mt-re."""
STAGES = {"3": ("core", "info", "solve"), "2": ("key", "solve")}
ONCE = [
    *(Case(name) for name in FORMATS if not name.startswith("kpdd") and name != ALIAS),
    Case("kpdd-cot", ("stages=3",), STAGES["3"]),
    Case("kpdd-pot", ("shared=true",)),
]
MORE = [
    Case(ALIAS),
    Case("kpdd-pot", ("stages=2",), STAGES["2"]),
    Case("kpdd-cot", ("stages=2",), STAGES["2"]),
    Case("kpdd-pot", ("stages=3",), STAGES["3"]),
    Case("kpdd-cot", ("shared=true", "stages=2")),
    *(Case(name, ("ask=explanation",)) for name in ("mt-cot", "mt-ra", "mt-re")),
    Case("kpdd-pot", (), STAGES["3"], student="tiny"),
]


def test_every_recipe_goes_through_the_pipeline() -> None:
    assert {case.recipe for case in [*ONCE, *MORE]} == set(FORMATS) == set(registry.BUILT_IN["recipes"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random student in a folder."""
    return saved(tmp_path_factory.mktemp("student"))


def done(cli: Cli, *words: str) -> str:
    """A command that must succeed; what it prints."""
    outcome = cli(*words)
    assert outcome.code == 0, outcome.err
    return outcome.out


def taught(cli: Cli, form: str, count: int = QUESTIONS) -> None:
    """Aligned chains of a format."""
    done(cli, "gen-dual", f"toy:chain?n={count}", *TEACHER, "--format", form, "-o", "dual.jsonl")
    done(cli, "align", "dual.jsonl", "-o", "aligned.jsonl")


def assert_judged(rows: list[Row], count: int) -> None:
    """One prediction for each question, each with a verdict, none of them failed."""
    assert len({row["id"] for row in rows}) == len(rows) == count
    for row in rows:
        assert row["verdict"] in ("right", "wrong", "none")
        assert not str(row["reason"]).startswith(FAILED)


@pytest.mark.parametrize("case", [*ONCE, *(pytest.param(case, marks=pytest.mark.full) for case in MORE)], ids=str)
def test_a_recipe_from_questions_to_predictions(cli: Cli, small: str, tmp_path: Path, case: Case) -> None:
    taught(cli, FORMATS[case.recipe])
    options = [word for option in case.options for word in ("-R", option)]
    done(cli, "train", "aligned.jsonl", "-s", case.student or small, "-r", case.recipe, *options, *SMALL, "-o", "run")
    slots = tmp_path / "run" / "slots"
    assert sorted(path.name for path in slots.glob("*")) == sorted(case.slots)
    steps = plan_of(case)
    gold = ("--teacher-chains", "dual.jsonl") if len(steps) > 1 and steps[0].taught else ()
    done(cli, "eval", "run", *SOURCES, *gold, "--max-new-tokens", "12", "-o", "predictions.jsonl")
    rows = read("predictions.jsonl")
    assert_judged([row for row in rows if row["earlier"] == "own"], ASKED)
    assert {len(row["steps"]) for row in rows} == {len(steps)}
    assert {row["runner"] for row in rows} == {RUNNERS.get(case.recipe)}
    assert_taught([row for row in rows if row["earlier"] == "teacher"], 1 if gold else 0)


def assert_taught(rows: list[Row], count: int) -> None:
    """The earlier texts of these predictions are the teacher's."""
    chains = {row["id"]: row["right"] for row in read("dual.jsonl")}
    assert len(rows) == count
    for row in rows:
        chain = chains[row["id"]]
        told = chain["text"] if chain["sections"] is None else "\n".join(chain["sections"].values())
        earlier = "\n".join(row["steps"][:-1]).replace("Problem-solving information: ", "")
        assert earlier
        assert earlier in told


def plan_of(case: Case) -> Any:
    """The recipe's decode plan."""
    method = registry.load("recipes", case.recipe)()
    return method.plan(fill(method.Options, parse_pairs(case.options, "-R"), case.recipe))


OVERFIT = "-s tiny --max-steps 60 --batch-questions 4 --learning-rate 5e-3 --schedule linear --save-every 0"


def assert_learnt(folder: Path, section: str, count: int) -> None:
    """Every text that was run is the teacher's own, and its result is right."""
    rows = read(folder / "predictions.jsonl")
    assert_judged(rows, count)
    chains = {row["id"]: row["right"] for row in read(folder / "dual.jsonl")}
    for row in rows:
        assert row["verdict"] == "right", row
        assert row["prediction"] == row["answer"]
        assert row["steps"][-1].strip() == chains[row["id"]]["sections"][section]


@pytest.mark.full
def test_programs_that_were_learnt_are_run_and_right(tmp_path: Path) -> None:
    script = f"""
    editctl gen-dual 'toy:chain?n=4' -t oracle --format pot | tee dual.jsonl |
        editctl align - | editctl train - -r pot {OVERFIT} -o run
    codes="${{PIPESTATUS[*]}}"
    editctl eval run 'toy:chain?n=4' -o predictions.jsonl > scores.txt && test "$codes" = "0 0 0 0" """
    outcome = shell(script, tmp_path)
    assert outcome.out.split() == ["run", "0"], outcome.err
    assert_learnt(tmp_path, "program", 4)


@pytest.mark.full
@pytest.mark.parametrize(("recipe", "section", "updates"), [("eot", "equations", 100), ("kpdd-pot", "solution", 180)])
def test_what_was_learnt_is_run_and_right_through_all_slots(
    cli: Cli, tmp_path: Path, recipe: str, section: str, updates: int
) -> None:
    taught(cli, recipe, 4)
    done(cli, "train", "aligned.jsonl", "-r", recipe, *OVERFIT.replace(" 60 ", f" {updates} ").split(), "-o", "run")
    done(cli, "eval", "run", "toy:chain?n=4", "-o", "predictions.jsonl")
    assert_learnt(tmp_path, section, 4)
