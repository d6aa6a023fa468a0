"""What docs/exports.md shows runs as it stands there, and other trainers get what ours shows a student."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from editctl.recipes.edit import Edit, EditOptions
from editctl.records import Prompt
from editctl.rows import alignment_from_row
from editctl.student import question_prompt
from editctl.tokens import Codec
from editctl.train.engine.groups import build
from editctl.train.engine.loss import coefficients
from tests.support_cli import read, shell
from tests.support_exports import blocks
from tests.support_models import byte_level, llama, with_chat


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small student in which the page's commands were run."""
    place = tmp_path_factory.mktemp("exports")
    tokenizer = with_chat(byte_level())
    llama(len(tokenizer)).save_pretrained(place / "student")
    tokenizer.save_pretrained(place / "student")
    commands = (text for title, text in blocks().items() if title.endswith(".sh"))
    done = shell("set -e\n" + "".join(commands), place)
    assert done.out.split() == ["0"], done.err
    return place


def python(code: str, place: Path) -> str:
    """What a program prints, run in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env={**os.environ, "HF_HOME": str(place / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
def test_the_page_has_these_programs() -> None:
    programs = {title for title in blocks() if title.endswith(".py")}
    assert programs == {"train_trl.py", "one_stage.py", "read_parquet.py"}


@pytest.mark.full
@pytest.mark.parametrize("style", ["plain", "chat"])
def test_trl_trains_on_what_our_student_is_shown(folder: Path, style: Any) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    name = "pairs.jsonl" if style == "plain" else "chats.jsonl"
    told = (
        f"{blocks()['train_trl.py'].replace('pairs.jsonl', name)}\n"
        "import json\n"
        "print(json.dumps({'steps': trainer.state.global_step, 'rows': list(trainer.train_dataset)}))\n"
    )
    found = json.loads(python(told, folder).splitlines()[-1])
    assert found["steps"] == 2
    rows = {(tuple(row["prompt_ids"]), tuple(row["chosen_ids"]), tuple(row["rejected_ids"])) for row in found["rows"]}
    codec = Codec(with_chat(byte_level()), style)
    end = codec.end if style == "plain" else None
    assert len(rows) == 50
    for row in read(folder / name):
        chain = "chosen", "rejected"
        prompt = Prompt(user=row["prompt"] if style == "plain" else row["prompt"][0]["content"])
        ours = [
            codec.encode(prompt, (row[key] if style == "plain" else row[key][0]["content"]).removeprefix(" "))
            for key in chain
        ]
        assert ours[0].prompt == ours[1].prompt
        if style == "plain":
            assert (ours[0].prompt, (*ours[0].target, end), (*ours[1].target, end)) in rows
        else:  # behind the turn's end the template has a line end, in which no loss of ours lies
            assert any(
                (one, chosen[: len(ours[0].target)], rejected[: len(ours[1].target)])
                == (ours[0].prompt, ours[0].target, ours[1].target)
                for one, chosen, rejected in rows
            )


@pytest.mark.full
def test_trl_takes_the_rows_for_what_they_are(folder: Path) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    code = (
        "import json\nfrom trl.data_utils import apply_chat_template, is_conversational\n"
        "from transformers import AutoTokenizer\n"
        "plain, chat = (json.loads(open(name).readline()) for name in ('pairs.jsonl', 'chats.jsonl'))\n"
        "keys = ('prompt', 'chosen', 'rejected')\n"
        "texts = apply_chat_template({key: chat[key] for key in keys}, AutoTokenizer.from_pretrained('student'))\n"
        "print(json.dumps([is_conversational(plain), is_conversational(chat), texts]))\n"
    )
    plain, chat, texts = json.loads(python(code, folder).splitlines()[-1])
    assert (plain, chat) == (False, True)
    row = read(folder / "chats.jsonl")[0]
    assert texts["prompt"].endswith("assistant\n")
    assert texts["chosen"] == row["chosen"][0]["content"] + "<|im_end|>\n"


@pytest.mark.full
def test_one_stage_for_axolotl(folder: Path) -> None:
    python(blocks()["one_stage.py"], folder)
    rows, every = read(folder / "key-steps.jsonl"), read(folder / "turns.jsonl")
    assert rows == [row for row in every if row["stage"] == "key-steps"]
    assert 0 < len(rows) < len(every)


@pytest.mark.full
def test_configuration_for_axolotl_names_keys_that_are_there(folder: Path) -> None:
    import yaml

    (told,) = yaml.safe_load(blocks()["axolotl.yaml"])["datasets"]
    row = read(folder / told["path"])[0]
    keys = {told["message_field_training"], told["message_field_training_detail"]}
    assert all(keys < set(message) for message in row["messages"])


@pytest.mark.full
def test_the_pages_loop_has_our_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HOME", str(folder / "cache"))
    (folder / "read_parquet.py").write_text(blocks()["read_parquet.py"], encoding="utf-8")
    page = runpy.run_path("read_parquet.py")
    first = (folder / "dual.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    (folder / "part.jsonl").write_text("\n".join(first), encoding="utf-8")
    batch = next(iter(page["batches"]))
    tokenizer = with_chat(byte_level())
    model = llama(len(tokenizer)).eval()
    with torch.no_grad():
        got = page["loss_of"](model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch)
    done = shell("editctl align -q part.jsonl --tokenizer student -o aligned.jsonl", folder)
    alignments = [alignment_from_row(row) for row in read(folder / "aligned.jsonl")]
    assert done.err == ""
    method, options = Edit(), EditOptions()
    stage = method.stages(options)[1]
    groups = build(method, options, stage, alignments, Codec(tokenizer, "chat"), 1024).groups
    wanted = 0.0
    for group, scales in zip(groups, coefficients(groups, stage.normaliser), strict=True):
        for example, scale in zip(group.examples, scales, strict=True):
            ids = torch.tensor([example.prompt + example.target])
            with torch.no_grad():
                chances = torch.log_softmax(model(ids).logits[0], dim=-1)
            places = range(len(example.prompt), ids.shape[1])
            losses = [-float(chances[place - 1, ids[0, place]]) for place in places]
            wanted += sum(one * loss for one, loss in zip(scale, losses, strict=True))
    assert len(groups) == 4
    assert float(got) == pytest.approx(wanted, rel=1e-4)
    assert question_prompt(alignments[0].dual.question).user in page["rows"][0]["prompt"]
