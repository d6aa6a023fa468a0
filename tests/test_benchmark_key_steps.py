"""The benchmark of key steps: its truth, its counting, its tables, and the page that shows them."""

import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editctl.align.steps import steps
from editctl.align.units import words
from editctl.worked import WrongChain
from tests.support_toys import FAMILIES, worked

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "key-steps.md"
RIGHT = ("Add ", "2", ". ", "So ", "5", ". ", "Take ", "1", ". ", "Therefore, the answer is ", "4", ".")
WRONG = ("Add ", "3", ". ", "So ", "6", ". ", "Take ", "1", ". ", "Therefore, the answer is ", "5", ".")


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a module of the benchmarks as they import each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.startswith("key_steps")]:
        del sys.modules[name]


def wrong_chain(right: tuple[str, ...], wrong: tuple[str, ...]) -> WrongChain:
    """A hand-made wrong chain."""
    return WrongChain(text="".join(wrong), answer=wrong[-2], pattern="logical", pieces=wrong, right=right)


def true_texts(side: Any, marks: str) -> list[str]:
    """What carries one of the marks."""
    return [side.text[start:end] for start, end in side.spans(marks)]


def test_the_slip_is_what_differs_in_the_first_step_that_does(modules: Any) -> None:
    truth = modules("key_steps_truth").truth_of(wrong_chain(RIGHT, WRONG))
    assert [true_texts(side, "s") for side in (truth.right, truth.wrong)] == [["2"], ["3"]]
    assert [true_texts(side, "sc") for side in (truth.right, truth.wrong)] == [["2", "5", "4"], ["3", "6", "5"]]


def test_a_step_left_out_is_a_slip_of_the_right_side_only(modules: Any) -> None:
    wrong = ("", "", "", *WRONG[3:])
    truth = modules("key_steps_truth").truth_of(wrong_chain(RIGHT, wrong))
    assert "".join(true_texts(truth.right, "s")) == "Add2."
    assert true_texts(truth.wrong, "s") == []
    assert true_texts(truth.wrong, "c") == ["6", "5"]


def test_all_that_is_left_out_in_one_go_is_the_slip(modules: Any) -> None:
    truth = modules("key_steps_truth").truth_of(wrong_chain(RIGHT, ("",) * 6 + WRONG[6:]))
    assert "".join(true_texts(truth.right, "s")) == "Add2.So5."
    assert true_texts(truth.right, "c") == ["4"]


def test_shared_borders_of_a_piece_are_no_difference(modules: Any) -> None:
    right = ("It is ", "True. ", "So ", "(A)", ".")
    truth = modules("key_steps_truth").truth_of(wrong_chain(right, ("It is ", "not False. ", "So ", "(B)", ".")))
    assert true_texts(truth.right, "sc") == ["True", "A"]
    assert true_texts(truth.wrong, "sc") == ["not False", "B"]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_toy_chain_has_a_truth_that_holds(modules: Any, name: str) -> None:
    truths = [
        modules("key_steps_truth").truth_of(wrong)
        for item in worked(name, 80, "&split=test")
        for pattern in item.patterns
        if (wrong := item.wrong(pattern))
    ]
    assert len(truths) > 140
    for truth in truths:
        slip = truth.right.marks.rfind("s"), truth.wrong.marks.rfind("s")
        assert slip[0] >= 0
        assert truth.right.marks.rfind("c") > slip[0]
        assert truth.wrong.marks.rfind("c") > slip[1]


def test_a_wrong_truth_is_noticed(modules: Any) -> None:
    module = modules("key_steps_truth")
    truth = module.truth_of(wrong_chain(RIGHT, WRONG))
    marks = truth.wrong.marks
    planted = {
        "not marked differs": marks.replace("s", "."),
        "no slip": marks.replace("s", "c"),
        "no consequence": marks[: marks.rindex("c")] + "s" + marks[marks.rindex("c") + 1 :],
        "before the slip": marks.replace("s", "x").replace("c", "s", 1).replace("x", "c"),
    }
    for fault, own in planted.items():
        right = replace(truth.right, marks=own) if fault != "not marked differs" else truth.right
        with pytest.raises(ValueError, match=fault):
            module.check(module.Truth(right, module.Marked(truth.wrong.text, own)))
    with pytest.raises(ValueError, match="characters"):
        module.Marked("ab", "s")
    with pytest.raises(ValueError, match="no consequence"):
        module.truth_of(wrong_chain(RIGHT, (*RIGHT[:-2], "5", ".")))


def test_units_are_counted_by_hand(modules: Any) -> None:
    """Right `a b c d`: b slips, d follows; flagged are a and b. Wrong `a x c y`: all of it is flagged."""
    truths, measure = modules("key_steps_truth"), modules("key_steps_measure")
    truth = truths.Truth(truths.Marked("a b c d", "..s...c"), truths.Marked("a x c y", "..s...c"))
    flagged = measure.Flagged((words("a b c d"), words("a x c y")), ([0, 1], [0, 1, 2, 3]), 0.5)
    counts = measure.counts_of(flagged, truth)
    assert counts.tolist() == [[[1, 1, 0], [1, 1, 1]], [[1, 3, 0], [2, 2, 0]]]
    assert flagged.key_ratio == 1.0
    assert measure.metrics(counts[1, 0]).tolist() == pytest.approx([0.25, 1.0, 0.4])
    assert measure.metrics(counts.sum(axis=0)[1]).tolist() == pytest.approx([3 / 6, 3 / 4, 0.6])


def test_a_unit_is_truly_key_where_a_true_span_touches_it(modules: Any) -> None:
    truths, measure = modules("key_steps_truth"), modules("key_steps_measure")
    side = truths.Marked("Ann has it. Bob does not.", "...............s.........")
    flagged = measure.flag(("Ann has it. Bob does not.", "Ann has it. Bob is gone."), steps, "units")
    truth = truths.Truth(side, truths.plain("Ann has it. Bob is gone."))
    assert measure.counts_of(flagged, truth).tolist() == [[[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]]
    flagged = measure.flag((side.text, "Ann has it. Bob is gone."), words, "units")
    touched = truths.Truth(truths.Marked(side.text, side.marks.replace(".s", "s.")), truth.wrong)
    assert measure.counts_of(flagged, touched)[0, 0].tolist() == [0, 2, 1]


def test_nothing_to_find_and_nothing_flagged_count_as_they_should(modules: Any) -> None:
    metrics = modules("key_steps_measure").metrics
    assert metrics([0, 0, 0]).tolist() == [0, 0, 0]
    assert metrics([0, 3, 0]).tolist() == [0, 0, 0]
    assert metrics([2, 0, 0]).tolist() == [1, 1, 1]


def test_controls_and_parts_are_counted(modules: Any) -> None:
    measure = modules("key_steps_measure")
    truth = modules("key_steps_truth").truth_of(wrong_chain(RIGHT, WRONG))
    flagged = measure.flag((truth.right.text, truth.wrong.text), words, "units")
    counted = {
        "numbers": measure.control_counts(flagged, truth, "numbers", "seed"),
        "conclusion": measure.control_counts(flagged, truth, "conclusion", "seed"),
        "all": measure.control_counts(flagged, truth, "all", "seed"),
        "first": measure.narrowed_counts(flagged, truth, "first changed step"),
        "outside": measure.narrowed_counts(flagged, truth, "outside the conclusion"),
    }
    assert {name: counts[0].tolist() for name, counts in counted.items()} == {
        "numbers": [[1, 3, 0], [3, 1, 0]],
        "conclusion": [[0, 7, 1], [1, 6, 2]],
        "all": [[1, 15, 0], [3, 13, 0]],
        "first": [[1, 0, 0], [1, 0, 2]],
        "outside": [[1, 1, 0], [2, 0, 1]],
    }


def test_intervals_come_from_the_questions(modules: Any) -> None:
    measure = modules("key_steps_measure")
    same = np.tile(np.array([[[3, 1, 2], [4, 0, 2]]] * 2), (50, 1, 1, 1))
    assert measure.figures(same)["right"]["slip"] == {
        "precision": [0.75] * 3,
        "recall": [0.6] * 3,
        "f1": [0.6667] * 3,
    }
    assert measure.difference(same, same) == {name: [0.0] * 3 for name in ("slip", "slip and consequences")}
    # A share of 100 yes-or-no questions: the interval of the binomial distribution, 0.30 +- 0.09.
    mixed = np.zeros((100, 2, 2, 3))
    mixed[:30, ..., 0] = 1
    mixed[30:, ..., 1] = 1
    value, low, high = measure.figures(mixed)["both"]["slip"]["precision"]
    assert value == 0.3
    assert low == pytest.approx(0.21, abs=0.02)
    assert high == pytest.approx(0.39, abs=0.02)
    better = mixed.copy()
    better[30:50, ..., 0], better[30:50, ..., 1] = 1, 0
    gain = measure.difference(better, mixed)["slip"]
    assert gain[0] == pytest.approx(2 * 50 / 150 - 2 * 30 / 130, abs=0.3)
    assert 0 < gain[1] < gain[0] < gain[2]


@pytest.mark.parametrize("name", FAMILIES)
def test_disturbances_carry_the_truth_along(modules: Any, name: str) -> None:
    disturb, truths = modules("key_steps_disturb"), modules("key_steps_truth")
    changed: Counter[str] = Counter()
    count = 0
    for item in worked(name, 40, "&split=test"):
        for pattern in item.patterns:
            wrong = item.wrong(pattern)
            if wrong is None:
                continue
            count += 1
            truth = truths.truth_of(wrong)
            for told, change in disturb.DISTURBANCES.items():
                side = change(truth.wrong, item.question.id)
                changed[told] += side.text != truth.wrong.text
                assert side == change(truth.wrong, item.question.id)
                assert side.text.endswith(f"Therefore, the answer is {wrong.answer}.")
                for marks in truths.TRUTHS.values():
                    own = [true_texts(one, marks) for one in (truth.wrong, side)]
                    assert Counter(_numbers(own[0])) == Counter(_numbers(own[1])), told
    assert changed.pop("none") == 0
    assert set(changed) == set(disturb.DISTURBANCES) - {"none"}
    assert all(times > 0.9 * count for times in changed.values())


def _numbers(texts: list[str]) -> list[str]:
    """Numbers, truth values and things: what no rewording changes."""
    return re.findall(r"-?\d+|True|False|\b(?:ball|book|drum|flag|kite|lamp|mug|ring)\b", " ".join(texts))


def test_rewording_in_the_middle_of_a_slip_stays_a_slip(modules: Any) -> None:
    disturb, truths = modules("key_steps_disturb"), modules("key_steps_truth")
    text = "Step 1: 1 + 2 = 3, keep 3. Therefore, the answer is 3."
    side = disturb.paraphrased(truths.Marked(text, "s" * 26 + "." * (len(text) - 26)), "")
    assert side.text.startswith("Step 1: 1 + 2 gives 3, of which 3 stays. There")
    assert side.marks == "s" * side.text.index(" There") + "." * (len(side.text) - side.text.index(" There"))


def test_real_pairs_are_counted_by_rule(modules: Any) -> None:
    module = modules("key_steps_real")
    asked = "Ann has 2 plums and Bob has 3. How many plums?"
    end = " Therefore, the answer is 5."
    right = f"1. Ann has 2 plums.\n2. It rains.\n3. Bob now has 3 plums. We add these.{end}"
    pairs = [
        module.Pair(asked, right, f"1. Ann has 2 plums.\n2. Bob now has 3 plums. We sum these.{end[:-2]}6."),
        module.Pair(asked, right, f"{right[: -len(end)]}{end[:-2]}6."),
        module.Pair(
            asked, right, f"1. Bob now has 3 plums.\n2. It rains.\n3. Ann has 4 plums. We add these.{end[:-2]}7."
        ),
    ]
    found = module.differences(pairs)
    assert {name: (one["steps"], one["pairs"]) for name, one in found.items()} == {
        "steps": (15, 3),
        "changed": (1 + 1 + 1 + 2, 3),
        "reworded": (1, 1),
        "renumbered": (1 + 2, 2),
        "moved": (2, 1),
        "alone": (1, 1),
        "nothing but the conclusion": (1, 1),
    }


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """Heads and names of the rows of a page's tables, by name."""
    found = re.findall(r"<!-- table: ([\w ]+) -->\n(.*?)\n?<!-- end of table -->", page, re.DOTALL)
    cells = {name: [line.strip("| ").split(" | ") for line in table.splitlines()] for name, table in found}
    return {
        name: [rows[0], *([row[0], *re.findall(r"^[a-z ]+$", row[1])] for row in rows[2:])]
        for name, rows in cells.items()
        if len(rows) > 1
    }


def test_the_script_measures_and_writes_the_page(tmp_path: Path) -> None:
    page, data = tmp_path / "page.md", tmp_path / "data"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    (data / "bbh").mkdir(parents=True)
    pairs = [{"question": "2 + 3?", "right": f"{n} + 3 = 5. So 5.", "wrong": f"{n} + 3 = 6. So 6."} for n in range(3)]
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (data / "bbh" / "dual.gpt-3.5-turbo.jsonl").write_text(lines, encoding="utf-8")
    command = [sys.executable, str(BENCHMARKS / "key_steps.py"), "--questions", "3", "--json"]
    command += ["--data", str(data), "--write", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["chains"] > 20
    assert result["real"]["pairs"] == 3
    assert set(result["disturbances"]["all, word"]) == {
        "none", "steps exchanged", "step inserted", "relabelled", "half reworded", "reworded",
    }  # fmt: skip
    whole = result["patterns"]["all, all"]["word, units"]["both"]["slip and consequences"]
    assert 0.9 < whole["precision"][1] <= whole["precision"][0] <= 1
    written, ours = tables_of(page.read_text(encoding="utf-8")), tables_of(PAGE.read_text(encoding="utf-8"))
    assert len(ours) > 10
    assert written == ours
    assert "| - |" in page.read_text(encoding="utf-8")  # no pair has a conclusion that is recognised
    assert "3 questions a task" in page.read_text(encoding="utf-8")


def test_a_page_without_a_tables_place_is_refused(modules: Any) -> None:
    replace_tables = modules("key_steps_tables").replace
    page = "<!-- table: run -->\nold\n<!-- end of table -->\nrest"
    assert replace_tables(page, {"run": "new"}) == "<!-- table: run -->\nnew\n<!-- end of table -->\nrest"
    with pytest.raises(SystemExit, match="no place"):
        replace_tables(page, {"run": "new", "units": "more"})
    with pytest.raises(SystemExit, match="no table"):
        replace_tables(page.replace("run", "gone"), {})
