"""gen-dual with a teacher that costs: what the options do, what is told, what is left behind."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support_cli import Cli, Outcome, Row, command, lines, read, shell, snapshot
from tests.support_provider import Provider, Reply, fault

KEY = "sk-nobody-may-read-this-0123456789"
COUNT = 9
SUM = re.compile(r"What is (\d+) \+ 3\?")


def number_of(body: Mapping[str, Any]) -> int:
    """Which of the sums is asked."""
    (*_, number) = SUM.findall(body["messages"][-1]["content"])
    return int(number)


def solve(_: int, body: dict[str, Any]) -> Reply:
    """Every third first explanation is wrong; corruptions are wrong; what is told is repeated."""
    number, words = number_of(body), json.dumps(body["messages"])
    corrupted = "he answer is" in words.split("What is")[-1] and "The final answer is" not in words
    wrong = corrupted or ("The final answer is" not in words and number % 3 == 0)
    return Reply(text=f"I add the two numbers. Therefore, the answer is {number + 3 + wrong}.")


def dear(number: int, body: dict[str, Any]) -> Reply:
    """As `solve`, at 450 tokens a call."""
    return replace(solve(number, body), prompt_tokens=400, completion_tokens=50)


def rows_of(count: int) -> list[Row]:
    """Sums whose answers all differ."""
    return [
        {"id": f"q{number}", "task": "add", "question": f"What is {number} + 3?", "answer": str(number + 3)}
        for number in range(count)
    ]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(solve) as one:
        yield one


@pytest.fixture
def gen(cli: Cli, tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """gen-dual over some sums, by way of the provider."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "q.jsonl").write_text(lines(rows_of(COUNT)))

    def call(*words: str, questions: str = "q.jsonl", output: str | None = "dual.jsonl") -> Outcome:
        where = [] if output is None else ["-o", output]
        return cli("gen-dual", questions, "-t", "openai/m", "--api-base", provider.url, *where, *words)

    return call


def manifest(name: str = "dual") -> Row:
    """The manifest beside an output."""
    found: Row = json.loads(Path(f"{name}.manifest.json").read_text())
    return found


def asked(provider: Provider) -> Counter[str]:
    """How often each body arrived."""
    return Counter(seen.mark for seen in provider.seen)


def told(done: Outcome) -> list[str]:
    """The lines that say what went wrong."""
    return [line for line in done.err.splitlines() if line.startswith("editctl: ")]


def undisturbed(gen: Cli, *words: str) -> bytes:
    """The rows of a run that nothing happened to, with a ledger of its own."""
    assert gen("--ledger", "undisturbed.sqlite", *words, output="undisturbed.jsonl").code == 0
    return Path("undisturbed.jsonl").read_bytes()


# Where the ledger is.


def test_the_ledger_lies_beside_the_output_and_is_named(gen: Cli, provider: Provider) -> None:
    done = gen()
    assert done.code == 0
    assert "ledger: dual.ledger.sqlite (new)" in done.err.splitlines()
    assert manifest()["ledger"] == "dual.ledger.sqlite"
    calls = len(provider.seen)
    rows = Path("dual.jsonl").read_bytes()
    again = gen()
    assert f"ledger: dual.ledger.sqlite ({calls} completions)" in again.err.splitlines()
    assert len(provider.seen) == calls
    assert Path("dual.jsonl").read_bytes() == rows


@pytest.mark.parametrize("output", ["sub/dual.jsonl.gz", "sub/dual"])
def test_the_ledger_is_named_after_the_output(gen: Cli, output: str) -> None:
    Path("sub").mkdir()
    assert gen("-n", "1", output=output).code == 0
    assert [path.name for path in Path("sub").glob("*.sqlite*")] == ["dual.ledger.sqlite"]


@pytest.mark.parametrize("output", [None, "-", "/dev/null"])
def test_rows_to_a_stream_are_remembered_in_the_state_folder(
    gen: Cli, provider: Provider, own_state: Path, tmp_path: Path, output: str | None
) -> None:
    done = gen(output=output)
    assert done.code == 0
    assert f"ledger: {own_state / 'ledger.sqlite'} (new)" in done.err.splitlines()
    calls = len(provider.seen)
    again = gen(output=output)
    assert again.out == done.out
    assert len(provider.seen) == calls
    assert list(tmp_path.glob("*.sqlite")) == []


def test_the_ledger_can_be_named(gen: Cli, provider: Provider) -> None:
    done = gen("--ledger", "mine.db")
    assert "ledger: mine.db (new)" in done.err.splitlines()
    calls = len(provider.seen)
    again = gen("--ledger", "mine.db", output="other.jsonl")
    assert f"ledger: mine.db ({calls} completions)" in again.err.splitlines()
    assert len(provider.seen) == calls
    assert Path("other.jsonl").read_bytes() == Path("dual.jsonl").read_bytes()
    assert list(Path().glob("*.ledger.sqlite")) == []


def test_quiet_does_not_name_the_ledger(gen: Cli) -> None:
    assert gen("-q").err == ""


@pytest.mark.parametrize("what", ["a folder", "no ledger", "nowhere"])
def test_a_place_that_holds_no_ledger_is_refused(gen: Cli, provider: Provider, what: str) -> None:
    place = Path("place")
    if what == "a folder":
        place.mkdir()
    elif what == "no ledger":
        place.write_text("my diary\n" * 1000)
    else:
        place = place / "deeper" / "ledger.sqlite"
    before = snapshot(Path())
    done = gen("--ledger", str(place))
    assert done.code == 2
    assert len(told(done)) == 1
    assert str(place) in told(done)[0]
    assert provider.seen == []
    assert snapshot(Path()) == before


def test_an_offline_teacher_needs_no_ledger(cli: Cli, tmp_path: Path, own_state: Path) -> None:
    done = cli("gen-dual", "toy:chain?n=5", "-t", "oracle", "-o", "dual.jsonl", "--ledger", "mine.db")
    assert done.code == 0
    assert "ledger" not in done.err
    assert list(tmp_path.glob("*sqlite*")) == list(tmp_path.glob("mine*")) == list(own_state.glob("*.sqlite")) == []
    assert "cost" not in manifest()


# Calls that fail.


def test_a_call_that_never_succeeds_is_exit_code_3(gen: Cli, provider: Provider) -> None:
    provider.script = lambda number, body: fault("500") if number_of(body) == 4 else solve(number, body)
    done = gen("--retries", "1")
    assert done.code == 3
    assert len(told(done)) == 1
    assert "1 call could not be made" in told(done)[0]
    assert "The server had an error" in told(done)[0]
    (reject,) = read("dual.rejects.jsonl")
    assert (reject["id"], reject["step"], reject["reason"], reject["completion"]) == (
        "q4",
        "explain",
        "provider-error",
        None,
    )
    assert [row["id"] for row in read("dual.jsonl")] == [f"q{number}" for number in range(COUNT) if number != 4]
    assert manifest()["status"] == "complete"
    assert manifest()["cost"]["failed_calls"] == 1
    assert sum(number_of(seen.body) == 4 for seen in provider.seen) == 2
    # The same command asks for that one again, and for nothing else.
    provider.script, provider.seen = solve, []
    assert gen("--retries", "1").code == 0
    assert {number_of(seen.body) for seen in provider.seen} == {4}
    assert Path("dual.jsonl").read_bytes() == undisturbed(gen)
    assert manifest()["cost"]["failed_calls"] == 0


def test_a_call_that_succeeds_at_its_last_try_is_no_failure(gen: Cli, provider: Provider) -> None:
    provider.script = lambda number, body: fault("500") if number == 0 else solve(number, body)
    assert gen("--retries", "1").code == 0


def test_patience_of_nothing_stops_at_once(gen: Cli, provider: Provider) -> None:
    provider.script = lambda number, body: fault("429", Retry_After="7")
    done = gen("--patience", "5", "--max-concurrency", "1")
    assert done.code == 1
    assert len(told(done)) == 1
    assert "asks to wait 7 s" in told(done)[0]
    assert "--patience" in told(done)[0]
    assert len(provider.seen) == 1
    provider.script = solve
    assert gen().code == 0


def test_nothing_but_failures_stop_the_run(gen: Cli, provider: Provider, tmp_path: Path) -> None:
    (tmp_path / "many.jsonl").write_text(lines(rows_of(80)))
    (tmp_path / "dual.jsonl").write_text("former\n")
    provider.script = lambda number, body: fault("500")
    done = gen("--retries", "0", "--max-concurrency", "2", questions="many.jsonl")
    assert done.code == 1
    assert told(done)[0].startswith("editctl: stopped: 11 of the last 11 calls failed")
    assert len(provider.seen) <= 13
    assert Path("dual.jsonl").read_text() == "former\n"


@pytest.mark.parametrize(
    "words", [("--retries", "-1"), ("--patience", "-1"), ("--max-concurrency", "0"), ("--requests-per-minute", "0")]
)
def test_values_out_of_range_are_refused(gen: Cli, provider: Provider, words: tuple[str, str]) -> None:
    done = gen(*words)
    assert done.code == 2
    assert words[0] in told(done)[0]
    assert provider.seen == []


# Budgets.

DEAR = ("--price", "1000,1000", "--max-new-tokens", "50", "--max-concurrency", "1")
"""A call of 18 tokens is billed at 0.018 USD; beforehand it may cost about a dollar."""


def test_a_budget_is_exit_code_4_and_what_is_finished_is_written(
    gen: Cli, cli: Cli, provider: Provider, own_state: Path
) -> None:
    provider.script = dear
    expected = undisturbed(gen, *DEAR).splitlines()
    calls = len(provider.seen)
    provider.seen = []
    done = gen(*DEAR, "--budget-usd", "7.5")
    assert done.code == 4
    assert len(told(done)) == 1
    assert "budget reached" in told(done)[0]
    assert "of 7.50 USD are spent" in told(done)[0]
    assert 0.45 * len(provider.seen) <= 7.5
    rows = Path("dual.jsonl").read_bytes().splitlines()
    assert 0 < len(rows) < COUNT
    assert rows == [row for row in expected if row in rows]
    assert manifest()["status"] == "partial"
    assert manifest()["cost"]["usd"] == pytest.approx(0.45 * len(provider.seen))
    # A half of the data is no data, unless the user says so.
    refused = cli("align", "dual.jsonl", "-o", "aligned.jsonl")
    assert refused.code == 2
    assert "dual.jsonl: is partial" in told(refused)[0]
    assert "--allow-partial" in told(refused)[0]
    assert not Path("aligned.jsonl").exists()
    assert cli("align", "dual.jsonl", "-o", "aligned.jsonl", "--allow-partial").code == 0
    assert len(read("aligned.jsonl")) == len(rows)
    # A higher budget goes on: nothing is asked twice, and the end is the same.
    assert gen(*DEAR, "--budget-usd", "100").code == 0
    assert max(asked(provider).values()) == 1
    assert len(provider.seen) == calls
    assert Path("dual.jsonl").read_bytes().splitlines() == expected
    assert manifest()["status"] == "complete"
    assert cli("align", "dual.jsonl", "-o", "aligned.jsonl").code == 0


def test_a_budget_in_tokens_needs_no_price(gen: Cli, provider: Provider) -> None:
    provider.script = dear
    done = gen("--budget-tokens", "7500", "--max-new-tokens", "50", "--max-concurrency", "1")
    assert done.code == 4
    assert "of 7500 tokens are spent" in told(done)[0]
    assert 450 * len(provider.seen) <= 7500
    assert 0 < len(read("dual.jsonl")) < COUNT
    assert manifest()["cost"]["usd"] is None
    assert "the price of openai/m is not known: --price IN,OUT" in done.err


def test_the_next_command_of_a_pipe_hears_of_the_budget(gen: Cli, provider: Provider, tmp_path: Path) -> None:
    """Nobody trains on a part of the data without knowing."""
    provider.script = dear
    budget = "--budget-tokens 7500 --max-new-tokens 50 --max-concurrency 1"
    done = shell(
        f"editctl gen-dual q.jsonl -t openai/m --api-base {provider.url} {budget} | editctl align -o aligned.jsonl",
        tmp_path,
    )
    assert done.out.splitlines()[-1] == "4 2"
    assert "stdin: is partial" in done.err
    assert not Path("aligned.jsonl").exists()


def test_a_run_with_nothing_finished_leaves_a_former_output_as_it_was(
    gen: Cli, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "dual.jsonl").write_text("former\n")
    done = gen(*DEAR, "--budget-usd", "0.01")
    assert done.code == 4
    assert provider.seen == []
    assert Path("dual.jsonl").read_text() == "former\n"
    assert not Path("dual.jsonl.partial").exists()
    assert not Path("dual.manifest.json").exists()


def test_a_budget_in_usd_needs_a_price(gen: Cli, provider: Provider, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    done = gen("--budget-usd", "5")
    assert done.code == 2
    assert "--price IN,OUT" in told(done)[0]
    assert provider.seen == []
    assert snapshot(tmp_path) == before


def test_the_budget_of_an_output_counts_all_its_runs(gen: Cli, provider: Provider) -> None:
    """Run by run the money adds up; another output of the same ledger has a budget of its own."""
    assert gen(*DEAR, "-n", "2", "--ledger", "all.db").code == 0
    spent = 0.018 * len(provider.seen)
    done = gen(*DEAR, "--budget-usd", "0.1", "--ledger", "all.db")
    assert done.code == 4
    assert f"{spent:.4f}"[:5] in told(done)[0]
    other = gen(*DEAR, "--budget-usd", "0.1", "--ledger", "all.db", output="other.jsonl")
    assert other.code == 4
    assert "0.00 USD of 0.100 USD are spent" in told(other)[0]


@pytest.mark.parametrize("words", ["abc", "1", "1,-2", "1,2,3,4", "nan,1", ""])
def test_what_is_no_price_is_refused(gen: Cli, provider: Provider, words: str) -> None:
    done = gen("--price", words)
    assert done.code == 2
    assert "--price" in told(done)[0]
    assert provider.seen == []


# Cost facts.


def test_the_manifest_tells_the_cost(gen: Cli, provider: Provider) -> None:
    """Nine explanations, three of them wrong: six are corrupted, three rectified; 11 and 7 tokens each."""
    done = gen("--price", "2,10")
    assert done.code == 0
    call = (11 * 2 + 7 * 10) / 1e6

    def step(calls: int, reused: int = 0) -> Row:
        return {
            "calls": calls,
            "reused": reused,
            "prompt_tokens": 11 * calls,
            "completion_tokens": 7 * calls,
            "usd": pytest.approx(calls * call),
            "usd_paid_now": pytest.approx((calls - reused) * call),
        }

    cost = manifest()["cost"]
    assert cost == {
        **step(18),
        "usd_per_pair": pytest.approx(2 * call),
        "steps": {"explain": step(9), "corrupt": step(6), "rectify": step(3)},
        "failed_calls": 0,
    }
    assert "0.00166 USD paid now, 0.000184 USD a pair in all" in done.err
    again = gen("--price", "2,10")
    assert manifest()["cost"]["usd"] == pytest.approx(18 * call)
    assert manifest()["cost"]["usd_paid_now"] == 0
    assert manifest()["cost"]["reused"] == 18
    assert "0.00 USD paid now, 0.000184 USD a pair in all" in again.err


def test_an_unknown_price_is_no_price_of_0(gen: Cli) -> None:
    done = gen()
    cost = manifest()["cost"]
    assert (cost["usd"], cost["usd_paid_now"], cost["usd_per_pair"]) == (None, None, None)
    assert all(step["usd"] is None for step in cost["steps"].values())
    assert "unknown" in done.err
    assert "0.00 USD" not in done.err
    # A later run that names the price knows what the earlier calls cost.
    assert gen("--price", "2,10").code == 0
    assert manifest()["cost"]["usd"] == pytest.approx(18 * 92e-6)


def test_a_price_of_ones_own_goes_before_the_known_one(gen: Cli) -> None:
    known = ("-t", "openai/gpt-4o-mini")
    assert gen(*known, "-n", "3").code == 0
    cost = manifest()["cost"]["usd"]
    assert cost is not None
    assert cost != pytest.approx(6 * 92e-6)
    assert gen(*known, "-n", "3", "--price", "2,10", "--ledger", "other.db").code == 0
    assert manifest()["cost"]["usd"] == pytest.approx(6 * 92e-6)
    facts = json.loads(gen(*known, "--price", "2,10", "--dry-run", "--json").out)
    assert facts["price"]["output"] == pytest.approx(10)


def test_no_key_is_left_anywhere(gen: Cli, tmp_path: Path, own_state: Path) -> None:
    done = gen("--ledger", "mine.db")
    for folder in (tmp_path, own_state):
        for name, data in snapshot(folder).items():
            assert KEY.encode() not in (data or b""), name
    assert KEY not in done.out + done.err


# Dry runs.


def test_a_dry_run_asks_nothing_and_leaves_nothing(
    gen: Cli, provider: Provider, tmp_path: Path, own_state: Path
) -> None:
    (tmp_path / "dual.jsonl").write_text("former\n")
    before, state = snapshot(tmp_path), snapshot(own_state)
    for words in ((), ("--json",), ("--price", "1,2"), ("--budget-tokens", "5"), ("--shard", "1/2")):
        assert gen("--dry-run", *words).code == 0
    assert gen("--dry-run", output=None).code == 0
    assert provider.seen == []
    assert snapshot(tmp_path) == before
    assert snapshot(own_state) == state


def test_a_dry_run_leaves_the_ledger_as_it_is(gen: Cli, provider: Provider, tmp_path: Path) -> None:
    gen()
    before, calls = snapshot(tmp_path), len(provider.seen)
    done = gen("--dry-run", "--json", "--price", "1,2")
    assert len(provider.seen) == calls
    assert snapshot(tmp_path) == before
    facts = json.loads(done.out)
    assert facts["recorded"] == calls
    assert facts["total"]["low"] == facts["total"]["high"]
    assert facts["total"]["high"] == {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0}


def test_a_dry_run_prints_its_table_on_stdout(gen: Cli) -> None:
    done = gen("--dry-run", "--price", "1,2", "--attempts", "1", "--max-new-tokens", "100")
    head, explain, corrupt, rectify, whole = done.out.splitlines()
    assert head.split() == ["step", "calls", "prompt", "tokens", "completion", "tokens", "cost"]
    assert [line.split()[0] for line in (explain, corrupt, rectify, whole)] == ["explain", "corrupt", "rectify", "all"]
    assert explain.split()[1] == "9"
    assert corrupt.split()[1:4] == ["0", "to", "9"]
    assert whole.split()[1] == "18"
    assert "9 questions; 0 completions are in the ledger and cost nothing more" in done.err
    assert "--price" not in done.err
    assert "the price is not known: --price IN,OUT" in gen("--dry-run").err
    assert "unknown" in gen("--dry-run").out


def test_a_dry_run_counts_what_a_run_then_asks(gen: Cli, provider: Provider) -> None:
    facts = json.loads(gen("--dry-run", "--json", "--attempts", "1").out)
    gen("--attempts", "1")
    explained = sum("The final answer is" not in json.dumps(seen.body["messages"]) for seen in provider.seen)
    assert facts["total"]["low"]["calls"] == facts["total"]["high"]["calls"] == len(provider.seen) == 18
    assert facts["steps"]["explain"]["low"]["calls"] == 9 < explained


# Shards.


@pytest.mark.parametrize("count", [1, 3])
def test_shards_are_disjoint_and_complete(gen: Cli, count: int) -> None:
    mistakes = ("-m", "logical=2,calculation=1,knowledge=1")
    whole = undisturbed(gen, *mistakes).splitlines()
    rows: list[bytes] = []
    for index in range(1, count + 1):
        done = gen("--shard", f"{index}/{count}", "--ledger", f"{index}.db", *mistakes, output=f"{index}.jsonl")
        assert done.code == 0
        part = Path(f"{index}.jsonl").read_bytes().splitlines()
        # In order, every row as in the run over all of them: also the mistake that was asked for.
        assert part == whole[index - 1 :: count]
        rows += part
    assert sorted(rows) == sorted(whole)
    assert len(whole) == COUNT


def test_a_shard_asks_for_its_own_questions_only(gen: Cli, provider: Provider) -> None:
    assert gen("--shard", "2/3").code == 0
    assert {number_of(seen.body) for seen in provider.seen} == {1, 4, 7}


def test_shards_without_ids_keep_the_ids_of_the_whole(gen: Cli, tmp_path: Path) -> None:
    """Rows of one wording are told apart by their place in the whole file."""
    bare = [{"question": row["question"], "answer": row["answer"]} for row in rows_of(2)] * 3
    (tmp_path / "bare.jsonl").write_text(lines(bare))
    ids = []
    for index in (1, 2, 3):
        assert gen("--shard", f"{index}/3", questions="bare.jsonl", output=f"{index}.jsonl").code == 0
        ids += [row["id"] for row in read(f"{index}.jsonl")]
    assert len(set(ids)) == 6


@pytest.mark.parametrize("words", ["0/3", "4/3", "-1/3", "1/0", "0/0", "1", "1/", "/3", "a/b", "1/3/5", "1.0/3", ""])
def test_bad_shards_are_refused(gen: Cli, provider: Provider, words: str) -> None:
    done = gen("--shard", words)
    assert done.code == 2
    assert "--shard" in told(done)[0]
    assert "from 1 to n" in told(done)[0]
    assert provider.seen == []
    assert not Path("dual.jsonl").exists()
    assert gen("--shard", words, "--dry-run").code == 2


def test_a_bad_shard_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(lines([{"question": "1?", "answer": "1"}]))
    words = ("gen-dual", "q.jsonl", "-t", "openai/m", "--api-base", "http://127.0.0.1:9", "-o", "d.jsonl")
    done = command(*words, "--shard", "4/3", folder=tmp_path)
    assert done.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]


def test_json_without_a_dry_run_is_refused(tmp_path: Path) -> None:
    done = command("gen-dual", "toy:chain?n=2", "-t", "oracle", "--json", folder=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "--dry-run" in done.err


def test_the_variable_names_the_ledger(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(lines([{"question": "1?", "answer": "1"}]))
    words = ("gen-dual", "q.jsonl", "-t", "openai/m", "--api-base", "http://127.0.0.1:9", "-o", "d.jsonl")
    done = command(*words, "--retries", "0", folder=tmp_path, EDITCTL_LEDGER="mine.db")
    assert done.code == 1
    assert "ledger: mine.db (new)" in done.err
    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / "d.ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("-o", "q.jsonl"), "q.jsonl: is read by this command"),
        (("-o", "d.jsonl", "--rejects", "q.jsonl"), "q.jsonl: is read by this command"),
        (("-o", "d.jsonl", "--ledger", "d.jsonl"), "--ledger d.jsonl: holds the rows of this command as well"),
        (("-o", "d.jsonl", "--ledger", "q.jsonl"), "--ledger q.jsonl: holds the rows of this command as well"),
    ],
)
def test_no_file_is_two_things_at_once(more: tuple[str, ...], says: str, tmp_path: Path) -> None:
    text = lines([{"question": "1?", "answer": "1"}])
    (tmp_path / "q.jsonl").write_text(text)
    words = ("gen-dual", "q.jsonl", "-t", "openai/m", "--api-base", "http://127.0.0.1:9", *more)
    done = command(*words, folder=tmp_path)
    assert done.code == 2
    assert says in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["q.jsonl"]
    assert (tmp_path / "q.jsonl").read_text() == text
