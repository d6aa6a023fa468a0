"""Pairs a second through `align`, end to end (read, cut, align, write), in one process, at words and at tokens.

python benchmarks/align.py [--json] [--data FOLDER] [--memory [PAIRS]]
Beside it, in the same process and in turn: Levenshtein's table in plain Python on the same words, rapidfuzz alone on
the same words (cut before, its operations read out after), and the tokenizer with rapidfuzz alone. All sides must find
the same number of edits. FOLDER (default: what EDITCTL_DATA names) holds bbh/dual.gpt-3.5-turbo.jsonl, real pairs;
without it, generated pairs stand in. --memory runs the command itself over a million short pairs and reports its
resident set. Linux only.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress, cycle, islice
from pathlib import Path
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
sys.path.append(str(Path(__file__).parent / "baselines"))

from plain_edit_distance import plain_keys
from processes import Watch
from rapidfuzz.distance import Levenshtein

from editctl.align.aligner import Aligner, aligner_for, token_aligner
from editctl.align.lines import LineAligner, gathered
from editctl.align.stage import Figures
from editctl.align.units import words
from editctl.align.workers import Setup, done_in_order
from editctl.files import InputFile, OutputFile
from editctl.jsonl import read_records
from editctl.scratch import train_tokenizer

REAL = "bbh/dual.gpt-3.5-turbo.jsonl"
TIMES = 9
"""How often each side is timed."""
ROWS = 3900
"""Pairs that are read and written in one timed pass: the same ones again under other ids."""
LEAST_OVER_PYTHON = 100.0
MOST_OVER_RAPIDFUZZ = 15.0
MOST_OVER_TOKENIZER = 2.0
FLAT = 64.0
"""Bytes that a pair may leave in memory, at most."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Side:
    """One way to do the work."""

    name: str
    run: Callable[[], list[int]]
    """Does all pairs; gives the number of edits of each of the first ones."""
    pairs: int


def rows_of(folder: str | None) -> list[dict[str, Any]]:
    """Dual chains as `gen-dual` writes them, from real pairs or generated ones."""
    from editctl.align.pairs import PairReader
    from editctl.rows import dual_to_row

    place = Path(folder, REAL) if folder else None
    if place is not None and place.is_file():
        return [dual_to_row(dual) for dual in read_records(InputFile(str(place)), PairReader().convert)]
    return toy_rows(78)


def toy_rows(count: int) -> list[dict[str, Any]]:
    """Generated pairs, `count` of them."""
    from editctl.cli.session import load_task
    from editctl.records import Chain, DualChain
    from editctl.rows import dual_to_row
    from editctl.toytasks import parse_source, questions, recall

    found = []
    for question in questions(parse_source(f"toy:chain?n={count}&difficulty=8", load_task)):
        worked = recall(question.id, load_task)
        wrong = worked.wrong("any")
        sides = (
            Chain(text=worked.right, answer=worked.answer, origin="sampled"),
            wrong and Chain(text=wrong.text, answer=wrong.answer, origin="corrupted", mistake="any"),
        )
        found.append(dual_to_row(DualChain(question=question, right=sides[0], wrong=sides[1] or None, teacher="toy")))
    return found


def write_rows(rows: Sequence[dict[str, Any]], count: int, path: Path, *, numbered: bool = False) -> None:
    """`count` rows, the same again and again under other ids; with numbered questions, no question stands twice."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = rows[number % len(rows)]
            row = {**row, "id": f"{row['id']}#{number}"}
            if numbered:
                row["question"] = f"{number}. {row['question']}"
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def end_to_end(source: Path, target: Path, aligner: Aligner) -> None:
    """What `editctl align` does between its start and its summary, in one process."""
    own = LineAligner(str(source), (), aligner)
    setup = Setup(name=str(source), is_stream=False, mapping=(), unit=aligner.unit, tokenizer=None, match=aligner.match)
    output = OutputFile(str(target))
    figures = Figures()
    for done in done_in_order(gathered(InputFile(str(source)).line_groups()), own, setup, workers=1):
        output.write_bytes(done.data)
        figures.merge(done.figures)
    output.commit()


def distances(path: Path, count: int) -> list[int]:
    """Edits of the first rows of a file of alignments."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["edits"]["distance"] for line in islice(file, count)]


def timed(sides: Sequence[Side], times: int, comparable: Sequence[bool]) -> dict[str, float]:
    """Microseconds that each side takes for a pair: the least of as many turns, as other work only ever adds to it.

    Exits where the sides disagree about a pair that is comparable.
    """
    spent: dict[str, list[float]] = {side.name: [] for side in sides}
    found = {}
    for _ in range(times):
        for side in sides:
            begun = time.perf_counter()
            found[side.name] = side.run()
            spent[side.name].append((time.perf_counter() - begun) / side.pairs * 1e6)
    if len({tuple(compress(edits, comparable)) for edits in found.values()}) != 1:
        sys.exit("align.py: the sides found different numbers of edits")
    return {name: min(values) for name, values in spent.items()}


def word_sides(pairs: Sequence[Pair], sources: tuple[Path, Path], target: Path) -> list[Side]:
    """Ours, Python alone and rapidfuzz alone, on the same words. The second source has a question of its own a row."""
    cut = [(list(words(right).values), list(words(wrong).values)) for right, wrong in islice(cycle(pairs), ROWS)]
    """Each row's own words: passes over the same few pairs would run in the processor's cache."""
    aligner = aligner_for("word")

    def ours(source: Path) -> list[int]:
        end_to_end(source, target, aligner)
        return distances(target, len(pairs))

    def rapidfuzz() -> list[int]:
        return [len(Levenshtein.editops(right, wrong).as_list()) for right, wrong in cut][: len(pairs)]

    return [
        Side("editctl", lambda: ours(sources[0]), ROWS),
        Side("editctl_no_question_twice", lambda: ours(sources[1]), ROWS),
        Side("python", lambda: [plain_keys(right, wrong)[0] for right, wrong in cut[: len(pairs)]], len(pairs)),
        Side("rapidfuzz", rapidfuzz, ROWS),
    ]


def token_sides(pairs: Sequence[Pair], source: Path, target: Path) -> list[Side]:
    """Ours, and a tokenizer with rapidfuzz alone."""
    tokenizer = train_tokenizer([text for pair in pairs for text in pair], 2000)
    aligner = token_aligner(tokenizer, "benchmark")

    def ours() -> list[int]:
        end_to_end(source, target, aligner)
        return distances(target, len(pairs))

    def floor() -> list[int]:
        for _ in range(ROWS // len(pairs)):
            texts = [text for pair in pairs for text in pair]
            ids = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["input_ids"]
            sides = zip(ids[::2], ids[1::2], strict=True)
            found = [len(Levenshtein.editops(right, wrong).as_list()) for right, wrong in sides]
        return found

    return [Side("editctl", ours, ROWS), Side("tokenizer", floor, ROWS // len(pairs) * len(pairs))]


def speed(rows: Sequence[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """All ratios."""
    pairs = [(row["right"]["text"], row["wrong"]["text"]) for row in rows]
    source, numbered, target = (folder / name for name in ("dual.jsonl", "numbered.jsonl", "aligned.jsonl"))
    write_rows(rows, ROWS, source)
    write_rows(rows, ROWS, numbered, numbered=True)
    word = timed(word_sides(pairs, (source, numbered), target), TIMES, [True] * len(pairs))
    # Several tokens of one character beyond ASCII are one unit to us, and several to the other side.
    plain = [(right + wrong).isascii() for right, wrong in pairs]
    token = timed(token_sides(pairs, source, target), TIMES, plain)
    units = statistics.fmean(len(words(text).values) for pair in pairs for text in pair)
    return {
        "pairs": len(pairs),
        "words_a_chain": units,
        "word_microseconds": word,
        "token_microseconds": token,
        "word_pairs_a_second": 1e6 / word["editctl"],
        "token_pairs_a_second": 1e6 / token["editctl"],
        "ratio_python_word": word["python"] / word["editctl"],
        "ratio_rapidfuzz_word": word["editctl"] / word["rapidfuzz"],
        "ratio_floor_token": token["editctl"] / token["tokenizer"],
    }


def memory(count: int, folder: Path) -> dict[str, Any]:
    """The command over many short pairs: resident set while it runs, and what a pair leaves behind."""
    source = folder / "many.jsonl"
    write_rows(toy_rows(1000), count, source)
    command = [sys.executable, "-m", "editctl", "align", str(source), "-o", str(folder / "out.jsonl"), "--workers", "1"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EDITCTL_")}
    watch = Watch(command, {**environment, "EDITCTL_STATE": str(folder / "state")}, folder / "log")
    watched = watch.finish(pause=0.25)
    if watched.status != 0:
        sys.exit(f"align.py: editctl ended with {watched.status}:\n{(folder / 'log').read_text()[-2000:]}")
    resident = [sample.resident_mb for sample in watched.samples]
    tenth = resident[len(resident) // 10]
    return {
        "memory_pairs": count,
        "memory_seconds": watched.ended - watched.started,
        "memory_tenth_mb": tenth,
        "memory_peak_mb": watched.peak_mb,
        "memory_bytes_a_pair": (max(resident) - tenth) * 1e6 / (0.9 * count),
    }


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--data", default=os.environ.get("EDITCTL_DATA"), help="folder of the real pairs")
    parser.add_argument("--memory", type=int, nargs="?", const=1_000_000, help="also run so many pairs [1000000]")
    parser.add_argument("--folder", help="where files lie for a while [the system's place]")
    given = parser.parse_args()
    rows = [row for row in rows_of(given.data) if row["right"] and row["wrong"]]
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        result = speed(rows, Path(name))
        if given.memory:
            result |= memory(given.memory, Path(name))
    result["reached"] = (
        result["ratio_python_word"] >= LEAST_OVER_PYTHON
        and result["ratio_rapidfuzz_word"] <= MOST_OVER_RAPIDFUZZ
        and result["ratio_floor_token"] <= MOST_OVER_TOKENIZER
        and result.get("memory_bytes_a_pair", 0.0) <= FLAT
    )
    for key, value in result.items():
        print(f"{key}: {value:.1f}" if isinstance(value, float) else f"{key}: {value}")
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
