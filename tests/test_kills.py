"""Runs that are killed again and again: nothing paid is asked twice, and the output is as if nothing had been."""

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support_provider_process import ProviderProcess
from tests.support_provider_rules import Behaviour, Event, Rule, Shot
from tests.support_runs import Job, assert_clear, ended, job, provider_in, recorded

KILLS = 25
QUESTIONS = 500
CONCURRENCY = 16
# Each rule draws for itself: together they hit one request in twenty.
FAULTY = Behaviour(
    rules=(
        Rule(kind="500", rate=0.015, seed=1),
        Rule(kind="reset", rate=0.01, seed=2),
        Rule(kind="reset-body", rate=0.01, seed=3),
        Rule(kind="429", rate=0.005, seed=4),
        Rule(kind="429", rate=0.01, seed=5, headers={"Retry-After": "0.1"}),
    )
)


@dataclass(frozen=True, slots=True)
class Story:
    """What the provider saw, and what the ledger held at each kill."""

    arrived: Sequence[Event]
    faults: Mapping[int, str]
    """By the number of the request."""
    kept: Sequence[set[str]]

    def lost(self, run: int) -> set[str]:
        """Requests that a run had sent, and got no fault for, but had not recorded when it was killed."""
        sent = {event.mark for event in self.arrived if run_of(event) == run and event.number not in self.faults}
        return sent - self.kept[run]


def run_of(event: Event) -> int:
    return int(event.key.removeprefix("run-"))


def shots(total: int) -> list[tuple[str, int, float]]:
    """When each run is killed: after how many arrived or answered calls, and how many seconds after that.

    Random; all together less than the whole job takes.
    """
    chance = random.Random(20240531)
    places = sorted(chance.sample(range(1, total * 9 // 10), KILLS))
    gaps = [after - before for before, after in itertools.pairwise([0, *places])]
    moments = itertools.cycle([("arrived", 0.0), ("answered", 0.0), ("answered", 0.004)])
    return [(what, gap, chance.uniform(0, most)) for gap, (what, most) in zip(gaps, moments, strict=False)]


def kill_again_and_again(asked: Job, provider: ProviderProcess, total: int) -> list[set[str]]:
    """What the ledger held at each kill."""
    kept = []
    for number, (what, count, delay) in enumerate(shots(total)):
        key = f"run-{number}"
        with asked.running(provider, key) as client:
            provider.shoot(Shot(pid=client.pid, key=key, what=what, count=count, delay=delay))
            assert client.wait(60) == -9, client.communicate()
        kept.append(asked.recorded())
    return kept


def story_of(provider: ProviderProcess, kept: Sequence[set[str]]) -> Story:
    events = provider.events()
    faults = {event.number: event.fault for event in events if event.what == "answered" and event.fault}
    return Story([event for event in events if event.what == "arrived"], faults, kept)


def assert_nothing_asked_again(story: Story) -> None:
    for number, marks in enumerate(story.kept):
        later = {event.mark for event in story.arrived if run_of(event) > number}
        assert not later & marks, f"recorded at kill {number}, asked again"


def assert_repeated_with_reason(story: Story) -> None:
    lost = [story.lost(number) for number in range(len(story.kept))]
    assert max(map(len, lost)) <= CONCURRENCY
    sendings: dict[str, list[Event]] = defaultdict(list)
    for event in story.arrived:
        sendings[event.mark].append(event)
    for mark, events in sendings.items():
        for before, after in itertools.pairwise(events):
            in_flight = run_of(before) < run_of(after) and mark in lost[run_of(before)]
            assert before.number in story.faults or in_flight, (before, after)


def assert_recorded_before_use(story: Story) -> None:
    """Whoever asks for a wrong chain has read the answer to the step before: it is in the ledger at every kill."""
    marks: dict[str, set[str]] = defaultdict(set)
    for event in story.arrived:
        if event.step == "explain":
            marks[event.about].add(event.mark)
    for event in story.arrived:
        number = run_of(event)
        if event.step != "explain" and number < len(story.kept):
            assert marks[event.about] & story.kept[number], event


@pytest.mark.full
def test_twenty_five_kills_change_nothing(tmp_path: Path) -> None:
    options = ("--max-concurrency", str(CONCURRENCY))
    calm = job(tmp_path / "calm", QUESTIONS, *options)
    with provider_in(calm.folder) as provider:
        assert_clear(calm.run(provider, "calm"), 0)
        total = len(provider.arrived())
    asked = job(tmp_path / "killed", QUESTIONS, *options)
    with provider_in(asked.folder, FAULTY) as provider:
        kept = kill_again_and_again(asked, provider, total)
        assert_clear(asked.run(provider, f"run-{KILLS}"), 0)
        story = story_of(provider, kept)
    assert_nothing_asked_again(story)
    assert_repeated_with_reason(story)
    assert_recorded_before_use(story)
    assert asked.results() == calm.results()
    # The test was worth something: many faults, many kills with calls under way, much that was recorded before.
    assert len(story.faults) > total // 40
    assert sum(bool(story.lost(number)) for number in range(KILLS)) > KILLS // 2
    assert len(kept[-1]) > total * 2 // 3


@pytest.mark.full
def test_two_processes_share_a_ledger(tmp_path: Path) -> None:
    """Both end as if they were alone, though one is killed on its way, and a third finds everything there."""
    calm, first, second = (job(tmp_path / name, 60, "--max-concurrency", "4") for name in ("calm", "first", "second"))
    with provider_in(calm.folder) as provider:
        assert_clear(calm.run(provider, "calm"), 0)
    shared = ("--ledger", str(tmp_path / "shared.sqlite"))
    with provider_in(tmp_path, Behaviour(latency=0.15)) as provider:
        with first.running(provider, "run-0", *shared) as one, second.running(provider, "run-1", *shared) as two:
            provider.wait_for(4, two, "run-1")
            one.kill()
            one.wait()
            kept = recorded(tmp_path / "shared.sqlite")
            assert_clear(first.run(provider, "run-2", *shared), 0)
            assert_clear(ended(two), 0)
        assert_clear(first.run(provider, "run-3", *shared), 0)
        assert kept & {event.mark for event in provider.arrived("run-0")}
        assert not kept & {event.mark for event in provider.arrived("run-2")}
        assert provider.arrived("run-3") == []
    assert first.results() == second.results() == calm.results()
