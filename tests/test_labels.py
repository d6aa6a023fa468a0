"""Labels of wrong chains: what an answer says, which rows come out, and what they are counted as."""

import json
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl import registry, toytasks
from editctl.generate.labels import CATEGORIES, Labeller, Labels, Pair, read_label
from editctl.generate.settings import Settings
from editctl.generate.stage import finish
from editctl.interfaces import CallFailed, Completion, Request
from editctl.prompts import Templates
from editctl.records import Chain
from editctl.rows import dual_to_row
from tests.support_cli import Cli, Row, aligned_rows, dual, dual_rows, lines, read
from tests.support_provider import Provider, Reply, fault

# What an answer says.


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Rationale: The first step skips a case.\nCategory: logical", "logical"),
        ("**Category:** Logical + knowledge", "logical+knowledge"),
        ("- Category: **Calculation errors**.\n\n", "calculation"),
        ("Category: knowledge and logic", "logical+knowledge"),
        ("Category: [calculation, logical, and knowledge]", "logical+knowledge+calculation"),
        ("Category: logical (an invalid inference) + calculation (4 + 4 = 9)", "logical+calculation"),
        ("Category: knowledge - the capital is another one", "knowledge"),
        ("Category: other. None of them fits.", "other"),
        ("Category:\nlogical", "logical"),
        ("Category: knowledge\nNo, I think better of it.\nFinal category: logical", "logical"),
        ("<think>\nCategory: other?\n</think>\nCategory: knowledge", "knowledge"),
        ("Knowledge+Calculation", "knowledge+calculation"),
        ("", None),
        ("Category:", None),
        ("Category: sloppy", None),
        ("Category: logical+other", None),
        ("Category: none of your business", None),
        ("not logical", None),
        ("It is logical, I would say, although one could also call it a slip of knowledge, all told.", None),
        ("Category: one of logical, knowledge, calculation, logical+knowledge, other", None),
        ("The category is logical.", None),
        ("So:\nThe category is: knowledge", "knowledge"),
        ("The final category: **logical**", "logical"),
        ("\\boxed{logical}", "logical"),
        ("The step skips a case.\n\nCategory: $\\boxed{\\text{logical + knowledge}}$", "logical+knowledge"),
        (f"The step skips {'one ' * 30}case.\n\\boxed{{knowledge}}, then \\boxed{{logical}}", "logical"),
        ("\\boxed{sloppy}", None),
        ("Category: a logical error", "logical"),
        ("Category: a logical and a calculation error", "logical+calculation"),
        ("Category: (a) logical", "logical"),
        ("Category: b) knowledge", "knowledge"),
        ("Category: a", None),
        ("Category: logical_ (an aside)", "logical"),
        ("Category:" + "-" * 30 + "logical", "logical"),
        ("Category:" + "-" * 500 + "logical", None),
        ("Category:" + "-" * 30_000, None),
        ("-" * 300 + "Category: logical", None),
        ("Category: logical" + "_" * 30_000, "logical"),
    ],
)
def test_what_an_answer_says(text: str, label: str | None) -> None:
    assert read_label(text) == label


@given(
    st.sampled_from(CATEGORIES).flatmap(lambda name: st.permutations(name.split("+"))),
    st.sampled_from(["+", " + ", ", ", " and ", " & "]),
    st.sampled_from(["Category: {}", "**Category:** {}", "category = {}.", "Rationale: So.\n\nCategory: *{}*\n"]),
    st.booleans(),
)
def test_every_category_is_read_however_it_is_written(kinds: list[str], sign: str, form: str, upper: bool) -> None:
    text = form.format(sign.join(kinds))
    label = read_label(text.upper() if upper else text)
    assert label in CATEGORIES
    assert set(str(label).split("+")) == set(kinds)


@given(st.text(alphabet="Category: logical+other\n*().-", max_size=60))
def test_no_answer_breaks_the_reader(text: str) -> None:
    assert read_label(text) in (None, *CATEGORIES)


def test_the_categories_are_those_of_the_paper() -> None:
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 8
    assert all(
        sum(set(name.split("+")) == set(some) for name in CATEGORIES) == 1
        for count in (1, 2, 3)
        for some in permutations(("logical", "knowledge", "calculation"), count)
    )


# One row.


def labelled(*answers: Any, pair: Pair | None = None, **settings: Any) -> tuple[Pair, list[Request]]:
    """A row that a teacher says these things about, and what it was asked."""
    asked: list[Request] = []

    def answer(request: Request) -> Completion:
        asked.append(request)
        said = answers[len(asked) - 1]
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, Completion) else Completion(text=said)

    labeller = Labeller(Templates(), Settings(**settings))
    return finish(labeller.make(0, pair or Pair(row=dual_rows(1)[0], dual=dual())), answer), asked


def test_a_row_is_asked_about_until_the_answer_can_be_read() -> None:
    pair, asked = labelled("Hm.", "Category: logical or so", "Category: logical", seed=3)
    assert pair.dual.wrong is not None
    assert (pair.dual.wrong.label, pair.reason) == ("logical", None)
    assert [(one.step, one.attempt, one.temperature) for one in asked] == [
        ("label", 1, 0.0),
        ("label", 2, 0.2),
        ("label", 3, 0.4),
    ]
    words = asked[0].messages[-1]["content"]
    assert all(text in words for text in ("What is 0 + 1?", "Right answer: 4", "3 + 1 = 4.", "3 + 1 = 5."))
    assert (asked[0].chain, asked[0].seed, asked[0].template) == (dual().wrong.text, 3, "label")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answers", "reason", "calls"),
    [
        (["Hm."] * 3, "unread", 3),
        (["Hm.", "Hm.", ""], "empty", 3),
        ([Completion(text="Category: logical", finish_reason="length")], "truncated", 1),
        ([Completion(text="", finish_reason="content_filter")] * 3, "refusal", 3),
        ([CallFailed("provider-error", "down")], "provider-error", 1),
        (["Hm.", CallFailed("not-recorded", answered=True)], "unread", 2),
    ],
)
def test_a_row_without_a_readable_answer_stays_and_says_why(answers: list[Any], reason: str, calls: int) -> None:
    pair, asked = labelled(*answers)
    assert pair.dual.wrong is not None
    assert (pair.dual.wrong.label, pair.reason, len(asked)) == (None, reason, calls)
    assert pair.to_row() == dual_rows(1)[0]


@pytest.mark.parametrize(
    ("answers", "label", "reason"),
    [
        (["Hm."] * 3, "knowledge", "unread"),
        ([CallFailed("provider-error", "down")], "knowledge", "provider-error"),
        (["Category: logical"], "logical", None),
    ],
)
def test_a_label_of_an_earlier_run_goes_only_for_a_new_one(answers: list[Any], label: str, reason: str | None) -> None:
    wrong = replace(dual().wrong, label="knowledge")  # type: ignore[type-var]
    before = dual_to_row(replace(dual(), wrong=wrong))
    pair, _ = labelled(*answers, pair=Pair(row=before, dual=replace(dual(), wrong=wrong)))
    assert pair.reason == reason
    assert pair.to_row() == {**before, "wrong": {**before["wrong"], "label": label}}
    found = Labels()
    found.add(pair)
    assert found.counts == {("D+- corrupted", "unlabelled" if reason else label): 1}
    assert found.reasons == ({reason: 1} if reason else {})


def test_the_users_own_system_turn_takes_the_place_of_ours() -> None:
    _, asked = labelled("Category: other", system="Be brief.")
    assert asked[0].messages[0] == {"role": "system", "content": "Be brief."}
    assert [turn["role"] for turn in asked[0].messages] == ["system", "user"]


# Counting.


def test_labels_are_counted_by_set_and_category() -> None:
    found = Labels()
    for origin, label in [("sampled", "logical"), ("sampled", None), ("corrupted", "logical"), ("mined", "other")]:
        wrong = Chain(text="x", answer="5", origin=origin, label=label)  # type: ignore[arg-type]
        found.add(Pair(row={}, dual=replace(dual(), wrong=wrong), reason=None if label else "unread"))
    found.add(Pair(row={}, dual=replace(dual(), wrong=None)))
    facts = found.facts()
    assert {name: {key: count for key, count in one.items() if count} for name, one in facts["labels"].items()} == {
        "D- sampled": {"logical": 1, "unlabelled": 1},
        "D+- corrupted": {"logical": 1},
        "mined": {"other": 1},
    }
    assert (facts["unlabelled"], facts["without_wrong_chain"], found.labelled) == ({"unread": 1}, 1, 3)
    columns, rows = found.table()
    assert columns == ["category", "D- sampled", "D+- corrupted", "mined", "all"]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["logical"] == ["1 (100.0%)", "1 (100.0%)", "0 (0.0%)", "2 (66.7%)"]
    assert cells["unlabelled"] == ["1", "0", "0", "1"]


# On the command line.


def without(row: Row) -> Row:
    """A row as it was before it was labelled."""
    return row if not isinstance(row.get("wrong"), dict) else {**row, "wrong": {**row["wrong"], "label": None}}


@pytest.mark.parametrize("task", ["boolean", "chain", "counting", "swaps"])
def test_the_oracle_knows_its_own_mistakes_again(cli: Cli, task: str) -> None:
    patterns = registry.load("tasks", task)().patterns
    made = ("gen-dual", f"toy:{task}?n=24", "-t", "oracle", "-m", ",".join(patterns), "-T", "error-rate=0.3")
    assert cli(*made, "-o", "d.jsonl").code == 0
    done = cli("gen-dual", "--label", "d.jsonl", "-t", "oracle", "-o", "l.jsonl")
    assert done.code == 0, done.err
    before, after = read("d.jsonl"), read("l.jsonl")
    assert [without(row) for row in after] == before
    asked = Counter(str(row["wrong"]["label"] == row["wrong"]["mistake"]) for row in after if row["wrong"]["mistake"])
    assert set(asked) == {"True"}
    load = lambda name: registry.load("tasks", name)()  # noqa: E731
    for row in after:
        texts = [toytasks.recall(row["id"], load).wrong(row["wrong"]["label"], salt) for salt in range(4)]
        assert row["wrong"]["text"] in [one.text for one in texts if one]
    facts = json.loads(Path("l.manifest.json").read_text())
    assert sum(sum(one.values()) for one in facts["labels"].values()) == 24
    assert facts["labels"]["D- sampled"].keys() == {*CATEGORIES, "unlabelled"}
    assert "logical+knowledge" in done.out + done.err


def solve(_: int, body: dict[str, Any]) -> Reply:
    """By the number in the question: a category each, and some that can't be read."""
    words = body["messages"][-1]["content"]
    number = int(words.split("What is ")[1].split(" ")[0])
    return Reply(text=f"Rationale: So.\nCategory: {(*CATEGORIES, 'sloppy')[number % 9]}")


def test_no_row_is_lost_changed_or_moved_and_labels_are_paid_for_once(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    rows = [dual_to_row(dual(number)) for number in range(20)]
    rows[3] = {**rows[3], "wrong": None, "reason": "unread"}
    rows[5] |= {"mine": {"kept": [1, 2]}}
    rows[7] = {"id": "q7", "question": "What is 7 + 1?", "answer": "8", "right": "So 8.", "wrong": "So 9."}
    Path("d.jsonl").write_text(lines(rows))
    with Provider(solve) as provider:
        command = ["gen-dual", "--label", "d.jsonl", "-t", "openai/m", "--api-base", provider.url, "-o", "l.jsonl"]
        done = cli(*command)
        assert done.code == 0, done.err
        asked = len(provider.seen)
        assert asked == 17 + 3 * 2
        after = read("l.jsonl")
        assert [row["id"] for row in after] == [row["id"] for row in rows]
        assert [without(row) for row in after[:7] + after[8:]] == rows[:7] + rows[8:]
        assert [row["wrong"]["label"] for row in after if row["wrong"]] == [
            (*CATEGORIES, None)[number % 9] for number in range(20) if number != 3
        ]
        assert (after[7]["wrong"]["text"], after[7]["wrong"]["origin"]) == ("So 9.", "given")
        facts = json.loads(Path("l.manifest.json").read_text())
        assert (facts["unlabelled"], facts["without_wrong_chain"]) == ({"unread": 2}, 1)
        assert facts["cost"]["calls"] == asked
        assert "without a label: 2 (unread)" in done.err
        written = Path("l.jsonl").read_bytes()
        assert cli(*command).code == 0
        assert (len(provider.seen), Path("l.jsonl").read_bytes()) == (asked, written)
        estimate = cli(*command[:-2], "-o", "l.jsonl", "--dry-run", "--json")
        assert json.loads(estimate.out)["total"]["high"]["calls"] == 0


def test_alignments_keep_their_edits(cli: Cli) -> None:
    Path("a.jsonl").write_text(lines(aligned_rows(2)))
    Path("r.jsonl").write_text(lines([{"id": f"q{n}", "step": "label", "completion": "logical"} for n in range(2)]))
    assert cli("gen-dual", "--label", "a.jsonl", "-t", "recorded:r.jsonl", "-o", "l.jsonl").code == 0
    assert [without(row) for row in read("l.jsonl")] == aligned_rows(2)
    assert {row["wrong"]["label"] for row in read("l.jsonl")} == {"logical"}


def test_calls_that_fail_leave_rows_without_a_label_and_are_asked_again(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    Path("d.jsonl").write_text(lines(dual_rows(4)))
    down = True

    def reply(number: int, body: dict[str, Any]) -> Reply:
        return fault("500") if down and "What is 2" in body["messages"][-1]["content"] else solve(number, body)

    with Provider(reply) as provider:
        command = ["gen-dual", "--label", "d.jsonl", "-t", "openai/m", "--api-base", provider.url, "-o", "l.jsonl"]
        done = cli(*command, "--retries", "0")
        assert (done.code, "their rows have no label" in done.err) == (3, True), done.err
        assert [row["wrong"]["label"] for row in read("l.jsonl")] == ["logical", "knowledge", None, CATEGORIES[3]]
        down, before = False, len(provider.seen)
        assert cli(*command).code == 0
        assert len(provider.seen) == before + 1
        assert read("l.jsonl")[2]["wrong"]["label"] == "calculation"


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "logical"],
        ["--samples", "3"],
        ["--mine"],
        ["--shots", "s.jsonl"],
        ["--rejects", "r.jsonl"],
        ["--conclusion", "So"],
        ["--reasoning", "drop"],
    ],
)
def test_options_that_say_how_chains_are_made_are_refused(cli: Cli, words: list[str]) -> None:
    Path("d.jsonl").write_text(lines(dual_rows(1)))
    done = cli("gen-dual", "--label", "d.jsonl", "-t", "oracle", "-o", "l.jsonl", *words)
    assert done.code == 2
    assert "--label makes no chains" in done.err
    assert not Path("l.jsonl").exists()


def test_questions_are_no_pairs(cli: Cli) -> None:
    Path("q.jsonl").write_text(lines([{"id": "q", "question": "1 + 1?", "answer": "2"}]))
    done = cli("gen-dual", "--label", "q.jsonl", "-t", "oracle", "-o", "l.jsonl")
    assert done.code == 2
    assert "dual chains" in done.err


def test_prompts_can_be_looked_at(cli: Cli) -> None:
    Path("d.jsonl").write_text(lines(dual_rows(3)))
    done = cli("gen-dual", "--label", "d.jsonl", "--show-prompts", "1")
    assert done.code == 0
    assert done.out.count("=== q") == 1
    assert "3 + 1 = 5." in done.out
