"""The litellm teacher against a real HTTP server on loopback that plays an OpenAI-compatible provider."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from editctl.errors import EditctlError, UsageError
from editctl.generate.stage import Outcome, make_dual_chains
from editctl.generate.teachers import find_teacher
from editctl.interfaces import CallFailed, Completion, Message, Request
from editctl.records import DualChain, Question, Reject
from tests.support_generate import SUM, maker_of
from tests.support_provider import SOLUTION, Provider, Reply, Script, Seen

KEY = "sk-test-do-not-tell-anybody-0123456789"
WRONG = "Two and two make five. Therefore, the answer is 5."
SHORT = {"timeout": "5", "retries": "2", "longest-wait": "0.01"}
REQUEST = Request(
    question=SUM,
    step="explain",
    messages=(Message(role="system", content="Be brief."), Message(role="user", content="What is 2 + 2?")),
    template="explain",
    temperature=0.4,
    max_tokens=55,
    seed=7,
)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def refused(status: int, message: str = "boom", **more: Any) -> Reply:
    headers = more.pop("headers", {})
    return Reply(status=status, headers=headers, body=json.dumps({"error": {"message": message, **more}}))


def first(reply: Reply, then: Reply | None = None) -> Script:
    """One answer for the first request, another for all others."""
    return lambda number, body: reply if number == 0 else then or Reply()


def always(reply: Reply) -> Script:
    return lambda number, body: reply


def ask(provider: Provider, **options: str) -> Completion:
    async def once() -> Completion:
        teacher = find_teacher("openai/test-model", {"api-base": provider.url, **SHORT, **options})
        try:
            return await teacher.complete(REQUEST)
        finally:
            await teacher.close()

    return asyncio.run(once())


def run(provider: Provider, count: int = 1, concurrency: int = 4, **options: str) -> tuple[list[Outcome], Any]:
    teacher = find_teacher("openai/test-model", {"api-base": provider.url, **SHORT, **options})
    maker = maker_of(teacher, concurrency=concurrency)
    questions = [Question(id=f"q{number}", question=f"What is 2 + 2? {number}", answer="4") for number in range(count)]
    return list(make_dual_chains(questions, maker)), maker


def corrupting(number: int, body: dict[str, Any]) -> Reply:
    """Right to explain, wrong to corrupt."""
    return Reply(text=WRONG if "Right solution:" in str(body["messages"]) else SOLUTION)


# what is sent and what comes back


def test_the_request_arrives_as_it_was_made() -> None:
    with Provider() as provider:
        completion = ask(provider)
    assert completion == Completion(text=SOLUTION, prompt_tokens=11, completion_tokens=7)
    assert completion.usd is None
    [seen] = provider.seen
    assert (seen.path, seen.key) == ("/v1/chat/completions", KEY)
    assert seen.body == {
        "model": "test-model",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}],
        "temperature": 0.4,
        "max_tokens": 55,
        "seed": 7,
    }


def test_further_arguments_are_passed_on() -> None:
    with Provider() as provider:
        ask(provider, **{"top-p": "0.9", "extra": '{"presence_penalty": 0.5, "temperature": 1.0}'})
    body = provider.seen[0].body
    assert (body["top_p"], body["presence_penalty"], body["temperature"]) == (0.9, 0.5, 1.0)


def test_a_price_that_is_known_is_told() -> None:
    async def once() -> Completion:
        teacher = find_teacher("openai/gpt-4o-mini", {"api-base": provider.url, **SHORT})
        return await teacher.complete(REQUEST)

    with Provider() as provider:
        usd = asyncio.run(once()).usd
    assert usd is not None
    assert usd > 0


@pytest.mark.parametrize(
    ("reply", "text", "reasoning", "finish_reason"),
    [
        (Reply(reasoning="hidden"), SOLUTION, "hidden", "stop"),
        (Reply(finish_reason="length"), SOLUTION, None, "length"),
        (Reply(text=None), "", None, "stop"),
        (Reply(text=None, finish_reason="content_filter"), "", None, "content_filter"),
    ],
)
def test_what_comes_back(reply: Reply, text: str, reasoning: str | None, finish_reason: str) -> None:
    with Provider(always(reply)) as provider:
        completion = ask(provider)
    assert (completion.text, completion.reasoning, completion.finish_reason) == (text, reasoning, finish_reason)


@pytest.mark.parametrize(
    ("reply", "reason", "calls"),
    [
        (Reply(finish_reason="length"), "truncated", 1),
        (Reply(text=None), "empty", 3),
        (Reply(text=None, finish_reason="content_filter"), "refusal", 3),
        (refused(400, code="content_policy_violation"), "refusal", 1),
        (refused(403, "Your input was flagged."), "refusal", 1),
        (
            refused(400, "This model's maximum context length is 10 tokens.", code="context_length_exceeded"),
            "context-window",
            1,
        ),
        (refused(400), "provider-error", 1),
        (refused(422), "provider-error", 1),
        (refused(500), "provider-error", 3),
        (refused(503), "provider-error", 3),
        (refused(429), "provider-error", 3),
        (Reply(body='{"choices": []}'), "provider-error", 1),
        (Reply(body='{"choices": [{"index": 0, "message": null}]}'), "provider-error", 3),
        (Reply(body="{}"), "provider-error", 3),
        (Reply(body="[]"), "provider-error", 3),
        (Reply(body="<html>502"), "provider-error", 3),
        (Reply(body=""), "provider-error", 3),
        (Reply(body='{"error": {"message": "no", "code": 500}}'), "provider-error", 3),
    ],
)
def test_no_answer_of_a_provider_is_more_than_a_reject(reply: Reply, reason: str, calls: int) -> None:
    with Provider(always(reply)) as provider:
        [outcome], maker = run(provider)
    assert isinstance(outcome, Reject)
    assert (outcome.reason, len(provider.seen)) == (reason, calls)
    failed = reason in ("provider-error", "context-window")
    assert (maker.failed_calls, maker.last_failure is not None) == (int(failed), failed)


# again


@pytest.mark.parametrize("reply", [refused(500), refused(502), refused(503), refused(429), Reply(body="<html>")])
def test_what_may_pass_is_tried_again(reply: Reply) -> None:
    with Provider(first(reply)) as provider:
        assert ask(provider).text == SOLUTION
    assert len(provider.seen) == 2


def test_a_hanging_call_is_given_up_and_tried_again() -> None:
    with Provider(first(Reply(hangs=True))) as provider:
        assert ask(provider, timeout="0.3").text == SOLUTION
    assert len(provider.seen) == 2


def test_a_provider_that_always_hangs_costs_the_question_only() -> None:
    with Provider(always(Reply(hangs=True))) as provider, pytest.raises(CallFailed) as caught:
        ask(provider, timeout="0.3", retries="1")
    assert (caught.value.reason, len(provider.seen)) == ("provider-error", 2)


def test_a_pause_is_as_long_as_the_provider_asks_for() -> None:
    with Provider(first(refused(429, headers={"Retry-After": "0.8"}))) as provider:
        ask(provider, **{"longest-wait": "5"})
    one, two = provider.seen
    assert two.at - one.at >= 0.8  # our own first pause is at most 0.5 s


@pytest.mark.parametrize("header", ["3600", "Wed, 21 Oct 2037 07:28:00 GMT", "soon"])
def test_a_pause_is_no_longer_than_allowed(header: str) -> None:
    with Provider(first(refused(429, headers={"Retry-After": header}))) as provider:
        assert ask(provider).text == SOLUTION


def test_calls_are_under_way_together() -> None:
    with Provider(corrupting, together=4) as provider:
        outcomes, _ = run(provider, count=8, concurrency=4)
    assert [outcome.reason for outcome in outcomes] == [None] * 8


# stop


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (refused(401, f"Incorrect key {KEY}"), "check the key"),
        (refused(403), "its rights"),
        (refused(402), "its credit"),
        (refused(429, "Quota", code="insufficient_quota"), "its credit"),
        (refused(404), "check -t and --api-base"),
    ],
)
def test_what_refuses_every_call_stops_the_run_at_once(reply: Reply, message: str) -> None:
    with Provider(always(reply)) as provider, pytest.raises(EditctlError, match=message) as caught:
        run(provider, count=100, concurrency=4)
    assert not isinstance(caught.value, CallFailed)
    assert caught.value.exit_code == 1
    assert len(provider.seen) <= 8
    assert KEY not in str(caught.value)


def test_a_server_that_is_not_there_stops_the_run() -> None:
    provider = Provider()
    provider.close()
    with pytest.raises(EditctlError, match=r"can't connect to http://127.0.0.1.*check that the server runs"):
        run(provider, count=50)


def test_a_server_that_goes_away_costs_the_questions_that_are_left() -> None:
    async def twice() -> Completion:
        provider = Provider()
        with provider:
            teacher = find_teacher("openai/test-model", {"api-base": provider.url, **SHORT})
            await teacher.complete(REQUEST)
        try:
            return await teacher.complete(REQUEST)
        finally:
            await teacher.close()

    with pytest.raises(CallFailed, match="provider-error"):
        asyncio.run(twice())


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
        ("openai/x", {"retries": "-1"}, "retries"),
        ("openai/x", {"extra": "{"}, "extra is no JSON"),
        ("openai/x", {"extra": "[]"}, "must be a JSON object"),
        ("openai/x", {"extra": '{"api_key": "sk-1"}'}, "keys go in the environment"),
        ("openai/x", {"timout": "3"}, "did you mean timeout"),
    ],
)
def test_what_can_not_work_is_said_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: str, options: dict[str, str], message: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        find_teacher(spec, options)
    assert caught.value.exit_code == 2


def test_a_server_of_one_s_own_needs_no_key_and_is_sent_no_other_provider_s(monkeypatch: pytest.MonkeyPatch) -> None:
    async def once(spec: str) -> Seen:
        with Provider() as provider:
            teacher = find_teacher(spec, {"api-base": provider.url, **SHORT})
            await teacher.complete(REQUEST)
            await teacher.close()
        return provider.seen[0]

    assert asyncio.run(once("hosted_vllm/test-model")).key != KEY
    monkeypatch.delenv("OPENAI_API_KEY")
    assert asyncio.run(once("openai/test-model")).key == "not-needed"


def test_a_key_may_stand_in_a_dotenv_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-from-the-file-0123456789\n")
    monkeypatch.chdir(tmp_path)
    with Provider() as provider:
        ask(provider)
    assert provider.seen[0].key == "sk-from-the-file-0123456789"


# the command


def command(folder: Path, provider: Provider, *more: str) -> "subprocess.CompletedProcess[str]":
    rows = [{"id": f"q{number}", "question": f"What is 2 + 2? {number}", "answer": "4"} for number in range(6)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = [sys.executable, "-m", "editctl", "gen-dual", "questions.jsonl", "-t", "openai/test-model"]
    line += ["--api-base", provider.url, "-T", "retries=1", "-T", "longest-wait=0.01", *more]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_with_a_provider(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        if "2 + 2? 3" in str(body["messages"]):
            return refused(500, f"boom {KEY}")
        return corrupting(number, body)

    with Provider(script) as provider:
        done = command(tmp_path, provider, "-o", "dual.jsonl")
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "dual.jsonl").read_text().splitlines()]
    assert [(row["id"], row["wrong"]["text"]) for row in rows] == [(f"q{number}", WRONG) for number in (0, 1, 2, 4, 5)]
    [rejected] = [json.loads(line) for line in (tmp_path / "dual.rejects.jsonl").read_text().splitlines()]
    assert (rejected["id"], rejected["reason"], rejected["completion"]) == ("q3", "provider-error", None)
    assert all(seen.key == KEY for seen in provider.seen)
    assert_untold(done, tmp_path, Path(os.environ["EDITCTL_STATE"]))


@pytest.mark.full
def test_the_command_with_a_key_that_is_refused(tmp_path: Path) -> None:
    with Provider(always(refused(401, f"Incorrect API key provided: {KEY}"))) as provider:
        done = command(tmp_path, provider)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "check the key" in done.stderr
    assert_untold(done, tmp_path, Path(os.environ["EDITCTL_STATE"]))


def assert_untold(done: "subprocess.CompletedProcess[str]", *folders: Path) -> None:
    """The key stands nowhere."""
    assert KEY not in done.stdout + done.stderr
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any("manifest" in path.name or path.suffix == ".json" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_a_pair_from_a_provider_names_its_teacher() -> None:
    with Provider(corrupting) as provider:
        [outcome], _ = run(provider)
    assert isinstance(outcome, DualChain)
    assert (outcome.teacher, outcome.reason) == ("openai/test-model", None)
