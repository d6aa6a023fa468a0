"""A provider on loopback for the benchmarks, a process of its own: OpenAI chat completions after a fixed latency.

`python benchmarks/loopback.py --latency 0.5` prints its address and serves until stdin ends. Its answers follow from
the prompt alone, so that every client gets the same ones: a wrong solution first, and the right one to a prompt that
tells the answer. A question therefore takes two calls of `gen-dual`: explain and rectify.
"""

import argparse
import asyncio
import hashlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

CROWD = 4096
"""Connections that may wait to be accepted: with the usual 128, some of 256 would have to try again after a second."""
_COUNTS = re.compile(r"holds (\d+) casks .* holds (\d+) casks", re.DOTALL)


def question(number: int) -> dict[str, str]:
    """The `number`-th question (from 0), some 430 characters long; its answer occurs nowhere in its text."""
    upper, lower = 10_000 + number, 50_000 + 7 * number
    text = (
        f"Order {number} of the harbour office. A merchant keeps two cellars below the old customs house, and the "
        "clerk has to write one figure into the yearly register before the tax inspector arrives on the evening ferry. "
        f"The upper cellar holds {upper} casks of cider, all of them sealed in autumn by the same cooper and stacked "
        f"in even rows. The lower cellar holds {lower} casks of vinegar, which nobody has touched since. "
        "How many casks do the two cellars hold together?"
    )
    return {"id": f"order-{number}", "task": "cellars", "question": text, "answer": str(upper + lower)}


def answer(prompt: str) -> str:
    """The solution of the question in a prompt: the right one where the prompt tells the answer, else one with a slip.

    Raises:
        ValueError: there is no such question in it.
    """
    found = _COUNTS.search(prompt)
    if found is None:
        raise ValueError("no question of the benchmark in this prompt")
    upper, lower = int(found[1]), int(found[2])
    told = re.search(rf"\b{upper + lower}\b", prompt) is not None
    total = upper + lower if told else upper + lower + 10
    return (
        "The clerk needs one figure for both cellars, so the two stocks have to be added. "
        f"The upper cellar holds {upper} casks of cider. The lower cellar holds {lower} casks of vinegar. "
        "What is in the casks does not matter, because only the number of casks is asked for. "
        f"Adding the two stocks gives {upper} + {lower} = {total} casks. Therefore, the answer is {total}."
    )


def digest(texts: Iterable[str]) -> str:
    """A hash of texts in whatever order."""
    return hashlib.sha256("\n".join(sorted(json.dumps(text) for text in texts)).encode()).hexdigest()


def canonical(body: dict[str, Any]) -> str:
    """A request body without what its writer's JSON library decides: the order of keys, spaces."""
    return json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True)
class Seen:
    """One request; times in seconds of the machine's monotonic clock, which all processes share."""

    body: bytes
    arrived: float
    answered: float | None = None
    text: str = ""


class Provider:
    """Answers after `latency` seconds and notes what it is asked; whatever takes time is worked out afterwards."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.seen: list[Seen] = []

    def application(self) -> web.Application:
        """The server: the chat endpoint, and a few to control it."""
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self.complete)
        application.router.add_post("/control/reset", self.reset)
        application.router.add_get("/control/count", self.count)
        application.router.add_get("/control/report", self.report)
        application.router.add_get("/control/bodies", self.bodies)
        return application

    async def complete(self, request: web.Request) -> web.Response:
        """One chat completion."""
        seen = Seen(b"", time.monotonic())
        self.seen.append(seen)
        seen.body = await request.read()
        body = json.loads(seen.body)
        prompt = body["messages"][-1]["content"]
        seen.text = answer(prompt)
        data = json.dumps(_completion(body["model"], prompt, seen.text)).encode()
        await asyncio.sleep(seen.arrived + self.latency - time.monotonic())
        seen.answered = time.monotonic()
        return web.Response(body=data, content_type="application/json")

    async def reset(self, _: web.Request) -> web.Response:
        """Forget what was asked."""
        self.seen = []
        return web.json_response({})

    async def count(self, _: web.Request) -> web.Response:
        """Requests so far."""
        answered = sum(seen.answered is not None for seen in self.seen)
        return web.json_response({"seen": len(self.seen), "answered": answered})

    async def report(self, _: web.Request) -> web.Response:
        """What was asked since the last reset, and when."""
        bodies = [canonical(json.loads(seen.body)) for seen in self.seen]
        return web.json_response(
            {
                "requests": len(self.seen),
                "distinct": len(set(bodies)),
                "first": min(seen.arrived for seen in self.seen),
                "last": max(seen.answered or 0.0 for seen in self.seen),
                "calls": digest(body + seen.text for body, seen in zip(bodies, self.seen, strict=True)),
                "texts": digest(seen.text for seen in self.seen),
            }
        )

    async def bodies(self, _: web.Request) -> web.Response:
        """The bodies as they came, in order."""
        return web.json_response([json.loads(seen.body) for seen in self.seen])


def _completion(model: str, prompt: str, text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


class Loopback:
    """The provider as a process, for those who measure against it."""

    def __init__(self, latency: float) -> None:
        command = [sys.executable, __file__, "--latency", str(latency)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._address = self._process.stdout.readline().strip()
        if not self._address:
            raise SystemExit("loopback.py: the provider did not start")
        self.url = f"{self._address}/v1"

    def __enter__(self) -> "Loopback":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("", timeout=30)

    def get(self, what: str) -> Any:
        """`count`, `report` or `bodies`."""
        with urllib.request.urlopen(f"{self._address}/control/{what}", timeout=60) as response:
            return json.load(response)

    def reset(self) -> None:
        """Forget what was asked."""
        urllib.request.urlopen(f"{self._address}/control/reset", data=b"", timeout=60).close()


async def serve(latency: float) -> None:
    """Serve on a free port of 127.0.0.1 until stdin ends (or somebody types a line)."""
    runner = web.AppRunner(Provider(latency).application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=CROWD)
    await site.start()
    print("http://{}:{}".format(*runner.addresses[0][:2]), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds from a request's arrival to its answer")
    asyncio.run(serve(parser.parse_args().latency))


if __name__ == "__main__":
    main()
