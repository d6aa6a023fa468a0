"""Several processes write what one would have written; faults are told as one would tell them."""

import gc
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import pytest

from editctl.align import workers
from editctl.align.aligner import aligner_for
from editctl.align.lines import Line, LineAligner
from editctl.align.stage import TOGETHER
from editctl.align.workers import Setup
from editctl.errors import EditctlError
from editctl.rows import dual_to_row
from tests.support_cli import lines
from tests.support_models import byte_level, pair

COUNT = 2 * TOGETHER + 7


def rows(count: int = COUNT, **changes: Any) -> list[dict[str, Any]]:
    """Dual chains with ids of their own."""
    return [{**dual_to_row(pair(number).dual), "id": f"q{number}", **changes} for number in range(count)]


def run(folder: Path, content: Iterable[dict[str, Any]] | str, *options: str) -> subprocess.CompletedProcess[str]:
    """`editctl align` on these rows, as a process."""
    text = content if isinstance(content, str) else lines(content)
    (folder / "dual.jsonl").write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "editctl", "align", "dual.jsonl", *options],
        cwd=folder,
        env={**os.environ, "EDITCTL_STATE": str(folder / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_two_processes_write_what_one_writes(tmp_path: Path) -> None:
    content = rows()
    content[5]["wrong"] = None
    content[TOGETHER]["note"] = "kept \u2028 ☃ \x7f"
    one, two = (run(tmp_path, content, "--workers", count) for count in ("1", "2"))
    assert (one.returncode, two.returncode) == (0, 0), one.stderr + two.stderr
    assert one.stdout == two.stdout
    assert one.stderr == two.stderr
    assert len(one.stdout.splitlines()) == COUNT
    assert [json.loads(line)["id"] for line in one.stdout.splitlines()] == [f"q{number}" for number in range(COUNT)]


@pytest.mark.full
def test_two_processes_cut_the_same_tokens(tmp_path: Path) -> None:
    byte_level().save_pretrained(tmp_path / "tokenizer")
    one, two = (run(tmp_path, rows(), "--tokenizer", "tokenizer", "--workers", count) for count in ("1", "2"))
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout


def test_rows_without_ids_are_named_as_by_one_process(tmp_path: Path) -> None:
    content = [{"question": "1 + 1?", "right": "It is 2.", "wrong": "It is 3."} for _ in range(COUNT)]
    one, two = (run(tmp_path, content, "--workers", count) for count in ("1", "2"))
    assert one.returncode == 0, one.stderr
    assert one.stdout == two.stdout
    assert len({json.loads(line)["id"] for line in one.stdout.splitlines()}) == COUNT


@pytest.mark.parametrize("place", [3, TOGETHER + 1, COUNT - 1])
def test_a_fault_is_told_with_its_line(tmp_path: Path, place: int) -> None:
    written = lines(rows()).splitlines()
    written[place] = written[place].replace('"id":', '"id" ')
    found = run(tmp_path, "\n".join(written), "--workers", "2", "-o", "out.jsonl")
    assert found.returncode == 2
    assert f"dual.jsonl, line {place + 1}" in found.stderr.replace("dual.jsonl:", "dual.jsonl, line ")
    assert len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_an_id_of_another_group_is_refused_with_its_line(tmp_path: Path) -> None:
    content = rows()
    content[TOGETHER + 4]["id"] = "q1"
    one, two = (run(tmp_path, content, "--workers", count, "-o", "out.jsonl") for count in ("1", "2"))
    assert (one.returncode, two.returncode) == (2, 2)
    assert one.stderr == two.stderr
    assert str(TOGETHER + 5) in two.stderr
    assert "'q1' stands twice" in two.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_that_pairs_were_aligned_again_is_said(tmp_path: Path, workers: str) -> None:
    made = run(tmp_path, rows(), "-o", "steps.jsonl", "--unit", "step", "--workers", workers)
    assert "aligned again" not in made.stderr
    again = run(tmp_path, (tmp_path / "steps.jsonl").read_text(), "--match", "steps", "--workers", workers)
    assert again.returncode == 0, again.stderr
    assert "dual.jsonl holds alignments: its pairs were aligned again, by word, steps matched first" in again.stderr
    assert {json.loads(line)["edits"]["unit"] for line in again.stdout.splitlines()} == {"word"}


def test_a_limit_counts_rows_whoever_aligns_them(tmp_path: Path) -> None:
    text = "\n\n".join(lines(rows()).splitlines())
    found = run(tmp_path, text, "--workers", "2", "--limit", str(TOGETHER + 2))
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) == TOGETHER + 2


def test_rows_that_come_slowly_are_not_kept_waiting(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "editctl", "align", "-q"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "EDITCTL_STATE": str(tmp_path / "state")},
    )
    with process:
        assert process.stdin is not None
        came = _lines_of(process)
        content = rows(310)
        process.stdin.write(lines(content[:300]))
        process.stdin.flush()
        for number, row in enumerate(content):
            if number >= 300:
                process.stdin.write(json.dumps(row) + "\n")
                process.stdin.flush()
            assert json.loads(came.get(timeout=120))["id"] == row["id"]
        process.stdin.close()
    assert process.returncode == 0


def setup(*, is_stream: bool = False, tokenizer: str | None = None) -> Setup:
    """Words of a file, or tokens."""
    unit = "token" if tokenizer else "word"
    return Setup(name="f", is_stream=is_stream, mapping=(), unit=unit, tokenizer=tokenizer, match="units")


def groups(content: list[dict[str, Any]], size: int = 3) -> list[list[Line]]:
    """Rows as groups of numbered lines."""
    numbered = list(enumerate(lines(content).splitlines(keepends=True), 1))
    return [numbered[begin : begin + size] for begin in range(0, len(numbered), size)]


@pytest.mark.parametrize(("is_stream", "apart"), [(False, 4), (True, 0)])
def test_large_files_are_shared_out_unasked_and_streams_are_not(
    is_stream: bool, apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []

    def in_processes(rest: Any, own: LineAligner, *_: Any) -> Any:
        for group in rest:
            taken.append(group)
            yield own.rows(group)

    monkeypatch.setattr(workers, "WORTH_IT", 6)
    monkeypatch.setattr(workers, "_processors", lambda: 2)
    monkeypatch.setattr(workers, "_in_processes", in_processes)
    own = LineAligner("f", (), aligner_for("word"))
    done = list(workers.done_in_order(groups(rows(18)), own, setup(is_stream=is_stream), 0))
    assert sum(one.rows for one in done) == 18
    assert len(taken) == apart


def test_rows_without_ids_are_left_to_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_in_processes", None)
    own = LineAligner("f", (), aligner_for("word"))
    own.rows([(1, '{"question": "1?", "right": "It is 2.", "wrong": "It is 3."}')])
    done = list(workers.done_in_order(groups(rows(6)), own, setup(), 2))
    assert sum(one.rows for one in done) == 6


def test_a_worker_that_dies_is_one_clear_line(tmp_path: Path) -> None:
    own = LineAligner("f", (), aligner_for("word"))
    with pytest.raises(EditctlError, match=r"a worker process died .*--workers 1"):
        list(workers.done_in_order(groups(rows(6)), own, setup(tokenizer=str(tmp_path / "none")), 2))


def test_the_collector_is_left_as_it_was() -> None:
    before = gc.get_threshold()
    list(workers.done_in_order(groups(rows(3)), LineAligner("f", (), aligner_for("word")), setup(), 1))
    assert gc.get_threshold() == before


def _lines_of(process: "subprocess.Popen[str]") -> "queue.Queue[str]":
    """What a process prints, line by line, as it comes."""
    came: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            came.put(line)

    threading.Thread(target=listen, daemon=True).start()
    return came


@pytest.mark.full
@pytest.mark.parametrize(("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_no_worker_outlives_its_parent(tmp_path: Path, sign: signal.Signals, code: int) -> None:
    fifo = tmp_path / "dual.jsonl"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "editctl", "align", str(fifo), "--workers", "2", "-o", str(tmp_path / "out.jsonl")],
        env={**os.environ, "EDITCTL_STATE": str(tmp_path / "state")},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process, fifo.open("w", encoding="utf-8") as pipe:
        content = rows(8 * TOGETHER)
        pipe.write(lines(content))
        pipe.flush()
        children = _workers(process.pid)
        os.kill(process.pid, sign)
        assert process.wait(timeout=120) == code
        _, alive = psutil.wait_procs(children, timeout=120)
        assert not alive
    assert not (tmp_path / "out.jsonl").exists()


def _workers(process: int) -> list[psutil.Process]:
    """The worker processes, once both have begun."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        children: list[psutil.Process] = psutil.Process(process).children(recursive=True)
        if sum("spawn_main" in " ".join(child.cmdline()) for child in children) >= 2:
            return children
        time.sleep(0.1)
    raise AssertionError("no workers came")
