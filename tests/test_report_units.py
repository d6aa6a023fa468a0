"""What the facts of a report hold for any input: even samples, exact quantiles, whole texts, names that stand once."""

import statistics
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from editctl.records import Alignment, Chain, DualChain, Edits, Question
from editctl.report.facts.distributions import BINS, Distributions, Shares
from editctl.report.facts.lineage import Root, finished, lineages, manifests, unfinished
from editctl.report.facts.names import run_names, unique
from editctl.report.facts.pairs import Sample, cut, pair_view
from editctl.report.facts.scores import compared
from editctl.report.page.model import PairView
from editctl.steps import step_spans

VALUES = some.lists(some.integers(0, 10_000).map(lambda value: value / 10_000), min_size=1, max_size=40)
ROWS = some.lists(some.sampled_from("abcd"), max_size=60)


@given(VALUES)
def test_figures_of_shares_are_those_of_the_values(values: list[float]) -> None:
    shares = Shares()
    for value in values:
        shares.add(value)
    ordered = shares.over()
    points = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else values * 9
    assert ordered.n == len(values)
    assert ordered.mean() == pytest.approx(statistics.fmean(values), abs=1e-4)
    for tenths in (1, 5, 9):
        assert ordered.point(tenths) == pytest.approx(points[tenths - 1], abs=1e-4)
    assert ordered.point(5) == pytest.approx(statistics.median(values), abs=1e-4)
    bins = Counter(min(round(value * 10_000) // 500, BINS - 1) for value in values)
    assert ordered.bins() == tuple(bins[number] for number in range(BINS))


def test_an_edge_of_two_bins_lies_in_the_upper_one() -> None:
    for number in range(BINS):
        shares = Shares()
        shares.add(round(number / BINS, 2))
        assert shares.over().bins()[number] == 1
    last = Shares()
    last.add(1.0)
    assert last.over().bins()[BINS - 1] == 1


def test_a_million_values_take_no_more_room_than_there_are_values() -> None:
    shares = Shares()
    for number in range(30_000):
        shares.add(number % 15_000 / 15_000)
    assert len(shares.counts) <= 10_001
    assert shares.over().n == 30_000


def alignment(mistake: str, similarity: float) -> Alignment:
    """A pair of that pattern."""
    return Alignment(
        dual=DualChain(
            question=Question(id="q", question="?", task="t"),
            right=Chain(text="a", answer=None, origin="sampled"),
            wrong=Chain(text="b", answer=None, origin="corrupted", mistake=mistake),
            teacher=None,
        ),
        edits=Edits(
            unit="word",
            tokenizer=None,
            right=((0, 1),),
            wrong=((0, 1),),
            distance=1,
            similarity=similarity,
            key_ratio=(0.5, 1.0),
        ),
    )


def test_all_groups_of_a_file_stand_together_where_there_are_several() -> None:
    one, two = Distributions(), Distributions()
    for found in (one, two):
        found.add("f", alignment("logical", 0.2))
    two.add("f", alignment("calculation", 0.4))
    assert [record.mistake for record in one.records()] == ["logical"] * 3
    assert [record.mistake for record in two.records()] == ["all", "calculation", "logical"] * 3
    whole = two.records()[0]
    assert (whole.measure, whole.task, whole.n, whole.mean) == ("similarity", "all", 2, 0.3)


def sample_of(rows: list[str], size: int) -> Sample:
    """A sample of rows that are named by their place, with what it kept never above its size."""
    sample = Sample(size)
    for number, group in enumerate(rows):
        sample.add(("t", group, "pair"), f"q{number}", lambda number=number: view(number))  # type: ignore[misc]
        assert sum(map(len, sample.groups.values())) == sample.kept <= size
    return sample


def view(number: int) -> PairView:
    """A pair with nothing but a name."""
    texts = dict.fromkeys(("file", "task", "question", "mistake", "unit", "outcome"), "")
    return PairView(id=f"q{number}", answer=None, similarity=None, right=None, wrong=None, **texts)


@given(ROWS, some.integers(0, 20))
def test_a_sample_is_even_and_in_the_order_of_the_files(rows: list[str], size: int) -> None:
    sample = sample_of(rows, size)
    names = [pair.id for pair in sample.views()]
    numbers = [int(name[1:]) for name in names]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(size, len(rows))
    there, taken = Counter(rows), Counter(rows[number] for number in numbers)
    cut = [taken[group] for group in there if taken[group] < there[group]]
    # A group that lost some has as many as any other has, but for one where they can't be shared out evenly.
    assert all(count >= max(taken.values(), default=0) - 1 for count in cut)
    assert [pair.id for pair in sample_of(rows, size).views()] == names


@given(some.lists(some.sampled_from("ab"), min_size=200, max_size=200))
def test_a_sample_is_drawn_from_the_whole_of_a_file(rows: list[str]) -> None:
    numbers = [int(pair.id[1:]) for pair in sample_of(rows, 40).views()]
    assert sum(number >= 100 for number in numbers) >= 8
    assert sum(number < 100 for number in numbers) >= 8


def test_a_sample_forgets_groups_that_have_nothing_in_it() -> None:
    assert len(sample_of([f"group {number:03}" for number in range(500)], 7).groups) == 7


def test_a_sample_says_what_it_left_out() -> None:
    assert sample_of(["a"] * 5, 5).note("--pairs") is None
    told = sample_of(["a"] * 4000, 400).note("--pairs")
    assert told is not None
    assert told.startswith("400 of 4,000 pairs are shown, spread evenly over")
    assert sample_of(["a"] * 5, 0).note("--pairs") == "none of the 5 pairs is shown (--pairs 0)"


@given(
    some.one_of(some.text(max_size=30), some.text(alphabet="aB. \n", max_size=30)),
    some.lists(some.integers(0, 30), max_size=8),
)
def test_pieces_are_the_whole_text(text: str, ends: list[int]) -> None:
    places = sorted({end for end in ends if end <= len(text)})
    spans = list(zip(places[::2], places[1::2], strict=False))
    found = cut(text, spans)
    assert "".join(piece.text for piece in found) == text
    assert all(piece.text for piece in found)
    key = [piece.key for piece in found for _ in piece.text]
    assert {at for at, inside in enumerate(key) if inside} == {at for span in spans for at in range(*span)}
    between = [text[end:start] for (_, end), (start, _) in pairwise(step_spans(text))]
    assert sum(piece.begins for piece in found) == sum("\n" not in gap for gap in between)


@pytest.mark.parametrize(
    ("text", "spans", "parts"),
    [
        ("One. Two.\nThree.", [(5, 8)], [("One. ", 0, 0), ("Two", 1, 1), (".\nThree.", 0, 0)]),
        ("One. Two.", [(4, 8)], [("One.", 0, 0), (" Two", 1, 1), (".", 0, 0)]),
        ("One. Two.", [(0, 9)], [("One. ", 1, 0), ("Two.", 1, 1)]),
        ("One. Two. Three.", [], [("One. ", 0, 0), ("Two. ", 0, 1), ("Three.", 0, 1)]),
        ("One.", [(0, 4)], [("One.", 1, 0)]),
    ],
)
def test_pieces_say_where_steps_begin_in_a_line(
    text: str, spans: list[tuple[int, int]], parts: list[tuple[str, int, int]]
) -> None:
    assert [(piece.text, piece.key, piece.begins) for piece in cut(text, spans)] == parts


@pytest.mark.parametrize(("unit", "keys"), [("word", ["bc de"]), ("token", ["bc", "de"])])
def test_key_words_that_only_a_space_parts_are_shown_as_one(unit: str, keys: list[str]) -> None:
    one = alignment("logical", 0.5)
    assert one.dual.right is not None
    assert one.edits is not None
    right, edits = replace(one.dual.right, text="a bc de."), replace(one.edits, unit=unit, right=((2, 4), (5, 7)))
    shown = pair_view("f", Alignment(dual=replace(one.dual, right=right), edits=edits), "pair").right
    assert shown is not None
    assert [piece.text for piece in shown.pieces if piece.key] == keys


@given(some.lists(some.sampled_from(["a", "b", "a (2)", "a (3)"])))
def test_a_name_stands_once(names: list[str]) -> None:
    found = unique(names)
    assert len(set(found)) == len(names)
    assert all(new.startswith(old) for new, old in zip(found, names, strict=True))


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    folders = [tmp_path / "one/run", tmp_path / "two/run", tmp_path / "cot"]
    assert run_names(folders) == ["one/run", "two/run", "cot"]


def test_few_methods_are_compared_with_each_other_and_many_with_the_first() -> None:
    assert compared(1, None) == []
    assert compared(3, None) == [(1, 0), (2, 0), (2, 1)]
    assert compared(5, None) == [(1, 0), (2, 0), (3, 0), (4, 0)]
    assert compared(3, 1) == [(0, 1), (2, 1)]


def step(command: str, second: int, *inputs: dict[str, object], **more: object) -> dict[str, object]:
    """A manifest."""
    given = [{"name": "x.jsonl", "sha256": "0" * 64, "made_by": one} for one in inputs]
    started = f"2026-01-01T00:00:{second:02}Z"
    return {"command": command, "status": "complete", "started": started, "inputs": given, "outputs": [], **more}


def test_a_manifest_that_two_files_come_from_is_one_step() -> None:
    first = step("gen-dual", 1)
    left, right, other = step("align", 2, first), step("align", 3, first), step("score", 4)
    roots = [Root(name=name, manifest=one) for name, one in (("l", left), ("o", other), ("r", right))]
    both, alone = lineages(roots)
    assert both.name == "l, r"
    assert [(one.number, one.command) for one in both.steps] == [(1, "gen-dual"), (2, "align"), (3, "align")]
    assert [one.inputs for one in both.steps[1:]] == [("x.jsonl (00000000), made in step 1",)] * 2
    assert (alone.name, len(alone.steps)) == ("o", 1)
    assert finished([left, right]) == "2026-01-01T00:00:03Z"


def test_a_chain_of_manifests_without_end_ends() -> None:
    one = step("align", 1)
    one["inputs"] = [{"name": "x", "sha256": None, "made_by": one}]
    assert len(list(manifests(one))) == 1


def test_what_did_not_finish_is_told_and_secrets_are_not() -> None:
    error = "no credit for sk-abcdefghijklmnop0123"
    first = step("gen-dual", 1, status="partial", error=error, options={"api_key": "sk-1", "teacher": "x"})
    last = step("align", 2, first)
    (said,) = unfinished("a.jsonl", last)
    assert said.startswith("`gen-dual` behind a.jsonl did not finish")
    assert "sk-" not in said
    (lineage,) = lineages([Root(name="a", manifest=last)])
    assert lineage.steps[0].status == "partial"
    assert dict(lineage.steps[0].options) == {"api-key": "(secret)", "teacher": "x"}
