"""A teacher's name on the command line -> a teacher."""

import re
from collections.abc import Mapping

from editctl import options, registry
from editctl.chat.protocol import OWN_SERVERS, ChatOptions, load_environment, service_address
from editctl.errors import UsageError, near_misses
from editctl.interfaces import Teacher

_TRANSPORTS = {"direct": "openai-server", "litellm": "litellm"}
"""Names of the teachers that reach a model by way of each transport."""
_REWRITTEN = re.compile(r"(^|[/:])(o\d|gpt-[5-9]|gpt-\d\d|codex)")
"""Models of OpenAI's whose requests litellm rewrites: they take other parameters."""
_LITELLM_ONLY = {
    *("additional_drop_params", "allowed_openai_params", "api_version", "base_url", "caching", "custom_llm_provider"),
    *("drop_params", "extra_headers", "fallbacks", "headers", "max_retries", "mock_response", "num_retries"),
    *("organization", "thinking", "timeout"),
}
"""Arguments that are for litellm itself, or that it translates."""


def find_teacher(spec: str, values: Mapping[str, str], *, batch: bool = False) -> Teacher:
    """`oracle`, `recorded:FILE,...`, a plugin, `file.py:Name`, or any litellm model string.

    With `batch`, models go through litellm, which knows the providers' batch services.

    Raises:
        UsageError: an unknown teacher or option (with near misses), or an argument it can't use.
    """
    name, _, argument = spec.partition(":")
    known = registry.names("teachers")
    if name in known and name not in _TRANSPORTS.values():
        return _build(name, argument, values)
    if registry.is_reference(spec):
        return _build(spec, "", values)
    forced = name if name in _TRANSPORTS.values() else None
    model = argument if forced else spec
    if "/" not in model and forced != "openai-server" and not registry.load("teachers", "litellm").knows(model):
        raise UsageError(
            f"unknown teacher {spec!r}; {near_misses(name, known)} "
            "or a model as litellm names it, such as openai/gpt-4o-mini"
        )
    batched = "litellm" if batch and forced is None else forced
    return _build(_transport(model, values, batched), model, values)


def _transport(model: str, values: Mapping[str, str], forced: str | None) -> str:
    """The teacher that reaches a model: directly where that can be done, else through litellm."""
    chosen = options.fill(ChatOptions, values, f"teacher {model}")
    asked = _TRANSPORTS.get(chosen.transport, forced)
    if forced and forced != asked:
        raise UsageError(f"{forced}: and transport={chosen.transport} say different things; leave one out")
    if forced or asked == "litellm":
        return forced or "litellm"
    obstacle = _obstacle(model, chosen)
    if obstacle and asked:
        raise UsageError(f"teacher {model}: transport=direct can't be used: {obstacle}; leave transport at auto")
    return _TRANSPORTS["litellm" if obstacle else "direct"]


def _obstacle(model: str, chosen: ChatOptions) -> str | None:
    """Why calls can't go to a server directly; None where they can."""
    provider, _, name = model.partition("/")
    if provider not in OWN_SERVERS:
        return f"it needs a model of {', '.join(f'{known}/' for known in OWN_SERVERS)}"
    load_environment()
    if service_address(provider, chosen) is None:
        return f"it needs an address: --api-base, or {' or '.join(OWN_SERVERS[provider][0])} in the environment"
    if provider in ("openai", "custom_openai") and _REWRITTEN.search(name):
        return "OpenAI's reasoning models take other parameters, which litellm knows"
    only = sorted(_LITELLM_ONLY & chosen.arguments().keys())
    return f"extra sets {', '.join(only)}, which is for litellm" if only else None


def _build(name: str, argument: str, values: Mapping[str, str]) -> Teacher:
    cls = registry.load("teachers", name)
    teacher: Teacher = cls(argument, options.fill(cls.Options, values, f"teacher {name}"))
    return teacher
