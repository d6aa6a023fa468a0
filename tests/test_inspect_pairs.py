"""`editctl inspect` without a trainer's option: kinds of files, filters, order, figures, JSON, bad input."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from editctl.cli.inspect_names import Names
from editctl.errors import UsageError
from editctl.rows import alignment_to_row, dual_to_row
from tests.support_cli import (
    Cli,
    Row,
    aligned_rows,
    dual_rows,
    lines,
    prediction_rows,
    questions,
    reject_rows,
    shell,
)
from tests.support_pairs import RIGHT, WRONG, made
from tests.support_terminal import Terminal

LEGEND = "⟦ ⟧ key steps: where right and wrong part; ␣ ↵ ⇥ space, line end, tab\n"
PENS = """
pens  [count]  pair
  gold answer 10; mistake calculation, labelled logical; teacher somebody
  similarity 0.75; 11 edits in words; key 25.0% of right, 13.2% of wrong
  question:
    How many pens are blue?
  right (sampled), answer 10:
    There are 3 boxes with 4 pens each, so there are 3 ⟦*⟧ 4 = ⟦12⟧ pens in all. \
⟦Two of them are red.⟧ Then ⟦12⟧ - 2 = ⟦10⟧ pens are blue.
    Therefore, the answer is ⟦10⟧.
  wrong (corrupted), answer 5:
    There are 3 boxes with 4 pens each, so there are 3 ⟦+⟧ 4 = ⟦7⟧ pens in all. \
Then ⟦7⟧ - 2 = ⟦5⟧ pens are blue.
    Therefore, the answer is ⟦5⟧.
"""
FIGURES = """
outcome         rows
pair               3
no-wrong-chain     1

medians; key ratio of the right chains
task   mistake      n  similarity    p10    p90  key ratio    p10    p90
all                 3       84.6%  76.9%  84.6%      15.4%  15.4%  23.1%
add    any          2       84.6%  84.6%  84.6%      15.4%  15.4%  15.4%
count  calculation  1       75.0%  75.0%  75.0%      25.0%  25.0%  25.0%

key ratio (larger side)  pairs
                  0-10%      0
                 10-20%      2  ████████████████████████████████████████
                 20-30%      1  ████████████████████
                 30-40%      0
                 40-50%      0
                 50-60%      0
                 60-70%      0
                 70-80%      0
                 80-90%      0
                90-100%      0
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """Alignments, dual chains, foreign pairs and rejects."""
    rows = aligned_rows(3)
    rows[2] |= {"wrong": None, "edits": None, "reason": "no-wrong-chain"}
    (tmp_path / "a.jsonl").write_text(lines([alignment_to_row(made()), *rows]))
    duals = dual_rows(3)
    duals[2] |= {"wrong": None, "reason": "no-wrong-chain"}
    (tmp_path / "dual.jsonl").write_text(lines([dual_to_row(made().dual), *duals]))
    foreign: Row = {"id": "f", "prompt": "How many?", "chosen": RIGHT, "rejected": WRONG}
    (tmp_path / "foreign.jsonl").write_text(lines([foreign]))
    (tmp_path / "dual.rejects.jsonl").write_text(lines(rejects()))


def rejects() -> list[Row]:
    """Two rejects of one reason, and a third."""
    first = reject_rows()[0]
    return [first, {**first, "id": "q1"}, {**first, "id": "q2", "task": "add", "step": "rectify", "completion": None}]


def heads(text: str) -> list[str]:
    """The first line of each pair or reject."""
    found = [part.splitlines()[0] for part in f"\n{text}".split("\n\n")[1:] if "\n  question:\n" in part]
    return [head.partition(" ")[0] for head in found]


@pytest.mark.parametrize("name", ["a.jsonl", "dual.jsonl"])
def test_alignments_and_dual_chains_look_the_same(name: str, cli: Cli) -> None:
    outcome = cli("inspect", name)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(LEGEND + PENS)
    assert outcome.out.endswith(FIGURES)
    assert heads(outcome.out) == ["pens", "q0", "q1", "q2"]
    assert "\n\nq2  [add]  no-wrong-chain\n  gold answer 4; teacher test\n" in outcome.out
    assert "  no wrong chain: no-wrong-chain\n" in outcome.out


def test_foreign_pairs_are_shown_as_align_would_take_them(cli: Cli) -> None:
    outcome = cli("inspect", "foreign.jsonl")
    assert outcome.out.partition("\n\n")[2].splitlines()[:6] == [
        "f  pair",
        "  gold answer 10",
        "  similarity 0.75; 11 edits in words; key 25.0% of right, 13.2% of wrong",
        "  question:",
        "    How many?",
        "  right (given), answer 10:",
    ]
    assert "outcome" not in outcome.out  # of one pair there are no figures
    row = {"body": "Why?", "right": "So. The answer is 1.", "wrong": "So. The answer is 1."}
    Path("mine.jsonl").write_text(lines([row, row]))
    shown = json.loads(cli("inspect", "mine.jsonl", "--map", "question=body", "--json").out.splitlines()[1])
    assert (shown["outcome"], shown["row"]["question"]) == ("same-text", "Why?")


def test_rows_come_through_pipes(tmp_path: Path) -> None:
    for command in ("cat dual.jsonl | editctl inspect", "editctl align dual.jsonl -q | editctl inspect -"):
        outcome = shell(f"{command} | tail -n +2", tmp_path)
        assert (outcome.out.splitlines()[-1], outcome.err) == ("0 0 0", "")
        assert outcome.out.startswith(PENS)


@pytest.mark.parametrize(
    "words", [("dual.jsonl", "--rejects"), ("dual.rejects.jsonl",), ("dual.rejects.jsonl", "--rejects")]
)
def test_rejects_are_beside_the_file_or_the_file_itself(words: tuple[str, ...], cli: Cli) -> None:
    outcome = cli("inspect", *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert heads(outcome.out) == ["q0", "q1", "q2"]
    first = outcome.out.partition("\n\n")[2].partition("\n\n")[0]
    assert first == (
        "q0  reject\n  gold answer 1\n  rejected at explain after 3 attempts: unread\n"
        "  question:\n    What is 0 - -1?\n  last completion:\n    ?"
    )
    assert outcome.out.endswith("\n\nrejected at  reason  rows\nexplain      unread     2\nrectify      unread     1\n")


def test_filters_of_rejects_and_no_rejects_at_all(cli: Cli) -> None:
    assert heads(cli("inspect", "dual.jsonl", "--rejects", "--task", "add").out) == ["q2"]
    assert heads(cli("inspect", "dual.jsonl", "--rejects", "--id", "q1").out) == ["q1"]
    assert heads(cli("inspect", "dual.rejects.jsonl", "-n", "1").out) == ["q0"]
    Path("dual.rejects.jsonl").write_text("")
    outcome = cli("inspect", "dual.jsonl", "--rejects")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "dual.rejects.jsonl: no question was rejected\n")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("--id", "q1", "--id", "pens"), ["pens", "q1"]),
        (("--task", "add"), ["q0", "q1", "q2"]),
        (("--task", "add", "--task", "count"), ["pens", "q0", "q1", "q2"]),
        (("--mistake", "any"), ["q0", "q1"]),
        (("-m", "logical"), ["pens"]),
        (("--min-key-ratio", "0.2"), ["pens"]),
        (("--max-key-ratio", "0.2"), ["q0", "q1"]),
        (("--min-key-ratio", "0.1538", "--max-key-ratio", "0.25"), ["pens", "q0", "q1"]),
        (("--task", "add", "-m", "any", "--id", "q1"), ["q1"]),
        (("--limit", "2"), ["pens", "q0"]),
        (("--task", "add", "-n", "1"), ["q0"]),
        (("--sort", "key-ratio"), ["pens", "q0", "q1", "q2"]),
        (("--sort", "similarity"), ["q0", "q1", "pens", "q2"]),
        (("--sort", "similarity", "-n", "3"), ["q0", "q1", "pens"]),
        (("-n", "0"), []),
        (("-n", "0", "--sort", "key-ratio"), []),
    ],
)
def test_filters_and_order(words: tuple[str, ...], names: list[str], cli: Cli) -> None:
    outcome = cli("inspect", "a.jsonl", *words)
    assert outcome.code == 0, outcome.err
    assert heads(outcome.out) == names
    rows = [json.loads(line) for line in cli("inspect", "a.jsonl", "--json", *words).out.splitlines()]
    assert [row["row"]["id"] for row in rows[:-1]] == names


def test_what_has_no_alignment_comes_behind_what_has_no_edits(cli: Cli) -> None:
    with Path("a.jsonl").open("a") as file:
        file.write(lines([alignment_to_row(made(RIGHT, RIGHT))]))
    assert heads(cli("inspect", "a.jsonl", "--sort", "key-ratio").out) == ["pens", "q0", "q1", "pens", "q2"]


def test_figures_are_of_what_was_chosen(cli: Cli) -> None:
    assert cli("inspect", "a.jsonl", "-n", "0").out == FIGURES[1:]
    add = cli("inspect", "a.jsonl", "--task", "add", "-n", "0").out
    assert "no-wrong-chain     1\n" in add
    assert "count" not in add
    assert cli("inspect", "a.jsonl", "--sort", "key-ratio", "-n", "1").out.endswith(FIGURES)


def test_limit_stops_the_reading(cli: Cli) -> None:
    with Path("a.jsonl").open("a") as file:
        file.write("no json\n")
    outcome = cli("inspect", "a.jsonl", "-n", "2")
    assert (outcome.code, outcome.err) == (0, "stopped at --limit 2; --limit 0 prints the figures of all\n")
    assert "outcome" not in outcome.out
    assert cli("inspect", "a.jsonl", "-n", "9").code == 2


def test_nothing_left_is_told_and_no_fault(cli: Cli) -> None:
    outcome = cli("inspect", "a.jsonl", "--task", "count", "--id", "q1", "--min-key-ratio", "0.5")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "nothing is left: none of 4 rows passes --id q1 and --task count and --min-key-ratio 0.5\n"
    summary = json.loads(cli("inspect", "a.jsonl", "--min-key-ratio", "1", "--json").out)
    assert (summary["kind"], summary["read"], summary["selected"]) == ("summary", 4, 0)


def test_alignments_that_lack_their_edits_are_aligned(cli: Cli) -> None:
    Path("n.jsonl").write_text(lines([alignment_to_row(replace(made(), edits=None))]))
    assert cli("inspect", "n.jsonl").out == LEGEND + PENS


def test_units_and_matches_align_again(cli: Cli) -> None:
    def edits(*words: str) -> dict[str, Any]:
        return dict(
            json.loads(cli("inspect", "a.jsonl", "--json", "-n", "1", *words).out.splitlines()[0])["row"]["edits"]
        )

    assert (edits()["unit"], edits()["match"]) == ("word", "units")
    assert (edits("--unit", "step")["unit"], edits("--unit", "step")["distance"]) == ("step", 4)
    assert edits("--match", "steps")["match"] == "steps"
    assert "in words, steps matched first;" in cli("inspect", "a.jsonl", "--match", "steps").out
    assert "4 edits in steps;" in cli("inspect", "dual.jsonl", "--unit", "step").out


def test_tokens_of_an_alignment_are_named(cli: Cli) -> None:
    alignment = made()
    assert alignment.edits is not None
    edits = replace(alignment.edits, unit="token", tokenizer="some/model", distance=1)
    Path("t.jsonl").write_text(lines([alignment_to_row(replace(alignment, edits=edits))]))
    assert "; 1 edit in tokens of some/model; key" in cli("inspect", "t.jsonl").out


def test_json_holds_the_row_its_pieces_and_the_figures(cli: Cli) -> None:
    outcome = cli("inspect", "a.jsonl", "--json")
    first, *_, third, summary = (json.loads(line) for line in outcome.out.splitlines())
    assert (first["kind"], first["outcome"]) == ("pair", "pair")
    assert first["row"] == json.loads(Path("a.jsonl").read_text().splitlines()[0])
    for side, text in (("right", RIGHT), ("wrong", WRONG)):
        assert "".join(piece["text"] for piece in first["pieces"][side]) == text
    keys = [piece["text"] for piece in first["pieces"]["wrong"] if piece["key"]]
    assert keys == ["+", "7", "7", "5", "5"]
    assert (third["outcome"], third["pieces"]["wrong"]) == ("no-wrong-chain", None)
    assert (summary["kind"], summary["counts"]) == ("summary", {"pair": 3, "no-wrong-chain": 1})
    assert (summary["read"], summary["selected"], summary["shown"], summary["stopped_at_limit"]) == (4, 4, 4, False)
    assert summary["largest_key_ratio"] == [0, 2, 1, 0, 0, 0, 0, 0, 0, 0]
    reject, *_, figures = (
        json.loads(line) for line in cli("inspect", "dual.jsonl", "--rejects", "--json").out.splitlines()
    )
    assert (reject["kind"], reject["outcome"]) == ("reject", "unread")
    assert {key: value for key, value in reject["row"].items() if value is not None} == rejects()[0]
    assert figures["rejects"][0] == {"step": "explain", "reason": "unread", "rows": 2}


def test_verbose_tells_the_rest_of_a_record(cli: Cli) -> None:
    row = dual_rows(1)[0]
    row["right"] |= {"template": "explain", "reasoning": "Hm."}
    Path("more.jsonl").write_text(lines([row | {"description": "Add up.", "choices": ["4", "5"]}]))
    text = cli("inspect", "more.jsonl", "-v").out
    for part in ("description:\n    Add up.", "choices:\n    4\n    5", "template of the right chain:\n    explain"):
        assert f"\n  {part}\n" in text
    assert "\n  hidden reasoning of the right chain:\n    Hm.\n" in text
    assert "Hm." not in cli("inspect", "more.jsonl").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.jsonl", "--id", "pen"), "--id 'pen': no such row; did you mean pens?"),
        (("a.jsonl", "--task", "cuont"), "--task 'cuont': no such row; did you mean count?"),
        (("a.jsonl", "--mistake", "x"), "--mistake 'x': no such row; known: any, calculation, logical"),
        (("dual.rejects.jsonl", "-m", "x"), "--mistake 'x': no such row; there are none"),
        (("a.jsonl", "--min-key-ratio", "0.5", "--max-key-ratio", "0.2"), "0.5 is above --max-key-ratio 0.2"),
        (("a.jsonl", "--min-key-ratio", "2"), "--min-key-ratio"),
        (("a.jsonl", "--sort", "ratio"), "unknown --sort 'ratio'; did you mean key-ratio?"),
        (("a.jsonl", "--unit", "steps"), "unknown unit 'steps'; did you mean step?"),
        (("a.jsonl", "--unit", "token"), "--unit token needs"),
        (("a.jsonl", "--match", "step"), "did you mean steps?"),
        (
            ("a.jsonl", "-s", "tiny", "--sort", "key-ratio"),
            "--sort is for pairs, and -s shows what the trainer will see",
        ),
        (("a.jsonl", "--max-length", "9", "--rejects"), "--rejects is for pairs, and --max-length shows"),
        (("dual.jsonl", "--rejects", "-m", "any"), "--mistake is for pairs, and --rejects shows none"),
        (("a.jsonl", "--rejects"), "a.jsonl, line 1: holds alignments (made by `editctl align`), no rejects, and no"),
        (("q.jsonl",), "q.jsonl, line 1: holds questions; dual chains, alignments, rejects or pairs are needed here"),
        (("p.jsonl",), "p.jsonl, line 1: holds predictions (made by `editctl eval`); dual chains"),
        (("r.jsonl",), "r.jsonl, line 1, field 'step': is 'x'; one of explain"),
        (("none.jsonl",), "none.jsonl: no such file"),
        (("empty.jsonl",), "empty.jsonl: is empty"),
        ((), "inspect: name an input file, or pipe rows in"),
    ],
)
def test_bad_input_is_one_line_and_2(
    words: tuple[str, ...], said: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editctl.cli.session.stdin_is_piped", lambda: False)
    Path("empty.jsonl").write_text("")
    Path("q.jsonl").write_text(lines(questions(1)))
    Path("p.jsonl").write_text(lines(prediction_rows("4")))
    Path("r.jsonl").write_text(lines([rejects()[0] | {"step": "x"}]))
    outcome = cli("inspect", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("editctl: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_configuration_and_variables_choose_the_view_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.yaml").write_text("inspect:\n  recipe: edit\n")
    assert "key-steps, right side" in cli("inspect", "a.jsonl", "-c", "c.yaml").out
    monkeypatch.setenv("EDITCTL_INSPECT_STUDENT", "tiny")
    assert "key-steps, right side" in cli("inspect", "a.jsonl").out


def test_help_tells_the_two_views_apart(cli: Cli) -> None:
    text = " ".join(cli("inspect", "--help").out.split())
    assert (
        "Any of -s, -r, -R, --preset, --prompt-style, --gap, --max-length and --stage chooses the trainer's view"
        in text
    )


def met(names: Names, many: Iterator[str]) -> str:
    """What is said when none of the names was met."""
    assert not any(names.takes([name]) for name in many)
    with pytest.raises(UsageError) as caught:
        names.check()
    return str(caught.value)


def test_near_misses_are_found_in_any_number_of_names_and_few_are_kept() -> None:
    for place in (0, 500, 2500, 4000):
        many = [f"row-{number}" for number in range(4000)]
        many.insert(place, "pens-of-the-box")
        names = Names("--id", ["pens-of-a-box"])
        assert met(names, iter(many)).endswith("no such row; did you mean pens-of-the-box?")
        assert len(names._seen) == 1000
        assert len(names._near["pens-of-a-box"]) == 3
    far = (f"{number:x}" for number in range(3000))
    assert met(Names("--id", ["~~~~"]), far) == "--id '~~~~': no such row; the file has over 1000 others"
    assert met(Names("--id", ["~~~~"]), iter("abcdefghijklmnop")).endswith("the file has 16 others")


def test_all_names_pass_where_none_is_asked_for() -> None:
    names = Names("--id", None)
    assert names.takes(["x"])
    names.check()


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "inspect.md").read_text(encoding="utf-8")
    command = "editctl gen-dual 'toy:chain?n=20' -t oracle -m calculation,logical | editctl align | editctl inspect "
    assert f"{command}-m logical -n 1\n" in page
    figures = shell(f"{command.replace(' | ', ' -q | ')}-n 0", tmp_path).out
    assert figures.partition("\n\nkey ratio (larger side)")[0] in page
    shell(f"{command.rpartition(' | ')[0]} -o toy.jsonl", tmp_path)
    words = ("inspect", "toy.jsonl", "-m", "logical", "-n", "1", "--no-color", "--no-pager")
    shown = Terminal(*words, folder=tmp_path, width=110).end().out
    example = re.sub(r"\x1b\[[0-9;]*m", "", shown).removesuffix("prints the figures of all\n").rpartition("stopped")[0]
    assert len(example.splitlines()) > 10
    assert f"```text\n{example}```\n" in page
