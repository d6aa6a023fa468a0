"""What other trainers make of exported rows, in our own reading of their documented rules."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from editctl.records import Alignment
from editctl.rows import dual_to_row
from tests.support_cli import Cli, Outcome, lines, read

PAGE = Path(__file__).parents[1] / "docs" / "exports.md"
_BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """The titled blocks of the page about exports."""
    return dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def write_pairs(folder: Path, alignments: Sequence[Alignment], name: str = "dual.jsonl") -> None:
    """The pairs as `gen-dual` would leave them."""
    (folder / name).write_text(lines(dual_to_row(one.dual) for one in alignments), encoding="utf-8")


def export(cli: Cli, *words: str) -> Outcome:
    """`align` of dual.jsonl with these options, which must succeed."""
    outcome = cli("align", "dual.jsonl", *words)
    assert outcome.code == 0, outcome.err
    return outcome


def exported(cli: Cli, folder: Path, *words: str) -> list[dict[str, Any]]:
    """The rows of a JSON lines export."""
    export(cli, "-o", "out.jsonl", *words)
    return read(folder / "out.jsonl")


def noted(folder: Path, name: str) -> Any:
    """What the manifest beside an output says of the export."""
    (found,) = folder.glob(f"{name}*manifest.json")
    return json.loads(found.read_text(encoding="utf-8"))["export"]


def trained_places(content: str, details: Sequence[Mapping[str, Any]], tokenizer: Any) -> list[int]:
    """Which of a turn's tokens axolotl trains.

    Every token reaches to the character before the next one's first. A detail begins with the first token that begins
    in it, or with the one before where that reaches further than the detail's first character; it ends with the last
    token that ends in it, or with the one behind where that begins before the detail's last character.
    """
    offsets = tokenizer(content, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    starts = [start for start, _ in offsets]
    ends = [start - 1 for start in [*starts[1:], len(content)]]
    count, places = len(starts), set()
    for detail in details:
        begin, end = detail["begin_offset"], detail["end_offset"]
        first = next((place for place in range(count) if starts[place] >= begin), count)
        first -= first > 0 and ends[first - 1] > begin
        last = next((place for place in reversed(range(count)) if ends[place] <= end), -1)
        last += last < count - 1 and starts[last + 1] < end
        if first <= last:
            inside = (starts[first], ends[last])
            places |= {place for place in range(count) if starts[place] >= inside[0] and ends[place] <= inside[1]}
    return sorted(places)
