"""`hf:` sources: names, folders of every layout, labels and choices, a hub on loopback, its cache, and no network."""

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.cli.session import load_task
from editctl.errors import EditctlError, InputError, UsageError
from editctl.files import InputFile, sha256_of
from editctl.hub_names import Named, parse
from editctl.hub_rows import question_of
from editctl.hub_sources import read_hub
from editctl.jsonl import FieldError
from editctl.questions import QuestionReader
from editctl.records import Question
from editctl.sets.shelf import Shelf
from editctl.sources import count_questions, read_questions
from tests.support_cli import Cli, lines, prediction_rows, read
from tests.support_hub import COMMIT, Hub

CARD = """---
configs:
- config_name: main
  data_files:
  - split: train
    path: a.csv
- config_name: other
  data_files: b.csv
---
"""


def rows(count: int, tag: str = "q") -> list[dict[str, Any]]:
    """Questions without ids."""
    return [{"question": f"{tag} {number}?", "answer": str(number)} for number in range(count)]


def put(folder: Path, **files: str | bytes) -> Path:
    """A dataset folder; `train_jsonl` is the file train.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


def load(source: str, *mapping: str, notes: list[dict[str, Any]] | None = None) -> list[Question]:
    """All questions of a source."""
    return list(read_hub(source, QuestionReader(mapping), InputFile, [] if notes is None else notes))


@pytest.fixture
def labelled() -> datasets.Dataset:
    """Two rows whose answers are class labels."""
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "question": datasets.Value("string"),
            "answer": datasets.ClassLabel(names=["no", "yes"]),
            "tags": datasets.List(datasets.ClassLabel(names=["easy", "hard"])),
        }
    )
    values = {"id": ["x", "y"], "question": ["a?", "b?"], "answer": [1, 0], "tags": [[0, 1], []]}
    return datasets.Dataset.from_dict(values, features=features)


# ---- names


@pytest.mark.parametrize(
    ("text", "place", "config", "split", "revision"),
    [
        ("hf:org/name", "org/name", None, None, None),
        ("hf:org/name/main", "org/name", "main", None, None),
        ("hf:org/name:test", "org/name", None, "test", None),
        ("hf:org/name/main:test?revision=v1.0", "org/name", "main", "test", "v1.0"),
    ],
)
def test_names(text: str, place: str, config: str | None, split: str | None, revision: str | None) -> None:
    named = Named(text=text, place=place, is_local=False, config=config, split=split, revision=revision)
    assert parse(text) == named


@pytest.mark.parametrize("text", ["hf:", "hf:name", "hf:a/b/c/d", "hf:a//b", "hf:a/b:", "hf:/", "hf:a/b?x=1", "hf:./?"])
def test_names_of_another_shape_are_refused_in_one_line(text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EditctlError) as found:
        load(text)
    assert found.value.exit_code == 2
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("text", ["hf:org/name:train[:2]", "hf:./set:train[10%:]?revision=x", "hf:a/b/c:test[-5:]"])
def test_slices_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"slices of splits are not read; use --limit, or --shard$"):
        parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_clear_fault(text: str) -> None:
    try:
        named = parse(f"hf:./no-such-folder/{text}" if "/" not in text else f"hf:{text}")
    except (UsageError, InputError):
        return
    assert named.place


# ---- folders


def test_a_folder_with_one_split(tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines(rows(3)))
    notes: list[dict[str, Any]] = []
    found = load(f"hf:{tmp_path}/set", notes=notes)
    assert [question.id for question in found] == ["set:train#0", "set:train#1", "set:train#2"]
    assert (found[2].question, found[2].answer) == ("q 2?", "2")
    (note,) = notes
    assert note.pop("fingerprint")
    assert len(note.pop("ids_sha256")) == 64
    assert note == {
        "name": f"hf:{tmp_path}/set",
        "set": "set",
        "config": "default",
        "source": "local",
        "split": "train",
        "published": None,
        "read": 3,
    }


def test_a_folder_named_from_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "set", test_csv="question,answer\nq?,1\n")
    monkeypatch.chdir(tmp_path)
    assert [question.id for question in load("hf:./set")] == ["set:test#0"]
    monkeypatch.chdir(tmp_path / "set")
    assert [question.id for question in load("hf:.")] == ["set:test#0"]


def test_several_splits_want_one_named(tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines(rows(2)), test_jsonl=lines(rows(1, "t")))
    name = f"hf:{tmp_path}/set"
    with pytest.raises(UsageError, match=rf"has the splits train, test; name one, as in {name}:train"):
        load(name)
    with pytest.raises(UsageError, match="has no split 'tset'; did you mean test"):
        load(f"{name}:tset")
    assert [question.question for question in load(f"{name}:test")] == ["t 0?"]


def test_configurations(tmp_path: Path) -> None:
    folder = put(tmp_path / "set", a_csv="question,answer\na?,1\n", b_csv="question,answer\nb?,2\n", README_md=CARD)
    with pytest.raises(UsageError, match=r"has the configurations main, other; name one, as in hf:.*/set/main"):
        load(f"hf:{folder}")
    with pytest.raises(UsageError, match="has no configuration 'mian'; did you mean main"):
        load(f"hf:{folder}/mian:train")
    assert [question.id for question in load(f"hf:{folder}/main")] == ["set/main:train#0"]
    assert [question.id for question in load(f"hf:{folder}/other:train")] == ["set/other:train#0"]


def test_parquet_labels_have_their_names(labelled: datasets.Dataset, tmp_path: Path) -> None:
    place = tmp_path / "set"
    place.mkdir()
    pyarrow.parquet.write_table(labelled.with_format("arrow")[:], place / "train.parquet")
    first, second = load(f"hf:{place}")
    assert (first.id, first.answer, first.extra) == ("x", "yes", {"tags": ["easy", "hard"]})
    assert (second.id, second.answer) == ("y", "no")


def test_saved_datasets(labelled: datasets.Dataset, tmp_path: Path) -> None:
    labelled.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": labelled, "test": labelled.select([1])}).save_to_disk(str(tmp_path / "two"))
    assert [question.answer for question in load(f"hf:{tmp_path}/one")] == ["yes", "no"]
    notes: list[dict[str, Any]] = []
    assert [question.id for question in load(f"hf:{tmp_path}/two:test", notes=notes)] == ["y"]
    assert (notes[0]["published"], notes[0]["split"], bool(notes[0]["fingerprint"])) == (1, "test", True)
    with pytest.raises(UsageError, match="has the splits train, test"):
        load(f"hf:{tmp_path}/two")


def test_a_column_may_be_named(tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines([{"body": "q?", "gold": 5, "key": "k1"}]))
    (question,) = load(f"hf:{tmp_path}/set", "question=body", "answer=gold", "id=key")
    assert (question.id, question.question, question.answer) == ("k1", "q?", "5")
    with pytest.raises(InputError, match=r"hf:.*/set, row 1, field 'question': is missing"):
        load(f"hf:{tmp_path}/set")


def test_the_same_id_twice_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines([{"id": "a", **rows(1)[0]}] * 2))
    with pytest.raises(InputError, match="row 2, field 'id': 'a' stands twice"):
        load(f"hf:{tmp_path}/set")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "doesn't contain any data files"),
        ({"train_jsonl": '{"question": "a?", "answer": "1"}\n{broken\n'}, "can't be read as a dataset"),
        ({"train_parquet": b"PAR1 no more"}, "can't be read as a dataset"),
        ({"set_py": "raise SystemExit('ran')", "train_jsonl": lines(rows(1))}, "scripts are no longer supported"),
    ],
)
def test_folders_that_can_not_be_read(files: dict[str, Any], says: str, tmp_path: Path) -> None:
    put(tmp_path / "set", **files)
    with pytest.raises(InputError, match=says) as found:
        load(f"hf:{tmp_path}/set")
    assert "\n" not in str(found.value)


MANY = lines([{"question": f"{number**9 % 7919} and {number}?", "answer": "1"} for number in range(2000)]).encode()


def cut(data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


def hurt(data: bytes) -> bytes:
    """Some bytes in the middle are others."""
    half = len(data) // 2
    return data[:half] + b"\xff" * 40 + data[half + 40 :]


def zipped(data: bytes) -> bytes:
    """An archive of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("train.jsonl", data)
    return archive.getvalue()


@pytest.mark.parametrize("harm", [cut, hurt])
@pytest.mark.parametrize(
    ("ending", "pack"), [("jsonl_gz", gzip.compress), ("jsonl_xz", lzma.compress), ("zip", zipped)]
)
def test_damaged_packed_files_are_one_clear_line(
    ending: str, pack: Callable[[bytes], bytes], harm: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    put(tmp_path / "set", **{f"train_{ending}": pack(MANY)})
    assert len(load(f"hf:{tmp_path}/set")) == 2000
    put(tmp_path / "set", **{f"train_{ending}": harm(pack(MANY))})
    with pytest.raises(
        InputError, match=r"/set: can't be read as a dataset: a packed file is cut off or damaged"
    ) as told:
        load(f"hf:{tmp_path}/set")
    assert str(told.value).endswith("; fetch or pack it again")
    assert "\n" not in str(told.value)


def test_other_files_that_end_too_early(tmp_path: Path) -> None:
    put(tmp_path / "cut", train_jsonl_bz2=cut(bz2.compress(MANY)))
    put(tmp_path / "text", train_jsonl_gz=MANY)
    put(tmp_path / "none", train_jsonl="")
    put(tmp_path / "block", train_jsonl_gz=gzip.compress(MANY)[:10] + b"\xff" * 400)  # no deflate block begins so
    for name, says in (
        ("cut", "is cut off"),
        ("block", "invalid block type"),
        ("text", "Not a gzipped file"),
        ("none", "a file of it holds no row"),
    ):
        with pytest.raises(InputError, match=says):
            load(f"hf:{tmp_path}/{name}")


@pytest.mark.parametrize(
    ("head", "where"),
    [("configs: [a: {b", r" \(line 2: expected .*\)"), ("a: 1\nb: 'c", r" \(line [34]: .*\)"), ("a: \x07", "")],
)
def test_a_broken_card_is_one_clear_line(head: str, where: str, tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines(rows(1)), README_md=f"---\n{head}\n---\n")
    says = rf"README\.md: its head, between the two ---, is no YAML{where}; mend it$"
    with pytest.raises(InputError, match=says) as told:
        load(f"hf:{tmp_path}/set")
    assert "\n" not in str(told.value)


def test_a_limit_reads_no_more_than_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two files is broken: who wants the first rows alone never comes to it."""
    put(tmp_path / "set", **{"train-00000-of-00002_jsonl": lines(rows(3)), "train-00001-of-00002_jsonl": "{broken\n"})
    source = f"hf:{tmp_path}/set"
    found = read_questions([source], QuestionReader(), InputFile, load_task, limit=2)
    assert [question.answer for question in found] == ["0", "1"]
    with pytest.raises(InputError):
        load(source)


def test_what_is_read_is_counted_where_the_dataset_says(labelled: datasets.Dataset, tmp_path: Path) -> None:
    labelled.save_to_disk(str(tmp_path / "set"))
    source, shelf = f"hf:{tmp_path}/set", Shelf()
    assert count_questions([source], load_task, None, shelf) is None
    next(read_questions([source], QuestionReader(), InputFile, load_task, None, shelf))
    assert count_questions([source], load_task, None, shelf) == 2
    assert count_questions([source], load_task, 1, shelf) == 1


# ---- choices

ARC = {"text": ["a cork", "a brick"], "label": ["1", "2"]}
ASKED = "Which floats?"


@pytest.mark.parametrize(
    ("choices", "answer", "asked", "gold"),
    [
        (ARC, "1", f"{ASKED}\nOptions:\n(1) a cork\n(2) a brick", "(1)"),
        ([{"label": "A", "text": "a cork"}, {"label": "B", "text": "a brick"}], "B", None, "(B)"),
        (["a cork", "a brick"], "a brick", None, "(B)"),
        (["a cork", "a brick"], "(A)", None, "(A)"),
        (["a cork", "a brick"], None, None, None),
    ],
)
def test_choices_are_put_under_the_question(choices: Any, answer: Any, asked: str | None, gold: str | None) -> None:
    row = {"question": ASKED, "choices": choices, "answer": answer}
    question = question_of(row, {}, QuestionReader(need_answer=False), "n#0")
    assert question.question == (asked or f"{ASKED}\nOptions:\n(A) a cork\n(B) a brick")
    assert (question.answer, question.choices) == (gold, ("a cork", "a brick"))


def test_choices_that_the_text_lists_are_left_alone() -> None:
    text = f"{ASKED}\nOptions:\n(A) a cork\n(B) a brick"
    question = question_of(
        {"question": text, "choices": ["a cork", "a brick"], "answer": "A"}, {}, QuestionReader(), "n#0"
    )
    assert (question.question, question.answer) == (text, "A")


PLACE = "is a mere place among the choices, and what it counts from is nowhere said; write the choice's label or text"


@pytest.mark.parametrize(
    ("choices", "answer", "says"),
    [
        (["a cork", "a brick"], "1", "'1' is not the label or the text of one of the 2 choices"),
        (["a cork", "a brick"], 1, f"1 {PLACE}"),
        (["2", "3", "4", "5"], 2, f"2 {PLACE}"),
        (["2", "3", "4", "5"], 2.0, f"2.0 {PLACE}"),
        ({"text": ["2", "1"], "label": ["A", "B"]}, 1, f"1 {PLACE}"),
        ({"text": ["a cork"], "label": ["A", "B"]}, "A", "has 1 texts for 2 labels"),
        ({"words": ["a cork"]}, "A", "must be a list of texts"),
    ],
)
def test_choices_that_leave_the_answer_open_are_refused(choices: Any, answer: Any, says: str, tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines([{"question": ASKED, "choices": choices, "answer": answer}]))
    with pytest.raises(InputError, match=says):
        load(f"hf:{tmp_path}/set")


def test_a_place_beside_choices_that_the_text_lists_is_refused() -> None:
    row = {"question": f"{ASKED}\nOptions:\n(A) 2\n(B) 1", "options": ["2", "1"], "gold": 1}
    with pytest.raises(FieldError, match="is a mere place among the choices"):
        question_of(row, {}, QuestionReader(["answer=gold"]), "n#0")


@pytest.mark.parametrize(
    ("choices", "answer", "features", "gold"),
    [
        ([2, 3, 4, 5], 2, {}, "(A)"),
        (["2", "3", "4", "5"], "2", {}, "(A)"),
        ({"text": ["a cork", "a brick"], "label": ["1", "2"]}, 2, {}, "(2)"),
        (["a cork", "a brick"], 1, {"answer": datasets.ClassLabel(names=["a cork", "a brick"])}, "(B)"),
        (["True", "False"], False, {}, "(B)"),
    ],
)
def test_numbers_that_are_no_places(choices: Any, answer: Any, features: Any, gold: str) -> None:
    row = {"question": ASKED, "choices": choices, "answer": answer}
    assert question_of(row, features, QuestionReader(), "n#0").answer == gold


def test_a_label_that_is_kept_secret_is_no_answer() -> None:
    row, features = {"question": "a?", "answer": -1}, {"answer": datasets.ClassLabel(names=["no", "yes"])}
    assert question_of(row, features, QuestionReader(need_answer=False), "n#0").answer is None


# ---- commands


def test_gen_dual_takes_a_dataset_and_remembers_its_files(cli: Cli, tmp_path: Path) -> None:
    """Byte for byte the rows of the file itself, but for the ids, which say where each question comes from."""
    assert cli("gen-dual", "toy:chain?n=4", "-t", "oracle", "-o", "toys.jsonl").code == 0
    toys = [
        {key: row[key] for key in row if key not in ("right", "wrong", "teacher", "reason")}
        for row in read(tmp_path / "toys.jsonl")
    ]
    put(tmp_path / "set", train_jsonl=lines(toys))
    done = cli("gen-dual", "hf:./set", "-t", "oracle", "-o", "dual.jsonl", "--limit", "3")
    assert (done.code, done.out) == (0, ""), done.err
    assert len(read(tmp_path / "dual.jsonl")) == 3
    manifest = json.loads((tmp_path / "dual.manifest.json").read_text())
    assert [(one["set"], one["split"], one["read"]) for one in manifest["question_sets"]] == [("set", "train", 3)]
    assert [one["sha256"] for one in manifest["inputs"]] == [sha256_of(tmp_path / "set" / "train.jsonl")]


def test_score_takes_gold_answers_from_a_dataset(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text(lines(prediction_rows("4", "5")))
    gold = [{"id": f"q{number}", "question": f"What is {number} + 1?", "answer": "5"} for number in range(2)]
    put(tmp_path / "set", test_jsonl=lines(gold))
    done = cli("score", "predictions.jsonl", "hf:./set", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["correct"] == 1


def test_a_wrong_split_ends_in_one_line_and_2(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl=lines(rows(2)))
    done = cli("gen-dual", "hf:./set:test", "-t", "oracle", "-o", "dual.jsonl")
    assert done.code == 2
    assert done.err.splitlines() == ["editctl: hf:./set:test: has no split 'test'; known: train"]
    assert not (tmp_path / "dual.jsonl").exists()


def test_a_file_that_is_cut_off_is_no_interruption(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path / "set", train_jsonl_gz=cut(gzip.compress(MANY)))
    done = cli("gen-dual", "hf:./set", "-t", "oracle", "-o", "dual.jsonl", "-q")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert done.err.startswith("editctl: hf:./set: can't be read as a dataset: a packed file is cut off or damaged")


def test_a_broken_file_ends_in_one_line_and_2(cli: Cli, tmp_path: Path) -> None:
    """The library's own log of it would be a second line."""
    put(tmp_path / "set", train_jsonl='{"question": "a?", "answer": "1"}\n{broken\n')
    done = cli("gen-dual", "hf:./set", "-t", "oracle", "-o", "dual.jsonl", "-q")
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert done.err.startswith("editctl: hf:./set: can't be read as a dataset: ")


# ---- the hub

_READ = """
import sys
from editctl.errors import EditctlError
from editctl.hub_sources import read_hub
from editctl.questions import QuestionReader
import editctl.sets.hub
import json
{more}
notes = []
try:
    ids = [question.id for question in read_hub(sys.argv[1], QuestionReader(), None, notes)]
    print(json.dumps([ids, notes]))
except EditctlError as error:
    print(json.dumps(str(error)))
"""


def asked(source: str, hub: Hub, home: Path, more: str = "", **env: str) -> Any:
    """What a process of its own makes of a source, with a hub on loopback."""
    own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", _READ.format(more=more), source],
        env={**os.environ, **own, "HF_HUB_DISABLE_XET": "1", **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def a_dataset() -> dict[str, bytes]:
    """Two splits in a repository."""
    return {"train.jsonl": lines(rows(3)).encode(), "test.jsonl": lines(rows(2, "t")).encode()}


@pytest.mark.full
def test_a_split_of_the_hub_is_streamed(tmp_path: Path) -> None:
    with Hub() as hub:
        hub.datasets["org/name"] = a_dataset()
        ids, notes = asked("hf:org/name:test", hub, tmp_path)
        assert ids == ["org/name:test#0", "org/name:test#1"]
        assert [notes[0][key] for key in ("set", "source", "revision", "read")] == ["org/name", "hub", COMMIT, 2]
        kept = [path.name for path in tmp_path.rglob("*") if path.suffix in (".jsonl", ".arrow")]
        assert kept == []


@pytest.mark.full
def test_a_prepared_copy_is_read_and_serves_without_a_network(tmp_path: Path) -> None:
    prepare = "import datasets; datasets.disable_progress_bars(); datasets.load_dataset('org/name')"
    with Hub() as hub:
        hub.datasets["org/name"] = a_dataset()
        first = asked("hf:org/name:test", hub, tmp_path, prepare)
        assert (first[1][0]["source"], first[1][0]["published"]) == ("cache", 2)
        hub.asked.clear()
        again = asked("hf:org/name:test", hub, tmp_path, HF_HUB_OFFLINE="1")
        assert again == first
        assert hub.asked == []
        other = asked("hf:org/name:test?revision=other", hub, tmp_path, HF_HUB_OFFLINE="1")
        assert f"the copy in the cache is of revision {COMMIT}" in other


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    with Hub() as hub:
        said = asked("hf:org/name:test", hub, tmp_path, HF_HUB_OFFLINE="1")
        assert said == (
            "hf:org/name:test: HF_HUB_OFFLINE is set and it is not in the cache; where there is a network: "
            "hf download org/name --repo-type dataset --local-dir name; then name the folder: hf:./name"
        )
        assert hub.asked == []


@pytest.mark.full
@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("", "the hub asks for a login, or there is no such repository (401); check its name"),
        (
            "editctl.sets.hub.PATIENCE = 1e-9",
            "the hub can't be reached and it is not in the cache; check the network, HTTPS_PROXY and HF_ENDPOINT; "
            "where there is a network: hf download",
        ),
    ],
)
def test_what_the_hub_does_not_give_is_said(more: str, says: str, tmp_path: Path) -> None:
    with Hub() as hub:
        assert says in asked("hf:org/none", hub, tmp_path, more)
        assert len(hub.asked) <= 2, "a silent hub is asked once, not over and over"
