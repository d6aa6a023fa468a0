"""A provider on loopback that speaks OpenAI's chat protocol, answers by script and remembers what it was asked.

This one lives in a thread of the test; `support_provider_process` plays the same replies in a process of its own.
"""

import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

SOLUTION = "Two and two make four. Therefore, the answer is 4."
Reset = Literal["none", "headers", "body"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One scripted answer."""

    text: str | None = SOLUTION
    reasoning: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int = 11
    completion_tokens: int = 7
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    """The raw body, in place of a well-formed completion."""
    hangs: bool = False
    """Never answered, until the provider closes."""
    delay: float = 0.0
    """Seconds before the answer begins."""
    trickle: float = 0.0
    """Seconds between two bytes of the body."""
    reset: Reset | None = None
    """The connection is torn down (RST): before anything is sent, behind the headers, or half-way through the body."""
    cut: bool = False
    """The connection ends half-way through the body, in good order."""

    @property
    def reaches(self) -> float:
        """Share of the body that is sent."""
        if self.reset in ("none", "headers"):
            return 0.0
        return 0.5 if self.cut or self.reset == "body" else 1.0


FAULTS: Mapping[str, Reply] = {
    "429": Reply(status=429, body='{"error": {"message": "Rate limit reached", "type": "requests"}}'),
    "500": Reply(status=500, body='{"error": {"message": "The server had an error", "type": "server_error"}}'),
    "503": Reply(
        status=503, body="<html><body>Service Unavailable</body></html>", headers={"Content-Type": "text/html"}
    ),
    "529": Reply(status=529, body='{"error": {"message": "Overloaded", "type": "overloaded_error"}}'),
    "reset": Reply(reset="none"),
    "reset-headers": Reply(reset="headers"),
    "reset-body": Reply(reset="body"),
    "hang": Reply(hangs=True),
    "trickle": Reply(trickle=0.05),
    "cut": Reply(body='{"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"role": "assi'),
    "cut-body": Reply(cut=True),
    "empty": Reply(body='{"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": []}'),
    "html": Reply(body="<html><body>Please log in</body></html>", headers={"Content-Type": "text/html"}),
    "401": Reply(status=401, body='{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}'),
    "404": Reply(status=404, body='{"error": {"message": "The model does not exist", "code": "model_not_found"}}'),
    "quota": Reply(
        status=429,
        body='{"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", '
        '"code": "insufficient_quota"}}',
    ),
}
"""What providers do instead of answering."""


def fault(kind: str, **headers: str) -> Reply:
    """One of FAULTS, with further headers (`Retry_After="1"` is Retry-After)."""
    reply = FAULTS[kind]
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(reply, headers={**reply.headers, **more})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    path: str
    key: str
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)
    """When it arrived, in seconds of a clock of its own."""

    @property
    def mark(self) -> str:
        """Short name of what it asks."""
        return body_hash(self.body)


Script = Callable[[int, dict[str, Any]], Reply]
"""From the number of the request (from 0) and its body to the answer."""


class Provider:
    """An HTTP server in a thread; `url` is what goes to --api-base."""

    def __init__(self, script: Script | None = None, together: int = 1) -> None:
        """`together`: no request is answered before so many of them are under way at once."""
        self.script = script or (lambda number, body: Reply())
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(together, timeout=20) if together > 1 else None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "Provider":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Give the port back; nobody listens there any more."""
        self._server.server_close()

    def answer(self, seen: Seen) -> Reply:
        """Note a request and look up its answer."""
        with self._lock:
            number = len(self.seen)
            self.seen.append(seen)
        if self._barrier is not None:
            self._wait_for_others()
        reply = self.script(number, seen.body)
        if reply.hangs or reply.delay:
            self.released.wait(60 if reply.hangs else reply.delay)
        return reply

    def _wait_for_others(self) -> None:
        assert self._barrier is not None
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            self.script = lambda number, body: Reply(status=400, body='{"error": {"message": "came alone"}}')


def body_hash(body: Mapping[str, Any]) -> str:
    """Short name of what a request asks: the same for every way of sending it."""
    asked = {name: body.get(name) for name in ("messages", "temperature", "seed")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def chat_body(reply: Reply) -> str:
    """A chat completion as JSON."""
    message = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "test-model",
            "choices": [{"index": 0, "message": message, "finish_reason": reply.finish_reason}],
            "usage": {
                "prompt_tokens": reply.prompt_tokens,
                "completion_tokens": reply.completion_tokens,
                "total_tokens": reply.prompt_tokens + reply.completion_tokens,
            },
        }
    )


def payload(reply: Reply) -> bytes:
    """The whole body of an answer."""
    return (chat_body(reply) if reply.body is None else reply.body).encode()


def head(reply: Reply, length: int) -> dict[str, str]:
    """The headers of an answer."""
    return {"Content-Type": "application/json", **reply.headers, "Content-Length": str(length)}


LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Socket option: closing sends a reset."""


def tear_down(connection: socket.socket) -> None:
    """Close a connection so that the other side sees a reset, not an end."""
    connection.setsockopt(*LINGER)
    # Detached, since a plain close waits for whoever else holds the socket, and shuts it down in good order first.
    os.close(connection.detach())


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            reply = provider.answer(Seen(path=self.path, key=key, body=body))
            if not reply.hangs:
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            data = payload(reply)
            if reply.reset != "none":
                self.send_response(reply.status)
                for name, value in head(reply, len(data)).items():
                    self.send_header(name, value)
                self.end_headers()
                self._send_body(data[: int(len(data) * reply.reaches)], reply.trickle)
            if reply.reset is not None:
                time.sleep(0.02 if reply.reset != "none" else 0)  # what was sent should be read before the reset
                self.close_connection = True
                tear_down(self.connection)
            if reply.cut:
                self.close_connection = True

        def _send_body(self, data: bytes, trickle: float) -> None:
            if not trickle:
                self.wfile.write(data)
                return
            try:
                for at in range(len(data)):
                    self.wfile.write(data[at : at + 1])
                    if provider.released.wait(trickle):
                        return
            except ConnectionError:  # the client had enough
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler
