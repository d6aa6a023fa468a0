"""`editctl report` as a user meets it: what it writes where, the same bytes each time, nothing half written."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support_cli import command, lines, read, shell, snapshot
from tests.support_report import call

HOSTILE = "<script>alert(1)</script> \x1b[31m </textarea> \u202e & \" ' {{ 7 * 7 }} $& `${x}`"


def test_a_page_is_written_with_its_manifest_and_what_is_in_it_is_said(work: Path) -> None:
    done = call(work, "report", "aligned.jsonl", "-o", "report.html")
    page = (work / "report.html").read_text(encoding="utf-8")
    assert done.out == ""
    assert re.search(r"^pairs +24$", done.err, re.MULTILINE)
    assert re.search(r"^wrote report\.html \([\d,]+ kB\)$", done.err, re.MULTILINE)
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    for fact in ("aligned pairs that differ", "rectify other-answer", "calculation", "gen-dual", "What is 7 + 1?"):
        assert fact in page
    manifest = json.loads((work / "report.html.manifest.json").read_text())
    assert manifest["command"] == "report"
    assert manifest["status"] == "complete"
    assert manifest["counts"]["pairs"] == 24
    names = [one["name"] for one in manifest["inputs"]]
    assert names == ["aligned.jsonl", "dual.rejects.jsonl"]
    assert manifest["inputs"][0]["made_by"]["command"] == "align"


def test_pngs_are_written_beside(work: Path) -> None:
    done = call(work, "report", "aligned.jsonl", "-o", "report.html", "--png", "plots/all", "-q")
    plots = sorted((work / "plots/all").iterdir())
    assert len(plots) >= 2
    assert all(plot.read_bytes().startswith(b"\x89PNG") for plot in plots)
    assert done.err == ""


@pytest.mark.skipif(os.name != "posix", reason="terminals of this kind are of POSIX systems")
def test_a_terminal_gets_no_page(work: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "editctl", "report", "aligned.jsonl"],
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=240,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert done.stderr.startswith("editctl: report: the page would fill the terminal; name a file with -o")


def test_rows_come_through_a_pipe(work: Path) -> None:
    done = shell("editctl align labelled.jsonl -q | editctl report - --title 'A <b> title' -o report.html", work)
    assert done.out.split() == ["0", "0"], done.err
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "A &lt;b&gt; title" in page
    assert "<b> title" not in page
    assert "stdin" in page


def test_a_named_pipe_is_read_as_a_file(work: Path) -> None:
    done = shell("editctl report <(cat aligned.jsonl) -q -o report.html", work)
    assert done.out.split() == ["0"], done.err
    call(work, "report", "aligned.jsonl", "-q", "-o", "other.html")
    counts = [json.loads((work / f"{name}.html.manifest.json").read_text())["counts"] for name in ("report", "other")]
    assert counts[0]["pairs"] == 22
    assert counts[0]["distributions"] == counts[1]["distributions"]


def test_the_same_inputs_give_the_same_bytes_in_a_file_and_down_a_pipe(work: Path) -> None:
    state = {"EDITCTL_STATE": str(work / "state")}
    words = ("report", "aligned.jsonl", "-q")
    piped = command(*words, folder=work, PYTHONHASHSEED="1", **state)
    done = command(*words, "-o", "report.html", folder=work, PYTHONHASHSEED="2", **state)
    assert (piped.code, piped.err, done.code, done.err, done.out) == (0, "", 0, "", "")
    assert piped.out == (work / "report.html").read_text(encoding="utf-8")


def test_hostile_text_stays_text(work: Path) -> None:
    rows = read(work / "aligned.jsonl")
    for row in rows:
        row["question"] = f"{HOSTILE} {row['question']}"
        row["task"] = HOSTILE
        row["right"]["text"] += HOSTILE
    (work / "hostile.jsonl").write_text(lines(rows))
    (work / "<img src=x onerror=alert(2)>.jsonl").write_text(lines(rows))
    done = call(work, "report", "hostile.jsonl", "<img src=x onerror=alert(2)>.jsonl", "-o", "report.html")
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "\x1b" not in done.err


def test_secrets_are_not_in_the_page(work: Path) -> None:
    for place in [*(work / "state/manifests").glob("*/*.json"), *work.glob("*.manifest.json")]:
        manifest = json.loads(place.read_text())
        if manifest["command"] == "align":
            manifest["options"]["api_key"] = "plain-secret-1"
            manifest["error"] = "no credit for sk-abcdefghijklmnop0123"
            manifest["status"] = "partial"
            manifest["options"]["dual"] = "http://user:plain-secret-2@host/x?api_key=plain-secret-3"
            place.write_text(json.dumps(manifest))
    done = call(work, "report", "aligned.jsonl", "-o", "report.html")
    page = (work / "report.html").read_text(encoding="utf-8")
    assert "plain-secret" not in page + done.err
    assert "sk-abcdefg" not in page + done.err
    assert "did not finish" in done.err


def test_a_failing_report_leaves_what_stood_there(work: Path) -> None:
    (work / "report.html").write_text("mine")
    (work / "bad.jsonl").write_text(lines(read(work / "aligned.jsonl")) + "{\n")
    before = snapshot(work)
    for words, says in (
        (("aligned.jsonl", "bad.jsonl", "-o", "report.html"), "bad.jsonl, line 23: is no JSON object"),
        (("aligned.jsonl", "-o", "aligned.jsonl"), "aligned.jsonl: is read by this command, and would be replaced"),
        (("aligned.jsonl", "-o", "dual.rejects.jsonl"), "dual.rejects.jsonl: is read by this command"),
        (("aligned.jsonl", "-o", "no/report.html"), "there is no folder no"),
        (("aligned.jsonl", "-o", "report.html", "--png", "bad.jsonl"), "--png bad.jsonl: is a file; name a folder"),
        (("aligned.jsonl", "-o", "report.html", "--baseline", "x"), "there are no predictions to compare"),
        (("q.jsonl", "-o", "report.html"), "q.jsonl, line 1: holds questions; name run folders"),
    ):
        done = call(work, "report", *words, code=2)
        assert done.err.startswith("editctl: "), done.err
        assert says in done.err
        assert done.err.count("\n") == 1
    after = {name: data for name, data in snapshot(work).items() if not name.startswith("state")}
    assert after == {name: data for name, data in before.items() if not name.startswith("state")}
    call(work, "report", "aligned.jsonl", "-q", "-o", "report.html")
    assert (work / "report.html").read_text() != "mine"


def test_a_large_page_says_what_makes_it_smaller(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editctl.cli.reporting.LARGE", 10_000)
    done = call(work, "report", "aligned.jsonl", "-q", "-o", "report.html")
    assert re.search(r"the page has 0\.\d MB; smaller --pairs, --questions or --examples make it smaller", done.err)


def test_nothing_named_is_a_usage_error(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("editctl.cli.reporting_inputs.stdin_is_piped", lambda: False)
    done = call(work, "report", "-o", "report.html", code=2)
    assert done.err.startswith("editctl: report: name run folders or files of rows")
