"""The study script at its smallest size: its tables, equal updates, going on, and what it refuses to compare."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.files import sha256_of

STUDY = Path(__file__).parents[1] / "docs" / "study"
RUN = ("--size", "tiny", "--tasks", "chain", "--seeds", "2", "--methods", "std-cot,edit", "--device", "cpu")


@pytest.fixture(scope="module")
def modules() -> Iterator[Any]:
    """The study's own modules by name; they are no package."""
    sys.path.insert(0, str(STUDY))
    yield importlib.import_module
    sys.path.remove(str(STUDY))
    for name in ("cells", "methods", "table", "study"):
        sys.modules.pop(name, None)


def study(*words: str) -> "subprocess.CompletedProcess[str]":
    """The script as a process of its own."""
    return subprocess.run(
        [sys.executable, str(STUDY / "study.py"), *words], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the smallest study was run."""
    folder = tmp_path_factory.mktemp("study") / "out"
    ended = study(*RUN, "--output", str(folder))
    assert ended.returncode == 0, ended.stderr
    return folder


def cell(folder: Path, method: str, seed: int = 1) -> dict[str, Any]:
    """What is kept of a cell."""
    kept: dict[str, Any] = json.loads((folder / "chain" / f"seed-{seed}" / method / "cell.json").read_text())
    return kept


@pytest.mark.full
def test_all_methods_have_the_same_updates_on_the_same_pairs(done: Path) -> None:
    for seed in (1, 2):
        imitated, edited = cell(done, "std-cot", seed), cell(done, "edit", seed)
        assert [stage["updates"] for stage in imitated["stages"]] == [6]
        assert [(stage["name"], stage["updates"]) for stage in edited["stages"]] == [("imitate", 4), ("key-steps", 2)]
        assert imitated["updates"] == edited["updates"] == 6
        assert imitated["pairs"] == edited["pairs"]
        assert imitated["start"] == edited["start"]
    assert cell(done, "edit", 1)["pairs"] != cell(done, "edit", 2)["pairs"]
    assert cell(done, "edit", 1)["start"] != cell(done, "edit", 2)["start"]


@pytest.mark.full
def test_the_rates_are_those_that_the_page_names(done: Path, modules: Any) -> None:
    """As trained; EDIT's are told for LoRA, of which editctl takes a tenth for all weights."""
    rates = {name: [stage["learning_rate"] for stage in cell(done, name)["stages"]] for name in ("std-cot", "edit")}
    assert rates == {"std-cot": pytest.approx([2e-3]), "edit": pytest.approx([2e-3, 5e-5])}
    second = {
        name: [word for word in method.options if word.startswith(("learning-rate", "key-learning-rate"))]
        for name, method in modules("methods").METHODS.items()
        if method.goes_on
    }
    assert second.pop("edit-fast") == ["learning-rate=0.02", "key-learning-rate=0.005"]
    assert set(map(tuple, second.values())) == {("learning-rate=0.02", "key-learning-rate=0.0005")}


@pytest.mark.full
def test_the_tables_say_what_was_found(done: Path) -> None:
    found = json.loads((done / "results.json").read_text())
    assert [(row["method"], row["updates"], row["seeds"]) for row in found["rows"]] == [
        ("first stage", 4, [1, 2]),
        ("std-cot", 6, [1, 2]),
        ("edit", 6, [1, 2]),
    ]
    for row in found["rows"]:
        for domain in ("in domain", "out of domain"):
            low, high = row[domain]["interval"]
            assert low <= row[domain]["accuracy"] <= high
            assert len(row[domain]["by_seed"]) == 2
    assert [(one["method"], one["against"], one["domain"]) for one in found["tests"]] == [
        ("edit", "std-cot", "in domain"),
        ("edit", "std-cot", "out of domain"),
    ]
    assert all(one["questions"] == 8 and one["p_holm"] >= one["p"] for one in found["tests"])
    text = (done / "table.md").read_text()
    assert "| std-cot | 6 | 2 |" in text
    assert "p corrected for the 2 tests" in text


@pytest.mark.full
def test_what_is_done_is_not_done_again(done: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(done, folder)
    shutil.rmtree(folder / "chain" / "seed-2" / "edit")
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("cell.json")}
    ended = study(*RUN, "--output", str(folder))
    assert ended.returncode == 0, ended.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    again, before = (one / "chain" / "seed-2" / "edit" / "predictions.jsonl" for one in (folder, done))
    assert again.read_bytes() == before.read_bytes()
    assert (folder / "results.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"updates": 7, "stages": [{"updates": 4}, {"updates": 3}]}, "std-cot has other updates than edit"),
        ({"updates": 6, "stages": [{"updates": 4}, {"updates": 3}]}, "the stages of edit don't add up"),
        ({"pairs": "others"}, "std-cot has other training pairs than edit"),
        ({"start": "others"}, "std-cot has other starting weights than edit"),
        (
            {"stages": [{"updates": 4, "learning_rate": 1e-3}, {"updates": 2}]},
            "std-cot has other learning rate at first than edit (0.002 and 0.001)",
        ),
    ],
)
@pytest.mark.full
def test_unequal_cells_are_refused(
    change: dict[str, Any], says: str, done: Path, tmp_path: Path, modules: Any, capsys: Any
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(done, folder)
    facts = cell(folder, "edit") | change
    (folder / "chain" / "seed-1" / "edit" / "cell.json").write_text(json.dumps(facts))
    assert modules("study").main(["--table", "--output", str(folder)]) == 2
    assert capsys.readouterr().err.startswith(f"refused: chain, seed 1: {says}")


@pytest.mark.full
@pytest.mark.parametrize(("field", "value"), [("batch", 16), ("questions", 96), ("asked", 9)])
@pytest.mark.parametrize(("method", "seed"), [("edit", 1), ("std-cot", 2), ("first-stage", 2)])
def test_cells_of_another_size_are_refused(
    field: str, value: int, method: str, seed: int, done: Path, modules: Any
) -> None:
    cells = modules("cells")
    kept = {path: cells.read_cell(path.parent) for path in sorted(done.glob("*/seed-*/*/cell.json"))}
    cells.check_fair(list(kept.values()))
    kept[done / "chain" / f"seed-{seed}" / method / "cell.json"]["size"][field] = value
    with pytest.raises(cells.Refused, match=rf"of another size than the first cell \({field}\)"):
        cells.check_fair(list(kept.values()))


@pytest.mark.full
def test_cells_from_before_the_start_was_kept_are_read(done: Path, tmp_path: Path, modules: Any) -> None:
    folder = tmp_path / "out"
    shutil.copytree(done, folder)
    for method in ("edit", "first-stage"):
        facts = cell(folder, method)
        del facts["start"]
        (folder / "chain" / "seed-1" / method / "cell.json").write_text(json.dumps(facts))
    assert modules("table").figures(folder) == modules("table").figures(done)


@pytest.mark.full
def test_tables_are_put_into_a_page(done: Path, tmp_path: Path, modules: Any) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Head\n<!-- table -->\nold \\1\n<!-- end of table -->\nfoot\n")
    for _ in range(2):
        assert modules("study").main(["--table", "--output", str(done), "--into", str(page)]) == 0
    text = page.read_text()
    assert text.startswith("# Head\n<!-- table -->\n")
    assert text.endswith("<!-- end of table -->\nfoot\n")
    assert ("old" in text, text.count("| std-cot | 6 |")) == (False, 1)


@pytest.mark.full
def test_a_cell_that_fails_is_said_and_tried_again(done: Path, tmp_path: Path, modules: Any, capsys: Any) -> None:
    folder = tmp_path / "out"
    shutil.copytree(done, folder)
    shutil.rmtree(folder / "chain" / "seed-2" / "std-cot")
    aligned = folder / "chain" / "seed-2" / "aligned.jsonl"
    whole = aligned.read_bytes()
    aligned.write_text("{broken\n")
    assert modules("study").main([*RUN, "--output", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "failed: chain, seed 2, std-cot: editctl train: editctl: " in said
    assert "is no JSON object" in json.loads((folder / "chain/seed-2/std-cot/failed.json").read_text())["error"]
    aligned.write_bytes(whole)
    assert modules("study").main([*RUN, "--output", str(folder)]) == 0
    assert not (folder / "chain/seed-2/std-cot/failed.json").exists()


@pytest.mark.full
def test_another_size_in_the_same_folder_is_refused(done: Path, modules: Any, capsys: Any) -> None:
    assert modules("study").main([*RUN, "--size", "small", "--output", str(done)]) == 2
    assert "was made at another size" in capsys.readouterr().err


@pytest.mark.full
def test_a_shared_first_stage_is_the_same_training(tmp_path: Path, modules: Any) -> None:
    """Byte for byte the weights of one run of both stages."""
    cells, methods = modules("cells"), modules("methods")
    size = methods.SIZES["tiny"]
    place = cells.Place(root=tmp_path, task="chain", seed=3, size=size, device="cpu")
    cells.prepare(place)
    shared, stages = cells._trained(place, "edit")
    whole = tmp_path / "whole"
    cells._train(place, "edit", methods.METHODS["edit"].options, place.base, size.updates, whole)
    assert cells.stages_of(whole) == stages
    assert sha256_of(whole / "model.safetensors") == sha256_of(shared / "model.safetensors")
    untouched = sha256_of(place.cell(methods.START) / "run" / "model.safetensors")
    assert untouched not in (sha256_of(place.base / "model.safetensors"), sha256_of(shared / "model.safetensors"))


# ---- figures


def test_holm_as_by_hand(modules: Any) -> None:
    holm = modules("table").holm
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("chance", "interval", "differs"),
    [(0.01, (-1, 5), False), (0.01, (1, 5), True), (0.01, (0, 5), False), (0.01, (-5, -1), True), (0.2, (1, 5), False)],
)
def test_a_difference_needs_both_a_small_p_and_an_interval_without_0(
    chance: float, interval: tuple[int, int], differs: bool, modules: Any
) -> None:
    tests = [{"p": chance, "interval": interval}]
    modules("table").decide(tests)
    assert (tests[0]["p_holm"], tests[0]["differs"]) == (chance, differs)


def test_p_is_corrected_before_a_difference_is_seen(modules: Any) -> None:
    tests = [{"p": 0.03, "interval": (1, 5)}, {"p": 0.04, "interval": (1, 5)}]
    modules("table").decide(tests)
    assert [(one["p_holm"], one["differs"]) for one in tests] == [(0.06, False), (0.06, False)]


@given(chances=st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_refuses_step_by_step(modules: Any, chances: list[float]) -> None:
    """A test is significant at a level where it and all with a smaller p pass the level over the tests left."""
    corrected = modules("table").holm(chances)
    for level in (0.01, 0.05, 0.5):
        passed = 0
        for chance in sorted(chances):
            if chance * (len(chances) - passed) > level:
                break
            passed += 1
        assert sum(one <= level for one in corrected) == passed
    assert all(one >= chance for one, chance in zip(corrected, chances, strict=True))


def test_what_is_tested_is_settled_beforehand(modules: Any) -> None:
    methods = modules("methods")
    pairs = methods.comparisons(tuple(methods.METHODS))
    assert {one for one, other in pairs if other == "std-cot"} == {*methods.METHODS} - {"std-cot"}
    assert [other for one, other in pairs if one == "edit" and other != "std-cot"] == list(methods.CONTROLS)
    assert pairs[-len(methods.LATER) :] == list(methods.LATER)
    assert len(set(pairs)) == len(pairs)
    assert methods.comparisons(("edit",)) == []
    assert methods.comparisons(("edit", "std-cot"))[-1] == ("edit", "std-cot")
