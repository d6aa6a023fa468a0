"""The cap on what a run may cost is never passed, whatever happens, and a higher cap goes on where it stopped."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support_provider_process import ProviderProcess
from tests.support_provider_rules import Behaviour, Rule
from tests.support_runs import Job, assert_clear, job, provider_in

QUESTIONS, CALLS = 80, 160
CAP = 100
CONCURRENCY = 32
# Ten tokens of an answer at 100,000 USD a million are 1 USD; prompts are free.
DEAR = ("--max-concurrency", str(CONCURRENCY), "--max-new-tokens", "10", "--price", "0,100000")
PLAIN = Behaviour(plain=True, completion_tokens=10, latency=0.02)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that no cap stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITCTL_STATE", str(tmp_path_factory.mktemp("state")))
        done = job(tmp_path_factory.mktemp("calm"), QUESTIONS, *DEAR)
        with provider_in(done.folder, PLAIN) as provider:
            assert_clear(done.run(provider, "calm"), 0)
            assert len(provider.arrived()) == CALLS
    return done


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[ProviderProcess]:
    with provider_in(tmp_path, PLAIN) as one:
        yield one


def manifest(asked: Job) -> dict[str, object]:
    found: dict[str, object] = json.loads((asked.folder / "dual.manifest.json").read_text())
    return found


def assert_finished_ones_are_there(asked: Job, calm: Job) -> None:
    rows = asked.results()[0].splitlines()
    whole = calm.results()[0].splitlines()
    assert 0 < len(rows) < len(whole)
    # In the order of the questions, each as it would have been.
    assert rows == [row for row in whole if row in set(rows)]
    assert manifest(asked)["status"] == "partial"


def assert_goes_on(asked: Job, provider: ProviderProcess, calm: Job, *more: str) -> None:
    """A higher cap pays for nothing twice and comes to the same end."""
    before = asked.recorded()
    assert_clear(asked.run(provider, "higher", *more), 0)
    assert not before & {event.mark for event in provider.arrived("higher")}
    assert asked.results() == calm.results()
    assert manifest(asked)["status"] == "complete"


def test_the_cap_is_never_passed(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, *DEAR)
    assert_clear(asked.run(provider, "capped", "--budget-usd", str(CAP)), 4, "budget reached")
    assert CAP - 5 <= len(provider.answered()) <= CAP
    assert len(provider.arrived()) <= CAP
    assert asked.recorded() == {event.mark for event in provider.answered()}
    assert_finished_ones_are_there(asked, calm)
    assert_clear(asked.run(provider, "same", "--budget-usd", str(CAP)), 4, "budget reached")
    assert provider.arrived("same") == []
    assert_goes_on(asked, provider, calm, "--budget-usd", str(CALLS))


@pytest.mark.full
def test_the_cap_holds_over_kills(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    asked = job(tmp_path, QUESTIONS, *DEAR, "--budget-usd")
    for number in range(2):
        with asked.running(provider, f"killed-{number}", str(CAP)) as client:
            provider.wait_for(15, client, f"killed-{number}")
            client.kill()
    assert_clear(asked.run(provider, "capped", str(CAP)), 4, "budget reached")
    # Whatever was in flight at a kill counts as paid, so that some of the cap may be left unused.
    assert CAP - 2 * CONCURRENCY - 5 <= len(provider.answered()) <= CAP
    assert len(provider.arrived()) <= CAP
    assert_finished_ones_are_there(asked, calm)
    assert_goes_on(asked, provider, calm, str(2 * CALLS))


@pytest.mark.full
def test_what_may_have_been_billed_counts(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    """A lost connection, a timeout or a broken answer may cost the full price; a refusal for the moment does not."""
    dear = (
        Rule(kind="reset", rate=0.1, seed=1),
        Rule(kind="cut", rate=0.1, seed=2),
        Rule(kind="hang", rate=0.03, seed=3),
    )
    free = (Rule(kind="500", rate=0.1, seed=4), Rule(kind="429", rate=0.02, seed=5))
    provider.behave(Behaviour(plain=True, completion_tokens=10, rules=dear + free))
    asked = job(tmp_path, QUESTIONS, *DEAR, "-T", "timeout=0.5", "--budget-usd")
    assert_clear(asked.run(provider, "capped", str(CAP)), 4, "budget reached")
    faults = [event.fault for event in provider.events() if event.what == "answered"]
    unbilled = sum(kind in ("500", "429") for kind in faults)
    assert CAP - 5 <= len(provider.arrived()) - unbilled <= CAP
    assert unbilled
    provider.behave(PLAIN)
    assert_goes_on(asked, provider, calm, str(2 * CALLS))


def test_a_model_that_writes_more_than_it_may(tmp_path: Path, provider: ProviderProcess) -> None:
    """Half as much again as was reserved: later calls reserve so much, and no more."""
    provider.behave(replace(PLAIN, completion_tokens=15))
    asked = job(tmp_path, QUESTIONS, *DEAR)
    assert_clear(asked.run(provider, "capped", "--budget-usd", str(CAP)), 4, "budget reached")
    assert CAP / 1.5 - 5 <= len(provider.arrived()) <= CAP / 1.5


@pytest.mark.full
def test_a_cap_in_tokens(tmp_path: Path, provider: ProviderProcess, calm: Job) -> None:
    cap, a_call = 3000, 11 + 10
    asked = job(tmp_path, QUESTIONS, *DEAR, "--budget-tokens")
    assert_clear(asked.run(provider, "capped", str(cap)), 4, "budget reached")
    assert 0 < len(provider.answered()) * a_call <= cap
    assert asked.recorded() == {event.mark for event in provider.arrived()}
    assert_goes_on(asked, provider, calm, str(10**6))


def test_a_cap_needs_a_price(tmp_path: Path, provider: ProviderProcess) -> None:
    asked = job(tmp_path, QUESTIONS)
    done = asked.run(provider, "capped", "--budget-usd", "5")
    assert_clear(done, 2, "--price")
    assert provider.arrived() == []
    assert not (tmp_path / "dual.jsonl").exists()


def test_a_cap_of_nothing_asks_nothing(tmp_path: Path, provider: ProviderProcess) -> None:
    asked = job(tmp_path, QUESTIONS, *DEAR)
    assert_clear(asked.run(provider, "capped", "--budget-usd", "0.5"), 4, "budget reached")
    assert provider.arrived() == []
