"""Encoder-decoder students write: as whole readings would, whatever stands beside them, and each by its own seed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GenerationConfig

from editctl.decoding import apart
from editctl.decoding.decoder import Decoder
from editctl.decoding.row import Job
from editctl.errors import UsageError
from editctl.evaluate.engine import Ask, Failed, Sampling, Written
from editctl.evaluate.engines.local import LocalEngine
from editctl.evaluate.engines.vllm import VllmEngine
from editctl.evaluate.engines.weights import adapter_effect
from editctl.models import Student, decoder_start
from editctl.records import Prompt
from editctl.tokens import Codec
from editctl.train.adapters import Lora, add_adapter
from tests.support_models import byte_level
from tests.support_sided import SHAPES, sided_codec, sided_model, sided_student
from tests.test_decoding import END, PROMPTS, jobs, write


def greedy(student: Student, ids: list[int], limit: int) -> list[int]:
    """The likeliest tokens, each from a whole reading of prompt and text: no cache, no batch, no padding."""
    given = [decoder_start(student)]
    with torch.inference_mode():
        while len(given) <= limit:
            read = torch.tensor([ids])
            token = int(student.model(input_ids=read, decoder_input_ids=torch.tensor([given])).logits[0, -1].argmax())
            if token == END:
                break
            given.append(token)
    return given[1:]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_writes_what_whole_readings_give(shape: str) -> None:
    one = sided_student(shape)
    found = write(Decoder(one, end=END), jobs(PROMPTS))
    expected = [greedy(one, ids, 14) for ids in PROMPTS]
    assert len({tuple(ids) for ids in expected}) > 2
    assert [list(found[number].ids) for number in range(len(PROMPTS))] == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_and_what_the_library_generates(shape: str) -> None:
    one = sided_student(shape)
    start = decoder_start(one)
    one.model.generation_config = GenerationConfig(decoder_start_token_id=start)
    wanted = GenerationConfig(
        max_new_tokens=9, do_sample=False, decoder_start_token_id=start, eos_token_id=END, pad_token_id=0
    )
    generated = one.model.generate(
        input_ids=torch.tensor([PROMPTS[1]]), attention_mask=torch.ones(1, 30), generation_config=wanted
    )
    found = write(Decoder(one, end=END), jobs(PROMPTS[1:2], limit=9))[0]
    assert generated[0, 1:].tolist()[: len(found.ids)] == list(found.ids)


STUDENTS = {shape: sided_student(shape) for shape in ("t5", "bart")}


@settings(max_examples=25)
@given(
    prompts=st.lists(st.lists(st.integers(5, 90), min_size=1, max_size=20), min_size=1, max_size=6),
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    shape=st.sampled_from(sorted(STUDENTS)),
    data=st.data(),
)
def test_neighbours_and_order_change_nothing(
    prompts: list[list[int]], temperature: float, shape: str, data: st.DataObject
) -> None:
    decoder = Decoder(STUDENTS[shape], end=END, temperature=temperature, top_p=0.9)
    together = jobs(prompts)
    order = data.draw(st.permutations(sorted(together)))
    found = write(decoder, {number: together[number] for number in order})
    assert found == {number: write(decoder, {number: job})[number] for number, job in together.items()}


def test_seeds_make_samples_differ_and_repeat() -> None:
    decoder = Decoder(STUDENTS["t5"], end=END, temperature=1.0)
    asked = {number: Job(ids=PROMPTS[0], limit=12, seed=number) for number in range(8)}
    found = write(decoder, asked)
    assert len({done.ids for done in found.values()}) > 4
    assert write(decoder, asked) == found


def test_finished_texts_leave_the_batch_and_limits_are_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    real = apart.ApartBatch._logits

    def counted(own: Any, ids: Any) -> Any:
        rows.append(len(ids))
        return real(own, ids)

    monkeypatch.setattr(apart.ApartBatch, "_logits", counted)
    limits = [1, 2, 3, 4, 9]
    asked = {number: Job(ids=ids, limit=limits[number]) for number, ids in enumerate(PROMPTS)}
    found = write(Decoder(STUDENTS["t5"], end=10**6), asked)
    assert rows == [5, 4, 3, 2, 1, 1, 1, 1, 1]
    assert [len(found[number].ids) for number in asked] == limits
    assert all(done.cut for done in found.values())


def test_a_finished_text_that_waits_for_others_is_told_once() -> None:
    asked = {number: Job(ids=PROMPTS[number % 5], limit=3 + number) for number in range(20)}
    told: list[int] = []
    Decoder(STUDENTS["t5"], end=10**6).write(asked, lambda place, _: told.append(place))
    assert sorted(told) == list(range(20))


def test_stops_end_a_text_and_are_left_out() -> None:
    decoder = Decoder(STUDENTS["bart"], end=10**6)
    whole = write(decoder, jobs(PROMPTS[1:2]))[0]
    stop = whole.text[3:5]
    found = write(decoder, jobs(PROMPTS[1:2], stop=("never there", stop)))[0]
    assert found.text == whole.text[: whole.text.find(stop)]
    assert not found.cut


def test_what_a_model_folder_wants_changes_nothing() -> None:
    one = sided_student("bart")
    plain = write(Decoder(one, end=END), jobs(PROMPTS[:2]))
    own = one.model.generation_config
    own.forced_bos_token_id, own.num_beams, own.no_repeat_ngram_size, own.min_length = 7, 4, 1, 30
    assert write(Decoder(one, end=END), jobs(PROMPTS[:2])) == plain


def test_a_begin_token_stands_behind_the_start_in_training_and_asking() -> None:
    tokenizer = byte_level(bos=True)
    one = Student("bos", sided_model("t5", len(tokenizer)), tokenizer, "pretrained")
    codec = sided_codec(one)
    assert Decoder(one, end=END, codec=codec).opening == (0, 2)
    assert codec.prompt(Prompt(user="a"))[0] == 2


def engine(one: Student, **more: Any) -> LocalEngine:
    """A student in an engine."""
    return LocalEngine(one, sided_codec(one), Sampling(), **more)


def test_what_was_written_is_read_with_its_line_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    local = engine(STUDENTS["t5"])
    text = "def f(x):\n    return {x < 3}"
    ids = [*local.codec.encode(Prompt(user="a"), text).target, local.codec.end]

    def choose(logits_BV: Any, draws_B: Any) -> Any:
        return torch.tensor([ids.pop(0)])

    monkeypatch.setattr(local.decoder, "choose", choose)
    found: dict[int, Written | Failed] = {}
    local.converse().write({0: Ask(prompt=Prompt(user="a"), seed=0, limit=90)}, found.__setitem__)
    assert isinstance(found[0], Written)
    assert found[0].text == text


def test_both_halves_have_room_of_their_own() -> None:
    tokenizer = byte_level()
    one = Student("b", sided_model("bart", len(tokenizer), max_position_embeddings=32), tokenizer, "pretrained")
    local = engine(one)
    assert [local.room([5] * count, 40) for count in (1, 32, 33)] == [31, 31, 0]
    assert engine(STUDENTS["t5"]).room([5] * 9000, 4000) == 4000
    found: dict[int, Written | Failed] = {}
    asks = {0: Ask(prompt=Prompt(user="a b"), seed=0, limit=99), 1: Ask(prompt=Prompt(user="ab" * 90), seed=0, limit=9)}
    local.decoder.end = 10**6
    local.converse().write(asks, found.__setitem__)
    assert isinstance(found[0], Written)
    assert (found[0].tokens, found[0].cut) == (31, True)
    assert isinstance(found[1], Failed)
    assert found[1].reason == "too-long"


def test_later_steps_are_read_anew() -> None:
    local = engine(STUDENTS["t5"], steps=2)
    found: dict[int, Written | Failed] = {}
    talk = local.converse()
    for forced in ("", "So"):
        talk.write({0: Ask(prompt=Prompt(user="a b", forced=forced), seed=0, limit=5)}, found.__setitem__)
        alone: dict[int, Written | Failed] = {}
        asked = Ask(prompt=Prompt(user="a b", forced=forced), seed=0, limit=5)
        engine(STUDENTS["t5"]).converse().write({0: asked}, alone.__setitem__)
        assert found == alone


def test_an_adapter_at_work_is_seen(tmp_path: Path) -> None:
    one = sided_student("t5")
    add_adapter(one, "stage1", Lora(r=2))
    assert engine(one).prove([Prompt(user="a b")]) == ["the adapter was never trained: the student answers as its base"]
    for name, value in one.model.named_parameters():
        if "lora_B" in name:
            value.data.fill_(0.1)
    effect = adapter_effect(one, [[5, 6, 1]], (0,))
    assert effect is not None
    assert effect > 1e-3
    assert engine(one).prove([Prompt(user="a b")]) == []


def test_vllm_is_refused_in_words() -> None:
    codec = Codec(byte_level(), "plain", encoder_decoder=True)
    with pytest.raises(UsageError, match="vllm serves no encoder-decoder students; use --engine local"):
        VllmEngine("tiny", codec, Sampling())
