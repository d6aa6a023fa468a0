"""Any model litellm can reach: hosted providers, and servers of one's own through `--api-base`."""

import json
import os
from dataclasses import dataclass
from typing import Any

from editctl.errors import EditctlError, UsageError
from editctl.interfaces import CallFailed, Completion, Request
from editctl.options import option


@dataclass(frozen=True)
class LitellmOptions:
    """Options of a litellm teacher."""

    api_base: str | None = option(None, "address of an OpenAI-compatible server")
    timeout: float = option(120.0, "seconds before a call is given up and tried again")
    retries: int = option(4, "further tries of a call after rate limits, timeouts and server errors")
    longest_wait: float = option(30.0, "longest pause between two tries, in seconds")
    top_p: float = option(1.0, "nucleus sampling")
    extra: str = option("{}", 'more litellm arguments as a JSON object, such as {"reasoning_effort": "low"}')

    def __post_init__(self) -> None:
        if self.timeout <= 0 or self.retries < 0:
            raise ValueError("timeout must be above 0 and retries at least 0")
        if not isinstance(json.loads(self.extra), dict):
            raise ValueError("extra must be a JSON object")


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
        self.extra: dict[str, Any] = json.loads(options.extra)
        self._litellm = _import_litellm()
        self._check_model()

    @classmethod
    def knows(cls, model: str) -> bool:
        """True where litellm can tell the provider from the model's bare name."""
        litellm = _import_litellm()
        try:
            litellm.get_llm_provider(model)
        except litellm.exceptions.BadRequestError:
            return False
        return True

    def _check_model(self) -> None:
        litellm = self._litellm
        try:
            litellm.get_llm_provider(self.name, api_base=self.options.api_base)
        except litellm.exceptions.BadRequestError as error:
            raise UsageError(
                f"teacher {self.name}: litellm knows no such provider; names look like openai/gpt-4o-mini"
            ) from error
        if self.options.api_base:
            # Servers of one's own need no key, but their clients insist on one.
            self.extra.setdefault("api_key", os.environ.get("OPENAI_API_KEY") or "not-needed")
            return
        missing = [
            key for key in litellm.validate_environment(self.name)["missing_keys"] if key.endswith(("KEY", "TOKEN"))
        ]
        if missing and "api_key" not in self.extra:
            raise UsageError(f"teacher {self.name}: no key; set {' and '.join(missing)} in the environment")

    async def complete(self, request: Request) -> Completion:
        """Ask, and ask again where that can help.

        Raises:
            CallFailed: this call can't be answered.
            TeacherError: no call can.
        """
        import tenacity

        litellm = self._litellm
        passing = (
            litellm.exceptions.RateLimitError,
            litellm.exceptions.InternalServerError,
            litellm.exceptions.ServiceUnavailableError,
            litellm.exceptions.BadGatewayError,
            litellm.exceptions.Timeout,
            litellm.exceptions.APIConnectionError,
        )
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(passing),
            stop=tenacity.stop_after_attempt(self.options.retries + 1),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self.options.longest_wait),
            reraise=True,
        )
        try:
            response = await attempts(self._call, request)
        except litellm.exceptions.OpenAIError as error:
            raise self._explain(error) from error
        return _completion(response)

    async def _call(self, request: Request) -> Any:
        return await self._litellm.acompletion(
            model=self.name,
            messages=[dict(message) for message in request.messages],
            temperature=request.temperature,
            top_p=self.options.top_p,
            max_tokens=request.max_tokens,
            timeout=self.options.timeout,
            api_base=self.options.api_base,
            # Providers differ in what they take; what one can't take is left out rather than refused.
            drop_params=True,
            max_retries=0,
            **self.extra,
        )

    def _explain(self, error: Exception) -> EditctlError:
        kinds = self._litellm.exceptions
        text = " ".join(str(error).split())[:300]
        if isinstance(error, kinds.AuthenticationError | kinds.PermissionDeniedError | kinds.PaymentRequiredError):
            return TeacherError(f"teacher {self.name}: the provider refuses the key or the account: {text}")
        if isinstance(error, kinds.NotFoundError):
            return TeacherError(f"teacher {self.name}: the provider has no such model: {text}")
        if isinstance(error, kinds.ContentPolicyViolationError):
            return CallFailed("refusal", text)
        if isinstance(error, kinds.ContextWindowExceededError):
            return CallFailed("context-window", text)
        return CallFailed("provider-error", text)

    async def close(self) -> None:
        """Close the connections litellm keeps."""
        await self._litellm.close_litellm_async_clients()


def _import_litellm() -> Any:
    # Without this litellm fetches a price file from the network while it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True  # else it prints to stdout, which is for data
    litellm.telemetry = False
    return litellm


def _completion(response: Any) -> Completion:
    choice = response.choices[0]
    usage = getattr(response, "usage", None)
    return Completion(
        text=choice.message.content or "",
        reasoning=getattr(choice.message, "reasoning_content", None),
        finish_reason=choice.finish_reason or "stop",
        prompt_tokens=getattr(usage, "prompt_tokens", None),
        completion_tokens=getattr(usage, "completion_tokens", None),
        usd=response._hidden_params.get("response_cost"),
    )
