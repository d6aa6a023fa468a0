"""Shared by all tests: a state folder of their own, no network by accident, a record of what was skipped."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support_cli import Cli, Outcome

_NOTED: dict[str, str] = {}
_MEMORY_DISK = Path("/dev/shm")
_ROOM = 6 * 2**30

# Two workers with two threads each wait for one another on two cores; the models of the tests are too small to share.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Files of tests lie in memory where there is room: ledgers and checkpoints wait for the disk at every row.

    Hypothesis has no stopwatch: how long an example takes is the machine's affair.
    """
    settings.register_profile("editctl", deadline=None)
    settings.load_profile("editctl")
    if _MEMORY_DISK.is_dir() and os.access(_MEMORY_DISK, os.W_OK) and shutil.disk_usage(_MEMORY_DISK).free > _ROOM:
        runs_programs = not os.statvfs(_MEMORY_DISK).f_flag & os.ST_NOEXEC
        if runs_programs:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY_DISK))


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Manifests go to a folder of the test; no hub is asked; no key of the developer's is seen."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("EDITCTL_STATE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions, dual chains, rejects and alignments in a folder; not to be changed."""
    from tests.support_report import make_data

    return make_data(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def work(experiment: Path, tmp_path: Path) -> Path:
    """A copy of them to change."""
    from tests.support_report import copied

    return copied(experiment, tmp_path / "work")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Call the command line in this process, from a folder of the test's own."""
    from editctl.cli.main import main

    monkeypatch.chdir(tmp_path)
    former = signal.getsignal(signal.SIGTERM)

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["editctl", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        return Outcome(int(stop.value.code or 0), out, err)

    yield call
    signal.signal(signal.SIGTERM, former)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a skip; with xdist this runs in the main process, which hears all reports."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _NOTED[report.nodeid] = _reason(report.longrepr)


def _reason(text: Any) -> str:
    return str(text[2] if isinstance(text, tuple) else text).removeprefix("Skipped: ")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the record where tools/check_skips.py looks for it (not from xdist's workers)."""
    if not hasattr(session.config, "workerinput"):
        folder = session.config.rootpath / ".pytest_cache"
        folder.mkdir(exist_ok=True)
        (folder / "editctl-skips.json").write_text(json.dumps(_NOTED), encoding="utf-8")
