"""What a tokenizer loses is written nevertheless, exactly; what it can write is left to it."""

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.errors import UsageError
from editctl.records import Prompt
from editctl.tokens import Codec
from editctl.writing import Writing, spare_tokens
from tests.support_models import CORPUS, byte_level, sentence_pieces, with_chat, word_pieces
from tests.support_sided import TEXTS as TRAINED
from tests.support_sided import t5_tokenizer

PROGRAM = 'def f(x):\n    if x < 3:\n        return {1: "a\\n"}\n\n\tans = f(2) ~ ^ `'
WORDS = ("\n", " ", "  ", "    ", "a", "Step", "<", " < ", "<extra_id_1>", "</s>", "🙂")
TEXTS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="ab Step1 {}<\n\t\\\u0301é½ﬁ…_数extra_id_3>/s", max_size=40),
    st.lists(st.sampled_from(WORDS)).map("".join),
)
PLAIN = "Step 1: 6 + 8 = 14, keep 4."


@lru_cache(maxsize=8)
def _made(spare: int, unknown: str) -> Any:
    return t5_tokenizer([*TRAINED, PROGRAM, "</s> <extra_id_3>"], spare=spare, unknown=unknown)


def t5(spare: int = 100, unknown: str = "{}<\\^~`") -> Any:
    """A tokenizer like T5's, the same one each time: no two that are trained are alike."""
    return _made(spare, unknown)


def writing(spare: int = 100, unknown: str = "{}<\\^~`") -> Writing:
    """How it is made up for."""
    found = Writing.of(t5(spare, unknown))
    assert found is not None
    return found


def codec(tokenizer: Any) -> Codec:
    """Of an encoder-decoder student."""
    return Codec(tokenizer, "plain", encoder_decoder=True)


def test_the_tokenizer_of_these_tests_loses_what_t5s_loses() -> None:
    ids = t5()(PROGRAM, add_special_tokens=False)["input_ids"]
    assert t5().unk_token_id in ids
    assert "\n" not in t5().decode(ids)
    assert writing().loses


def test_pieces_that_touch_are_told_apart() -> None:
    """Where `<` is known, a special token spelled out is the token itself to the tokenizer: it has to be cut."""
    own = writing(100, "")
    ids, _ = own.encode("a </s>b")
    assert own.decode(ids) == "a </s>b"
    assert t5(100, "").convert_tokens_to_ids("<extra_id_2>") in ids
    assert t5(100, "").eos_token_id not in ids


@pytest.mark.parametrize(("spare", "unknown"), [(100, "{}<\\^~`"), (100, ""), (18, "<"), (20, "ab"), (40, "{")])
def test_any_text_comes_back(spare: int, unknown: str) -> None:
    own = writing(spare, unknown)

    @settings(max_examples=120)
    @given(TEXTS)
    def check(text: str) -> None:
        ids, offsets = own.encode(text)
        assert own.decode(ids) == text
        assert len(ids) == len(offsets)
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
        assert t5(spare, unknown).unk_token_id not in ids
        covered = {place for start, end in offsets for place in range(start, end)}
        assert {place for place, one in enumerate(text) if one != " "} <= covered

    check()


@settings(max_examples=60)
@given(TEXTS, TEXTS)
def test_so_do_prompts_and_targets(user: str, target: str) -> None:
    one = codec(t5())
    encoded = one.encode(Prompt(user=f"Q:{user}", forced=user), target)
    assert encoded.prompt == one.prompt(Prompt(user=f"Q:{user}", forced=user))
    assert encoded.prompt[-1] == one.end
    read = one.decode(encoded.target)
    assert read == target or f" {read}" == target
    assert one.decode(encoded.prompt[:-1]) == one.text(Prompt(user=f"Q:{user}", forced=user))


@given(st.lists(st.integers(0, 192), max_size=30))
def test_ids_that_nobody_would_write_have_a_text_too(ids: list[int]) -> None:
    assert isinstance(writing().decode(ids), str)


def test_what_the_tokenizer_can_write_is_left_to_it() -> None:
    assert writing().encode(PLAIN)[0] == t5()(PLAIN, add_special_tokens=False)["input_ids"]


def test_a_line_break_and_an_indentation_are_a_token_each() -> None:
    ids, offsets = writing().encode("def\n    if")
    apart = [t5()(word, add_special_tokens=False)["input_ids"] for word in ("def", "if")]
    place = len(apart[0])
    assert ids[:place] + ids[place + 1 :] == apart[0] + apart[1]
    assert ids[place] in spare_tokens(t5())
    assert offsets[place] == (3, 8)


def test_the_most_used_texts_take_the_first_spare_tokens() -> None:
    first = [t5().convert_tokens_to_ids(f"<extra_id_{number}>") for number in range(3)]
    assert [writing().decode([token]) for token in first] == ["\n", " ", ""]
    assert spare_tokens(t5())[:3] == tuple(first)


def test_spelled_out_special_tokens_are_text() -> None:
    text = "a </s> <extra_id_0> <pad> <unk>"
    ids, _ = writing().encode(text)
    assert writing().decode(ids) == text
    assert not {t5().eos_token_id, t5().pad_token_id, t5().unk_token_id} & set(ids)


def test_texts_are_the_same_for_a_tokenizer_that_was_saved_and_read(tmp_path: Any) -> None:
    from transformers import AutoTokenizer

    t5().save_pretrained(tmp_path)
    again = Writing.of(AutoTokenizer.from_pretrained(tmp_path))
    assert again is not None
    assert again.encode(PROGRAM) == writing().encode(PROGRAM)


@pytest.mark.parametrize("make", [byte_level, sentence_pieces, word_pieces])
def test_tokenizers_without_spare_tokens_are_left_alone(make: Any) -> None:
    one = codec(make())
    assert one.writing is None
    assert [*one.encode(Prompt(user="a"), PLAIN).target] == one.tokenizer(PLAIN, add_special_tokens=False)["input_ids"]


def test_too_few_spare_tokens_are_none() -> None:
    assert Writing.of(t5(17)) is None
    assert codec(t5(17)).writing is None


def test_a_byte_level_tokenizer_with_spare_tokens_loses_nothing() -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<extra_id_{number}>" for number in range(100)]})
    own = Writing.of(tokenizer)
    assert own is not None
    assert not own.loses
    assert own.encode(PROGRAM)[0] == tokenizer(PROGRAM, add_special_tokens=False)["input_ids"]
    assert own.decode(own.encode(CORPUS[3])[0]) == CORPUS[3]


def test_a_space_before_a_target_is_kept_where_the_tokenizer_tells_it() -> None:
    prompt = Prompt(user="a")
    assert codec(t5()).encode(prompt, " (D).").target == codec(t5()).encode(prompt, "(D).").target
    assert codec(t5()).encode(prompt, " (D).").offsets[-1] == (4, 5)
    one = codec(byte_level())
    assert one.decode(one.encode(prompt, " (D).").target) == " (D)."


def test_a_begin_token_opens_the_prompt_as_the_tokenizer_has_it() -> None:
    assert codec(byte_level(bos=True)).prompt(Prompt(user="a b"))[0] == 2
    assert codec(byte_level(bos=True)).start == (2,)
    assert codec(t5()).start == ()


def test_an_empty_prompt_stays_empty() -> None:
    assert codec(t5()).prompt(Prompt(user="")) == ()


def test_turns_are_refused() -> None:
    with pytest.raises(UsageError, match="takes no turns; use plain"):
        Codec(with_chat(byte_level()), "chat", encoder_decoder=True)
