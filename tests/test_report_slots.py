"""A report of a run with several students: curves, stages and what the trainer saw, each by its slot."""

from pathlib import Path

import pytest

from tests.support_report import call, check_sums, page_of, steps
from tests.support_slots import write_files

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def test_every_slot_is_shown(tmp_path: Path) -> None:
    write_files(tmp_path)
    words = ("-r", "two.py:Two", "-s", "base", "--lora-r", "2", "--device", "cpu", "--batch-questions", "6")
    call(tmp_path, "train", "aligned.jsonl", *words, "-R", "late=0.02", "-q", "-o", "run")
    page = page_of(tmp_path, "run", examples=1)
    assert page.notes == ()
    assert [curve.stage for curve in page.curves] == ["hints (hint)", "solve (solve)", "again (solve)"]
    points = [point.step for curve in page.curves for point in curve.points]
    assert points == list(range(1, len(points) + 1))
    assert [view.stage for view in page.trained] == ["hints", "solve", "again"]
    assert all(view.examples for view in page.trained)
    (funnel,) = page.funnels
    check_sums(funnel)
    assert list(steps(funnel)) == [
        *("questions", "with a right chain", "pairs", "aligned pairs that differ"),
        *(f"two.py:Two: {stage}" for stage in ("hints", "solve", "again")),
    ]
    (card,) = page.runs
    facts = dict(card.facts)
    assert facts["options of the recipe"] == "late 0.02"
    assert {"stage hints (hint)", "stage solve (solve)", "stage again (solve)"} <= facts.keys()
    assert "lora-r 2" in facts["settings"]
