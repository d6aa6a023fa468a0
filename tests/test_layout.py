"""Rows of a step: each question in exactly one, within the budget, the same number for every process."""

import tempfile
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from editctl.tokens import Weighted
from editctl.train.engine.batch import Collator, packed_row, padded_row
from editctl.train.engine.groups import Group
from editctl.train.engine.layout import Room, dealt, packed_rows, padded_rows
from editctl.train.engine.masks import attention_of
from editctl.train.engine.trie import Branch, Trie, grow
from tests.support_families import family
from tests.support_steps import Result, computed, gradients_of, step_of, trainer_of

ROOMS = st.builds(Room, tokens=st.integers(1, 60), places=st.integers(1, 30))
PROCESSES = st.integers(1, 4)


@st.composite
def examples(draw: st.DrawFn) -> Branch:
    """An example whose last token counts, as tails are cut."""
    ids = tuple(draw(st.lists(st.integers(0, 4), min_size=2, max_size=24)))
    border = draw(st.integers(1, len(ids) - 1))
    some = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(ids) - border - 1, max_size=len(ids) - border - 1))
    return Branch(ids, border, (*some, 1.0), False)


BRANCHES = st.lists(examples(), max_size=12)
TRIES = st.lists(st.lists(examples(), min_size=1, max_size=3).map(grow), max_size=10)


def ordered(items: list[Any]) -> list[str]:
    """Comparable, whatever the order was."""
    return sorted(map(repr, items))


@settings(deadline=None)
@given(TRIES, ROOMS, PROCESSES)
def test_every_trie_is_in_exactly_one_row_and_rows_keep_to_the_room(
    tries: list[Trie], room: Room, processes: int
) -> None:
    rows = packed_rows(tries, room, processes)
    assert ordered([trie for row in rows for trie in row]) == ordered(tries)
    for row in rows:
        assert row
        fits = sum(len(trie.ids) for trie in row) <= room.tokens and sum(trie.places for trie in row) <= room.places
        assert fits or len(row) == 1


@settings(deadline=None)
@given(BRANCHES, ROOMS, PROCESSES)
def test_every_example_is_in_exactly_one_padded_row_and_rows_keep_to_the_room(
    branches: list[Branch], room: Room, processes: int
) -> None:
    rows = padded_rows(branches, room, processes)
    assert ordered([branch for row in rows for branch in row]) == ordered(branches)
    for row in rows:
        made = padded_row(row, 0)
        logits = len(row) * len(made.places_K)
        assert len(row) == 1 or (made.size <= room.tokens and logits <= room.places)


@settings(deadline=None)
@given(TRIES, PROCESSES)
def test_a_step_with_room_in_one_row_is_still_shared_out(tries: list[Trie], processes: int) -> None:
    rows = packed_rows(tries, Room(tokens=10_000, places=10_000), processes)
    total, longest = sum(len(trie.ids) for trie in tries), max((len(trie.ids) for trie in tries), default=0)
    assert all(sum(len(trie.ids) for trie in row) <= max(longest, -(-total // processes)) for row in rows)
    assert len(rows) == 1 or processes > 1 or not tries


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), max_size=20), PROCESSES)
def test_every_process_gets_as_many_rows_and_all_together_each_once(rows: list[int], processes: int) -> None:
    shares = [dealt(rows, process, processes, lambda: -1) for process in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(row for share in shares for row in share if row != -1) == sorted(rows)
    assert sum(row == -1 for share in shares for row in share) < processes


VOCABULARY = 40


def weighted(*ids: int, border: int = 2, wrong: bool = False, share: float = 1.0) -> Weighted:
    """An example whose weights differ from token to token; every third does not count."""
    target = ids[border:]
    weights = tuple(((-0.5 if wrong else 1.0) + 0.125 * place) * (place % 3 != 1) for place in range(len(target) - 1))
    return Weighted(ids[:border], target, (*weights, 1.0), len(target) + 1, share, wrong)


def questions() -> list[Group]:
    """Five questions of one to three examples, of 5 to 30 tokens."""
    found = []
    for number in range(5):
        start = (3, 4 + number, 5, 6)
        right = weighted(*start, *range(7, 8 + 5 * number), border=3, share=0.75)
        wrong = weighted(*start, *range(20, 22 + number), border=3, wrong=True)
        third = weighted(*start, 7, 8, 9, border=5) if number % 2 == 0 else None
        found.append(Group(f"q{number}", tuple(one for one in (right, wrong, third) if one)))
    return found


@pytest.fixture(scope="module")
def model() -> Any:
    """A student that sees only a window in some of its layers."""
    return family("gemma3", VOCABULARY)


@pytest.fixture(scope="module")
def whole(model: Any) -> Result:
    """The step in one packed row."""
    step = step_of(questions(), "weighted")
    assert len(step.rows) == 1
    return computed(model, step)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("room", [Room(tokens=1, places=1), Room(tokens=50, places=9), Room(tokens=70, places=500)])
def test_loss_and_gradients_do_not_depend_on_the_rows(model: Any, whole: Result, room: Room, packed: bool) -> None:
    step = step_of(questions(), "weighted", room, packed=packed)
    assert len(step.rows) > 1
    assert computed(model, step, packed=packed).apart(whole) < 1e-5


@pytest.mark.parametrize("packed", [True, False])
def test_one_process_fills_its_rows(packed: bool) -> None:
    assert len(step_of(questions(), "sum", Room(tokens=1000, places=1000), packed=packed).rows) == 1


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("processes", [2, 3, 7])
def test_the_processes_shares_add_up(model: Any, whole: Result, processes: int, packed: bool) -> None:
    room = Room(tokens=60, places=500)
    steps = [
        step_of(questions(), "weighted", room, packed=packed, process=n, processes=processes) for n in range(processes)
    ]
    assert len({len(step.rows) for step in steps}) == 1
    assert all(step.question_ids == steps[0].question_ids and step.tokens == steps[0].tokens for step in steps)
    shares = [computed(model, step, packed=packed) for step in steps]
    total = {name: sum(share.gradients[name] for share in shares) for name in whole.gradients}
    together = Result(sum(share.loss for share in shares), total)
    assert together.apart(whole) < 1e-5


@pytest.mark.parametrize("name", ["gemma3", "gpt2"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_process_without_a_row_has_zero_gradients_rather_than_none(name: str, packed: bool) -> None:
    """Missing gradients would hang processes that wait for each other's."""
    student = family(name, VOCABULARY)
    empty = packed_row([]) if packed else padded_row([], 0)
    assert (len(empty.targets_N), len(empty.places_K)) == (0, 1)
    assert empty.mask_BT is None or empty.mask_BT.all()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(student, folder, attention_of(student) if packed else None)
        loss = trainer.compute_loss(student, {"row": empty})
        loss.backward()
    assert loss.item() == 0.0
    found = gradients_of(student)
    assert found.keys() == {key for key, parameter in student.named_parameters()}
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in found.values())


def test_more_processes_than_rows_leave_some_an_empty_one() -> None:
    few = questions()[:1]
    rows = [Collator("sum", 0, Room(tokens=99, places=99), process=n, processes=3)(few)["step"].rows for n in range(3)]
    assert [len(row[0].targets_N) > 0 for row in rows] == [True, False, False]
    assert all(len(row) == 1 for row in rows)
