"""Any model litellm can reach: hosted providers, and servers of one's own through `--api-base`."""

import asyncio
import json
import logging
import os
import warnings
from dataclasses import dataclass
from typing import Any

from editctl.errors import EditctlError, UsageError
from editctl.interfaces import CallFailed, Completion, Request
from editctl.options import option

_FIXED = ("api_key", "messages", "model", "n", "stream")
"""Arguments that `extra` may not set: a key would be stored with the run's options, the others break the reading."""

_NO_CREDIT = "insufficient_quota"
_REFUSALS = ("content_policy_violation", "ContentPolicyViolationError", "input was flagged")


@dataclass(frozen=True)
class LitellmOptions:
    """Options of a litellm teacher."""

    api_base: str | None = option(None, "address of an OpenAI-compatible server")
    timeout: float = option(120.0, "seconds before a call is given up and tried again")
    retries: int = option(4, "further tries of a call after rate limits, timeouts and server errors")
    longest_wait: float = option(30.0, "longest pause between two tries, in seconds")
    top_p: float | None = option(None, "nucleus sampling; none leaves it to the provider")
    extra: str = option("{}", 'more litellm arguments as a JSON object, such as {"reasoning_effort": "low"}')

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.retries < 0 or self.longest_wait < 0:
            raise ValueError("timeout must be above 0, retries and longest-wait at least 0")
        for key in _object(self.extra):
            if key in _FIXED:
                raise ValueError(f"extra can't set {key}; keys go in the environment, the model into -t")


class TeacherError(EditctlError):
    """The provider will refuse every call: a wrong key, an unknown model, no credit."""


class LitellmTeacher:
    """One model of one provider, asked concurrently, with retries and timeouts."""

    offline = False
    Options = LitellmOptions

    def __init__(self, argument: str, options: LitellmOptions) -> None:
        """`argument` is the model as litellm names it.

        Raises:
            UsageError: an unknown provider, or no key for it.
        """
        self.name = argument
        self.options = options
        self._litellm = _import_litellm()
        self._arguments = {**_object(options.extra), **self._key()}
        self._reached = False

    @classmethod
    def knows(cls, model: str) -> bool:
        """True where litellm can tell the provider from the model's bare name."""
        litellm = _import_litellm()
        try:
            litellm.get_llm_provider(model)
        except litellm.exceptions.BadRequestError:
            return False
        return True

    def _key(self) -> dict[str, str]:
        """The arguments that stand in for a key where none is needed."""
        try:
            self._litellm.get_llm_provider(self.name, api_base=self.options.api_base)
        except self._litellm.exceptions.BadRequestError as error:
            raise UsageError(
                f"teacher {self.name}: litellm knows no such provider; names look like openai/gpt-4o-mini"
            ) from error
        missing = self._litellm.validate_environment(self.name)["missing_keys"]
        # Amazon's keys may also come from a profile or a role, which only its own client can tell.
        missing = [key for key in missing if key.endswith(("KEY", "TOKEN")) and not key.startswith("AWS_")]
        if missing and self.options.api_base:
            # Servers of one's own need no key, but their clients insist on one.
            return {"api_key": "not-needed"}
        if missing:
            raise UsageError(f"teacher {self.name}: no key; set {' or '.join(missing)} in the environment")
        return {}

    async def complete(self, request: Request) -> Completion:
        """Ask, and ask again where that can help.

        Raises:
            CallFailed: this call can't be answered.
            TeacherError: no call can.
        """
        import tenacity

        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            stop=tenacity.stop_after_attempt(self.options.retries + 1),
            wait=self._pause,
            reraise=True,
        )
        try:
            response: Any = await attempts(self._call, request)
        except (self._litellm.exceptions.openai.OpenAIError, TimeoutError) as error:
            raise self._explain(error) from error
        self._reached = True
        return _completion(response)

    async def _call(self, request: Request) -> Any:
        arguments = {
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed + request.sample,
            "timeout": self.options.timeout,
            "api_base": self.options.api_base,
            "max_retries": 0,
            # Providers differ in what they take; what one can't take is left out rather than refused.
            "drop_params": True,
        }
        if self.options.top_p is not None:
            arguments["top_p"] = self.options.top_p
        messages = [dict(message) for message in request.messages]
        # litellm's own limit is one on silence: a server that sends a byte now and then would never meet it.
        async with asyncio.timeout(self.options.timeout):
            return await self._litellm.acompletion(
                model=self.name, messages=messages, **{**arguments, **self._arguments}
            )

    def _may_pass(self, error: BaseException) -> bool:
        """Whether the same call may succeed a little later."""
        kinds = self._litellm.exceptions
        passing = (
            kinds.RateLimitError,
            kinds.InternalServerError,
            kinds.ServiceUnavailableError,
            kinds.BadGatewayError,
            kinds.Timeout,
            kinds.APIConnectionError,
            TimeoutError,
        )
        return isinstance(error, passing) and not _says(error, _NO_CREDIT)

    def _pause(self, state: Any) -> float:
        """Seconds before the next try: random and growing, not less than the provider asks for."""
        import tenacity

        grown = tenacity.wait_random_exponential(multiplier=0.5, max=self.options.longest_wait)(state)
        headers = getattr(state.outcome.exception(), "litellm_response_headers", None) or {}
        return float(min(max(grown, _seconds(headers.get("retry-after"))), self.options.longest_wait))

    def _explain(self, error: Exception) -> EditctlError:
        kinds, status = self._litellm.exceptions, getattr(error, "status_code", None)
        text = _without_keys(" ".join(str(error).split()))[:300]
        if _no_connection(error):
            return self._unreachable(text)
        self._reached = True
        if _says(error, *_REFUSALS):
            return CallFailed("refusal", text)
        if status in (401, 402, 403) or _says(error, _NO_CREDIT):
            return TeacherError(
                f"teacher {self.name}: the provider refuses the key or the account; check the key in the environment, "
                f"its rights and its credit: {text}"
            )
        if status == 404:
            return TeacherError(
                f"teacher {self.name}: the provider knows no such model or address; check -t and --api-base: {text}"
            )
        if isinstance(error, kinds.ContextWindowExceededError):
            return CallFailed("context-window", text)
        return CallFailed("provider-error", text or "no answer in time")

    def _unreachable(self, text: str) -> EditctlError:
        """A lost connection is one call's misfortune; one that never stood is a wrong address."""
        if self._reached:
            return CallFailed("provider-error", text)
        place = self.options.api_base or "the provider"
        return TeacherError(
            f"teacher {self.name}: can't connect to {place}; check that the server runs, and --api-base: {text}"
        )

    async def close(self) -> None:
        """Close the connections litellm keeps."""
        await self._litellm.close_litellm_async_clients()


def _import_litellm() -> Any:
    from dotenv import load_dotenv

    load_dotenv(".env")
    # Without this litellm fetches a price file from the network while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True  # else it prints to stdout, which is for data
    litellm.telemetry = False
    if "LITELLM_LOG" not in os.environ:
        logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    # Its own types are written in a way that some versions of pydantic remark on.
    warnings.filterwarnings("ignore", r"Item '\w+' on TypedDict class", UserWarning)
    # A call that is cancelled in its first moment leaves a coroutine of litellm's behind.
    warnings.filterwarnings("ignore", r"coroutine '[\w.]*acompletion' was never awaited", RuntimeWarning)
    return litellm


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"extra is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("extra must be a JSON object")
    return value


def _completion(response: Any) -> Completion:
    """Raises CallFailed for an answer that holds none."""
    if not response.choices or response.choices[0].message is None:
        raise CallFailed("provider-error", "the answer holds no choice")
    choice = response.choices[0]
    usage = getattr(response, "usage", None)
    return Completion(
        text=choice.message.content or "",
        reasoning=getattr(choice.message, "reasoning_content", None),
        finish_reason=choice.finish_reason or "stop",
        prompt_tokens=getattr(usage, "prompt_tokens", None),
        completion_tokens=getattr(usage, "completion_tokens", None),
        usd=response._hidden_params.get("response_cost") or None,
    )


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After header asks for; 0 for none, and for a date."""
    try:
        return float(retry_after or 0)
    except ValueError:
        return 0.0


def _says(error: BaseException, *words: str) -> bool:
    """Whether the message or the provider's own body holds one of these words: litellm's kinds don't tell all apart."""
    text = f"{error} {getattr(error, 'body', '')}"
    return any(word in text for word in words)


def _no_connection(error: BaseException) -> bool:
    """True where no connection was made at all: litellm reports that as a server error."""
    import httpx

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.ConnectError | ConnectionRefusedError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _without_keys(text: str) -> str:
    """Some servers repeat the key they refuse."""
    for name, value in os.environ.items():
        if name.upper().endswith(("KEY", "TOKEN", "SECRET")) and len(value) >= 8:
            text = text.replace(value, "(secret)")
    return text
