"""`editctl gen-dual` against a loopback provider, beside a raw aiohttp loop and a bare litellm loop.

    python benchmarks/generation.py [--json] [--quick] [--repeats 5]     requests a second, memory, time to begin
    python benchmarks/generation.py --kill [--json]                      a kill -9 half-way, then the same command again

500 questions take 1,000 calls, of about 1,000 characters: the provider's first solution is wrong, so that each question
is explained and then rectified. Both loops post the very bodies that editctl sent. Requests a second = requests / (last
answer - first request) as the provider saw them; the ideal is concurrency / latency. Each client is a process of its
own, and they take turns. editctl writes its ledger and runs its throttle. Linux only.
"""

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import loopback
from loopback import Loopback
from processes import Watch, Watched

HERE = Path(__file__).parent
CLIENTS = ("editctl", "raw", "litellm")
SCRIPTS = {"raw": "raw_aiohttp.py", "litellm": "bare_litellm.py"}
KILL_CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    questions: int = 500
    latency: float = 0.5
    repeats: int = 5
    concurrencies: tuple[int, ...] = (32, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of one client came to."""

    requests_a_second: float
    cpu_ms_a_request: float
    """Processor time from the first request on, without starting up."""
    cpu_seconds: float
    """Processor time in all."""
    peak_mb: float
    first_request_s: float
    """From the start of the process to its first request."""


class Bench:
    """The provider, the questions and the bodies, in one folder."""

    def __init__(self, plan: Plan, provider: Loopback, folder: Path) -> None:
        self.plan, self.provider, self.folder = plan, provider, folder
        self.calls = 2 * plan.questions
        self.expected: dict[str, Any] = {}
        """The provider's report on the first run of editctl, which all others have to match."""
        rows = [json.dumps(loopback.question(number)) for number in range(plan.questions)]
        (folder / "questions.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")

    def command(self, client: str, concurrency: int, name: str) -> list[str]:
        """How a client is started; `name` tells runs apart."""
        if client in SCRIPTS:
            script, bodies = HERE / "baselines" / SCRIPTS[client], self.folder / "bodies.jsonl"
            return [sys.executable, str(script), self.provider.url, str(bodies), str(concurrency), str(self.out(name))]
        options = {
            "--teacher": "openai/loopback-model",
            "--api-base": self.provider.url,
            "--max-concurrency": str(concurrency),
            "--ledger": str(self.ledger(name)),
            "--output": str(self.out(name)),
        }
        flags = [part for option in options.items() for part in option]
        return [sys.executable, "-m", "editctl", "gen-dual", str(self.folder / "questions.jsonl"), *flags]

    def out(self, name: str) -> Path:
        """Where a run writes."""
        return self.folder / f"{name}.jsonl"

    def ledger(self, name: str) -> Path:
        """Where a run of editctl remembers its completions."""
        return self.folder / f"{name}.ledger.sqlite"

    def start(self, client: str, concurrency: int, name: str) -> Watch:
        """Start a client."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("EDITCTL_", "OPENAI_"))}
        # Nothing is looked up on the network, for either side.
        environment |= {
            "EDITCTL_STATE": str(self.folder / "state"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return Watch(self.command(client, concurrency, name), environment, self.folder / f"{name}.log")

    def record(self) -> None:
        """Run editctl once, untimed, to learn the bodies it sends."""
        self.measure("editctl", max(self.plan.concurrencies), "first")
        bodies = [json.dumps(body) for body in self.provider.get("bodies")]
        (self.folder / "bodies.jsonl").write_text("\n".join(bodies) + "\n", encoding="utf-8")

    def measure(self, client: str, concurrency: int, name: str) -> Run:
        """Run a client against the provider and check what both sides saw."""
        self.provider.reset()
        watched = self.start(client, concurrency, name).finish()
        self.require_success(watched, name)
        report = self.provider.get("report")
        self.check(client, name, report)
        return Run(
            requests_a_second=report["requests"] / (report["last"] - report["first"]),
            cpu_ms_a_request=watched.cpu_since(report["first"]) / report["requests"] * 1000,
            cpu_seconds=watched.cpu,
            peak_mb=watched.peak_mb,
            first_request_s=report["first"] - watched.started,
        )

    def require_success(self, watched: Watched, name: str) -> None:
        """Stop with what a client said when it failed."""
        said = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
        require(watched.status == 0, f"run {name} ended with {watched.status}:\n{said}")

    def check(self, client: str, name: str, report: dict[str, Any]) -> None:
        """All clients ask the same, get the same and keep it, and ask nothing twice."""
        self.expected = self.expected or report
        require(report["requests"] == self.calls, f"run {name} sent {report['requests']} requests, not {self.calls}")
        require(report["distinct"] == self.calls, f"run {name} asked something twice")
        require(report["calls"] == self.expected["calls"], f"run {name} had other bodies or answers")
        if client == "editctl":
            kept, recorded = kept_by_editctl(self.out(name)), recorded_by_editctl(self.ledger(name))
            require(recorded == self.calls, f"run {name} recorded {recorded} of {self.calls} completions")
        else:
            kept = json.loads(self.out(name).read_bytes())
        require(loopback.digest(kept) == report["texts"], f"run {name} did not keep what it was answered")


def kept_by_editctl(path: Path) -> list[str]:
    """The texts of both sides of all dual chains."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row[side]["text"] for row in rows for side in ("right", "wrong") if row[side]]


def recorded_by_editctl(ledger: Path) -> int:
    """Completions in a ledger."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        return int(connection.execute("SELECT count(*) FROM completion").fetchone()[0])


def require(condition: bool, fault: str) -> None:
    """Stop the benchmark when its figures would mean nothing."""
    if not condition:
        sys.exit(f"generation.py: {fault}")


def measure_all(bench: Bench) -> dict[str, Any]:
    """Every client at every concurrency, in turns; each round begins with another client."""
    bench.record()
    runs: dict[tuple[str, int], list[Run]] = {}
    for number in range(bench.plan.repeats):
        first = number % len(CLIENTS)
        for concurrency in bench.plan.concurrencies:
            for client in CLIENTS[first:] + CLIENTS[:first]:
                run = bench.measure(client, concurrency, f"{client}-{concurrency}-{number}")
                runs.setdefault((client, concurrency), []).append(run)
                tell(f"round {number + 1}, {concurrency} at once, {client}: {run.requests_a_second:.1f} requests/s")
    return summary(bench, runs)


def summary(bench: Bench, runs: dict[tuple[str, int], list[Run]]) -> dict[str, Any]:
    """Medians by client and concurrency, and editctl's shares."""
    plan = bench.plan
    medians = {key: median(several) for key, several in runs.items()}
    speed = {key: values["requests_a_second"] for key, values in medians.items()}
    bodies = [json.loads(line) for line in (bench.folder / "bodies.jsonl").read_text(encoding="utf-8").splitlines()]
    lengths = [sum(len(message["content"]) for message in body["messages"]) for body in bodies]
    return {
        "share_of_raw": {str(at): speed["editctl", at] / speed["raw", at] for at in plan.concurrencies},
        "share_of_litellm": {str(at): speed["editctl", at] / speed["litellm", at] for at in plan.concurrencies},
        "share_of_ideal": {str(at): speed["editctl", at] * plan.latency / at for at in plan.concurrencies},
        "clients": {client: {str(at): medians[client, at] for at in plan.concurrencies} for client in CLIENTS},
        "runs": {
            client: {
                str(at): [round(run.requests_a_second, 2) for run in runs[client, at]] for at in plan.concurrencies
            }
            for client in CLIENTS
        },
        "plan": asdict(plan),
        "calls": bench.calls,
        "prompt_characters": {"least": min(lengths), "mean": statistics.mean(lengths), "most": max(lengths)},
        "fsync_ms": fsync_ms(bench.folder),
        "processors": os.cpu_count(),
        "same_completions": True,
    }


def median(several: list[Run]) -> dict[str, float]:
    """The median of each figure."""
    rows = [asdict(run) for run in several]
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def fsync_ms(folder: Path, times: int = 50) -> float:
    """Median time of a 4 KB append that is durable on return, where the ledger lies: near 0 it would cost nothing."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def kill_and_repeat(bench: Bench) -> dict[str, Any]:
    """kill -9 when half of the calls are answered, then the same command again: how much is asked twice."""
    bench.measure("editctl", max(bench.plan.concurrencies), "undisturbed")
    bench.provider.reset()
    watch = bench.start("editctl", KILL_CONCURRENCY, "killed")
    count = bench.provider.get("count")
    while watch.step(0.005) and count["answered"] < bench.calls // 2:
        count = bench.provider.get("count")
    require(bool(count["answered"] < bench.calls), "the run was over before it could be killed")
    watch.kill()
    watch.finish()
    after_kill = bench.provider.get("count")
    bench.require_success(bench.start("editctl", KILL_CONCURRENCY, "killed").finish(), "killed")
    report = bench.provider.get("report")
    require(report["distinct"] == bench.calls, "not every call was made, or others were")
    require(loopback.digest(kept_by_editctl(bench.out("killed"))) == bench.expected["texts"], "texts differ")
    return {
        "requests_seen": report["requests"],
        "most_allowed": bench.calls + KILL_CONCURRENCY,
        "calls": bench.calls,
        "asked_twice": report["requests"] - report["distinct"],
        "seen_at_kill": after_kill["seen"],
        "answered_at_kill": after_kill["answered"],
        "same_output": bench.out("killed").read_bytes() == bench.out("undisturbed").read_bytes(),
    }


def tell(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    if "requests_seen" in result:
        return "\n".join(f"{key}: {value}" for key, value in result.items())
    lines = ["client    at once  requests/s  of ideal  CPU ms/request  peak MB  first request s"]
    for client, by_concurrency in result["clients"].items():
        for at, run in by_concurrency.items():
            share = run["requests_a_second"] * result["plan"]["latency"] / int(at)
            lines.append(
                f"{client:8} {at:>8} {run['requests_a_second']:>11.1f} {share:>9.1%} {run['cpu_ms_a_request']:>15.2f}"
                f" {run['peak_mb']:>8.0f} {run['first_request_s']:>16.2f}"
            )
    for share in ("share_of_raw", "share_of_litellm"):
        lines.append(f"{share}: " + ", ".join(f"{value:.1%} at {at}" for at, value in result[share].items()))
    return "\n".join(lines)


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="200 calls at 0.1 s, once: does it work?")
    parser.add_argument("--kill", action="store_true", help="only the kill -9 half-way")
    parser.add_argument("--repeats", type=int, help="rounds [5]")
    parser.add_argument("--concurrency", type=int, nargs="+", help="calls at once [32 128 256]")
    parser.add_argument("--folder", help="where ledgers and outputs are written for a while [the system's place]")
    given = parser.parse_args()
    plan = Plan(questions=100, latency=0.1, repeats=1) if given.quick else Plan()
    plan = Plan(
        questions=plan.questions,
        latency=plan.latency,
        repeats=given.repeats or plan.repeats,
        concurrencies=tuple(given.concurrency or plan.concurrencies),
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, Loopback(plan.latency) as provider:
        bench = Bench(plan, provider, Path(folder))
        result = kill_and_repeat(bench) if given.kill else measure_all(bench)
    print(table(result))
    if given.json:
        print(json.dumps(result))
    sys.exit(int(given.kill and (result["requests_seen"] > result["most_allowed"] or not result["same_output"])))


if __name__ == "__main__":
    main()
