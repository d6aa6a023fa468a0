import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.chat.batch_results import read_result
from editctl.chat.batches import PROVIDERS, BatchService
from editctl.errors import EditctlError, UsageError
from editctl.interfaces import BatchState, CallFailed, Completion, Request, TeacherError, TryAgain
from editctl.records import Question
from plugins.providers import _import_litellm
from tests.support_batch_book import Plan
from tests.support_batches import BatchProcess, BatchProvider
from tests.support_provider import Reply, body_hash, fault

Answer = TypeVar("Answer")

KEY = "sk-very-secret-key"
SERVED = ("openai/test-model", "hosted_vllm/test-model", "azure/test-model")
TOO_LONG = '{"error": {"message": "maximum context length is 8 tokens", "code": "context_length_exceeded"}}'
FILTERED = '{"error": {"message": "no", "code": "content_policy_violation"}}'
ENDPOINTS = ("POST /files", "POST /batches", "GET /batches", "GET /batches/{id}", "GET /files/{id}/content")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "HOSTED_VLLM_API_BASE", "AZURE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def provider() -> Iterator[BatchProvider]:
    with BatchProvider(lambda body: Reply(text=body["messages"][-1]["content"].upper())) as server:
        yield server


def request(text: str = "two and two") -> Request:
    question = Question(id="q", question=text, answer="4", task="add")
    return Request(
        question=question, step="explain", messages=({"role": "user", "content": text},), template="t", max_tokens=9
    )


def requests(count: int) -> dict[str, Request]:
    return {f"n{number}": request(f"sum {number}") for number in range(count)}


def service(url: str | None, model: str = SERVED[0], **more: Any) -> BatchService:
    address = url.removesuffix("/v1") if url and model.startswith("azure/") else url
    more = {"arguments": {"api_key": KEY, "api_version": "2025-01-01"}, "timeout": 20.0, **more}
    body: Callable[[Request], dict[str, Any]] = lambda asked: {"temperature": 0.5, "max_tokens": asked.max_tokens}  # noqa: E731
    return BatchService(_import_litellm(), model, api_base=address, **{"body": body, **more})


def run(work: Awaitable[Answer]) -> Answer:
    """Await on a loop of its own, and give back what litellm opened there."""

    async def whole() -> Answer:
        try:
            return await work
        finally:
            await _import_litellm().close_litellm_async_clients()

    return asyncio.run(whole())


async def through(batches: BatchService, asked: dict[str, Request], label: str = "label") -> BatchState:
    """Hand in a batch and look at it until it has ended."""
    identifier = await batches.send_batch(asked, label)
    while not (state := await batches.look_at_batch(identifier)).ended:
        pass
    return state


def texts(state: BatchState) -> dict[str, str]:
    return {name: result.text for name, result in state.results.items() if isinstance(result, Completion)}


@pytest.mark.parametrize("model", SERVED)
def test_a_batch_goes_there_and_back(provider: BatchProvider, model: str) -> None:
    provider.follow(Plan(polls=2, shuffle=3))
    batches = service(provider.url, model)
    looks: list[BatchState] = []

    async def work() -> None:
        identifier = await batches.send_batch(requests(9), "label")
        looks.extend([await batches.look_at_batch(identifier) for _ in range(3)])
        await asyncio.sleep(0.2)  # for what litellm does behind our back

    run(work())
    assert [(look.ended, look.status, look.done) for look in looks] == [
        (False, "validating", 3),
        (False, "in_progress", 6),
        (True, "completed", 9),
    ]
    assert [len(look.results) for look in looks] == [0, 0, 9]
    assert texts(looks[2]) == {f"n{number}": f"SUM {number}" for number in range(9)}
    assert looks[2].results["n4"] == Completion(text="SUM 4", prompt_tokens=11, completion_tokens=7)
    assert provider.times == {f"n{number}": 1 for number in range(9)}
    assert provider.handed_in[0].label == "label"
    assert {call.key for call in provider.calls} == ({""} if model.startswith("azure") else {KEY})
    assert provider.count("GET /files/{id}/content") == 1


def test_a_line_is_what_a_single_call_would_send(provider: BatchProvider) -> None:
    body = {
        "temperature": 0.5,
        "max_tokens": 9,
        "seed": 4,
        "top_k": 5,
        "timeout": 3,
        "api_key": KEY,
        "drop_params": True,
    }
    lines = [service(provider.url, name, body=lambda asked: body).line("a", request()) for name in SERVED]
    lines.append(service(provider.url, "openai/gpt-5-mini", body=lambda asked: body).line("a", request("\u2028")))
    entries = [json.loads(line) for line in lines]
    assert all(line.endswith(b"}\n") and line.isascii() for line in lines)
    assert [entry["url"] for entry in entries] == [
        *["/v1/chat/completions"] * 2,
        "/chat/completions",
        entries[0]["url"],
    ]
    assert {(entry["custom_id"], entry["method"]) for entry in entries} == {("a", "POST")}
    messages = [{"role": "user", "content": "two and two"}]
    sent = {"messages": messages, "temperature": 0.5, "max_tokens": 9, "seed": 4, "top_k": 5}
    assert [entry["body"] for entry in entries[:3]] == [{"model": "test-model", **sent}] * 3
    assert entries[3]["body"] == {
        "model": "gpt-5-mini",
        "messages": [{"role": "user", "content": "\u2028"}],
        "max_completion_tokens": 9,
        "seed": 4,
        "top_k": 5,
    }


@pytest.mark.parametrize("model", SERVED)
def test_a_batch_is_found_by_its_label_on_any_page(provider: BatchProvider, model: str) -> None:
    provider.follow(Plan(page=2))
    batches = service(provider.url, model)

    async def work() -> tuple[list[str], list[str | None]]:
        sent = [await batches.send_batch(requests(1), f"label {number}") for number in range(5)]
        return sent, [await batches.find_batch(f"label {number}") for number in range(6)]

    sent, found = run(work())
    assert found == [*sent, None]
    assert len(set(sent)) == 5


def test_batches_of_others_are_passed_over_and_a_list_without_end_ends(provider: BatchProvider) -> None:
    batches = service(provider.url)

    async def work() -> str | None:
        await batches.send_batch(requests(1), "label")
        provider.batches["batch_0"].label = None
        provider.follow(Plan(same_page=True))
        return await batches.find_batch("label")

    assert run(work()) is None
    assert provider.count("GET /batches") == 2


def test_completions_read_as_those_of_single_calls() -> None:
    replies = {
        "reasoning": Reply(text="4", reasoning="2, then 2"),
        "thoughts": Reply(text="<think>hm</think>4"),
        "cut": Reply(text="Let me", finish_reason="length"),
        "filtered": Reply(text=None, finish_reason="content_filter"),
        "unicode": Reply(text="vier\u2028π\x85"),
        "uncounted": Reply(body='{"choices": [{"message": {"content": "4"}, "finish_reason": null}]}'),
    }
    with BatchProvider(lambda body: replies[body["messages"][-1]["content"]]) as provider:
        results = run(through(service(provider.url), {name: request(name) for name in replies})).results
    counted = Completion(text="4", prompt_tokens=11, completion_tokens=7)
    assert results == {
        "reasoning": replace(counted, reasoning="2, then 2"),
        "thoughts": replace(counted, reasoning="hm"),
        "cut": replace(counted, text="Let me", finish_reason="length"),
        "filtered": replace(counted, text="", finish_reason="content_filter"),
        "unicode": replace(counted, text="vier\u2028π\x85"),
        "uncounted": Completion(text="4"),
    }


def test_long_results_are_put_together_again(provider: BatchProvider) -> None:
    asked = {f"n{number}": request(f"{number} π " * 40_000) for number in range(3)}
    assert texts(run(through(service(provider.url), asked))) == {
        name: str(one.messages[0]["content"]).upper() for name, one in asked.items()
    }


LINES: dict[str, tuple[Reply, type[EditctlError], str, bool | None]] = {
    "limit": (fault("429"), TryAgain, "rate-limit", None),
    "server": (fault("500"), TryAgain, "server", None),
    "overloaded": (fault("529"), TryAgain, "server", None),
    "late": (Reply(status=504, body="{}"), TryAgain, "timeout", None),
    "empty": (fault("empty"), TryAgain, "broken", None),
    "long": (Reply(status=400, body=TOO_LONG), CallFailed, "context-window", True),
    "filtered": (Reply(status=400, body=FILTERED), CallFailed, "refusal", True),
    "other": (Reply(status=400, body='{"error": {"message": "bad"}}'), CallFailed, "provider-error", False),
    "key": (fault("401"), CallFailed, "provider-error", False),
    "quota": (fault("quota"), CallFailed, "provider-error", False),
}


def test_lines_fail_one_by_one() -> None:
    def script(body: dict[str, Any]) -> Reply:
        name = body["messages"][-1]["content"]
        return LINES[name][0] if name in LINES else Reply(text="4")

    with BatchProvider(script) as provider:
        state = run(through(service(provider.url), {name: request(name) for name in [*LINES, "good"]}))
    got = {name: _kind(result) for name, result in state.results.items()}
    assert got == {name: expected[1:] for name, expected in LINES.items()} | {"good": (Completion, "4", None)}
    assert (state.status, state.done) == ("completed", len(LINES) + 1)


def _kind(result: Completion | CallFailed | TryAgain) -> tuple[type, str, bool | None]:
    if isinstance(result, CallFailed):
        return CallFailed, result.reason, result.answered
    return (TryAgain, result.fault, None) if isinstance(result, TryAgain) else (Completion, result.text, None)


def test_an_expired_batch_gives_what_it_has(provider: BatchProvider) -> None:
    provider.follow(Plan(expires_after=3))
    state = run(through(service(provider.url), requests(7)))
    assert (state.ended, state.status) == (True, "expired")
    assert texts(state) == {f"n{number}": f"SUM {number}" for number in range(3)}
    assert len(state.results) == 3


def test_a_batch_that_is_refused_as_a_whole_says_why(provider: BatchProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    provider.follow(Plan(invalid=("Line 1 is\nno JSON\x1b[2J", f"Enqueued too much for {KEY}")))
    state = run(through(service(provider.url), requests(2)))
    assert (state.ended, state.results) == (True, {})
    assert state.status.startswith("failed: Line 1 is no JSON")
    assert "Enqueued too much" in state.status
    assert KEY not in state.status
    assert "\x1b" not in state.status


def test_a_result_file_that_breaks_off_costs_one_request(provider: BatchProvider) -> None:
    provider.follow(Plan(cut=40))
    state = run(through(service(provider.url), requests(5)))
    assert texts(state) == {f"n{number}": f"SUM {number}" for number in range(4)}
    assert state.status == "completed; result lines that can't be read: 1"


def test_lines_that_say_nothing_are_counted_and_passed_over(provider: BatchProvider) -> None:
    bad = (
        "no JSON",
        "[]",
        "7",
        '{"custom_id": 3, "error": {}, "response": {"status_code": 500}}',
        '{"custom_id": "n0"}',
        "[" * 100_000,
        "\udcff\udcfe",
        " ",
    )
    failed = '{"custom_id": "n0", "response": {"status_code": 500, "body": {}}, "error": null}'
    provider.follow(Plan(added=(*bad, failed)))
    state = run(through(service(provider.url), requests(2)))
    assert texts(state) == {"n0": "SUM 0", "n1": "SUM 1"}
    assert state.status == f"completed; result lines that can't be read: {len(bad) - 1}"


Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
Bodies = Json | st.fixed_dictionaries(
    {},
    optional={
        "choices": Json | st.lists(st.fixed_dictionaries({"message": Json, "finish_reason": Json}), max_size=2),
        "usage": Json,
        "error": Json,
    },
)
Responses = Json | st.fixed_dictionaries({"status_code": st.sampled_from([200, 400, 429, 500]) | Json, "body": Bodies})
Entries = Json | st.fixed_dictionaries({"custom_id": st.text() | Json, "response": Responses, "error": Json})


@given(st.binary() | Entries.map(lambda entry: json.dumps(entry).encode()))
def test_whatever_stands_in_a_line_it_is_a_result_or_none(line: bytes) -> None:
    try:
        read = read_result(line, "t")
    except ValueError:
        return
    if read is not None:
        assert isinstance(read[0], str)
        assert isinstance(read[1], Completion | CallFailed | TryAgain)


async def _reaches(batches: BatchService, endpoint: str) -> Any:
    """Something that calls this endpoint."""
    if endpoint == "GET /batches":
        return await batches.find_batch("label")
    return await through(batches, requests(2))


FAULTS: dict[str, tuple[type[EditctlError], str]] = {
    "429:7": (TryAgain, "rate-limit"),
    "500": (TryAgain, "server"),
    "503": (TryAgain, "server"),
    "reset": (TryAgain, "connection"),
    "reset-body": (TryAgain, "connection"),
    "html": (TryAgain, "broken"),
    "401": (TeacherError, "check the key in the environment"),
    "quota": (TeacherError, "its credit"),
}


# A page in place of the results is not among them: it is lines that can't be read.
@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [("POST /batches", kind) for kind in FAULTS]
    + [("GET /files/{id}/content", kind) for kind in FAULTS if kind != "html"],
)
def test_what_goes_wrong_on_the_way_is_told_apart(provider: BatchProvider, endpoint: str, kind: str) -> None:
    provider.follow(Plan(faults={endpoint: {"*": kind}}))
    expected, words = FAULTS[kind]
    with pytest.raises(expected) as caught:
        run(_reaches(service(provider.url), endpoint))
    assert words == getattr(caught.value, "fault", None) or words in str(caught.value)
    assert getattr(caught.value, "wait", None) == (7.0 if kind == "429:7" else None)
    assert provider.count(endpoint) == 1  # whoever asks decides when to ask again


@pytest.mark.parametrize("model", SERVED)
def test_no_model_is_asked_again_behind_our_back(provider: BatchProvider, model: str) -> None:
    batches = service(provider.url, model)

    async def work() -> None:
        for endpoint in ENDPOINTS:
            provider.follow(Plan(faults={endpoint: {"*": "500"}}))
            before = provider.count(endpoint)
            with pytest.raises(TryAgain) as caught:
                await _reaches(batches, endpoint)
            assert caught.value.fault == "server"
            assert (endpoint, provider.count(endpoint) - before) == (endpoint, 1)

    run(work())


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_silence_is_a_timeout(provider: BatchProvider, endpoint: str) -> None:
    provider.follow(Plan(faults={endpoint: {"*": "hang"}}))
    with pytest.raises(TryAgain, match=r"within 0\.3 seconds") as caught:
        run(_reaches(service(provider.url, timeout=0.3), endpoint))
    assert caught.value.fault == "timeout"


def test_nobody_at_the_address_is_told_from_a_lost_connection() -> None:
    gone = BatchProvider()
    gone.close()
    for endpoint in ("POST /files", "GET /batches"):
        with pytest.raises(TryAgain, match=r"can't connect to http://127\.0\.0\.1") as caught:
            run(_reaches(service(gone.url), endpoint))
        assert caught.value.fault == "unreachable"


@pytest.mark.parametrize("endpoint", ["POST /files", "GET /batches"])
def test_a_server_without_batches_says_what_to_do(provider: BatchProvider, endpoint: str) -> None:
    provider.follow(Plan(no_batches=True))
    with pytest.raises(TeacherError, match="takes no batches; leave --batch away"):
        run(_reaches(service(provider.url), endpoint))


def test_a_batch_that_is_not_known_any_more_is_one_failed_call(provider: BatchProvider) -> None:
    for batches in (service(provider.url), service(provider.url, SERVED[2])):
        with pytest.raises(CallFailed, match="no such batch any more"):
            run(batches.look_at_batch("batch_9"))
    provider.follow(Plan(faults={"GET /files/{id}/content": {"*": "404"}}))
    with pytest.raises(CallFailed, match="no such batch any more"):
        run(through(service(provider.url), requests(1)))


def test_a_batch_whose_answer_was_lost_is_found_not_sent_again(provider: BatchProvider) -> None:
    provider.follow(Plan(faults={"POST /batches": {"*": "lost"}}))
    batches = service(provider.url)

    async def work() -> str | None:
        with pytest.raises(TryAgain) as caught:
            await batches.send_batch(requests(3), "label")
        assert caught.value.may_cost
        return await batches.find_batch("label")

    assert run(work()) == "batch_0"
    assert provider.times == {"n0": 1, "n1": 1, "n2": 1}


@pytest.mark.parametrize("model", ["anthropic/claude-x", "mistral/mistral-x", "xai/grok-x", "gemini/gemini-x"])
def test_other_providers_are_refused_by_name(model: str) -> None:
    with pytest.raises(UsageError, match="leave --batch away") as caught:
        service(None, model)
    assert model.partition("/")[0] in str(caught.value)
    assert all(name in str(caught.value) for name in PROVIDERS)


@pytest.mark.parametrize("model", ["hosted_vllm/m", "litellm_proxy/m", "no-such-provider/m"])
def test_nothing_goes_to_openai_for_want_of_an_address(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_PROXY_API_BASE", raising=False)
    with pytest.raises(UsageError, match=r"no address|no such provider"):
        service(None, model)


@pytest.mark.parametrize("model", ["hosted_vllm/m", "litellm_proxy/m"])
def test_the_key_of_openai_is_shown_to_nobody_else(
    provider: BatchProvider, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    state = run(through(service(provider.url, model, arguments={}), requests(1)))
    assert texts(state) == {"n0": "SUM 0"}
    assert KEY not in {call.key for call in provider.calls}


def test_what_no_provider_takes_is_not_sent(provider: BatchProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = service(provider.url)
    with pytest.raises(ValueError, match="1 to 64 characters"):
        run(batches.send_batch({"n" * 65: request()}, "label"))
    monkeypatch.setattr(BatchService, "byte_limit", 2 * len(batches.line("n0", request("sum 0"))))
    assert run(batches.send_batch(requests(2), "label"))
    with pytest.raises(UsageError, match="2 would fit: set --batch-size"):
        run(batches.send_batch(requests(3), "label"))
    assert provider.count("POST /files") == 1


def test_a_provider_in_a_process_outlives_its_clients(tmp_path: Path) -> None:
    with BatchProcess(tmp_path, Plan(polls=0, faults={"POST /batches": {"0": "500"}})) as provider:
        with pytest.raises(TryAgain):
            run(service(provider.url).send_batch(_sums(3), "label"))
        identifier = run(service(provider.url).send_batch(_sums(3), "label"))
        assert run(service(provider.url).find_batch("label")) == identifier
        state = run(service(provider.url).look_at_batch(identifier))
        log = provider.handed_in
    bodies: Iterable[Any] = (json.loads(service(None).line(name, one))["body"] for name, one in _sums(3).items())
    assert [(line.custom_id, line.mark, line.label) for line in log] == [
        (f"n{number}", body_hash(body), "label") for number, body in enumerate(bodies)
    ]
    assert state.ended
    assert all(f"(ref {line.mark})" in texts(state)[line.custom_id] for line in log)


def _sums(count: int) -> dict[str, Request]:
    return {f"n{number}": request(f"What is {number} + 2?") for number in range(count)}


def test_each_line_has_its_own_parameters(provider: BatchProvider) -> None:
    batches = service(provider.url, body=lambda asked: {"seed": asked.seed})
    asked = {f"n{number}": replace(request(), seed=number // 2) for number in (0, 1, 2, 0, 4)}
    lines = [json.loads(batches.line(name, one)) for name, one in asked.items()]
    assert [line["body"]["seed"] for line in lines] == [one.seed for one in asked.values()]
