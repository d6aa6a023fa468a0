"""How a student is shown a question. The same functions serve training and asking, so the texts can't drift apart.

Pure strings: prompts are built here, tokens are made in models.py.
"""

from typing import Any, Literal, get_args

from editctl.answers.choices import lettered, listed_options
from editctl.errors import UsageError
from editctl.records import Prompt, Question

Style = Literal["plain", "chat"]


def question_prompt(question: Question, *, prefix: str = "", cue: str = "", forced: str = "") -> Prompt:
    """The prompt P of a question, with what a recipe puts around it.

    `Task Description:\\n{description}\\nQ:{question}\\n\\nA:`, the layout the EDIT and CasCoD authors train on
    (arXiv 2405.19737, prompt table); without the first two lines where a question has no description.
    """
    head = f"Task Description:\n{question.description}\n" if question.description else ""
    return Prompt(user=f"{prefix}{head}Q:{with_options(question)}\n\nA:{cue}", forced=forced)


def with_options(question: Question) -> str:
    """The question text, followed by its options where it does not list them itself."""
    if not question.choices or listed_options(question.choices, question.question):
        return question.question
    options = (f"({label}) {text}" for label, text in lettered(question.choices))
    return "\n".join([question.question, "Options:", *options])


def render(prompt: Prompt, style: Style, tokenizer: Any, gap: bool = True) -> str:
    """The text a student reads, up to the first character it writes itself.

    In chat style the user part goes through the tokenizer's chat template and the forced part opens the
    assistant's turn. `tokenizer` is not looked at in plain style.
    """
    if style == "plain":
        between = lead(prompt.user, prompt.forced, style, gap) if prompt.forced else ""
        return prompt.user + between + prompt.forced
    turns = [{"role": "user", "content": prompt.user}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return str(text) + prompt.forced


def lead(prompt_text: str, target: str, style: Style, gap: bool = True) -> str:
    """What joins prompt and target: a space in plain style, where byte-level tokenizers would merge across the border
    (`A:` + `(D)` becomes `:(`); nothing after white space or inside a chat template, nor without `gap`, as the
    published strings have it."""
    touching = bool(prompt_text) and not prompt_text[-1].isspace() and not target[:1].isspace()
    return " " if gap and style == "plain" and touching else ""


def choose_style(wanted: str, has_template: bool, encoder_decoder: bool = False) -> Style:
    """`auto` is chat where the tokenizer has a chat template and the student is no encoder-decoder.

    Raises:
        UsageError: an unknown style, or chat where there is no template or no use for it.
    """
    if wanted not in ("auto", *get_args(Style)):
        raise UsageError(f"prompt style {wanted!r} is unknown; use auto, plain or chat")
    if wanted == "chat" and not has_template:
        raise UsageError("prompt style chat: the student's tokenizer has no chat template; use plain")
    if wanted == "chat" and encoder_decoder:
        raise UsageError("prompt style chat: an encoder-decoder student takes no turns; use plain")
    return "plain" if wanted == "plain" or not has_template or encoder_decoder else "chat"
