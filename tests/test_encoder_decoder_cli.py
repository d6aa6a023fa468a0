"""Encoder-decoder students through the command line: trained, stopped and gone on with, merged, looked at, asked."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from editctl.records import Chain
from editctl.rows import alignment_to_row
from tests.support_cli import Cli, lines
from tests.support_models import pair, pairs, saved, with_chat, word_pieces
from tests.support_recipes import formed
from tests.support_sided import TEXTS, asked, saved_sided, t5_tokenizer, train, write_inputs

PROGRAM = 'total = 0\nfor step in range(4):\n    if step < 3:\n        total += {"a": step}["a"]\nans = total'


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student like T5 in a folder."""
    return saved_sided(tmp_path_factory.mktemp("base") / "t5", "flan-t5", t5_tokenizer([*TEXTS, PROGRAM]))


@pytest.fixture(autouse=True)
def beside(tmp_path: Path) -> None:
    """Alignments and questions."""
    write_inputs(tmp_path, pairs(4))


def test_a_program_learnt_by_heart_comes_back_with_every_line_break(cli: Cli, base: str, tmp_path: Path) -> None:
    row = formed("pot")
    right = Chain(text=PROGRAM, answer="3", origin="sampled", sections={"program": PROGRAM})
    question = replace(row.dual.question, answer="3")
    row = replace(row, dual=replace(row.dual, right=right, wrong=None, question=question), edits=None)
    (tmp_path / "aligned.jsonl").write_text(lines([alignment_to_row(row)]))
    train(cli, base, "-r", "pot", "--full", "--max-steps", "60", "--learning-rate", "0.01", "-o", "run")
    asks = {"id": "q1", "question": question.question, "description": question.description, "answer": "3"}
    (tmp_path / "questions.jsonl").write_text(json.dumps(asks) + "\n")
    (found,) = asked(cli, "run", "--max-new-tokens", "200")
    assert found["steps"] == [PROGRAM]
    assert (found["prediction"], found["verdict"]) == ("3", "right")


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    cli: Cli, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from editctl.train.engine.trainer import WeightedTrainer

    words = ("-r", "edit", "--max-steps", "4", "--save-every", "1")
    train(cli, base, *words, "-o", "whole")
    real, calls = WeightedTrainer.training_step, iter(range(99))

    def stops(*given: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(WeightedTrainer, "training_step", stops)
    train(cli, base, *words, "-o", "run", code=130)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    train(cli, base, *words, "-o", "run", "--resume")
    one, other = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "run"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_merged_run_is_a_plain_model_that_writes_the_same(cli: Cli, base: str, tmp_path: Path) -> None:
    train(
        cli,
        base,
        "-r",
        "std-cot",
        "--max-steps",
        "3",
        "--learning-rate",
        "0.05",
        "-o",
        "run",
        "--merge",
        "--dev-fraction",
        "0.3",
    )
    own = [one["steps"] for one in asked(cli, "run", "--max-new-tokens", "6")]
    assert [one["steps"] for one in asked(cli, "run/merged", "--max-new-tokens", "6")] == own
    card = (tmp_path / "run/README.md").read_text()
    assert "PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(base), run)" in card
    assert "CausalLM" not in card
    assert "CausalLM" not in (tmp_path / "run/merged/README.md").read_text()


def test_the_cards_words_write_what_eval_writes(cli: Cli, base: str, tmp_path: Path, capfd: Any) -> None:
    train(cli, base, "-r", "std-cot", "--full", "--max-steps", "2", "-o", "run")
    card = (tmp_path / "run/README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0].replace('"RUN"', '"run"').replace("512", "6")
    (tmp_path / "questions.jsonl").write_text(
        json.dumps({"id": "q", "question": "What is 17 + 25?", "answer": "42"}) + "\n"
    )
    (found,) = asked(cli, "run", "--max-new-tokens", "6")
    capfd.readouterr()
    exec(compile(code, "card", "exec"), {})
    assert capfd.readouterr().out.strip() == found["steps"][0].strip()


def test_a_dry_run_needs_no_weights_and_merges_nothing(cli: Cli, base: str) -> None:
    done = train(cli, base, "-r", "edit", "--dry-run", "--json")
    for stage in json.loads(done.out)["stages"]:
        assert stage["tokens_an_epoch"] == stage["computed_an_epoch"]


def test_inspect_shows_lost_characters_as_they_are(cli: Cli, base: str, tmp_path: Path) -> None:
    text = "if a < b:\n    c = {}\nTherefore, the answer is 4."
    (tmp_path / "aligned.jsonl").write_text(lines([alignment_to_row(pair(0, right=text))]))
    done = cli("inspect", "aligned.jsonl", "-s", base, "-r", "std-cot", "--json")
    assert done.code == 0, done.err
    shown = json.loads(done.out.splitlines()[0])
    assert "extra_id" not in done.out
    assert "".join(unit["before"] + unit["text"] for unit in shown["units"]).startswith(text)
    figures = json.loads(done.out.splitlines()[-1])
    assert "read_trie" not in figures or figures["read_trie"] == figures["read_plain"]


def test_turns_are_refused(cli: Cli, tmp_path: Path) -> None:
    base = saved_sided(tmp_path / "chat", "t5", with_chat(t5_tokenizer()))
    for command in (("train", "aligned.jsonl", "-o", "run"), ("inspect", "aligned.jsonl")):
        done = cli(*command, "-s", base, "--prompt-style", "chat")
        assert done.code == 2
        assert "an encoder-decoder student takes no turns; use plain" in done.err
    assert cli("inspect", "aligned.jsonl", "-s", base, "--json").code == 0


def test_servers_are_refused_where_they_would_lose_line_breaks(cli: Cli, base: str) -> None:
    done = cli("eval", base, "questions.jsonl", "-o", "out.jsonl", "--api-base", "http://127.0.0.1:9/v1")
    assert done.code == 2
    assert "ask it in this process, without --api-base" in done.err
    done = cli("eval", base, "questions.jsonl", "-o", "out.jsonl", "--engine", "vllm")
    assert done.code == 2
    assert "vllm serves no encoder-decoder students" in done.err


def test_what_a_tokenizer_can_not_write_is_warned_of_or_refused(cli: Cli, tmp_path: Path) -> None:
    base = saved(tmp_path / "lossy", tokenizer=word_pieces())
    text = "1 + 2\n= 3. Therefore, the answer is 3."
    (tmp_path / "aligned.jsonl").write_text(lines([alignment_to_row(pair(0, right=text))]))
    done = train(cli, base, "-r", "std-cot", "--max-steps", "1", "-o", "run")
    assert done.err.count("warning: the student's tokenizer can't write '\\n'") == 1
    (tmp_path / "aligned.jsonl").write_text(lines([alignment_to_row(formed("pot"))]))
    done = train(cli, base, "-r", "pot", "-o", "other", code=2)
    assert "can't write" in done.err
    assert not (tmp_path / "other").exists()
