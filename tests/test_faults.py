"""What a user sees of each fault of a provider, a disk, a pipe or a hand, and that nothing paid is lost by it."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support_provider_process import ProviderProcess
from tests.support_provider_rules import Behaviour, Rule
from tests.support_runs import Job, assert_clear, ended, job, provider_in, recorded

QUESTIONS = 12
ONE = "What is 13 + "
"""Words of one question."""
KEY = "sk-nobody-may-read-this-0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the provider does, and what the user then sees."""

    name: str
    rules: tuple[Rule, ...]
    code: int
    says: str = ""
    options: tuple[str, ...] = ()
    most: int | None = None
    """Requests that are sent at most."""
    full: bool = False
    """Too slow for every day."""

    @property
    def through_litellm(self) -> bool:
        """Whether the fault may look different through litellm, which starts slowly: not with all cases."""
        return "without end" not in self.name and "nothing but" not in self.name


def some(kind: str, **headers: str) -> Rule:
    """Hits every third body once."""
    return Rule(kind=kind, rate=0.34, tries=1, seed=len(kind), headers=headers)


HASTY = ("-T", "timeout=0.5")
CASES = (
    Case(
        name="429 with Retry-After",
        rules=(Rule(kind="429", last=3, headers={"Retry-After": "1"}),),
        code=0,
        options=("--max-concurrency", "2"),
    ),
    Case(name="429 without Retry-After", rules=(Rule(kind="429", last=3),), code=0, options=("--max-concurrency", "2")),
    Case(
        name="429 without end",
        rules=(Rule(kind="429"),),
        code=1,
        says="--patience",
        options=("--patience", "0.5"),
        most=40,
        full=True,
    ),
    Case(name="server errors", rules=(some("500"), some("503"), some("529")), code=0),
    Case(
        name="a server error without end",
        rules=(Rule(kind="500", holds=ONE),),
        code=3,
        says="1 call could not be made",
        options=("--retries", "1"),
        full=True,
    ),
    Case(
        name="nothing but server errors",
        rules=(Rule(kind="500"),),
        code=1,
        says="stopped",
        options=("--retries", "0"),
        full=True,
    ),
    Case(name="resets", rules=(some("reset"), some("reset-headers"), some("reset-body")), code=0),
    Case(name="timeouts", rules=(some("hang"),), code=0, options=HASTY),
    Case(
        name="nothing but timeouts",
        rules=(Rule(kind="hang"),),
        code=1,
        says="stopped",
        options=(*HASTY, "--retries", "0"),
        full=True,
    ),
    Case(name="a slow trickle", rules=(some("trickle"),), code=0, options=HASTY, full=True),
    Case(name="broken answers", rules=(some("cut"), some("cut-body"), some("empty"), some("html")), code=0),
    Case(
        name="an answer that stays broken",
        rules=(Rule(kind="cut", holds=ONE),),
        code=3,
        says="1 call could not be made",
        options=("--retries", "1"),
        full=True,
    ),
    Case(name="a web page", rules=(Rule(kind="html"),), code=1, says="stopped", options=("--retries", "0")),
    Case(
        name="no choices at all",
        rules=(Rule(kind="empty"),),
        code=1,
        says="stopped",
        options=("--retries", "0"),
        full=True,
    ),
    Case(name="a wrong key", rules=(Rule(kind="401"),), code=1, says="check the key", most=QUESTIONS),
    Case(
        name="a key that is withdrawn",
        rules=(Rule(kind="401", first=8),),
        code=1,
        says="check the key",
        most=40,
        full=True,
    ),
    Case(name="an unknown model", rules=(Rule(kind="404"),), code=1, says="no such model", most=QUESTIONS),
    Case(name="no credit left", rules=(Rule(kind="quota", first=8),), code=1, says="credit", most=40),
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITCTL_STATE", str(tmp_path_factory.mktemp("state")))
        done = job(tmp_path_factory.mktemp("calm"), QUESTIONS)
        with provider_in(done.folder) as provider:
            assert_clear(done.run(provider, KEY), 0)
            assert len(done.recorded()) == len(provider.arrived())
    return done


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ProviderProcess]:
    with provider_in(tmp_path) as one:
        yield one


def paid(provider: ProviderProcess, key: str = KEY) -> set[str]:
    """Marks of the good answers given to a run."""
    return {event.mark for event in provider.answered(key)}


def open_reservations(asked: Job) -> int:
    """Calls that the ledger counts at their worst case because nothing is known of them."""
    with closing(sqlite3.connect(asked.ledger)) as file:
        return int(file.execute("SELECT count(*) FROM charge WHERE state = 'open'").fetchone()[0])


def assert_goes_on(asked: Job, provider: ProviderProcess, calm: Job, *more: str) -> None:
    """With the cause gone, the same command asks for nothing that is recorded, and ends as if nothing had been."""
    before = asked.recorded()
    provider.behave(Behaviour())
    assert_clear(asked.run(provider, "again", *more), 0)
    assert not before & {event.mark for event in provider.arrived("again")}
    assert asked.results() == calm.results()


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.full if case.full else (), id=case.name) for case in CASES]
)
def test_a_provider_that_misbehaves(case: Case, tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    check(case, job(tmp_path, QUESTIONS, *case.options), provider, calm)


@pytest.mark.full
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.through_litellm])
def test_the_same_through_litellm(case: Case, tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    check(case, job(tmp_path, QUESTIONS, *case.options, "-T", "transport=litellm"), provider, calm)


def check(case: Case, asked: Job, provider: ProviderProcess, calm: Job) -> None:
    provider.behave(Behaviour(rules=case.rules))
    done = asked.run(provider, KEY)
    assert_clear(done, case.code, case.says)
    assert KEY not in done.out + done.err
    assert "hang" in str(case.rules) or open_reservations(asked) == 0
    assert done.out == ""
    assert case.most is None or len(provider.arrived()) <= case.most
    lost = paid(provider) - asked.recorded()
    if case.code in (0, 3):
        assert not lost
    if case.code == 0:
        assert asked.results() == calm.results()
    else:
        assert_goes_on(asked, provider, calm)


def test_what_failed_may_fail_again(tmp_path: Path, provider: ProviderProcess) -> None:
    """Where all but a few calls are recorded, the few that fail are no sign that the provider is down."""
    asked = job(tmp_path, 160, "--retries", "0")
    provider.behave(Behaviour(rules=tuple(Rule(kind="500", holds=f"{number}5 + ") for number in range(1, 17))))
    assert_clear(asked.run(provider, KEY), 3, "could not be made")
    before = asked.results()
    for key in ("second", "third"):
        assert_clear(asked.run(provider, key), 3, "could not be made")
        assert len(provider.arrived(key)) == 16
        assert asked.results() == before


# the provider is not there


def test_a_provider_that_is_not_there(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, "--retries", "1")
    provider.kill()
    assert_clear(asked.run(provider, KEY), 1, "can't connect")
    provider.restart()
    assert_goes_on(asked, provider, calm)


def test_a_provider_that_goes_away(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, "--max-concurrency", "4", "--retries", "0")
    provider.behave(Behaviour(latency=0.1))
    with asked.running(provider, KEY) as client:
        provider.wait_for(6, client, KEY)
        provider.kill()
        assert_clear(ended(client), 1)
    assert len(paid(provider) - asked.recorded()) <= 4
    provider.restart()
    assert_goes_on(asked, provider, calm)


# somebody stops it


@pytest.mark.parametrize(
    ("number", "code", "says"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("transport", ["direct", pytest.param("litellm", marks=pytest.mark.full)])
def test_a_run_that_is_stopped(
    number: signal.Signals, code: int, says: str, transport: str, tmp_path: Path, provider: ProviderProcess, calm: Job
) -> None:
    asked = job(tmp_path, QUESTIONS, "--max-concurrency", "4", "-T", f"transport={transport}")
    provider.behave(Behaviour(latency=0.1))
    with asked.running(provider, KEY) as client:
        provider.wait_for(8, client, KEY)
        client.send_signal(number)
        assert_clear(ended(client), code, says)
    assert not (tmp_path / "dual.jsonl").exists()
    # It waited for the calls under way: whatever was answered is kept, and no reservation is left.
    assert paid(provider) == asked.recorded()
    assert len(asked.recorded()) >= 4
    assert open_reservations(asked) == 0
    assert_goes_on(asked, provider, calm)


# nowhere to write


def test_a_full_disk_under_the_ledger(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, "--max-concurrency", "4")
    done = asked.shell(provider, KEY, 'ulimit -f 100; exec "$@" -o dual.jsonl')
    assert_clear(done, 2, "dual.ledger.sqlite")
    assert "free some space and run again" in done.err
    assert len(paid(provider) - asked.recorded()) <= 4
    assert asked.recorded()
    assert_goes_on(asked, provider, calm)


def test_a_full_disk_under_the_output(tmp_path: Path, provider: ProviderProcess) -> None:
    asked = job(tmp_path, QUESTIONS, notes="-" * 300_000)
    (tmp_path / "dual.jsonl").write_text("as it was\n")
    done = asked.shell(provider, KEY, 'ulimit -f 1000; exec "$@" -o dual.jsonl')
    assert_clear(done, 2, "dual.jsonl: can't be written")
    assert (tmp_path / "dual.jsonl").read_text() == "as it was\n"
    assert not list(tmp_path.glob(".dual*"))
    before = asked.recorded()
    assert_clear(asked.run(provider, "again"), 0)
    assert not before & {event.mark for event in provider.arrived("again")}


@pytest.mark.parametrize("ending", ["> /dev/full", pytest.param("-o /dev/full", marks=pytest.mark.full)])
def test_a_full_device(ending: str, tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, "--ledger", "dual.ledger.sqlite")
    done = asked.shell(provider, KEY, f'"$@" {ending}')
    assert_clear(done, 2, "free some space and run again")
    assert_goes_on(asked, provider, calm)


def test_a_reader_that_has_seen_enough(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, "--ledger", "dual.ledger.sqlite")
    provider.behave(Behaviour(latency=0.1))
    done = asked.shell(provider, KEY, '"$@" --max-concurrency 1 | head -1; echo "${PIPESTATUS[*]}"')
    assert_clear(done, 0)
    assert len(provider.arrived()) < len(calm.recorded())
    assert len(paid(provider) - asked.recorded()) <= 1
    assert done.out.splitlines() == [calm.results()[0].decode().splitlines()[0], "0 0"]
    assert_goes_on(asked, provider, calm)


def test_a_closed_stdout(tmp_path: Path, provider: ProviderProcess) -> None:
    asked = job(tmp_path, QUESTIONS)
    assert_clear(asked.shell(provider, KEY, '"$@" >&-'), 2, "stdout is closed")
    assert provider.arrived() == []


def test_a_ledger_in_the_state_folder(tmp_path: Path, provider: ProviderProcess, own_state: Path) -> None:
    asked = job(tmp_path, QUESTIONS)
    assert_clear(asked.shell(provider, KEY, '"$@" > first'), 0)
    assert_clear(asked.shell(provider, "again", '"$@" > second'), 0)
    assert provider.arrived("again") == []
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes() != b""
    assert recorded(own_state / "ledger.sqlite") == {event.mark for event in provider.arrived()}
