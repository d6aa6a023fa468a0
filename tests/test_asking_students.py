"""Small print of asking: what is carried from step to step, what an evaluation is told apart by, where texts fit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from editctl.cli.evaluating import _asked_hash
from editctl.decoding.cache import can_hold
from editctl.decoding.decoder import Decoder
from editctl.decoding.row import Job
from editctl.errors import UsageError
from editctl.evaluate.asking import taught_works, works
from editctl.evaluate.engine import Ask, Failed, Sampling, Told, Written
from editctl.evaluate.engines.local import LocalEngine
from editctl.evaluate.engines.weights import adapter_effect
from editctl.evaluate.journal import Generation, Journal
from editctl.evaluate.judging import judged
from editctl.fingerprints import hash_of
from editctl.models import Student
from editctl.recipe import DecodeStep
from editctl.recipes.cascod import Cascod, CascodOptions
from editctl.records import Prediction, Prompt, Question
from editctl.tokens import Codec
from tests.support_families import family
from tests.support_models import byte_level
from tests.test_decoding import END, PROMPTS, jobs, student, watch, write
from tests.test_evaluation import PAIRS, PLAN, QUESTIONS, Book, ask


class Script(Book):
    """Tells what it was given, step by step."""

    def __init__(self, *outs: Written | Failed) -> None:
        super().__init__()
        self.outs = list(outs)

    def write(self, asks: Mapping[int, Ask], told: Told) -> None:
        """The next of its texts, for all."""
        self.asked.append(list(asks.values()))
        out = self.outs.pop(0)
        for place in asks:
            told(place, out)


def through(*outs: Written | Failed, plan: list[DecodeStep] = PLAN) -> tuple[Generation, Script]:
    """One question through a plan."""
    book = Script(*outs)
    with Journal(None, {}) as journal:
        ask(book, journal, works(QUESTIONS[:1]), plan)
    return journal.found[QUESTIONS[0].id, 0, "own"], book


def engine(**more: Any) -> LocalEngine:
    """A llama in an engine."""
    one = student("llama")
    return LocalEngine(one, Codec(one.tokenizer, "plain"), more.pop("sampling", Sampling()), **more)


def test_the_last_step_says_whether_a_text_was_cut_and_unknown_counts_stay_unknown() -> None:
    one, _ = through(Written(text="a", tokens=2, cut=True), Written(text="b", tokens=None))
    assert (one.cut, one.tokens) == (False, None)
    assert through(Failed(reason="x", detail="why"))[0].detail == "why"


def test_stops_and_limits_reach_the_engine() -> None:
    _, book = through(Written(text="a", tokens=2), plan=[replace(PLAN[0], stop=("Q:",))])
    assert (book.asked[0][0].stop, book.asked[0][0].limit) == (("Q:",), 9)


def test_room_is_what_the_positions_leave() -> None:
    one = student("gpt2")
    local = LocalEngine(one, Codec(one.tokenizer, "plain"), Sampling())
    assert [local.room([5] * n, 9) for n in (503, 504, 511, 512)] == [9, 8, 1, 0]
    found: dict[int, Written | Failed] = {}
    local.positions = len(local.codec.prompt(Prompt(user="a b"))) + 3
    local.converse().write({0: Ask(prompt=Prompt(user="a b"), seed=0, limit=9)}, found.__setitem__)
    told = found[0]
    assert isinstance(told, Written)
    assert (told.tokens or 0) <= 3
    assert local.short_of_room == 1


def test_nothing_to_read_fails_its_question() -> None:
    found: dict[int, Written | Failed] = {}
    engine().converse().write({0: Ask(prompt=Prompt(user=""), seed=0, limit=9)}, found.__setitem__)
    assert found[0] == Failed(reason="empty-prompt", detail="there is nothing to read")


def test_too_many_texts_for_the_memory_are_told_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    local = engine()

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(local.decoder, "write", full)
    with pytest.raises(UsageError, match=r"with 1 texts at once; lower --batch-tokens \(now 65536\)"):
        local.converse().write({0: Ask(prompt=Prompt(user="a"), seed=0, limit=9)}, lambda *_: None)


def test_another_question_order_or_later_prompt_is_another_evaluation() -> None:
    asked = works(QUESTIONS[:2])
    other = works([replace(QUESTIONS[0], question="else"), QUESTIONS[1]])
    later = [PLAN[0], replace(PLAN[1], prompt=lambda question, _: Prompt(user="something else"))]
    hashes = {_asked_hash(one, PLAN) for one in (asked, asked[::-1], other)} | {_asked_hash(asked, later)}
    assert len(hashes) == 4


@pytest.mark.parametrize(
    "other",
    [
        {"sampling": Sampling(temperature=1.0)},
        {"sampling": Sampling(top_p=0.5)},
        {"batch_tokens": 7},
        {"identity": {"files": "x"}},
    ],
)
def test_an_engine_tells_all_that_its_texts_depend_on(other: dict[str, Any]) -> None:
    assert engine(**other).facts() != engine().facts()


def test_a_conversation_remembers_as_long_as_steps_follow() -> None:
    local = engine(steps=2)
    talk = local.converse()
    found: dict[int, Written | Failed] = {}
    talk.write({0: Ask(prompt=Prompt(user="a word " * 30), seed=0, limit=3)}, found.__setitem__)
    first = found[0]
    assert isinstance(first, Written)
    read: list[int] = []
    watch(local.student.model, lambda ids: read.append(ids.shape[1]))
    again = Ask(prompt=Prompt(user="a word " * 30, forced=first.text), seed=0, limit=1)
    talk.write({0: again}, found.__setitem__)
    assert read[0] < 20
    assert talk.memory == {}


def test_batches_leave_room_for_what_later_steps_read() -> None:
    prompts = [Prompt(user="x")] * 8
    length = len(engine().codec.prompt(prompts[0]))
    one, two = (engine(batch_tokens=4 * (length + 10), steps=steps).batches(prompts, 10) for steps in (1, 2))
    assert [len(batch) for batch in one] == [4, 4]
    assert max(len(batch) for batch in two) == 2


def test_teachers_rows_have_batches_of_their_own() -> None:
    chains = {one.dual.question.id: one.dual.right for one in PAIRS if one.dual.right}
    plan = Cascod().plan(CascodOptions())
    own = works(QUESTIONS[:2])
    taught, _ = taught_works(own, chains, plan)
    book = Book(size=4)
    with Journal(None, {}) as journal:
        ask(book, journal, [*own, *taught], plan)
    assert [len(asks) for asks in book.asked] == [2, 2, 2]


def test_no_gold_is_no_fault_of_the_limit() -> None:
    question = Question(id="q", question="?")
    text = ("Therefore, the answer is 4.",)
    one = Prediction(question=question, steps=text, prediction=None, verdict="none", cut=True)
    assert next(judged([one])).reason == "no-gold"


def test_an_adapter_may_show_on_any_of_the_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace_adapters(student("llama"))
    assert adapter_effect(one, [[5, 6], [7, 8]]) == 2.0
    assert one.model.longest == 2
    assert adapter_effect(one, [[7] * 5000]) == 2.0
    assert one.model.longest == 256


def replace_adapters(one: Student) -> Student:
    """A student whose adapter changes logits where token 7 stands."""

    class Adapted:
        longest = 0
        on = True

        def parameters(self) -> Any:
            return one.model.parameters()

        def named_parameters(self) -> Any:
            return []

        def disable_adapter(self) -> Any:
            outer = self

            class Off:
                def __enter__(self) -> None:
                    outer.on = False

                def __exit__(self, *_: object) -> None:
                    outer.on = True

            return Off()

        def __call__(self, input_ids: Any) -> Any:
            self.longest = max(self.longest, input_ids.shape[1])
            logits = torch.zeros(1, 1, 3) + 2.0 * (self.on and bool((input_ids == 7).any()))
            return type("Out", (), {"logits": logits})

    return Student("adapted", Adapted(), one.tokenizer, "pretrained", ("start",))


def test_files_are_told_apart_by_any_part(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abcd"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        content = bytearray(7_000_000)
        if number in (1, 2):
            content[-1 if number == 1 else 3_500_000] = 1
        (folder / "model.safetensors").write_bytes(content)
        (folder / "tokenizer_config.json").write_text(f'{{"chat_template": "{number // 3}"}}')
    assert len({hash_of(folder) for folder in (folders[0], folders[1], folders[3])}) == 3
    (folders[0] / "editctl.json").write_text("{}")
    assert hash_of(folders[0]) == hash_of(folders[0])


FORBIDDEN = {
    "repetition_penalty": 5.0,
    "no_repeat_ngram_size": 1,
    "num_beams": 3,
    "suppress_tokens": list(range(5, 300)),
    "do_sample": True,
    "stop_strings": ["a"],
}


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_what_a_model_folder_wants_changes_nothing_where_generate_writes(name: str) -> None:
    one = student("mamba")
    plain = write(Decoder(one, end=END), jobs(PROMPTS[:2]))
    setattr(one.model.generation_config, name, FORBIDDEN[name])
    assert write(Decoder(one, end=END), jobs(PROMPTS[:2])) == plain
    assert getattr(one.model.generation_config, name) == FORBIDDEN[name]


def test_where_generate_writes_each_text_has_its_seed_and_its_limit() -> None:
    decoder = Decoder(student("mamba"), end=END, temperature=1.0)
    same = {number: Job(ids=PROMPTS[0], limit=8, seed=number) for number in range(6)}
    before = torch.random.get_rng_state()
    assert len({done.ids for done in write(decoder, same).values()}) == 6
    assert torch.equal(before, torch.random.get_rng_state())
    asked = {number: Job(ids=ids, limit=3 + 4 * number) for number, ids in enumerate(PROMPTS)}
    found = write(Decoder(student("mamba"), end=10**6), asked)
    assert [len(found[number].ids) for number in asked] == [3, 7, 11, 15, 19]


def test_dropout_is_off() -> None:
    one = Student("g", family("gpt2", 400, resid_pdrop=0.5), byte_level(), "scratch")
    still = write(Decoder(one, end=END), jobs(PROMPTS[:2]))
    one.model.train()
    assert write(Decoder(one, end=END), jobs(PROMPTS[:2])) == still


def test_no_share_of_likely_tokens_is_the_likeliest() -> None:
    decoder = Decoder(student("llama"), end=END, temperature=1.0, top_p=0.0)
    logits = torch.tensor([[0.0, 3.0, 1.0]]).repeat(4, 1)
    assert decoder.choose(logits, torch.tensor([0.0, 0.4, 0.9, 0.999])).tolist() == [1] * 4


def test_students_that_read_with_an_encoder_or_without_memory_are_not_held() -> None:
    small = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "d_kv": 8, "vocab_size": 50}
    assert not can_hold(AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("t5", **small)))
    old = AutoConfig.for_model("openai-gpt", n_embd=16, n_layer=1, n_head=2, vocab_size=50)
    from transformers import AutoModelForCausalLM

    assert not can_hold(AutoModelForCausalLM.from_config(old))
