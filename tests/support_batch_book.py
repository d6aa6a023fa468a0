"""What a provider of batches keeps, and how it fares with them: the part of support_batches that knows no HTTP."""

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support_provider import Reply, body_hash, chat_body, fault
from tests.support_provider_rules import Behaviour, answer_sum

_SUM = re.compile(r"What is (\d+) \+ (\d+)\?")

Script = Callable[[dict[str, Any]], Reply]
"""From the body of one line to its answer; a status other than 200 goes into the error file."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How batches fare; JSON values, so that a process can be told too."""

    polls: int = 1
    """How often a batch is looked at before it has ended."""
    expires_after: int | None = None
    """Lines that are answered before the batch expires."""
    invalid: tuple[str, ...] = ()
    """What the check of the input file complains of: the whole batch fails."""
    shuffle: int | None = None
    """Seed of the order of the answers; None keeps the order of the lines."""
    cut: int = 0
    """Bytes that are missing at the end of the output file."""
    added: tuple[str, ...] = ()
    """Lines in front of the output file."""
    no_batches: bool = False
    """Neither files nor batches are known: 404."""
    forgets: bool = False
    """Batches that were taken are not known any more."""
    page: int = 100
    """Batches on a page of the list."""
    same_page: bool = False
    """The list never ends: every page is the first."""
    completion_tokens: int = 7
    faults: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By endpoint (`POST /files`, `GET /files/{id}/content`, ...) and number of the call (from "0", counted since the
    plan was set) one of support_provider.FAULTS (`429:7` asks to wait 7 seconds), or `lost`: the work is done, and the
    connection reset. The key "*" is every call."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch that was taken."""

    id: str
    input: str
    label: str | None
    seen: int = 0
    output: str | None = None
    errors: str | None = None


@dataclass(frozen=True, kw_only=True)
class HandedIn:
    """One line of the log: a request that a batch took."""

    custom_id: str
    mark: str
    """Hash of its body."""
    batch: str
    label: str | None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request."""

    endpoint: str
    """As in Plan.faults."""
    key: str
    query: Mapping[str, str]
    body: Any = None


def answer_any(body: dict[str, Any]) -> Reply:
    """Sums as support_provider_process answers them, anything else as support_provider does."""
    return answer_sum(body, Behaviour()) if _SUM.search(str(body["messages"][-1]["content"])) else Reply()


class Book:
    """Files and batches of a provider; safe for threads."""

    def __init__(self, script: Script, plan: Plan, log: Path | None) -> None:
        self.script = script
        self.plan = plan
        self.calls: list[Call] = []
        self.handed_in: list[HandedIn] = []
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Batch] = {}
        self._log = log
        self._since = 0
        self._lock = threading.Lock()

    def follow(self, plan: Plan) -> None:
        """Act so from the next call on; the numbers in its faults count from it."""
        with self._lock:
            self.plan, self._since = plan, len(self.calls)

    @property
    def times(self) -> Counter[str]:
        """How often each custom_id was handed in."""
        return Counter(line.custom_id for line in self.handed_in)

    def count(self, endpoint: str) -> int:
        """Calls of an endpoint."""
        return sum(call.endpoint == endpoint for call in self.calls)

    def answer(self, call: Call, name: str) -> tuple[Reply, bool]:
        """The answer to a call that names a file or a batch, and whether the client is to hear it."""
        with self._lock:
            number = sum(call.endpoint == earlier.endpoint for earlier in self.calls[self._since :])
            self.calls.append(call)
            faults = self.plan.faults.get(call.endpoint, {})
            kind = faults.get(str(number), faults.get("*"))
            if kind and kind != "lost":
                name, _, wait = kind.partition(":")
                return fault(name, **({"Retry_After": wait} if wait else {})), True
            return self._work(call, name), kind is None

    def _work(self, call: Call, name: str) -> Reply:
        if self.plan.no_batches:
            return _error(404, "Not Found")
        work: Mapping[str, Callable[[], Reply]] = {
            "POST /files": lambda: self._take_file(call.body),
            "GET /files/{id}/content": lambda: self._content(name),
            "POST /batches": lambda: self._take_batch(call.body),
            "GET /batches": lambda: self._list(call.query),
            "GET /batches/{id}": lambda: self._look(name),
        }
        return work[call.endpoint]() if call.endpoint in work else _error(404, "Not Found")

    def _take_file(self, data: bytes) -> Reply:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        about = {"object": "file", "bytes": len(data), "created_at": 1, "filename": "a.jsonl", "purpose": "batch"}
        return _json({"id": name, "status": "processed", **about})

    def _content(self, name: str) -> Reply:
        if name not in self.files:
            return _error(404, "No such File object")
        return Reply(body=self.files[name].decode("utf-8", "surrogateescape"))

    def _take_batch(self, said: dict[str, Any]) -> Reply:
        if said["endpoint"] != "/v1/chat/completions" or said["input_file_id"] not in self.files:
            return _error(400, "Unknown endpoint or file")
        label = (said.get("metadata") or {}).get("editctl")
        batch = Batch(id=f"batch_{len(self.batches)}", input=said["input_file_id"], label=label)
        self.batches[batch.id] = batch
        for line in self._lines(batch):
            self._note(_handed_in(line, batch))
        return _json(self._about(batch))

    def _lines(self, batch: Batch) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.files[batch.input].splitlines()]

    def _note(self, line: HandedIn) -> None:
        self.handed_in.append(line)
        if self._log is not None:
            with self._log.open("a") as log:
                log.write(json.dumps(asdict(line)) + "\n")

    def _list(self, query: Mapping[str, str]) -> Reply:
        newest = list(self.batches.values())[::-1]
        after = "" if self.plan.same_page else query.get("after", "")
        start = 1 + [batch.id for batch in newest].index(after) if after else 0
        size = min(self.plan.page, int(query.get("limit") or 20))
        page = newest[start : start + size]
        more = self.plan.same_page or start + size < len(newest)
        return _json({"object": "list", "data": [self._about(batch) for batch in page], "has_more": more})

    def _look(self, name: str) -> Reply:
        batch = self.batches.get(name)
        if batch is None or self.plan.forgets:
            return _error(404, f"No batch found with id '{name}'.")
        batch.seen += 1
        if batch.seen > self.plan.polls and batch.output is None and not self.plan.invalid:
            self._finish(batch)
        return _json(self._about(batch))

    def _finish(self, batch: Batch) -> None:
        """Answer its lines, and write the two files."""
        lines, plan = self._lines(batch), self.plan
        if plan.shuffle is not None:
            random.Random(plan.shuffle).shuffle(lines)
        kept = len(lines) if plan.expires_after is None else plan.expires_after
        replies = [(line, self._reply(line)) for line in lines[:kept]]
        good = [_result(line, reply) for line, reply in replies if reply.status == 200]
        bad = [_result(line, reply) for line, reply in replies if reply.status != 200]
        bad += [_expired(line) for line in lines[kept:]]
        data = "".join(f"{line}\n" for line in [*plan.added, *good]).encode("utf-8", "surrogateescape")
        batch.output, batch.errors = f"file-out-{batch.id}", f"file-err-{batch.id}" if bad else None
        self.files[batch.output] = data[: len(data) - plan.cut]
        self.files[f"file-err-{batch.id}"] = "".join(f"{line}\n" for line in bad).encode()

    def _reply(self, line: dict[str, Any]) -> Reply:
        reply = self.script(line["body"])
        usual = self.plan.completion_tokens
        return reply if usual == Plan.completion_tokens else replace(reply, completion_tokens=usual)

    def _about(self, batch: Batch) -> dict[str, Any]:
        """The batch as the provider shows it."""
        total = len(self.files[batch.input].splitlines())
        failed = bool(self.plan.invalid) and batch.seen > self.plan.polls
        ended = "expired" if self.plan.expires_after is not None else "completed"
        begun = "validating" if batch.seen <= 1 else "in_progress"
        bad = self.files[batch.errors].count(b"\n") if batch.errors else 0
        done = total - bad if batch.output else total * batch.seen // (self.plan.polls + 1)
        errors = {"object": "list", "data": [{"code": "invalid", "message": text} for text in self.plan.invalid]}
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": errors if failed else None,
            "input_file_id": batch.input,
            "completion_window": "24h",
            "status": "failed" if failed else ended if batch.output else begun,
            "output_file_id": batch.output,
            "error_file_id": batch.errors,
            "created_at": 1,
            "request_counts": {"total": total, "completed": done, "failed": bad},
            "metadata": {"editctl": batch.label} if batch.label is not None else None,
        }


def _handed_in(line: dict[str, Any], batch: Batch) -> HandedIn:
    return HandedIn(custom_id=line["custom_id"], mark=body_hash(line["body"]), batch=batch.id, label=batch.label)


def _result(line: dict[str, Any], reply: Reply) -> str:
    """One line of an output or error file."""
    body = json.loads(chat_body(reply) if reply.body is None else reply.body)
    response = {"status_code": reply.status, "request_id": "r", "body": body}
    return json.dumps({"id": "r", "custom_id": line["custom_id"], "response": response, "error": None})


def _expired(line: dict[str, Any]) -> str:
    error = {"code": "batch_expired", "message": "This request could not be executed before the batch expired."}
    return json.dumps({"id": "r", "custom_id": line["custom_id"], "response": None, "error": error})


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(body=json.dumps(value), status=status)


def _error(status: int, message: str) -> Reply:
    return _json({"error": {"message": message, "type": "invalid_request_error", "code": None}}, status)
