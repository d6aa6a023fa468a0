"""What a short script does: N workers that call `litellm.acompletion` and keep the answers in memory.

bare_litellm.py URL BODIES CONCURRENCY ANSWERS: sends what is in each body of the JSON lines file BODIES to the
OpenAI-compatible server at URL and writes the texts it got to ANSWERS, a JSON list in the order of the bodies. No
retries, no record.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm


async def ask_all(url: str, bodies: list[dict[str, Any]], concurrency: int) -> list[str]:
    """The answers, in the order of the bodies."""
    answers = [""] * len(bodies)
    numbered = iter(enumerate(bodies))

    async def work(left: Iterator[tuple[int, dict[str, Any]]]) -> None:
        for number, body in left:
            response = await litellm.acompletion(
                **{**body, "model": f"openai/{body['model']}"}, api_base=url, api_key="not-needed", max_retries=0
            )
            answers[number] = response.choices[0].message.content

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
