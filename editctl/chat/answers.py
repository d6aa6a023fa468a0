"""Reads the answers of OpenAI's chat protocol, whether they come alone or in a batch. Opens no connection."""

import re
from collections.abc import Mapping
from typing import Any

from editctl.chat.protocol import counts, refusal, told
from editctl.interfaces import Completion, Price, TryAgain

_THOUGHTS = re.compile(r"<(?:think|thinking|budget:thinking)>(.*?)</(?:think|thinking|budget:thinking)>(.*)", re.DOTALL)
"""Reasoning that a server leaves in the text; told apart where litellm tells it apart."""
_CUT = ("length", "max_tokens", "MAX_TOKENS", "compaction")
_FILTERED = ("content_filter", "content_filtered", "sensitive", "refusal", "SAFETY", "guardrail_intervened")


def completion_of(answer: Mapping[str, Any], teacher: str, price: Price | None = None) -> Completion:
    """Read the body of an answer; `teacher` is the name that errors give.

    Raises:
        TryAgain: it holds no answer.
        CallFailed, TeacherError: what an error stands for that came with status 200.
    """
    text, reasoning, finish_reason = _texts(_choice(answer, teacher))
    usage = mapping(answer.get("usage"))
    prompt, written = counts(usage.get("prompt_tokens"), usage.get("completion_tokens"), empty=not (text or reasoning))
    cached = mapping(usage.get("prompt_tokens_details")).get("cached_tokens")
    return Completion(
        text=text,
        reasoning=reasoning,
        finish_reason=finish_reason,
        prompt_tokens=prompt,
        completion_tokens=written,
        usd=_usd(price, prompt, written, cached),
    )


def _usd(price: Price | None, prompt: int | None, written: int | None, cached: Any) -> float | None:
    if price is None or prompt is None or written is None:
        return None
    return price.usd(prompt, written, min(counts(cached, 0, empty=True)[0] or 0, prompt))


def _choice(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The first choice. Raises TryAgain, or what an error stands for that came with status 200."""
    choices = answer.get("choices")
    choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    if isinstance(choice.get("message"), dict):
        return choice
    error = answer.get("error")
    code = mapping(error).get("code")
    if isinstance(code, int) and 400 <= code < 600:
        raise refusal(name, code, words_of(error), {})
    raise TryAgain("broken", f"the answer holds no choice: {told(words_of(error))}".removesuffix(": "))


def _texts(choice: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """Text, hidden reasoning, and why the text ends."""
    message, reason = choice["message"], choice.get("finish_reason")
    text, reasoning = _text(message.get("content")), None
    for field in ("reasoning_content", "reasoning"):
        if field in message:
            reasoning = _text(message[field]) or None
            break
    else:
        if thoughts := _THOUGHTS.match(text):
            reasoning, text = thoughts.groups()
    if reason == "error":
        raise TryAgain("server", "the provider failed in the middle of its answer")
    if reason in _FILTERED or (not text and message.get("refusal")):
        return text, reasoning, "content_filter"
    return text, reasoning, "length" if reason in _CUT else "stop"


def _text(content: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(content, list):
        return "".join(_text(mapping(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""


def words_of(error: Any) -> str:
    """The provider's words in an error of its own, with its codes; empty where it says nothing."""
    if not isinstance(error, dict):
        return "" if error is None else str(error)
    message = error.get("message") or error.get("detail")
    codes = [str(error[key]) for key in ("code", "type") if error.get(key)]
    return f"{message} ({', '.join(codes)})" if message and codes else str(message or ", ".join(codes) or "")


def mapping(value: Any) -> Mapping[str, Any]:
    """An object as it is; an empty one for everything else that JSON can hold."""
    return value if isinstance(value, dict) else {}
