"""Any model litellm can reach: hosted providers, and servers of one's own through `--api-base`."""

import asyncio
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from editctl.chat.batches import BatchService
from editctl.chat.protocol import (
    OWN_SERVERS,
    ChatOptions,
    counts,
    identity,
    load_environment,
    parameters,
    refusal,
    service_address,
    told,
    without_login,
)
from editctl.errors import EditctlError, UsageError
from editctl.interfaces import BatchState, Completion, Price, Request, TeacherError, TryAgain
from editctl.prices import find_price

_MARKING = ("azure_ai", "bedrock", "bedrock_converse", "databricks", "openrouter", "vertex_ai", "vertex_ai_beta")
"""Providers that also sell Anthropic's models and pass its cache marks on. Others would refuse or ignore them."""
_UNREADABLE = ("Invalid response object", "Unable to get json response", "Empty or invalid response", "'choices'")
"""Litellm's words for an answer that came with status 200 and is no completion."""
_PREFIXES = re.compile(r"\A(?:(?:litellm\.)?\w+(?:Error|Exception)(?:: | - ))+")
"""What litellm puts before a provider's own words."""
_MARK = {"type": "ephemeral"}


class LitellmTeacher:
    """One model of one provider, asked concurrently."""

    offline = False
    Options = ChatOptions

    def __init__(self, argument: str, options: ChatOptions) -> None:
        """`argument` is the model as litellm names it.

        Raises:
            UsageError: an unknown provider, or no key for it.
        """
        self.name = argument
        self.options = options
        self._litellm = _import_litellm()
        self._provider = self._find_provider()
        self._address = service_address(self._provider, options)
        self._arguments = self._key()
        self._marks = needs_marks(self._provider, argument)
        self.price: Price | None = find_price(argument, writes_cache=self._marks)

    @classmethod
    def knows(cls, model: str) -> bool:
        """True where litellm can tell the provider from the model's bare name."""
        litellm = _import_litellm()
        try:
            litellm.get_llm_provider(model)
        except litellm.exceptions.BadRequestError:
            return False
        return True

    def identity(self, request: Request) -> Mapping[str, Any]:
        """Address or provider, model and all parameters sent."""
        return identity(self.name, request, self.options, self._address or self._provider)

    def _find_provider(self) -> str:
        try:
            _, provider, _, _ = self._litellm.get_llm_provider(self.name, api_base=self.options.api_base)
        except self._litellm.exceptions.BadRequestError as error:
            raise UsageError(
                f"teacher {self.name}: litellm knows no such provider; names look like openai/gpt-4o-mini"
            ) from error
        return str(provider)

    def _key(self) -> dict[str, str]:
        """The arguments that stand in for a key where none is needed."""
        missing = self._litellm.validate_environment(self.name)["missing_keys"]
        # Amazon's keys may also come from a profile or a role, which only its own client can tell.
        missing = [key for key in missing if key.endswith(("KEY", "TOKEN")) and not key.startswith("AWS_")]
        if missing and (self.options.api_base or (self._address and self._provider in OWN_SERVERS)):
            # Servers of one's own need no key, but their clients insist on one.
            return {"api_key": "not-needed"}
        if missing:
            raise UsageError(f"teacher {self.name}: no key; set {' or '.join(missing)} in the environment")
        return {}

    async def complete(self, request: Request) -> Completion:
        """Ask once.

        Raises:
            TryAgain: the same call may succeed a little later.
            CallFailed: this call can't be answered.
            TeacherError: no call can.
        """
        arguments = {
            "timeout": self.options.timeout,
            "api_base": self.options.api_base,
            "max_retries": 0,
            # Providers differ in what they take; what one can't take is left out rather than refused.
            "drop_params": True,
            **parameters(request, self.options),
            **self._arguments,
        }
        messages = marked(request) if self._marks else [dict(message) for message in request.messages]
        try:
            # litellm's own limit is one on silence: a server that sends a byte now and then would never meet it.
            async with asyncio.timeout(self.options.timeout):
                response = await self._litellm.acompletion(model=self.name, messages=messages, **arguments)
        except (self._litellm.exceptions.openai.OpenAIError, TimeoutError) as error:
            # Without its cause: a traceback (--debug) would print the provider's raw words, and keys in them.
            raise self._explain(error) from None
        return self._completion(response)

    @cached_property
    def _batches(self) -> BatchService:
        """Raises UsageError for a provider whose batches can't be used."""
        return BatchService(
            self._litellm,
            self.name,
            api_base=self._address,
            body=lambda request: parameters(request, self.options),
            arguments=self._arguments,
            timeout=self.options.timeout,
        )

    @property
    def batch_limit(self) -> int:
        """Most requests in a batch. Raises UsageError for a provider whose batches can't be used."""
        return self._batches.batch_limit

    @property
    def batch_price(self) -> Price | None:
        """What tokens cost in a batch."""
        return find_price(self.name, batch=True, writes_cache=self._marks)

    async def send_batch(self, requests: Mapping[str, Request], label: str) -> str:
        """The provider's id of what was handed in. Raises as `complete` does."""
        return await self._batches.send_batch(requests, label)

    async def find_batch(self, label: str) -> str | None:
        """The id of a batch that was handed in under a label."""
        return await self._batches.find_batch(label)

    async def look_at_batch(self, identifier: str) -> BatchState:
        """How far a batch is, and its answers once it has ended."""
        return await self._batches.look_at_batch(identifier)

    def _completion(self, response: Any) -> Completion:
        if not response.choices or response.choices[0].message is None:
            raise TryAgain("broken", "the answer holds no choice")
        choice, usage = response.choices[0], getattr(response, "usage", None)
        text, reasoning = choice.message.content or "", getattr(choice.message, "reasoning_content", None) or None
        prompt, written = counts(
            getattr(usage, "prompt_tokens", None),
            getattr(usage, "completion_tokens", None),
            empty=not (text or reasoning),
        )
        apart = getattr(choice.message, "provider_specific_fields", None) or {}
        refused = not text and apart.get("refusal")
        return Completion(
            text=text,
            reasoning=reasoning,
            finish_reason="content_filter" if refused else choice.finish_reason or "stop",
            prompt_tokens=prompt,
            completion_tokens=written,
            usd=self._usd(prompt, written, response._hidden_params.get("response_cost")),
        )

    def _usd(self, prompt: int | None, written: int | None, cost: float | None) -> float | None:
        """litellm's figure, which counts cached tokens; it is 0 both for what is free and for what it knows not."""
        if prompt is None or written is None:
            return None
        if cost:
            return float(cost)
        return None if self.price is None else self.price.usd(prompt, written)

    def _explain(self, error: Exception) -> EditctlError:
        causes = list(_causes(error))
        lost = self._lost(causes)
        if lost is not None:
            return lost
        if isinstance(error, self._litellm.exceptions.LiteLLMUnknownProvider) or any(
            isinstance(cause, ModuleNotFoundError) for cause in causes
        ):
            return TeacherError(f"teacher {self.name}: litellm can't ask this provider here: {told(error)}")
        status, headers = _response(causes)
        if status is None and self._is_unreadable(error, causes):
            return TryAgain("broken", f"the answer can't be read: {told(error)}")
        status = status or getattr(error, "status_code", None) or 500
        words = _PREFIXES.sub("", str(error))
        return refusal(self.name, status, f"{words} {getattr(error, 'body', None) or ''}", headers)

    def _lost(self, causes: list[BaseException]) -> TryAgain | None:
        """A connection that was not made, or was lost, or went silent: litellm reports them all as server errors."""
        import aiohttp
        import httpx

        def among(*kinds: type[BaseException]) -> bool:
            return any(isinstance(cause, kinds) for cause in causes)

        words = told(causes[0])
        reset = (ConnectionResetError, BrokenPipeError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError)
        never = (aiohttp.ClientConnectorError, ConnectionRefusedError, httpx.ConnectTimeout, httpx.ProxyError)
        if among(*never) or (among(httpx.ConnectError) and not among(*reset)):
            place = without_login(self._address) if self._address else "the provider"
            return TryAgain("unreachable", f"can't connect to {place}: {words}")
        if among(TimeoutError, httpx.TimeoutException):
            return TryAgain("timeout", f"no answer within {self.options.timeout:g} seconds")
        if among(aiohttp.ClientResponseError, httpx.DecodingError):
            return TryAgain("broken", f"the answer is no HTTP: {words}")
        if among(*reset, httpx.TransportError, aiohttp.ClientError):
            return TryAgain("connection", f"the connection was lost: {words}")
        return None

    def _is_unreadable(self, error: Exception, causes: list[BaseException]) -> bool:
        return (
            isinstance(error, self._litellm.exceptions.APIConnectionError)
            or any(isinstance(cause, ValueError) and "json" in type(cause).__module__ for cause in causes)
            or any(words in str(error) for words in _UNREADABLE)
            or getattr(error, "status_code", None) == 200
        )

    async def close(self) -> None:
        """Close the connections litellm keeps."""
        await self._litellm.close_litellm_async_clients()


def needs_marks(provider: str, model: str) -> bool:
    """Whether prompts must say what the provider shall keep in its cache; others keep all by themselves."""
    return provider == "anthropic" or (provider in _MARKING and "claude" in model.lower())


def marked(request: Request) -> list[dict[str, Any]]:
    """The messages, with marks behind the system turn and behind what all questions of a task share.

    The texts stay as they are: blocks of a turn joined are the turn.
    """
    turns: list[dict[str, Any]] = [dict(message) for message in request.messages]
    for turn in turns:
        if turn["role"] == "system":
            turn["content"] = _blocks(turn["content"], len(turn["content"]))
    if turns and turns[-1]["role"] == "user":
        turns[-1]["content"] = _blocks(turns[-1]["content"], request.fixed)
    return turns


def _blocks(content: str, fixed: int) -> Any:
    """A text cut in two, the first part marked; blocks of nothing but white space are refused, so there are none."""
    first, rest = content[:fixed], content[fixed:]
    if not first.strip():
        return content
    if not rest.strip():
        return [{"type": "text", "text": content, "cache_control": _MARK}]
    return [{"type": "text", "text": first, "cache_control": _MARK}, {"type": "text", "text": rest}]


def _import_litellm() -> Any:
    load_environment()
    # Without this litellm fetches a price file from the network while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True  # else it prints to stdout, which is for data
    litellm.telemetry = False
    if "LITELLM_LOG" not in os.environ:
        logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    # Its own types are written in a way that some versions of pydantic remark on.
    warnings.filterwarnings("ignore", r"Item '\w+' on TypedDict class", UserWarning)
    warnings.filterwarnings("ignore", r"Pydantic serializer warnings", UserWarning)
    # A call that is cancelled in its first moment leaves a coroutine of litellm's behind.
    warnings.filterwarnings("ignore", r"coroutine '[\w.]*acompletion' was never awaited", RuntimeWarning)
    return litellm


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _response(causes: list[BaseException]) -> tuple[int | None, Mapping[str, str]]:
    """Status and headers as they came, where the response is known: litellm renames some statuses."""
    import httpx

    for cause in causes:
        if isinstance(cause, httpx.HTTPStatusError):
            return cause.response.status_code, cause.response.headers
    headers = getattr(causes[0], "litellm_response_headers", None) or {}
    return None, {str(name).lower(): str(value) for name, value in dict(headers).items()}
