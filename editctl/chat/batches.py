"""Many calls handed in at once: the batch endpoints of OpenAI and of those who copy them, through litellm."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from editctl.chat.batch_results import Result, read_result
from editctl.chat.protocol import OWN_SERVERS, refusal, told, without_login
from editctl.errors import EditctlError, UsageError
from editctl.interfaces import BatchState, CallFailed, Completion, Request, TeacherError, TryAgain

PROVIDERS = ("azure", "hosted_vllm", "litellm_proxy", "openai")
"""Those whose batches litellm hands in, lists with their labels, and reads. Batches of xai and mistral it can't label
or list, so that one could not be found again; the others speak formats of their own."""

_ENDPOINT = "/v1/chat/completions"
_ENDED = ("completed", "expired", "cancelled", "failed")
_TRAVEL = "api_base api_key drop_params extra_headers max_retries num_retries stream timeout"
_NOT_SENT = frozenset((*_TRAVEL.split(), "extra_body", "messages", "model"))
"""Arguments that say how a call travels, or that are put into the body apart."""
_NO_ENDPOINT = (404, 405, 501)
_LABEL = "editctl"
_LONGEST_NAME = 64
_PAGE = 100
_MAPPED = 256
"""Different parameters that are kept in mind."""


class BatchService:
    """Hands in batches of one model of one provider, finds them again and reads them."""

    batch_limit = 50_000
    """Most requests in a batch."""
    byte_limit = 100_000_000
    """Most bytes in a batch: what OpenAI and Azure have taken from the first; both take more by now."""

    def __init__(
        self,
        litellm: Any,
        model: str,
        *,
        api_base: str | None,
        body: Callable[[Request], Mapping[str, Any]],
        arguments: Mapping[str, Any] | None = None,
        timeout: float = 120.0,
    ) -> None:
        """Nothing is sent yet.

        Args:
            litellm: the module, imported and set up.
            model: as litellm names it.
            api_base: address of the provider; None is its own.
            body: litellm's arguments for a request, without the messages.
            arguments: further arguments of each of litellm's functions, such as `api_key`.
            timeout: seconds without a byte before the provider is given up.

        Raises:
            UsageError: litellm has no batches for this provider, or there is no address.
        """
        self._litellm = litellm
        self._name = model
        try:
            self._model, self._provider, key, found = litellm.get_llm_provider(model, api_base=api_base)
        except litellm.exceptions.BadRequestError as error:
            raise UsageError(f"teacher {model}: litellm knows no such provider; names look like openai/NAME") from error
        self._address: str | None = api_base or found
        self._body = body
        self._mapped: dict[str, dict[str, Any]] = {}
        self._check()
        if self._provider not in ("azure", "openai"):
            # Without one litellm would show OpenAI's key to a server of somebody else.
            key = key or "not-needed"
        own = {"api_key": key} if key else {}
        self._arguments = {**own, **(arguments or {}), "custom_llm_provider": self._provider, "max_retries": 0}
        self._arguments |= {"api_base": self._address, "timeout": timeout}
        self._timeout = timeout

    def _check(self) -> None:
        if self._provider not in PROVIDERS:
            raise UsageError(
                f"teacher {self._name}: litellm has no batches for {self._provider} that can be found again, only for "
                f"{', '.join(PROVIDERS)}; leave --batch away"
            )
        if self._address is None and self._provider in ("hosted_vllm", "litellm_proxy"):
            # litellm would send everything to OpenAI.
            variables = OWN_SERVERS.get(self._provider, (("LITELLM_PROXY_API_BASE",), ""))[0]
            raise UsageError(f"teacher {self._name}: no address; give --api-base or set {' or '.join(variables)}")

    async def send_batch(self, requests: Mapping[str, Request], label: str) -> str:
        """Hand in requests, by name; returns the provider's id of the batch.

        After a TryAgain that may cost, `find_batch` tells whether the provider took the batch.

        Raises:
            TryAgain: the same may succeed a little later.
            CallFailed: the provider takes no such batch.
            TeacherError: it takes none at all.
            UsageError: more than `byte_limit` bytes.
        """
        with tempfile.TemporaryFile() as file:
            await self._write(file, requests)
            file.seek(0)
            with self._explained(self._no_batches):
                # No limit on the whole: a large file takes its time.
                sent = await self._litellm.acreate_file(
                    file=("editctl.jsonl", file, "application/jsonl"), purpose="batch", **self._arguments
                )
        with self._explained(self._no_batches):
            async with asyncio.timeout(self._timeout):
                batch = await self._litellm.acreate_batch(
                    completion_window="24h",
                    endpoint=_ENDPOINT,
                    input_file_id=sent.id,
                    metadata={_LABEL: label},
                    **self._arguments,
                )
        return str(batch.id)

    async def _write(self, file: IO[bytes], requests: Mapping[str, Request]) -> None:
        size = 0
        for number, (name, request) in enumerate(requests.items()):
            line = self.line(name, request)
            size += len(line)
            if size > self.byte_limit:
                raise UsageError(
                    f"{len(requests)} requests make more than {self.byte_limit // 10**6} MB, the most for a batch; "
                    f"{number} would fit: set --batch-size"
                )
            file.write(line)
            if number % 256 == 255:
                await asyncio.sleep(0)  # thousands of prompts are rendered here; others want to go on

    def line(self, name: str, request: Request) -> bytes:
        """A request as it stands in the input file. Raises ValueError for a name that providers would cut."""
        if not 0 < len(name) <= _LONGEST_NAME:
            raise ValueError(f"a request's name must have 1 to {_LONGEST_NAME} characters: {name!r}")
        # Azure has deployments, not versions, in the addresses of its lines.
        url = _ENDPOINT.removeprefix("/v1") if self._provider == "azure" else _ENDPOINT
        entry = {"custom_id": name, "method": "POST", "url": url, "body": self._whole_body(request)}
        return json.dumps(entry, separators=(",", ":")).encode() + b"\n"

    def _whole_body(self, request: Request) -> dict[str, Any]:
        asked = self._body(request)
        # Most requests differ in messages and seed alone, and litellm takes its time.
        key = json.dumps(asked, sort_keys=True, default=str)
        if key not in self._mapped:
            if len(self._mapped) >= _MAPPED:
                self._mapped.clear()
            self._mapped[key] = self._parameters(asked)
        messages = [dict(message) for message in request.messages]
        return {"model": self._model, "messages": messages, **self._mapped[key]}

    def _parameters(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What litellm would send for a single call: it renames and drops what a model does not take."""
        kept = {name: value for name, value in asked.items() if name not in _NOT_SENT}
        mapped = self._litellm.get_optional_params(
            model=self._model, custom_llm_provider=self._provider, drop_params=True, **kept
        )
        added = {**(mapped.pop("extra_body", None) or {}), **(asked.get("extra_body") or {})}
        return {name: value for name, value in mapped.items() if name not in _NOT_SENT and value is not None} | added

    async def find_batch(self, label: str) -> str | None:
        """The id of the youngest batch that was handed in under a label; None where the provider took none."""
        with self._explained(self._no_batches):
            async with asyncio.timeout(self._timeout):
                page = await self._litellm.alist_batches(limit=_PAGE, **self._arguments)
        seen: set[str] = set()
        while True:
            # A provider that does not know its own pages gives the first again and again.
            fresh = [batch for batch in page.data or () if batch.id not in seen]
            for batch in fresh:
                if (batch.metadata or {}).get(_LABEL) == label:
                    return str(batch.id)
            if not fresh or not page.has_next_page():
                return None
            seen.update(batch.id for batch in fresh)
            with self._explained(self._no_batches):
                async with asyncio.timeout(self._timeout):
                    # The page knows its client: litellm's own function forgets, for Azure, where to go on.
                    page = await page.get_next_page()

    async def look_at_batch(self, identifier: str) -> BatchState:
        """How far a batch is and, once it has ended, what came of it.

        Raises:
            TryAgain: the same may succeed a little later.
            CallFailed: the provider knows no such batch, or its results, any more.
            TeacherError: it answers nothing.
        """
        with self._explained(self._forgotten):
            async with asyncio.timeout(self._timeout):
                batch = await self._litellm.aretrieve_batch(
                    batch_id=identifier,
                    # Else litellm reads the whole result once more behind our back, for a bill of its own.
                    litellm_metadata={"batch_ignore_default_logging": True},
                    **self._arguments,
                )
        said = batch.request_counts
        done = (said.completed or 0) + (said.failed or 0) if said else 0
        if batch.status not in _ENDED:
            return BatchState(ended=False, status=str(batch.status), done=done)
        results: dict[str, Result] = {}
        broken = 0
        for file in filter(None, (batch.output_file_id, batch.error_file_id)):
            broken += await self._read(str(file), results)
        status = f"{batch.status}{_complaints(batch)}" + (
            f"; result lines that can't be read: {broken}" if broken else ""
        )
        return BatchState(ended=True, status=status, done=max(done, len(results)), results=results)

    async def _read(self, file: str, results: dict[str, Result]) -> int:
        """Add the results of a file; returns how many lines can't be read."""
        broken = 0
        async for line in self._lines(file):
            try:
                result = read_result(line, self._name)
            except ValueError:
                broken += 1
                continue
            # The provider may tell of a request in both files; an answer counts.
            if result is not None and (isinstance(result[1], Completion) or result[0] not in results):
                results[result[0]] = result[1]
        return broken

    async def _lines(self, file: str) -> AsyncIterator[bytes]:
        """The lines of a result file that are not blank."""
        with self._explained(self._forgotten):
            content = await self._litellm.afile_content(file_id=file, stream=True, **self._arguments)
        rest = b""
        async for chunk in self._chunks(content):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in filter(bytes.strip, whole):
                yield line
        if rest.strip():
            yield rest

    async def _chunks(self, content: Any) -> AsyncIterator[bytes]:
        stream = getattr(content, "stream_iterator", None)
        if stream is None:  # a provider whose files litellm reads in one piece
            yield content.content
            return
        with self._explained(self._forgotten):
            async for chunk in stream:
                yield chunk

    @contextmanager
    def _explained(self, missing: Callable[[str], EditctlError]) -> Iterator[None]:
        """Turn what litellm and the clients below it raise into words; `missing` is what a 404 means."""
        import httpx

        openai = self._litellm.exceptions.openai
        try:
            yield
        except (openai.APIConnectionError, httpx.TransportError, TimeoutError) as error:
            raise self._lost(error) from error
        except openai.APIStatusError as error:
            status, words = error.status_code, f"{error} {error.body or ''}"
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            raise (
                missing(told(error)) if status in _NO_ENDPOINT else refusal(self._name, status, words, headers)
            ) from error
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            # Pydantic's errors are ValueErrors; an answer that is no JSON reaches litellm as a text.
            raise TryAgain("broken", f"the answer can't be read: {told(error)}") from error

    def _lost(self, error: Exception) -> TryAgain:
        """A connection that was not made, or went silent, or was lost."""
        import httpx

        cause = error if isinstance(error, TimeoutError) else error.__cause__ or error
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return TryAgain("unreachable", f"can't connect to {self._place}: {told(cause)}")
        if isinstance(cause, httpx.TimeoutException | TimeoutError):
            return TryAgain("timeout", f"no answer within {self._timeout:g} seconds")
        return TryAgain("connection", f"the connection was lost: {told(cause) or type(cause).__name__}")

    def _no_batches(self, words: str) -> EditctlError:
        return TeacherError(f"teacher {self._name}: {self._place} takes no batches; leave --batch away: {words}")

    @property
    def _place(self) -> str:
        return without_login(self._address) if self._address else "the provider"

    def _forgotten(self, words: str) -> EditctlError:
        return CallFailed("provider-error", f"the provider knows no such batch any more: {words}")


def _complaints(batch: Any) -> str:
    """What the provider has against the batch as a whole."""
    errors: Iterable[Any] = (batch.errors.data or ()) if batch.errors else ()
    words = told("; ".join(str(error.message or error.code or "") for error in errors))
    return f": {words}" if words else ""
