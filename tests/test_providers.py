"""Both ways to a provider, directly and through litellm, against a real HTTP server on loopback: what is sent, what
comes back, and what each fault is called. Whether a call is made again is for whoever asks."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import time
import traceback
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from editctl.chat.protocol import seconds_to_wait, told
from editctl.errors import EditctlError, UsageError
from editctl.generate.teachers import find_teacher
from editctl.interfaces import (
    CallFailed,
    Completion,
    Identified,
    Message,
    Priced,
    Rendering,
    Request,
    Teacher,
    TeacherError,
    TryAgain,
)
from editctl.prices import find_price
from tests.support_generate import SUM
from tests.support_provider import SOLUTION, Provider, Reply, Script, Seen, fault

KEY = "sk-test-do-not-tell-anybody-0123456789"
REQUEST = Request(
    question=SUM,
    step="explain",
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="What is 2 + 2? 🤔é")),
    template="explain",
    temperature=0.4,
    max_tokens=55,
    seed=7,
)
SENT = {"messages": list(REQUEST.messages), "temperature": 0.4, "max_tokens": 55, "seed": 7}
both = pytest.mark.parametrize("transport", ["direct", "litellm"])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


def refused(status: int, message: str = "boom", **more: Any) -> Reply:
    headers = more.pop("headers", {})
    return Reply(status=status, headers=headers, body=json.dumps({"error": {"message": message, **more}}))


def always(reply: Reply) -> Script:
    return lambda number, body: reply


def choices(*choices: Any, **more: Any) -> Reply:
    return Reply(body=json.dumps({"id": "1", "object": "chat.completion", "choices": list(choices), **more}))


def message(**fields: Any) -> Reply:
    return choices({"index": 0, "message": {"role": "assistant", **fields}, "finish_reason": "stop"})


def ask(
    url: str, transport: str, spec: str = "openai/test-model", request: Request = REQUEST, **more: str
) -> Completion:
    async def once() -> Completion:
        options = {"timeout": "5", **{name.replace("_", "-"): value for name, value in more.items()}}
        teacher = find_teacher(spec, {"api-base": url, "transport": transport, **options})
        try:
            return await teacher.complete(request)
        finally:
            await teacher.close()

    return asyncio.run(once())


def failure(url: str, transport: str, spec: str = "openai/test-model", **more: str) -> EditctlError:
    with pytest.raises(EditctlError) as caught:
        ask(url, transport, spec, REQUEST, **more)
    assert KEY not in "".join(traceback.format_exception(caught.value))  # what --debug prints
    return caught.value


def seen_by(transport: str, spec: str = "openai/test-model", request: Request = REQUEST, **more: str) -> Seen:
    with Provider() as provider:
        ask(provider.url, transport, spec, request, **more)
    [seen] = provider.seen
    return seen


# what is sent


@both
def test_the_request_arrives_as_it_was_made(transport: str) -> None:
    with Provider() as provider:
        completion = ask(provider.url, transport)
    assert completion == Completion(text=SOLUTION, prompt_tokens=11, completion_tokens=7)
    [seen] = provider.seen
    assert (seen.path, seen.key) == ("/v1/chat/completions", KEY)
    assert seen.body == {"model": "test-model", **SENT}


@both
def test_a_sample_has_a_seed_of_its_own(transport: str) -> None:
    assert seen_by(transport, request=dataclasses.replace(REQUEST, sample=2)).body["seed"] == 9


@both
def test_further_arguments_are_passed_on(transport: str) -> None:
    extra = '{"presence_penalty": 0.5, "temperature": 1.0, "min_p": 0.1, "extra_body": {"guided": {"a": 1}}}'
    body = seen_by(transport, top_p="0.9", extra=extra).body
    further = {"top_p": 0.9, "presence_penalty": 0.5, "temperature": 1.0, "min_p": 0.1, "guided": {"a": 1}}
    assert body == {"model": "test-model", **SENT, **further}


@pytest.mark.parametrize("provider", ["openai", "custom_openai", "hosted_vllm", "lm_studio", "llamafile"])
def test_both_ways_send_the_same(provider: str) -> None:
    direct, through = (seen_by(transport, f"{provider}/org/test-model") for transport in ("direct", "litellm"))
    assert direct.body == through.body == {"model": "org/test-model", **SENT}
    assert direct.path == through.path
    assert (direct.key == KEY) == (through.key == KEY) == (provider in ("openai", "custom_openai"))


def test_a_provider_that_litellm_knows_but_can_not_ask_is_asked_directly() -> None:
    assert seen_by("direct", "openai_like/test-model").body == {"model": "test-model", **SENT}
    with Provider() as provider:
        error = failure(provider.url, "litellm", "openai_like/test-model")
    assert isinstance(error, TeacherError)
    assert "litellm can't ask this provider" in str(error)


@both
def test_a_server_of_one_s_own_needs_no_key_and_is_sent_no_other_provider_s(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert seen_by(transport, "hosted_vllm/test-model").key != KEY
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "a-key-for-vllm")
    assert seen_by(transport, "hosted_vllm/test-model").key == "a-key-for-vllm"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert seen_by(transport).key in ("", "not-needed")


@both
def test_key_and_address_may_stand_in_a_dotenv_file(
    transport: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Set and taken away again, so that what the file brings is taken away after the test.
    for name in ("OPENAI_API_KEY", "OPENAI_API_BASE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    with Provider() as provider:
        file = f"OPENAI_API_KEY=sk-from-the-file-0123456789\nOPENAI_API_BASE={provider.url}\n"
        (tmp_path / ".env").write_text(file)
        teacher = find_teacher("openai/test-model", {"transport": transport})
        asyncio.run(teacher.complete(REQUEST))
        asyncio.run(teacher.close())
    assert provider.seen[0].key == "sk-from-the-file-0123456789"


# what comes back


@both
@pytest.mark.parametrize(
    ("reply", "text", "reasoning", "finish_reason"),
    [
        (Reply(reasoning="hidden"), SOLUTION, "hidden", "stop"),
        (Reply(reasoning=""), SOLUTION, None, "stop"),
        (message(content="a", reasoning="hidden"), "a", "hidden", "stop"),
        (message(content="<think>hidden</think>\na"), "\na", "hidden", "stop"),
        (message(content="a <think>b</think>"), "a <think>b</think>", None, "stop"),
        (Reply(finish_reason="length"), SOLUTION, None, "length"),
        (Reply(finish_reason="max_tokens"), SOLUTION, None, "length"),
        (Reply(finish_reason="eos"), SOLUTION, None, "stop"),
        (Reply(text=None), "", None, "stop"),
        (Reply(text=None, finish_reason="content_filter"), "", None, "content_filter"),
        (message(content=None, refusal="I would rather not."), "", None, "content_filter"),
    ],
)
def test_what_comes_back(transport: str, reply: Reply, text: str, reasoning: str | None, finish_reason: str) -> None:
    with Provider(always(reply)) as provider:
        completion = ask(provider.url, transport)
    assert (completion.text, completion.reasoning, completion.finish_reason) == (text, reasoning, finish_reason)


@both
@pytest.mark.parametrize(
    ("usage", "content", "counted"),
    [
        ({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}, "a", (11, 7)),
        (None, "a", (None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "a", (None, None)),
        ({"prompt_tokens": 11, "completion_tokens": 0, "total_tokens": 11}, "a", (11, None)),
        ({"prompt_tokens": 11, "completion_tokens": 0, "total_tokens": 11}, "", (11, 0)),
    ],
)
def test_tokens_that_were_not_counted_are_unknown(
    transport: str, usage: Any, content: str, counted: tuple[int | None, int | None]
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    with Provider(always(choices(choice, **({} if usage is None else {"usage": usage})))) as provider:
        completion = ask(provider.url, transport, "openai/gpt-4o-mini")
    assert (completion.prompt_tokens, completion.completion_tokens) == counted
    assert (completion.usd is None) == (None in counted)


@both
def test_a_price_that_is_known_is_told_and_cached_tokens_cost_less(transport: str) -> None:
    usage = {"prompt_tokens": 3000, "completion_tokens": 100, "total_tokens": 3100}
    cached = {**usage, "prompt_tokens_details": {"cached_tokens": 2000}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    price = find_price("openai/gpt-4o-mini")
    assert price is not None
    for told_usage, cached_tokens in ((usage, 0), (cached, 2000)):
        with Provider(always(choices(choice, usage=told_usage, model="gpt-4o-mini"))) as provider:
            usd = ask(provider.url, transport, "openai/gpt-4o-mini").usd
        assert usd == pytest.approx(price.usd(3000, 100, cached_tokens))


@both
def test_calls_are_under_way_together(transport: str) -> None:
    async def all_at_once(url: str) -> list[Completion]:
        teacher = find_teacher("openai/test-model", {"api-base": url, "transport": transport, "timeout": "15"})
        try:
            return await asyncio.gather(*(teacher.complete(REQUEST) for _ in range(12)))
        finally:
            await teacher.close()

    with Provider(together=12) as provider:
        answers = asyncio.run(all_at_once(provider.url))
    assert [answer.text for answer in answers] == [SOLUTION] * 12


# the same call may succeed a little later


@both
@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (fault("429"), "rate-limit"),
        (fault("500"), "server"),
        (refused(500, "no 'choices' left"), "server"),
        (refused(502), "server"),
        (fault("503"), "server"),
        (fault("529"), "server"),
        (refused(408), "timeout"),
        (refused(504), "timeout"),
        (Reply(body='{"error": {"message": "no", "code": 500}}'), "server"),
        (Reply(body='{"error": {"message": "no", "code": 429}}'), "rate-limit"),
        (fault("reset"), "connection"),
        (fault("reset-headers"), "connection"),
        (fault("reset-body"), "connection"),
        (fault("cut-body"), "connection"),
        (fault("cut"), "broken"),
        (fault("empty"), "broken"),
        (fault("html"), "broken"),
        (Reply(body=""), "broken"),
        (Reply(body="{}"), "broken"),
        (Reply(body="[]"), "broken"),
        (Reply(body="null"), "broken"),
        (choices(None), "broken"),
        (choices({"index": 0, "message": None}), "broken"),
    ],
)
def test_what_may_pass(transport: str, reply: Reply, expected: str) -> None:
    with Provider(always(reply)) as provider:
        error = failure(provider.url, transport)
    assert isinstance(error, TryAgain), repr(error)
    assert (error.fault, error.wait) == (expected, None)
    assert str(error)
    assert len(provider.seen) == 1


@both
@pytest.mark.parametrize("kind", ["hang", "trickle"])
def test_a_call_that_is_not_answered_in_time_is_given_up(transport: str, kind: str) -> None:
    with Provider(always(fault(kind))) as provider:
        error = failure(provider.url, transport, timeout="0.4")
    assert isinstance(error, TryAgain)
    assert (error.fault, error.may_cost, str(error)) == ("timeout", True, "no answer within 0.4 seconds")


@both
def test_a_server_that_is_not_there(transport: str) -> None:
    provider = Provider()
    provider.close()
    error = failure(provider.url, transport)
    assert isinstance(error, TryAgain)
    assert (error.fault, error.may_cost) == ("unreachable", False)
    assert str(error).startswith(f"can't connect to {provider.url}: ")


@both
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", 7.0), ("0.5", 0.5), (" 2 ", 2.0), ("soon", None), ("-1", None), ("nan", None), ("inf", None)],
)
def test_the_provider_s_wish_to_wait(transport: str, status: int, header: str, wait: float | None) -> None:
    with Provider(always(refused(status, headers={"Retry-After": header}))) as provider:
        error = failure(provider.url, transport)
    assert isinstance(error, TryAgain)
    assert error.wait == wait


@both
def test_the_provider_s_wish_to_wait_as_a_date(transport: str) -> None:
    later = formatdate(time.time() + 3600, usegmt=True)
    with Provider(always(refused(429, headers={"Retry-After": later}))) as provider:
        error = failure(provider.url, transport)
    assert isinstance(error, TryAgain)
    assert error.wait is not None
    assert 3500 < error.wait <= 3600


def test_a_date_is_read_by_the_provider_s_clock() -> None:
    date = "Wed, 21 Oct 2037 07:28:00 GMT"
    assert seconds_to_wait({"retry-after": date, "date": "Wed, 21 Oct 2037 07:27:30 GMT"}) == 30
    assert seconds_to_wait({"retry-after": date, "date": "Wed, 21 Oct 2037 07:28:30 GMT"}) == 0
    far = seconds_to_wait({"retry-after": date, "date": "yesterday"})
    assert far is not None
    assert far > 30
    assert seconds_to_wait({}) is None


# this call can't be answered


@both
@pytest.mark.parametrize(
    ("reply", "reason", "answered"),
    [
        (refused(400, code="content_policy_violation"), "refusal", True),
        (refused(403, "Your input was flagged."), "refusal", True),
        (refused(400, "Filtered: Azure OpenAI's content management policy"), "refusal", True),
        (refused(400, "maximum context length is 10 tokens", code="context_length_exceeded"), "context-window", True),
        (refused(400, "the request exceeds the available context size"), "context-window", True),
        (refused(400), "provider-error", False),
        (refused(409), "provider-error", False),
        (refused(422), "provider-error", False),
        (Reply(status=400, body="<html>no</html>"), "provider-error", False),
        (Reply(status=400, body=""), "provider-error", False),
    ],
)
def test_what_one_call_ends_in(transport: str, reply: Reply, reason: str, answered: bool) -> None:
    with Provider(always(reply)) as provider:
        error = failure(provider.url, transport)
    assert isinstance(error, CallFailed), repr(error)
    assert (error.reason, error.answered, bool(error.detail)) == (reason, answered, True)


# no call can


@both
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refused(401, f"Incorrect key {KEY}"), "check the key"),
        (refused(403), "its rights"),
        (refused(402), "its credit"),
        (fault("quota"), "its credit"),
        (refused(400, "Your credit balance is too low"), "its credit"),
        (fault("404"), "check -t and --api-base"),
        (Reply(status=404, body="<html>not here</html>"), "check -t and --api-base"),
    ],
)
def test_what_refuses_every_call(transport: str, reply: Reply, words: str) -> None:
    with Provider(always(reply)) as provider:
        error = failure(provider.url, transport)
    assert isinstance(error, TeacherError), repr(error)
    assert words in str(error)
    assert error.exit_code == 1


@both
def test_no_secret_is_told_and_no_text_can_play_tricks(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_API_TOKEN", "another-secret-0123")
    text = f"{'x' * 280} {KEY} another-secret-0123 \x1b[2J\n\u202e"
    for status in (400, 401, 404, 429, 500):
        with Provider(always(refused(status, text))) as provider:
            words = str(failure(provider.url, transport))
        assert words.isprintable()
        assert "sk-test" not in words  # not even the beginning of a key that is cut off
        assert "another" not in words
    assert told("can't reach http://me:secret@host/v1") == "can't reach http://host/v1"
    assert told("Traceback (most recent call last):\n  File secret.py") == ""


# what completions depend on, and what they cost


def teacher_of(transport: str, spec: str = "openai/test-model", **options: str) -> Teacher:
    base = {"api-base": "http://127.0.0.1:9/v1/", "transport": transport}
    return find_teacher(spec, {**base, **{name.replace("_", "-"): value for name, value in options.items()}})


def identity_of(teacher: Teacher, request: Request = REQUEST) -> dict[str, Any]:
    assert isinstance(teacher, Identified)
    return dict(teacher.identity(request))


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "lm_studio", "llamafile", "custom_openai"])
def test_both_ways_share_their_completions(provider: str) -> None:
    options = {"top_p": "0.9", "extra": '{"min_p": 0.1}'}
    direct, through = (teacher_of(transport, f"{provider}/m", **options) for transport in ("direct", "litellm"))
    assert direct.name == through.name == f"{provider}/m"
    assert identity_of(direct) == identity_of(through)
    assert identity_of(direct) == {
        "address": "http://127.0.0.1:9/v1",
        "model": f"{provider}/m",
        "parameters": {"temperature": 0.4, "max_tokens": 55, "seed": 7, "top_p": 0.9, "min_p": 0.1},
    }


@both
def test_an_identity_holds_what_matters_and_no_secret(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity_of(teacher_of(transport))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-0123456789")
    assert identity_of(teacher_of(transport, timeout="7")) == first
    assert KEY not in json.dumps(first)
    for other in (
        dataclasses.replace(REQUEST, temperature=0.5),
        dataclasses.replace(REQUEST, max_tokens=56),
        dataclasses.replace(REQUEST, seed=8),
        dataclasses.replace(REQUEST, sample=1),
    ):
        assert identity_of(teacher_of(transport), other) != first
    for changed in (
        teacher_of(transport, top_p="0.5"),
        teacher_of(transport, extra='{"min_p": 0.1}'),
        teacher_of(transport, "openai/other"),
        teacher_of(transport, api_base="http://127.0.0.1:10/v1"),
    ):
        assert identity_of(changed) != first


def test_without_an_address_the_provider_is_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    assert identity_of(find_teacher("anthropic/claude-sonnet-4-5", {}))["address"] == "anthropic"
    assert identity_of(find_teacher("gpt-4o-mini", {}))["address"] == "openai"
    monkeypatch.setenv("ANTHROPIC_API_BASE", "http://127.0.0.1:9")
    assert identity_of(find_teacher("anthropic/claude-sonnet-4-5", {}))["address"] == "http://127.0.0.1:9"


@both
def test_a_teacher_knows_its_price(transport: str) -> None:
    known, unknown = teacher_of(transport, "openai/gpt-4o-mini"), teacher_of(transport)
    assert isinstance(known, Priced)
    assert isinstance(unknown, Priced)
    assert (known.price, unknown.price) == (find_price("openai/gpt-4o-mini"), None)


# prompts that are kept in the provider's cache

CLAUDE = "anthropic/claude-sonnet-4-5"
MARK = {"type": "ephemeral"}


def rendered(system: str, user: str, fixed: int) -> Request:
    turns = (Message(role="system", content=system), Message(role="user", content=user))
    return dataclasses.replace(REQUEST, messages=Rendering(lambda: (turns, fixed)))


def claude(reply: Reply, request: Request, spec: str = CLAUDE) -> tuple[Completion, Seen]:
    with Provider(always(reply)) as provider:
        completion = ask(provider.url.removesuffix("/v1"), "litellm", spec, request)
    [seen] = provider.seen
    return completion, seen


def claude_says(**usage: int) -> Reply:
    body = {"id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "end_turn"}
    return Reply(body=json.dumps({**body, "content": [{"type": "text", "text": "Four."}], "usage": usage}))


def test_what_never_changes_is_marked_and_cached_tokens_are_counted() -> None:
    reply = claude_says(
        input_tokens=10, cache_creation_input_tokens=1000, cache_read_input_tokens=2000, output_tokens=5
    )
    completion, seen = claude(reply, rendered("Be brief. ", "Shots \n\nQuestion ", len("Shots \n\n")))
    assert seen.path == "/v1/messages"
    assert seen.body["system"] == [{"type": "text", "text": "Be brief. ", "cache_control": MARK}]
    [turn] = seen.body["messages"]
    assert turn["content"] == [
        {"type": "text", "text": "Shots \n\n", "cache_control": MARK},
        {"type": "text", "text": "Question "},
    ]
    assert (completion.prompt_tokens, completion.completion_tokens) == (3010, 5)
    price = find_price(CLAUDE)
    assert price is not None
    assert price.cached is not None
    expected = 10 * price.input + 1000 * 1.25 * price.input + 2000 * price.cached + 5 * price.output
    assert completion.usd == pytest.approx(expected)


@pytest.mark.parametrize(
    ("user", "fixed", "texts", "marks"),
    [
        ("Question", 0, ["Question"], 0),
        ("Question", 8, ["Question"], 1),
        ("Shots\n\n", 5, ["Shots\n\n"], 1),
        (" \nQuestion", 2, [" \nQuestion"], 0),
    ],
)
def test_no_block_is_empty(user: str, fixed: int, texts: list[str], marks: int) -> None:
    _, seen = claude(claude_says(input_tokens=10, output_tokens=5), rendered(" ", user, fixed))
    [turn] = seen.body["messages"]
    blocks = [turn["content"]] if isinstance(turn["content"], str) else turn["content"]
    assert [block if isinstance(block, str) else block["text"] for block in blocks] == texts
    assert str(seen.body).count("cache_control") == marks


@pytest.mark.parametrize(
    ("spec", "marks"),
    [
        ("bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0", True),
        ("vertex_ai/claude-sonnet-4-5", True),
        ("databricks/databricks-claude-sonnet-4", True),
        ("openrouter/anthropic/claude-sonnet-4.5", True),
        ("openrouter/openai/gpt-4o-mini", False),
        ("bedrock/meta.llama3-8b-instruct-v1:0", False),
        ("vertex_ai/gemini-2.5-flash", False),
        ("openai/claude-like", False),
    ],
)
def test_marks_are_for_providers_that_need_them(spec: str, marks: bool) -> None:
    from plugins.providers import needs_marks

    assert needs_marks(spec.partition("/")[0], spec) == marks


def test_a_limit_on_the_price_counts_on_what_writing_to_the_cache_costs() -> None:
    teacher, listed = teacher_of("litellm", CLAUDE), find_price(CLAUDE)
    assert isinstance(teacher, Priced)
    assert teacher.price is not None
    assert listed is not None
    assert teacher.price.input == pytest.approx(1.25 * listed.input)
    assert teacher.price.output == listed.output


@pytest.mark.parametrize(
    ("reply", "kind", "word"),
    [
        (fault("529", Retry_After="3"), TryAgain, "server"),
        (fault("reset"), TryAgain, "connection"),
        (Reply(body="{}"), TryAgain, "broken"),
        (fault("html"), TryAgain, "broken"),
        (refused(400, "prompt is too long: 210000 tokens > 200000 maximum"), CallFailed, "context-window"),
        (refused(400, "Your credit balance is too low to access the Anthropic API."), TeacherError, "credit"),
    ],
)
def test_faults_of_another_protocol(reply: Reply, kind: type[EditctlError], word: str) -> None:
    with Provider(always(reply)) as provider:
        error = failure(provider.url.removesuffix("/v1"), "litellm", CLAUDE)
    assert type(error) is kind
    assert word in (error.fault if isinstance(error, TryAgain) else str(error))
    if reply.status == 529:
        assert isinstance(error, TryAgain)
        assert error.wait == 3


# before the first call


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("openai/gpt-4o-mini", {}, "no key; set OPENAI_API_KEY"),
        ("gpt-4o-mini", {}, "no key; set OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", {}, "no key; set ANTHROPIC_API_KEY"),
        ("nosuch/model", {}, "no such provider"),
        ("nosuchmodel", {}, "unknown teacher"),
        ("orcale", {}, "did you mean oracle"),
        ("openai/x", {"timeout": "0"}, "timeout must be above 0"),
        ("openai/x", {"timeout": "inf"}, "timeout must be above 0"),
        ("openai/x", {"extra": "{"}, "extra is no JSON"),
        ("openai/x", {"extra": "[]"}, "must be a JSON object"),
        ("openai/x", {"extra": '{"api_key": "sk-1"}'}, "keys go in the environment"),
        ("openai/x", {"extra": '{"extra_headers": {"Authorization": "sk-1"}}'}, "keys go in the environment"),
        ("openai/x", {"extra": '{"stream": true}'}, "extra can't set stream"),
        ("openai/x", {"extra": '{"extra_body": 7}'}, "extra_body must be a JSON object"),
        ("openai/x", {"timout": "3"}, "did you mean timeout"),
        ("openai/x", {"retries": "3"}, "no option 'retries'"),
        ("openai/x", {"transport": "pigeon"}, "use one of auto, direct, litellm"),
        ("openai/x", {"api-base": "localhost:8000"}, "is no address like http://localhost:8000/v1"),
        ("openai/x", {"api-base": "http://"}, "is no address"),
        ("openai/x", {"api-base": "http://me:secret@localhost:port"}, "'http://localhost:port' is no address"),
        ("openai/x", {"api-base": "http://me:secret@localhost:8000"}, "api-base holds a login"),
    ],
)
def test_what_can_not_work_is_said_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch, spec: str, options: dict[str, str], message: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match=message) as caught:
        find_teacher(spec, options)
    assert caught.value.exit_code == 2


# the command


FULL = pytest.mark.full


@pytest.mark.parametrize(
    ("transport", "status", "code"),
    [("direct", 500, 3), pytest.param("direct", 401, 1, marks=FULL), pytest.param("litellm", 401, 1, marks=FULL)],
)
def test_the_command_tells_nobody_the_key(transport: str, status: int, code: int, tmp_path: Path) -> None:
    rows = [{"id": f"q{number}", "question": f"What is 2 + 2? {number}", "answer": "4"} for number in range(6)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def script(number: int, body: dict[str, Any]) -> Reply:
        return refused(status, f"boom {KEY}") if "2 + 2? 3" in str(body["messages"]) else Reply()

    line = [sys.executable, "-m", "editctl", "gen-dual", "questions.jsonl", "-o", "dual.jsonl", "--debug"]
    line += ["-t", "openai/test-model", "-T", f"transport={transport}", "--retries", "0"]
    with Provider(script) as provider:
        line += ["--api-base", provider.url]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert all(seen.key == KEY for seen in provider.seen)
    assert "boom (secret)" in done.stderr
    assert KEY not in done.stderr
    written = [path for folder in (tmp_path, Path(os.environ["EDITCTL_STATE"])) for path in folder.rglob("*.*")]
    assert any("ledger" in path.name for path in written)
    assert [path for path in written if path.is_file() and KEY.encode() in path.read_bytes()] == []
