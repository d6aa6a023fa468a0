"""A provider on loopback that speaks OpenAI's chat protocol, answers by script and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

SOLUTION = "Two and two make four. Therefore, the answer is 4."


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One scripted answer."""

    text: str | None = SOLUTION
    reasoning: str | None = None
    finish_reason: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    """The raw body, in place of a well-formed completion."""
    hangs: bool = False
    """Never answered, until the provider closes."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    path: str
    key: str
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)
    """When it arrived, in seconds of a clock of its own."""


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
        if reply.hangs:
            self.released.wait(60)
        return reply

    def _wait_for_others(self) -> None:
        assert self._barrier is not None
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            self.script = lambda number, body: Reply(status=400, body='{"error": {"message": "came alone"}}')


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
            "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
        }
    )


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            reply = provider.answer(Seen(path=self.path, key=key, body=body))
            if not reply.hangs:
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            data = (chat_body(reply) if reply.body is None else reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    return Handler
