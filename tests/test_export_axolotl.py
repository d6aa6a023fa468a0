"""`align --format axolotl`: turns, trained characters, and that these come to the tokens of positive weight.

`support_exports.trained_places` is our reading of axolotl's rules; the test at the end holds both against axolotl's own
code where that can be imported (its releases ask for other versions of the libraries we share).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from editctl.align.export.counts import Counts
from editctl.align.export.turns import turns
from editctl.recipe import Stage
from editctl.recipes.edit import Edit, EditOptions
from editctl.records import Alignment, Example, Prompt, WeightedSpan
from editctl.rows import alignment_from_row
from editctl.tokens import Codec, Weighted, token_weights, weigh
from tests.support_cli import Cli, read
from tests.support_exports import blocks, export, exported, noted, trained_places, write_pairs
from tests.support_models import byte_level, pair, pairs, sentence_pieces, with_chat, word_pieces
from tests.support_recipes import method_of, row

RIGHT = "1 + 2 = 3. Therefore, the answer is 3."
TEXTS = ("So = 13 14 15 keep 4 . Therefore , the answer is 14 . " * 4, " ".join(str(number) for number in range(100)))
TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bytes": byte_level,
    "trimmed": lambda: byte_level(trim=True),
    "letters": lambda: byte_level(["plain words only"], size=260),
    "pieces": sentence_pieces,
    "words": word_pieces,
}
_MADE: dict[str, Any] = {}


def tokenizer_of(name: str) -> Any:
    """A tokenizer, made once."""
    if name not in _MADE:
        _MADE[name] = TOKENIZERS[name]()
    return _MADE[name]


class Given:
    """A recipe that yields one example."""

    Options: Any = object
    title: ClassVar[str] = ""

    def __init__(self, example: Example) -> None:
        self.example = example

    def stages(self, options: Any) -> Any:
        return [Stage(name="only", epochs=1, learning_rate=1, normaliser="sum")]

    def examples(self, stage: str, alignment: Alignment, options: Any) -> Any:
        return iter([self.example])

    def plan(self, options: Any) -> Any:
        return ()


def told(target: str, *spans: WeightedSpan, forced: str = "", tokenizer: Any = None, **more: Any) -> Any:
    """The row of one example; None where it is left out."""
    example = Example(question_id="q", prompt=Prompt(user="Q", forced=forced), target=target, spans=spans, **more)
    return next(turns([pair()], Given(example), None, Counts(), tokenizer=tokenizer), None)


def parts(found: Any) -> list[str]:
    """The trained characters of a row."""
    turn = found["messages"][1]
    return [turn["content"][one["begin_offset"] : one["end_offset"] + 1] for one in turn["train_detail"]]


def test_rows(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, pairs(1))
    first, second = exported(cli, tmp_path, "--format", "axolotl")
    user = {"role": "user", "content": "Q:What is 1 + 2 (0)?\n\nA:", "train": False, "train_detail": None}

    def assistant(*places: tuple[int, int]) -> dict[str, Any]:
        details = [{"begin_offset": start, "end_offset": end, "train": True} for start, end in places]
        return {"role": "assistant", "content": RIGHT, "train": True, "train_detail": details}

    assert first == {
        "id": "q0",
        "task": "add",
        "stage": "imitate",
        "side": "right",
        "number": 0,
        "messages": [user, assistant((0, 37))],
        "spans": [{"start": 0, "end": 38, "weight": 1.0}],
        "end_weight": 1.0,
        "share": 1.0,
        "normaliser": "tokens",
    }
    assert second == first | {
        "stage": "key-steps",
        "messages": [user, assistant((7, 8), (35, 36))],
        "spans": [{"start": 8, "end": 9, "weight": 1.0}, {"start": 36, "end": 37, "weight": 1.0}],
        "end_weight": 0.0,
        "normaliser": "target",
    }


def test_what_can_not_be_said_is_told(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, [*pairs(2), replace(pair(5), dual=replace(pair(5).dual, wrong=None), edits=None)])
    outcome = export(cli, "--format", "axolotl", "-R", "gamma=0.1", "-o", "out.jsonl")
    assert noted(tmp_path, "out") == {
        "format": "axolotl",
        "rows": {"imitate": 3, "key-steps": 2},
        "left_out": {"key-steps": {"no-wrong-chain": 1}},
        "examples_left_out": {"key-steps": {"no-positive-weight": 2}},
        "rows_with_flattened_weights": {"key-steps": 2},
    }
    assert "no-positive-weight" in outcome.err
    assert "2 rows have weights other than 0 and 1, which axolotl can't say" in outcome.err


def test_weights_of_0_and_1_are_not_told_as_flattened(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, pairs(2))
    outcome = export(cli, "--format", "axolotl", "-r", "std-cot", "-o", "out.jsonl")
    assert "weights other than" not in outcome.err
    assert noted(tmp_path, "out")["rows_with_flattened_weights"] == {}


def test_shares_are_kept_beside(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, [row()])
    found = exported(cli, tmp_path, "--format", "axolotl", "-r", "cascod")
    assert [one["share"] for one in found] == [0.9, 0.1]
    assert noted(tmp_path, "out")["rows_with_flattened_weights"] == {"imitate": 2}


def test_the_assistants_turn_begins_with_what_is_forced(cli: Cli, tmp_path: Path) -> None:
    write_pairs(tmp_path, [row()])
    second = exported(cli, tmp_path, "--format", "axolotl", "-r", "cascod")[1]
    user, assistant = second["messages"]
    assert user["content"].endswith("Rationale:")
    codec = Codec(with_chat(byte_level()), "chat")
    method = method_of("cascod")
    example = list(method.examples("imitate", row(), method.Options()))[1]
    assert example.prompt.forced
    assert assistant["content"] == example.prompt.forced + codec.lead(example.prompt, example.target) + example.target
    (span,) = second["spans"]
    assert assistant["content"][span["start"] : span["end"]] == example.target
    assert parts(second)[0].strip() == example.target.strip()


@pytest.mark.parametrize(
    ("spans", "trained"),
    [
        ([(4, 6, 1.0)], [" cd "]),
        ([(0, 1, 0.5)], ["a"]),
        ([(7, 8, 1.0), (8, 9, 2.0)], [" ef"]),
        ([(4, 5, -1.0), (0, 9, 1.0)], ["ab  ", "d ef"]),
        ([(4, 5, 1.0), (0, 9, -1.0)], [" c"]),
        ([(3, 4, 1.0)], ["  "]),
    ],
)
def test_trained_characters_by_hand(spans: list[WeightedSpan], trained: list[str]) -> None:
    assert parts(told("ab  cd ef", *spans)) == trained


def test_parts_that_share_a_space_or_touch_are_one() -> None:
    assert parts(told("we add a b c", (7, 8, 1.0), (9, 10, 1.0))) == [" a b "]
    assert parts(told("we add a  b c", (7, 8, 1.0), (10, 11, 1.0))) == [" a  b "]
    assert parts(told("we add a   b c", (7, 8, 1.0), (11, 12, 1.0))) == [" a ", " b "]


@given(st.text(alphabet="ab  .", min_size=1, max_size=20), st.sets(st.integers(0, 19)))
def test_parts_do_not_overlap(target: str, places: set[int]) -> None:
    found = told(target, *((place, place + 1, 1.0) for place in sorted(places) if place < len(target)))
    details = found["messages"][1]["train_detail"] if found else []
    assert all(one["end_offset"] + 1 < other["begin_offset"] for one, other in pairwise(details))
    trained = {at for one in details for at in range(one["begin_offset"], one["end_offset"] + 1)}
    assert {place for place in places if place < len(target) and not target[place].isspace()} <= trained


def test_no_part_ends_behind_the_text() -> None:
    assert parts(told("ab ", (1, 2, 1.0))) == ["b "]
    assert told("ab", (0, 2, -1.0), end_weight=1.0) is None
    assert told("ab", (0, 2, 1.0), share=0.0) is None
    assert told("", (0, 0, 1.0)) is None


@pytest.mark.parametrize("name", TOKENIZERS)
@given(
    target=st.text(alphabet="ab 3.\n\té数🙂👍🏽", min_size=1, max_size=16),
    places=st.lists(st.tuples(st.integers(0, 15), st.integers(1, 6), st.sampled_from([1.0, 0.5, -1.0])), max_size=3),
    forced=st.sampled_from(["", "So "]),
)
def test_with_a_tokenizer_tokens_of_positive_weight_are_trained_and_no_whole_other(
    name: str, target: str, places: list[tuple[int, int, float]], forced: str
) -> None:
    tokenizer = tokenizer_of(name)
    spans = [(start, min(start + size, len(target)), weight) for start, size, weight in places if start < len(target)]
    found = told(target, *spans, forced=forced, tokenizer=tokenizer)
    content = forced + target
    offsets = tokenizer(content, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    moved = [(start + len(forced), end + len(forced), weight) for start, end, weight in spans]
    wanted = [place for place, weight in enumerate(token_weights(content, offsets, moved)) if weight > 0]
    details = found["messages"][1]["train_detail"] if found else []
    trained = trained_places(content, details, tokenizer)
    assert set(wanted) <= set(trained)
    # To axolotl all but the last token of a character end before it: they count to what stands before, too.
    pieces = {place for place, (one, other) in enumerate(pairwise(offsets)) if one[0] == other[0]}
    assert set(trained) - set(wanted) <= pieces


@pytest.mark.parametrize("name", ["bytes", "trimmed", "words"])
def test_without_one_no_key_token_is_lost(name: str) -> None:
    makers: dict[str, Callable[..., Any]] = {"bytes": byte_level, "trimmed": byte_level, "words": word_pieces}
    tokenizer = makers[name](TEXTS, **({"trim": True} if name == "trimmed" else {}))
    content = "So = 14 keep 4 . Therefore , the answer is 14 ."
    for start, word in ((5, "14"), (13, "4"), (8, "keep")):
        found = told(content, (start, start + len(word), 1.0))
        ids = tokenizer(content, add_special_tokens=False)["input_ids"]
        trained = [ids[place] for place in trained_places(content, found["messages"][1]["train_detail"], tokenizer)]
        assert tokenizer.decode(trained).strip() == word


@pytest.mark.full
def test_axolotl_itself_trains_the_tokens_that_we_train(cli: Cli, tmp_path: Path) -> None:
    strategies = pytest.importorskip("axolotl.prompt_strategies.chat_template", reason="axolotl is not installed")
    schemas = pytest.importorskip("axolotl.utils.schemas.datasets")
    settings = pytest.importorskip("axolotl.utils.dict").DictDefault
    written = yaml.safe_load(blocks()["axolotl.yaml"])["datasets"][0]
    config = schemas.SFTDataset(**written).model_dump(exclude_none=True)
    cfg = settings(train_on_inputs=False, sequence_len=2048, eot_tokens=["<|im_end|>"])
    alignments = [
        *pairs(5),
        pair(8, right="14, 🙂 keep 4. The answer is (A).", wrong="15, 👍🏽 keep 5. The answer is (B)."),
    ]
    write_pairs(tmp_path, alignments)
    for name in ("bytes", "trimmed", "letters", "words"):
        tokenizer = with_chat(TOKENIZERS[name]())
        tokenizer.save_pretrained(tmp_path / name)
        for gamma in (0.0, 0.1):
            checked = 0
            codec = Codec(tokenizer, "chat")
            for line, ours in _beside(cli, tmp_path, name, codec, EditOptions(gamma=gamma)):
                ends = "turn" if line["end_weight"] else "none"
                strategy = strategies.load(tokenizer, cfg, ds_cfg=config | {"train_on_eos": ends, "train_on_eot": ends})
                _check(strategy, tokenizer, line, ours)
                checked += 1
            assert checked > len(alignments)


def _beside(
    cli: Cli, folder: Path, name: str, codec: Codec, options: EditOptions
) -> Iterator[tuple[dict[str, Any], Weighted]]:
    """Exported rows as `datasets` reads them, and what our trainer would get."""
    from datasets import load_dataset

    export(cli, "--tokenizer", name, "-o", "aligned.jsonl")
    by_id = {one["id"]: alignment_from_row(one) for one in read(folder / "aligned.jsonl")}
    out = f"{name}-{options.gamma}.jsonl"
    export(cli, "--format", "axolotl", "--tokenizer", name, "-R", f"gamma={options.gamma}", "-o", out)
    rows: Any = load_dataset("json", data_files=str(folder / out), cache_dir=str(folder / "cache"), split="train")
    for one in rows:
        examples = list(Edit().examples(one["stage"], by_id[one["id"]], options))
        example = examples[one["number"]]
        assert isinstance(example, Example)
        yield dict(one), weigh(example, codec)


def _check(strategy: Any, tokenizer: Any, line: dict[str, Any], ours: Weighted) -> None:
    turn = line["messages"][1]
    offsets = strategy.prompter.get_offsets_for_train_detail(turn["content"], turn["train_detail"])
    places = [place for place, offset in enumerate(offsets) if offset != -100]
    assert trained_places(turn["content"], turn["train_detail"], tokenizer) == places
    got = strategy.tokenize_prompt(line)
    ids = [*ours.prompt, *ours.target]
    labels = [-100] * len(ours.prompt)
    labels += [token if weight > 0 else -100 for token, weight in zip(ours.target, ours.weights, strict=True)]
    assert got["input_ids"][: len(ids)] == ids
    assert got["labels"] == labels + [-100] * (len(got["input_ids"]) - len(ids))
