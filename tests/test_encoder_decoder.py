"""Encoder-decoder students: loss and gradients of a step are those of the model itself, whatever the weights."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM

from editctl import registry
from editctl.errors import UsageError
from editctl.models import Student, decoder_start, load, positions_of, reads_apart
from editctl.recipes.edit import Edit, EditOptions
from editctl.records import Alignment, Chain, Example
from editctl.tokens import Codec
from editctl.train.adapters import Lora, add_adapter, save_adapter
from editctl.train.engine import batch
from editctl.train.engine.groups import Group
from editctl.train.engine.layout import Room, apart_rows
from editctl.train.engine.selfcheck import check
from editctl.train.engine.trie import Branch
from editctl.train.handover.merge import merge_into
from editctl.train.sides import check_sides
from editctl.train.writable import check_writable
from tests.support_mistakes import Patch
from tests.support_models import byte_level, pair, pairs, run, sentence_pieces, word_pieces
from tests.support_recipes import formed, method_of
from tests.support_sided import SHAPES, saved_sided, sided_codec, sided_student, t5_tokenizer
from tests.support_steps import WIDE, Result, _weights, gradients_of, groups_of, step_of, trainer_of

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""peft's own; the tests call it without our help here and there."""
EXACT = 1e-5
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "std-cot": ("std-cot", {}, 0),
    "edit": ("edit", {"gamma": 0.25, "beta": 0.5, "alpha": 0.75}, 1),
    "edit without the conclusion": ("edit", {"skip_conclusion": True, "beta": 0.3}, 1),
    "cascod": ("cascod", {"alpha": 0.6}, 0),
}


def alignments() -> list[Alignment]:
    """Four questions, one of them longer."""
    longer = pair(
        9,
        right="First, 3 + 6 = 9. Then 9 + 1 = 10, keep 0. Therefore, the answer is 0.",
        wrong="First, 3 + 6 = 9. Then 9 + 1 = 11, keep 1. Therefore, the answer is 1.",
    )
    found = [pair(0), longer, pair(3), pair(4)]
    question = replace(found[2].dual.question, question="Add what there is, and no more than that: 4 + 5?")
    return [*found[:2], replace(found[2], dual=replace(found[2].dual, question=question)), found[3]]


def parts(case: str) -> tuple[Any, Any, Any]:
    """Recipe, options and stage."""
    name, own, stage = CASES[case]
    method = registry.load("recipes", name)()
    options = method.Options(**own)
    return method, options, method.stages(options)[stage]


def computed(student: Student, groups: Sequence[Group], normaliser: str, tmp_path: Path) -> Result:
    """The product's loss and gradients of one step, on rows of a few examples."""
    sizes = [(len(one.prompt), len(one.target)) for group in groups for one in group.examples]
    # Three examples a row: several rows, and examples of several lengths in one.
    room = Room(tokens=3 * sum(map(max, zip(*sizes, strict=True))), places=1000)
    step = step_of(groups, normaliser, room, opening=(decoder_start(student),))
    assert len(step.rows) > 1
    assert any(bool((row.read_BR == 0).any()) for row in step.rows if row.read_BR is not None)
    student.model.zero_grad()
    loss = float(trainer_of(student.model, str(tmp_path), None).training_step(student.model, {"step": step}))
    student.model.eval()
    return Result(loss, _gradients(student.model))


def _gradients(model: Any) -> dict[str, torch.Tensor]:
    """Of every parameter but the biases of keys: softmax takes no note of them, so theirs are nothing but rounding."""
    found = gradients_of(model)
    keys = {name for name in found if name.endswith("k_proj.bias")}
    assert all(float(found[name].abs().max()) < 1e-6 for name in keys)
    return {name: one for name, one in found.items() if name not in keys}


def by_formula(student: Student, questions: Sequence[Sequence[Example]], normaliser: str) -> Result:
    """The same from texts, each example alone, all its logits, the decoder's ids by the model's own shift.

    Of the tokenizer's remedies nothing is known here: prompts come from the codec, targets hold nothing that is lost.
    """
    told = [(one, *_told(student, one)) for question in questions for one in question]
    divisors: dict[str, Callable[[list[int]], float]] = {
        "target": lambda ids: len(questions) * len(ids),
        "tokens": lambda _: sum(1 for one, _, weights in told for weight in weights if weight and one.share),
    }
    student.model.zero_grad()
    losses: list[Any] = []
    for one, ids, weights in told:
        labels = torch.tensor([ids])
        read = torch.tensor([sided_codec(student).prompt(one.prompt)])
        given = student.model.prepare_decoder_input_ids_from_labels(labels=labels)
        scores = torch.log_softmax(student.model(input_ids=read, decoder_input_ids=given).logits[0].double(), -1)
        nats = -scores.gather(-1, labels[0][:, None])[:, 0]
        losses.append(one.share * (nats * torch.tensor(weights)).sum() / divisors[normaliser](ids))
    loss = torch.stack(losses).sum()
    loss.backward()
    return Result(float(loss.detach()), _gradients(student.model))


def _told(student: Student, example: Example) -> tuple[list[int], list[float]]:
    """A target's ids with its end, and their weights."""
    bare = example.target.removeprefix(" ") if student.tokenizer.unk_token_id is not None else example.target
    encoded = student.tokenizer(bare, add_special_tokens=False, return_offsets_mapping=True)
    cut = len(example.target) - len(bare)
    borders = [place + cut for span in encoded["offset_mapping"] for place in span]
    ids = [*encoded["input_ids"], student.tokenizer.eos_token_id]
    return ids, [*_weights(example, borders), example.end_weight]


def both(student: Student, case: str, tmp_path: Path) -> tuple[Result, Result]:
    """A step as the product computes it, and by its formula."""
    method, options, stage = parts(case)
    groups = groups_of(method, options, stage, alignments(), sided_codec(student))
    texts = [list(method.examples(stage.name, each, options)) for each in alignments()]
    return computed(student, groups, stage.normaliser, tmp_path), by_formula(student, texts, stage.normaliser)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_what_its_weights_say(shape: str, case: str, tmp_path: Path) -> None:
    ours, plain = both(sided_student(shape), case, tmp_path)
    assert max(float(one.abs().max()) for one in plain.gradients.values()) > 1e-3
    assert ours.apart(plain) < EXACT


@pytest.mark.parametrize("shape", SHAPES)
def test_with_all_weights_one_it_is_the_models_own_loss(shape: str, tmp_path: Path) -> None:
    student = sided_student(shape)
    groups = groups_of(*parts("std-cot"), alignments(), sided_codec(student))
    ours = computed(student, groups, "tokens", tmp_path)
    examples = [one for group in groups for one in group.examples]
    read, mask = _padded([one.prompt for one in examples], 0)
    labels, _ = _padded([one.target for one in examples], -100)
    student.model.zero_grad()
    loss = student.model(input_ids=read, attention_mask=mask, labels=labels).loss
    loss.backward()
    assert ours.apart(Result(float(loss.detach()), _gradients(student.model))) < EXACT


def _padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Any, Any]:
    width = max(map(len, rows))
    filled = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    return filled, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def changed(patch: Patch, **fields: Callable[[batch.Row], Any]) -> None:
    """Every row with other fields."""
    real = batch.apart_row

    def wrong(*given: Any) -> batch.Row:
        row = real(*given)
        return replace(row, **{name: change(row) for name, change in fields.items()})

    patch(batch, "apart_row", wrong)


def other_start(patch: Patch) -> None:
    """The decoder begins behind the end token."""
    changed(patch, ids_BT=lambda row: torch.cat([torch.ones_like(row.ids_BT[:, :1]), row.ids_BT[:, 1:]], dim=1))


def _all_ones(row: batch.Row) -> Any:
    return None if row.read_mask_BR is None else torch.ones_like(row.read_mask_BR)


PLANTED: dict[str, Callable[[Patch], None]] = {
    "shifted": lambda patch: changed(patch, places_K=lambda row: (row.places_K - 1).clamp(min=0)),
    "padding read": lambda patch: changed(patch, read_mask_BR=lambda row: _all_ones(row)),
    "other start": other_start,
    "signs lost": lambda patch: changed(patch, coefficients_N=lambda row: row.coefficients_N.abs()),
    "own token seen": lambda patch: changed(patch, ids_BT=lambda row: row.ids_BT.roll(-1, dims=1)),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_mistake_is_seen(plant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[plant](monkeypatch.setattr)
    ours, plain = both(sided_student("t5"), "edit", tmp_path)
    assert ours.apart(plain) > 1000 * EXACT


def test_the_self_check_pads(tmp_path: Path) -> None:
    student = sided_student("t5")
    groups = groups_of(*parts("edit"), alignments(), sided_codec(student))
    finding = check(student.model, groups, "target", WIDE, 0, "cpu")
    assert (finding.attention, finding.reason) == (None, "an encoder-decoder student")


def test_rows_hold_what_there_is_room_for_and_every_process_gets_one() -> None:
    examples = [Branch(tuple(range(size)), size // 2, (1.0,) * (size - size // 2), False) for size in range(4, 30)]
    for room in (Room(tokens=60, places=1000), Room(tokens=1000, places=40), Room(tokens=1, places=1)):
        rows = apart_rows(examples, room)
        assert sorted(len(one.ids) for row in rows for one in row) == list(range(4, 30))
        for row in rows:
            read, held = max(one.border for one in row), max(len(one.ids) - one.border for one in row)
            assert len(row) == 1 or (len(row) * (read + held) <= room.tokens and len(row) * held <= room.places)
    assert len(apart_rows(examples, WIDE)) == 1
    assert len(apart_rows(examples, WIDE, processes=3)) >= 3


def test_a_row_without_examples_costs_nothing_and_runs() -> None:
    student = sided_student("t5")
    row = batch.apart_row([], 0, (0,))
    assert row.size < 4
    from editctl.train.engine.trainer import logits

    assert logits(student.model, row, None).shape[0] == 0


def test_the_model_says_what_its_decoder_begins_with() -> None:
    assert decoder_start(sided_student("t5")) == 0
    assert decoder_start(sided_student("bart")) == 1
    student = sided_student("t5", decoder_start_token_id=7)
    assert decoder_start(student) == 7
    student.model.config.decoder_start_token_id = None
    with pytest.raises(UsageError, match="names no decoder_start_token_id"):
        decoder_start(student)


def test_each_half_has_its_own_room() -> None:
    student = sided_student("bart", max_position_embeddings=40)
    codec = sided_codec(student)
    assert positions_of(student.model.config) == (40, 40)
    assert positions_of(sided_student("t5").model.config) == (None, None)
    groups = groups_of(*parts("std-cot"), [pair(0)], codec)
    example = groups[0].examples[0]
    check_sides(student, [example])
    check_sides(student, [replace(example, prompt=(5,) * 40, target=(5,) * 39)])
    with pytest.raises(UsageError, match="40 positions for a prompt, but the longest takes 41"):
        check_sides(student, [replace(example, prompt=(5,) * 41)])
    with pytest.raises(UsageError, match="40 positions for a target, but the longest takes 41"):
        check_sides(student, [replace(example, target=(5,) * 40)])


LOSSY = {"without line breaks": (word_pieces, "'\\n'"), "with unknown tokens": (sentence_pieces, "'{'")}


@pytest.mark.parametrize("kind", LOSSY)
def test_programs_that_can_not_be_written_are_refused(kind: str) -> None:
    make, names = LOSSY[kind]
    method = method_of("pot")
    text = "a = {1}\nans = 4"
    right = Chain(text=text, answer="42", origin="sampled", sections={"program": text})
    shown = [replace(formed("pot"), dual=replace(formed("pot").dual, right=right))]
    with pytest.raises(UsageError, match=r"can't write .*so no program of its could run") as stop:
        check_writable(method, method.Options(), shown, Codec(make(), "plain"))
    assert names in str(stop.value)
    assert check_writable(method, method.Options(), shown, Codec(byte_level(), "plain")) is None
    assert check_writable(method, method.Options(), shown, sided_codec(sided_student("t5"))) is None
    apart = Codec(t5_tokenizer(spare=0), "plain", encoder_decoder=True)
    with pytest.raises(UsageError, match="can't write"):
        check_writable(method, method.Options(), shown, apart)


def test_other_texts_that_can_not_be_written_are_warned_of() -> None:
    method = method_of("std-cot")
    shown = [pair(0), pair(1, right="1 + 2\n= 3. Therefore, the answer is 3.")]
    warned = check_writable(method, method.Options(), shown, Codec(word_pieces(), "plain"))
    assert warned is not None
    assert "'\\n'" in warned
    for tokenizer in (byte_level(), byte_level(trim=True), byte_level(bos=True)):
        assert check_writable(method, method.Options(), shown, Codec(tokenizer, "plain")) is None
    assert check_writable(method, method.Options(), [pair(0)], Codec(sentence_pieces(), "plain")) is None


def test_composed_accents_are_no_loss() -> None:
    from tokenizers import normalizers

    tokenizer = byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    method = method_of("std-cot")
    shown = [pair(0, right="cafe\u0301 1 + 2 = 3. Therefore, the answer is 3.")]
    assert check_writable(method, method.Options(), shown, Codec(tokenizer, "plain")) is None


EDIT = EditOptions(beta=0.5, key_learning_rate=2e-3, wrong_limit=1000.0)
FAST: dict[str, Any] = {"max_steps": 4, "learning_rate": 2e-2, "batch_questions": 4}


@pytest.mark.parametrize("shape", ["flan-t5", "bart"])
def test_two_stages_of_adapters_are_one_that_plain_peft_loads(shape: str, tmp_path: Path) -> None:
    base = saved_sided(tmp_path / "base", shape)
    student = load(base, device="cpu", dtype="float32")
    assert student.encoder_decoder
    run(student, Edit(), EDIT, pairs(6), **FAST)
    assert len(student.adapters) == 2
    save_adapter(student, tmp_path / "run")
    assert json.loads((tmp_path / "run/adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
    again = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(base), str(tmp_path / "run"))
    student.model.base_model.set_adapter(list(student.adapters))
    bare = _logits(AutoModelForSeq2SeqLM.from_pretrained(base).double())
    assert not torch.allclose(_logits(student.model.double()), bare, atol=1e-3)
    assert torch.allclose(_logits(again.double()), _logits(student.model), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("shape", "full"), [("t5", False), ("flan-t5", False), ("flan-t5", True), ("bart", False)])
def test_a_merged_student_writes_the_same_with_its_plain_class(shape: str, full: bool, tmp_path: Path) -> None:
    student = load(saved_sided(tmp_path / "base", shape), device="cpu", dtype="float32")
    run(student, Edit(), EDIT, pairs(6), full=full, **FAST)
    trained = _logits(student.model)
    merge_into(student, tmp_path / "plain", facts={})
    plain, found = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "plain", output_loading_info=True)
    assert not found["missing_keys"]
    assert not torch.allclose(_logits(AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "base")), trained, atol=0.01)
    assert torch.allclose(_logits(plain), trained, atol=1e-3, rtol=1e-3)


def _logits(model: Any) -> torch.Tensor:
    model.eval()
    with torch.inference_mode():
        found: torch.Tensor = model(
            input_ids=torch.arange(5, 60).view(1, -1), decoder_input_ids=torch.arange(0, 30).view(1, -1)
        ).logits
    return found


def test_a_student_without_weights_has_the_same_shapes(tmp_path: Path) -> None:
    base = saved_sided(tmp_path / "base")
    (tmp_path / "base/model.safetensors").unlink()
    student = load(base, device="cpu", dtype="float32", weights=False)
    assert student.encoder_decoder
    assert next(student.model.parameters()).is_meta
    add_adapter(student, "stage1", Lora(r=2))
    with pytest.raises(UsageError, match="can't be loaded"):
        load(base, device="cpu", dtype="float32")


def test_what_reads_apart_is_known_from_the_configuration(tmp_path: Path) -> None:
    from tests.support_models import saved

    base, other = saved_sided(tmp_path / "base"), saved(tmp_path / "other")
    student = load(base, device="cpu", dtype="float32")
    add_adapter(student, "stage1", Lora(r=2))
    save_adapter(student, tmp_path / "run")
    found = [reads_apart(place) for place in (base, str(tmp_path / "run"), other, "tiny", str(tmp_path))]
    assert found == [True, True, False, False, False]


def test_usual_projections_are_found_where_peft_knows_no_family() -> None:
    student = sided_student("t5")
    student.model.config.model_type = "umt5"
    add_adapter(student, "stage1", Lora(r=2))
    assert sorted(student.model.peft_config["stage1"].target_modules) == ["q", "v"]
