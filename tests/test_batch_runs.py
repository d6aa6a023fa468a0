"""Whole runs through a provider's batches: handed in once whatever dies, partial results used, the budget kept."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support_batch_book import Plan
from tests.support_batches import BatchProcess
from tests.support_cli import Outcome
from tests.support_provider_process import ProviderProcess
from tests.support_runs import job

pytestmark = pytest.mark.full
COUNT = 30


def command(provider: BatchProcess, *more: str) -> list[str]:
    words = [sys.executable, "-m", "editctl", "gen-dual", "questions.jsonl", "-t", "openai/test-model", "--batch"]
    return [*words, "--api-base", provider.url, "-o", "dual.jsonl", *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": "sk-test", "NO_PROXY": "127.0.0.1"}


def run(provider: BatchProcess, folder: Path, *more: str) -> Outcome:
    words = command(provider, *more)
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def kill_when(provider: BatchProcess, folder: Path, ready: Callable[[], bool]) -> None:
    """Begin the run, and kill -9 it as soon as something has happened."""
    with subprocess.Popen(
        command(provider), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as client:
        for _ in range(3000):
            if ready():
                break
            assert client.poll() is None, client.stderr.read() if client.stderr else ""
            time.sleep(0.01)
        else:
            raise AssertionError("it never came to that")
        client.send_signal(signal.SIGKILL)


def times(provider: BatchProcess) -> Counter[str]:
    """How often each call was handed in."""
    return Counter(line.custom_id for line in provider.handed_in)


def results(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "dual.jsonl").read_bytes(), (folder / "dual.rejects.jsonl").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """What the same questions give when they are asked one by one."""
    asked = job(tmp_path_factory.mktemp("direct"), COUNT)
    with ProviderProcess(asked.folder / "provider.log") as provider:
        outcome = asked.run(provider, "direct")
    assert outcome.code == 0, outcome.err
    return asked.results()


def test_a_run_by_batches_gives_what_single_calls_give(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    folder = job(tmp_path / "job", COUNT).folder
    with BatchProcess(tmp_path, Plan(shuffle=3)) as provider:
        outcome = run(provider, folder, "--price", "1,2")
        assert outcome.code == 0, outcome.err
        assert results(folder) == undisturbed
        assert set(times(provider).values()) == {1}
        batches = Counter(line.batch for line in provider.handed_in)
        assert (batches["batch_0"], len(batches)) == (COUNT, 3)  # all explanations, what follows, second tries
        total = batches.total()
        again = run(provider, folder)
        assert (again.code, times(provider).total()) == (0, total)
    assert results(folder) == undisturbed


def taken(provider: BatchProcess, calls: int) -> Callable[[], bool]:
    return lambda: len(provider.handed_in) >= calls


def started(folder: Path) -> Callable[[], bool]:
    return lambda: (folder / "dual.ledger.sqlite").exists()


@pytest.mark.parametrize("moment", ["collecting", "first handed in", "second handed in"])
def test_a_killed_run_finds_its_batches_again(moment: str, tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    folder = job(tmp_path / "job", COUNT).folder
    with BatchProcess(tmp_path, Plan(polls=2)) as provider:
        moments = {
            "collecting": started(folder),
            "first handed in": taken(provider, COUNT),
            "second handed in": taken(provider, 2 * COUNT),
        }
        kill_when(provider, folder, moments[moment])
        outcome = run(provider, folder)
        assert outcome.code == 0, outcome.err
        assert set(times(provider).values()) == {1}
        assert ("taken up" in outcome.err) == (moment != "collecting")
    assert results(folder) == undisturbed


def test_the_answered_part_of_an_expired_batch_is_used(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    folder = job(tmp_path / "job", COUNT).folder
    with BatchProcess(tmp_path, Plan(expires_after=20)) as provider:
        outcome = run(provider, folder)
        assert outcome.code == 0, outcome.err
        first = [line.custom_id for line in provider.handed_in if line.batch == "batch_0"]
        # Twenty of the first thirty were answered: only the other ten are handed in again.
        assert (len(first), sum(times(provider)[name] == 1 for name in first)) == (COUNT, 20)
    assert results(folder) == undisturbed


def test_a_batch_whose_answer_was_lost_is_not_handed_in_twice(tmp_path: Path, undisturbed: tuple[bytes, bytes]) -> None:
    folder = job(tmp_path / "job", COUNT).folder
    with BatchProcess(tmp_path, Plan(faults={"POST /batches": {"0": "lost"}})) as provider:
        outcome = run(provider, folder)
        assert outcome.code == 0, outcome.err
        assert set(times(provider).values()) == {1}
    assert results(folder) == undisturbed


def test_the_budget_holds_for_batches(tmp_path: Path) -> None:
    folder = job(tmp_path / "job", COUNT).folder
    plan = Plan(completion_tokens=10)
    with BatchProcess(tmp_path, plan) as provider:
        outcome = run(provider, folder, "--max-new-tokens", "10", "--price", "0,100000", "--budget-usd", "12")
        assert outcome.code == 4, outcome.err
        assert 6 <= sum(times(provider).values()) <= 12
    manifest = json.loads((folder / "dual.manifest.json").read_text()) if (folder / "dual.jsonl").exists() else None
    assert manifest is None or manifest["status"] == "partial"


def test_a_server_without_batches_is_told_apart(tmp_path: Path) -> None:
    folder = job(tmp_path / "job", 3).folder
    with BatchProcess(tmp_path, Plan(no_batches=True)) as provider:
        outcome = run(provider, folder)
    assert outcome.code == 1
    assert "leave --batch away" in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err


def test_a_teacher_without_batches_is_refused(tmp_path: Path) -> None:
    folder = job(tmp_path / "job", 3).folder
    words = [sys.executable, "-m", "editctl", "gen-dual", "questions.jsonl", "-t", "anthropic/claude-3-haiku-20240307"]
    done = subprocess.run(
        [*words, "--batch", "-o", "dual.jsonl"],
        cwd=folder,
        env={**environment(), "ANTHROPIC_API_KEY": "sk-ant"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "leave --batch away" in done.stderr.splitlines()[-1]
