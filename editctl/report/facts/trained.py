"""What the trainer saw of the first questions of a run. Who looks is given: the trainer is none of ours."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from editctl.questions import content_hash
from editctl.records import Alignment
from editctl.report.facts.sources import Run, texts
from editctl.report.page.model import TrainedView
from editctl.views import ExampleView, LeftOut

Look = Callable[[Alignment], Mapping[str, tuple[ExampleView, ...] | LeftOut]]
"""What each stage, by name, makes of a question."""
_FARTHEST = 200
"""Rows looked at for questions that a stage takes."""


def trained_views(run: Run, alignments: Iterable[Alignment], look: Look, count: int) -> tuple[TrainedView, ...]:
    """The first `count` questions of each stage that it trained on, and as many that it left out if they come before.

    Questions that were held out, and those behind a `--limit` of the training, are passed over.
    """
    stages = [str(stage.get("name")) for stage in run.stages]
    found: dict[str, list[TrainedView]] = {stage: [] for stage in stages}
    held_out = set(texts(run.facts.get("held_out_questions")))
    for alignment in islice(alignments, min(_FARTHEST, run.limit or _FARTHEST)):
        if all(_seen(found[stage]) >= count for stage in stages):
            break
        if content_hash(alignment.dual.question) not in held_out:
            _add(run.name, found, look(alignment), count)
    return tuple(view for stage in stages for view in found[stage])


def _add(
    name: str,
    found: Mapping[str, list[TrainedView]],
    seen: Mapping[str, tuple[ExampleView, ...] | LeftOut],
    count: int,
) -> None:
    for stage, views in found.items():
        one = seen.get(stage)
        if one is None or _seen(views) >= count:
            continue
        if not isinstance(one, LeftOut):
            views.append(TrainedView(run=name, stage=stage, examples=one))
        elif len(views) - _seen(views) < count:
            views.append(TrainedView(run=name, stage=stage, examples=(), left_out=one))


def _seen(views: list[TrainedView]) -> int:
    return sum(view.left_out is None for view in views)
