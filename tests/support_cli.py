"""Short ways to run the command line and to make the files it takes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editctl.align.edits import align_texts
from editctl.align.units import words
from editctl.records import Alignment, Chain, DualChain, Prediction, Question
from editctl.rows import alignment_to_row, dual_to_row, prediction_to_row

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]

TEACHER = '''
"""Teachers that misbehave."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from editctl.errors import EditctlError
from editctl.interfaces import CallFailed, Completion


@dataclass(frozen=True)
class Options:
    """No options but a key, to see that it is never stored."""

    api_key: str = ""
    extra: str = "{}"


class Good:
    """Answers 1, or 2 when asked to be wrong."""

    name = "good"
    offline = True
    Options = Options

    def __init__(self, argument, options):
        pass

    async def complete(self, request):
        await self.trouble(request)
        return Completion(text=f"So. Therefore, the answer is {2 if request.step == 'corrupt' else 1}.")

    async def trouble(self, request):
        pass

    async def close(self):
        pass


class Fails(Good):
    """One call can't be answered."""

    async def trouble(self, request):
        if request.question.id == "q2":
            raise CallFailed("provider-error", "the server\\x1b[31m is down")


class Slow(Good):
    """Sleeps over the fourth question, and says so in a file."""

    async def trouble(self, request):
        if request.question.id == "q3":
            await asyncio.sleep(0.5)
            Path("sleeping").touch()
            await asyncio.sleep(600)


class Refuses(Good):
    """Stops the whole run at the fourth question."""

    async def trouble(self, request):
        if request.question.id == "q3":
            await asyncio.sleep(0.5)
            raise EditctlError("no credit left")


class Dies(Good):
    """Is killed at the fourth question."""

    async def trouble(self, request):
        if request.question.id == "q3":
            await asyncio.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)


class NoTeacher:
    """Has nothing a teacher has."""
'''


def questions(count: int) -> list[Row]:
    """Questions q0, q1, ... whose answer is 1."""
    return [
        {"id": f"q{number}", "question": f"What is {number} - {number - 1}?", "answer": "1"} for number in range(count)
    ]


def dual(number: int = 0) -> DualChain:
    """A pair."""
    return DualChain(
        question=Question(id=f"q{number}", question=f"What is {number} + 1?", answer="4", task="add"),
        right=Chain(text="3 + 1 = 4. Therefore, the answer is 4.", answer="4", origin="sampled"),
        wrong=Chain(text="3 + 1 = 5. Therefore, the answer is 5.", answer="5", origin="corrupted", mistake="any"),
        teacher="test",
    )


def dual_rows(count: int = 2) -> list[Row]:
    """Pairs as rows."""
    return [dual_to_row(dual(number)) for number in range(count)]


def aligned_rows(count: int = 2) -> list[Row]:
    """Alignments as rows."""
    rows = []
    for number in range(count):
        pair = dual(number)
        assert pair.right is not None
        assert pair.wrong is not None
        edits = align_texts(pair.right.text, pair.wrong.text, words, "word", None)
        rows.append(alignment_to_row(Alignment(dual=pair, edits=edits)))
    return rows


def prediction_rows(*answers: str) -> list[Row]:
    """Predictions as rows; the right answer is 4."""
    return [
        prediction_to_row(
            Prediction(
                question=dual(number).question,
                steps=(f"Therefore, the answer is {answer}.",),
                prediction=answer,
                verdict="right" if answer == "4" else "wrong",
            )
        )
        for number, answer in enumerate(answers)
    ]


def reject_rows() -> list[Row]:
    """A reject as a row."""
    return [{**questions(1)[0], "step": "explain", "reason": "unread", "attempts": 3, "completion": "?"}]


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(path: Path | str) -> list[Row]:
    """Rows of a file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def command(*words_: str, folder: Path, stdin: str | None = None, **env: str) -> Outcome:
    """The command line as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "editctl", *words_],
        cwd=folder,
        env={**os.environ, **env},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def shell(script: str, folder: Path) -> Outcome:
    """A bash script in which `editctl` is ours; stdout ends in the exit codes of the last pipe, space-separated."""
    prelude = f'editctl() {{ "{sys.executable}" -m editctl "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-c", f'{prelude}{script}\necho "${{PIPESTATUS[*]}}"'],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
