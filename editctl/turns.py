"""Chat turns -> what a model reads. Knows tokenizers as objects that are handed in; loads none."""

from collections.abc import Sequence

from editctl.errors import UsageError
from editctl.interfaces import Message
from editctl.records import Prompt
from editctl.tokens import Codec

_STAND_IN = "EDITCTLTURN{}END"
"""Stands for a turn's text while a chat template is cut into its parts."""


def turn_ids(codec: Codec, turns: Sequence[Message]) -> tuple[int, ...]:
    """Ids of some turns, up to where the model begins to write: through its chat template in chat style, else the texts
    alone, a blank line between them. Special tokens spelled out in a text stay plain text.

    Raises:
        UsageError: a chat template that can't say these turns.
    """
    if codec.style == "plain":
        return codec.prompt(Prompt(user="\n\n".join(turn["content"] for turn in turns)))
    if not any(special in turn["content"] for special in codec.special for turn in turns):
        return _ids(codec, _templated(codec, turns), special=True)
    names = [_STAND_IN.format(number) for number in range(len(turns))]
    named = list(zip(turns, names, strict=True))
    text = _templated(codec, [Message(role=turn["role"], content=name) for turn, name in named])
    ids: list[int] = []
    for turn, name in named:
        head, found, text = text.partition(name)
        if not found:
            raise UsageError(f"the chat template of {codec.tokenizer.name_or_path} leaves the {turn['role']} turn out")
        ids += [*_ids(codec, head, special=True), *_ids(codec, turn["content"], special=False)]
    return (*ids, *_ids(codec, text, special=True))


def _templated(codec: Codec, turns: Sequence[Message]) -> str:
    """Turns through the chat template. Where it takes no system turn, that text opens the user's."""
    import jinja2

    try:
        return _rendered(codec, turns)
    except jinja2.TemplateError as error:
        if len(turns) < 2 or turns[0]["role"] != "system":
            raise UsageError(f"the chat template of {codec.tokenizer.name_or_path} fails: {error}") from error
    joint = Message(role="user", content=f"{turns[0]['content']}\n\n{turns[1]['content']}")
    return _templated(codec, [joint, *turns[2:]])


def _rendered(codec: Codec, turns: Sequence[Message]) -> str:
    return str(codec.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True))


def _ids(codec: Codec, text: str, *, special: bool) -> tuple[int, ...]:
    encoded = codec.tokenizer(text, add_special_tokens=False, split_special_tokens=not special, verbose=False)
    return tuple(encoded["input_ids"])
