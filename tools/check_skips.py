"""Fails when tests were skipped that tests/skips.txt does not allow; prints every skip with its reason.

pytest writes the skips of its last run to .pytest_cache (tests/conftest.py). `quick` and `full` name the run.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(run: str) -> str | None:
    """None when all is well, else what is wrong."""
    found = json.loads((ROOT / ".pytest_cache" / "editctl-skips.json").read_text(encoding="utf-8"))
    lines = (ROOT / "tests" / "skips.txt").read_text(encoding="utf-8").splitlines()
    allowed = {line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")}
    for name, reason in sorted(found.items()):
        print(f"skipped ({run}): {name}: {reason}")
    unknown = sorted(name for name in found if name not in allowed and name.partition("::")[0] not in allowed)
    return f"skipped without leave (tests/skips.txt): {', '.join(unknown)}" if unknown else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
