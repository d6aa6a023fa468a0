"""What teachers behind a chat service share: options, the address, what a call's answer depends on, and what it means
when the service refuses. Knows no client and opens no connection."""

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from editctl.errors import EditctlError
from editctl.interfaces import CallFailed, Request, TeacherError, TryAgain
from editctl.options import option
from editctl.progress import clean

OWN_SERVERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), "OPENAI_API_KEY"),
    "custom_openai": (("OPENAI_BASE_URL", "OPENAI_API_BASE"), "OPENAI_API_KEY"),
    "hosted_vllm": (("HOSTED_VLLM_API_BASE",), "HOSTED_VLLM_API_KEY"),
    "openai_like": (("OPENAI_LIKE_API_BASE",), "OPENAI_LIKE_API_KEY"),
    "lm_studio": (("LM_STUDIO_API_BASE",), "LM_STUDIO_API_KEY"),
    "llamafile": (("LLAMAFILE_API_BASE",), "LLAMAFILE_API_KEY"),
}
"""Providers that speak OpenAI's chat protocol, wherever they stand: variables with the address, one with the key."""

_FIXED = ("messages", "model", "n", "stream")
"""Arguments that `extra` may not set: they break the reading."""
_KEYS = (
    "api_key",
    "authorization",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "azure_ad_token",
    "vertex_credentials",
    "x-api-key",
)
"""Nor these, at any depth: they would be stored with the run's options."""

_REFUSALS = (
    "content_policy_violation",
    "ContentPolicyViolationError",
    "content management policy",
    "input was flagged",
    "Content Exists Risk",
    "data_inspection_failed",
)
_NO_CREDIT = ("insufficient_quota", "credit balance is too low", "API key not valid")
_TOO_LONG = (
    "context_length_exceeded",
    "ContextWindowExceededError",
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
)
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS")
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class ChatOptions:
    """Options of a teacher behind a chat service."""

    api_base: str | None = option(None, "address of an OpenAI-compatible server")
    timeout: float = option(120.0, "seconds before a call is given up")
    top_p: float | None = option(None, "nucleus sampling; none leaves it to the provider")
    extra: str = option("{}", 'more arguments as a JSON object, such as {"reasoning_effort": "low"}')
    transport: Literal["auto", "direct", "litellm"] = option(
        "auto", "how calls travel: direct is quick and needs an OpenAI-compatible server, litellm reaches all"
    )

    def __post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise ValueError("timeout must be above 0, and finite")
        if self.api_base is not None and not is_address(self.api_base):
            raise ValueError(f"api-base {without_login(self.api_base)!r} is no address like http://localhost:8000/v1")
        if self.api_base is not None and "@" in urlsplit(self.api_base).netloc:
            raise ValueError("api-base holds a login, which would be stored; set OPENAI_API_BASE in the environment")
        _check_extra(self.arguments())
        if not isinstance(self.arguments().get("extra_body", {}), dict):
            raise ValueError("extra_body must be a JSON object")

    def arguments(self) -> dict[str, Any]:
        """The further arguments. Raises ValueError for what is no JSON object."""
        try:
            value = json.loads(self.extra)
        except ValueError as error:
            raise ValueError(f"extra is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise ValueError("extra must be a JSON object")
        return value


def _check_extra(value: Any) -> None:
    for key, inner in value.items():
        if key in _FIXED or key.lower() in _KEYS:
            raise ValueError(f"extra can't set {clean(key)}; keys go in the environment, the model into -t")
        if isinstance(inner, dict):
            _check_extra(inner)


def load_environment() -> None:
    """Take variables from the file .env of this folder; what is set already stays."""
    from dotenv import load_dotenv

    load_dotenv(".env")


def service_address(provider: str, options: ChatOptions) -> str | None:
    """Where calls go, where option or environment says so; without a slash at its end."""
    name = provider.upper()
    variables = OWN_SERVERS[provider][0] if provider in OWN_SERVERS else (f"{name}_BASE_URL", f"{name}_API_BASE")
    address = options.api_base or next(filter(None, map(os.environ.get, variables)), None)
    return address.strip().rstrip("/") if address else None


def is_address(text: str) -> bool:
    """True for an http or https address with a host."""
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def without_login(address: str) -> str:
    """An address as it may be shown and stored: without user name, password and query."""
    scheme, sign, rest = address.partition("://")
    host, slash, path = (rest if sign else scheme).partition("/")
    shown = host.rpartition("@")[2] + slash + path.partition("?")[0]
    return scheme + sign + shown if sign else shown


def parameters(request: Request, options: ChatOptions) -> dict[str, Any]:
    """What is sent with a call beside model and messages."""
    sent: dict[str, Any] = {
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        # Samples of one question must differ even where the provider heeds the seed.
        "seed": request.seed + request.sample,
    }
    if options.top_p is not None:
        sent["top_p"] = options.top_p
    return sent | options.arguments()


def identity(model: str, request: Request, options: ChatOptions, address: str) -> dict[str, Any]:
    """What a completion depends on, the same for every transport."""
    return {"address": without_login(address), "model": model, "parameters": parameters(request, options)}


def counts(prompt: Any, completion: Any, *, empty: bool) -> tuple[int | None, int | None]:
    """Tokens as the provider counts them; None for counts that can't be true.

    Args:
        empty: nothing was answered, so that 0 tokens are likely enough.
    """
    if not _is_count(prompt) or prompt == 0:
        return None, None
    if not _is_count(completion):
        return prompt, 0 if empty else None
    return prompt, completion if completion or empty else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def told(text: object) -> str:
    """A provider's words as they may be shown: on one line, harmless, short, without secrets and without code."""
    words = without_secrets(" ".join(str(text).partition("Traceback (most recent call last)")[0].split()))
    return clean(words)[:_LONGEST_TEXT]


def without_secrets(text: str) -> str:
    """Some servers repeat the key they refuse; some clients the address with the login in it."""
    text = _LOGIN.sub("", text)
    secrets = (value for name, value in os.environ.items() if name.upper().endswith(_SECRET_NAMES) and len(value) >= 8)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "(secret)")
    return text


def refusal(name: str, status: int, text: str, headers: Mapping[str, str]) -> EditctlError:
    """What a refused call means for the caller.

    Args:
        name: the teacher's name.
        status: of the HTTP response.
        text: the provider's words, raw, with its own error code where there is one.
        headers: of the response, by names in small letters.
    """
    words = told(text) or f"status {status}"
    if 400 <= status < 500 and _says(text, _REFUSALS):
        return CallFailed("refusal", words, answered=True)
    if status in (401, 402, 403) or (400 <= status < 500 and _says(text, _NO_CREDIT)):
        return TeacherError(
            f"teacher {name}: the provider refuses the key or the account; check the key in the environment, "
            f"its rights and its credit: {words}"
        )
    if status == 404:
        return TeacherError(
            f"teacher {name}: the provider knows no such model or address; check -t and --api-base: {words}"
        )
    if status in (400, 413, 422) and _says(text, _TOO_LONG):
        return CallFailed("context-window", words, answered=True)
    return _passing(status, words, headers) or CallFailed("provider-error", words)


def _passing(status: int, words: str, headers: Mapping[str, str]) -> TryAgain | None:
    wait = seconds_to_wait(headers)
    if status == 429:
        return TryAgain("rate-limit", words, wait=wait)
    if status in (408, 504):  # somebody on the way gave up; the model may have answered, and be paid for it
        return TryAgain("timeout", words, wait=wait)
    return TryAgain("server", words, wait=wait) if status >= 500 else None


def _says(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for, in seconds or as a date; None where it asks for nothing readable."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, headers.get("date", ""))
    return seconds if 0 <= seconds < float("inf") else None


def _seconds_until(date: str, today: str) -> float | None:
    """From the provider's own clock, where it tells the time: ours may be wrong."""
    then = _timestamp(date)
    if then is None:
        return None
    now = _timestamp(today)
    return max(0.0, then - (time.time() if now is None else now))


def _timestamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
