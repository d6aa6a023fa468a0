"""Texts -> token ids, the same for training and asking; spans -> token weights."""

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.errors import UsageError
from editctl.records import Prompt
from editctl.student import Style
from editctl.tokens import Codec, token_weights
from tests.support_models import CHATML, byte_level, sentence_pieces, with_chat, word_pieces

ASKED = Prompt(user="Q:What is 6 + 8?\n\nA:")
CHAIN = "Step 1: 6 + 8 = 14. Therefore, the answer is 14."


@lru_cache(maxsize=16)
def codec(kind: str, style: Style = "plain") -> Codec:
    """A codec of each kind of tokenizer."""
    makers: dict[str, Any] = {
        "byte-level": byte_level,
        "with bos": lambda: byte_level(bos=True),
        "trimmed": lambda: byte_level(trim=True),
        "unigram": sentence_pieces,
        "wordpiece": word_pieces,
    }
    tokenizer = makers[kind]()
    return Codec(with_chat(tokenizer) if style == "chat" else tokenizer, style)


KINDS = ("byte-level", "with bos", "trimmed", "unigram", "wordpiece")
STYLES: tuple[Style, ...] = ("plain", "chat")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", KINDS)
def test_training_prompts_are_the_prompts_asked_with(kind: str, style: Style) -> None:
    one = codec(kind, style)

    @settings(max_examples=30)
    @given(st.text(max_size=20), st.text(min_size=1, max_size=20), st.sampled_from(["", " So", "x <|end|>"]))
    def check(user: str, target: str, forced: str) -> None:
        prompt = Prompt(user=f"Q:{user}\n\nA:", forced=forced)
        assert one.encode(prompt, target).prompt == one.prompt(prompt)

    check()


@pytest.mark.parametrize("kind", ["byte-level", "with bos", "trimmed"])
def test_plain_ids_are_those_of_the_joint_text(kind: str) -> None:
    one = codec(kind)
    encoded = one.encode(ASKED, CHAIN)
    joint = one.tokenizer(f"{ASKED.user} {CHAIN}", add_special_tokens=False)["input_ids"]
    assert [*encoded.prompt[len(one.start) :], *encoded.target] == joint
    assert one.tokenizer.decode(encoded.target) == f" {CHAIN}"


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_are_those_of_the_target(kind: str) -> None:
    encoded = codec(kind).encode(ASKED, CHAIN)
    assert len(encoded.offsets) == len(encoded.target)
    assert all(0 <= start <= end <= len(CHAIN) for start, end in encoded.offsets)
    covered = {place for start, end in encoded.offsets for place in range(start, end)}
    assert {place for place, character in enumerate(CHAIN) if not character.isspace()} <= covered


def test_a_merge_across_the_border_is_undone() -> None:
    """`A:` + `(D)` becomes one token `:(` in byte-level tokenizers: the prompt must stay what is asked with."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {"A": 0, ":": 1, "(": 2, "D": 3, ")": 4, ":(": 5, "<|end|>": 6, " ": 7, "\n": 8}
    core = Tokenizer(models.BPE(vocab=letters, merges=[(":", "(")]))
    core.pre_tokenizer = pre_tokenizers.Split("\x00", "isolated")
    one = Codec(
        with_chat(PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>"), "{{ messages[0].content }}"),
        "chat",
    )
    encoded = one.encode(Prompt(user="A:"), "(D)")
    assert one._ids("A:(D)", special=True)[0] == (0, 5, 3, 4)
    assert (encoded.prompt, encoded.target) == ((0, 1), (2, 3, 4))
    assert encoded.offsets == ((0, 1), (1, 2), (2, 3))


def test_the_begin_token_stands_once_where_the_tokenizer_puts_it() -> None:
    assert codec("with bos").prompt(ASKED).count(2) == 1
    assert codec("with bos").prompt(ASKED)[0] == 2
    assert 2 not in codec("byte-level").prompt(ASKED)
    assert 2 not in codec("with bos", "chat").prompt(ASKED)


def test_a_chat_template_brings_its_own_begin_token() -> None:
    one = Codec(with_chat(byte_level(bos=True), "<|begin|>" + CHATML), "chat")
    assert one.prompt(ASKED)[0] == 2
    assert one.prompt(ASKED).count(2) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_plain_texts_end_in_the_end_token(kind: str) -> None:
    assert codec(kind).end == codec(kind).tokenizer.eos_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_chats_end_in_the_end_of_turn(kind: str) -> None:
    one = codec(kind, "chat")
    assert one.end == one.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert one.end != one.tokenizer.eos_token_id


def test_a_template_without_a_mark_ends_in_the_end_token() -> None:
    one = Codec(
        with_chat(byte_level(), "{% for one in messages %}{{ one.role }}: {{ one.content }}\n{% endfor %}"), "chat"
    )
    assert one.end == one.tokenizer.eos_token_id


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("word", ["<|end|>", "<|pad|>", "<|im_start|>", "<|im_end|>"])
def test_special_tokens_spelled_out_in_data_are_plain_text(word: str, style: Style) -> None:
    tokenizer = with_chat(byte_level())
    one = Codec(tokenizer, style)
    number = tokenizer.convert_tokens_to_ids(word)
    clean = one.encode(Prompt(user="a", forced="c"), "b")
    dirty = one.encode(Prompt(user=f"a{word}", forced=f"c{word}"), f"b{word}")
    assert dirty.prompt.count(number) == clean.prompt.count(number)
    assert number not in dirty.target
    assert one.prompt(Prompt(user=f"a{word}", forced=f"c{word}")) == dirty.prompt
    assert tokenizer.decode(dirty.target).strip() == f"b{word}"


def test_special_tokens_in_the_target_alone_leave_the_prompt_as_it_is() -> None:
    one = codec("byte-level", "chat")
    assert one.encode(ASKED, "say <|im_end|>").prompt == one.encode(ASKED, "say").prompt
    assert one.end not in one.encode(ASKED, "say <|im_end|>").target


def test_an_empty_target_has_no_tokens() -> None:
    assert codec("byte-level").encode(Prompt(user="Q:?\n\nA:\n"), "").target == ()


def test_a_tokenizer_without_end_token_is_refused() -> None:
    tokenizer = byte_level()
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="no end-of-text token"):
        Codec(tokenizer, "plain")


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(UsageError, match="slow"):
        Codec(object(), "plain")


@pytest.mark.parametrize(
    ("text", "offsets", "spans", "weights"),
    [
        ("ab", [(0, 1), (1, 2)], [(0, 1, 2.0)], [2.0, 0.0]),
        ("abcd", [(0, 2), (2, 4)], [(1, 3, 2.0)], [2.0, 2.0]),
        ("abcd", [(0, 4)], [(1, 2, 2.0), (0, 4, 0.5)], [2.0]),
        ("abcd", [(0, 4)], [(0, 4, 0.5), (1, 2, 2.0)], [0.5]),
        ("a b", [(0, 1), (1, 3)], [(0, 2, 2.0)], [2.0, 0.0]),
        ("a b", [(0, 1), (1, 2), (2, 3)], [(1, 2, 2.0)], [0.0, 2.0, 0.0]),
        ("ab", [(0, 1), (1, 1), (1, 2)], [(1, 2, 2.0)], [0.0, 2.0, 2.0]),
        ("ab", [(0, 2), (2, 2)], [(0, 2, 2.0)], [2.0, 2.0]),
        ("ab", [(0, 1), (0, 1), (1, 2)], [(0, 1, -1.0)], [-1.0, -1.0, 0.0]),
        ("ab", [(0, 2)], [], [0.0]),
        ("ab", [(0, 2)], [(0, 1, 0.0), (0, 2, 1.0)], [0.0]),
        ("", [], [], []),
        ("", [(0, 0)], [], [0.0]),
    ],
    ids=[
        "whole",
        "shared with both",
        "first span in the list wins",
        "whatever its width",
        "white space shared is not enough",
        "white space alone is",
        "no character: as the right neighbour",
        "no character at the end: as the left one",
        "bytes of one character",
        "no span",
        "a weight of nothing is a weight",
        "no text",
        "no character at all",
    ],
)
def test_token_weights(text: str, offsets: Any, spans: Any, weights: list[float]) -> None:
    assert token_weights(text, offsets, spans) == weights
