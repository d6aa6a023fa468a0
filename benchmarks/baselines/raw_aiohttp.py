"""The least a client can do: N workers that post bodies with aiohttp and keep the answers in memory.

raw_aiohttp.py URL BODIES CONCURRENCY ANSWERS: posts each body of the JSON lines file BODIES to the OpenAI-compatible
server at URL and writes the texts it got to ANSWERS, a JSON list in the order of the bodies. No retries, no record.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp


async def ask_all(url: str, bodies: list[dict[str, Any]], concurrency: int) -> list[str]:
    """The answers, in the order of the bodies."""
    answers = [""] * len(bodies)
    numbered = iter(enumerate(bodies))
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work(left: Iterator[tuple[int, dict[str, Any]]]) -> None:
            for number, body in left:
                async with session.post(f"{url}/chat/completions", json=body, raise_for_status=True) as response:
                    answers[number] = (await response.json())["choices"][0]["message"]["content"]

        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(work(numbered))
    return answers


def main() -> None:
    """Ask, then write."""
    url, bodies, concurrency, answers = sys.argv[1:]
    rows = [json.loads(line) for line in Path(bodies).read_text(encoding="utf-8").splitlines()]
    Path(answers).write_text(json.dumps(asyncio.run(ask_all(url, rows, int(concurrency)))), encoding="utf-8")


if __name__ == "__main__":
    main()
