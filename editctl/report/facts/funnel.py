"""From questions to what was trained on: counts by step and what was lost on the way, from manifests and rows.

Each step's count and losses add up to the step it comes after, or the step is not shown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from editctl.manifest import Manifest
from editctl.records import Alignment, DualChain, Reject
from editctl.report.facts.costs import costs_of
from editctl.report.facts.sources import Run, Source, mappings
from editctl.report.page.model import Funnel, FunnelStep, Reason

QUESTIONS = "questions"
WITH_RIGHT = "with a right chain"
PAIRS = "pairs"
DIFFERING = "aligned pairs that differ"
READ = "read by train"
NO_RIGHT, NO_WRONG, PAIR = "no-right-chain", "no-wrong-chain", "pair"
_REJECT, _RIGHT_ONLY, _PAIR, _CHAIN = "reject: ", "right only: ", "pair: ", " wrong chain"


@dataclass(slots=True)
class Counted:
    """What the rows of one file come to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """As `align` counts them."""
    making: Counter[str] = field(default_factory=Counter)
    """As `gen-dual` counts them."""

    @property
    def aligned(self) -> "_Aligned":
        """As if `align` had read the file whole."""
        return _Aligned(self.outcomes, self.outcomes.total(), False)

    def add(self, alignment: Alignment, outcome: str) -> None:
        """Count an alignment or a dual chain."""
        self.outcomes[outcome] += 1
        self.making[_made(alignment.dual)] += 1

    def add_reject(self, reject: Reject) -> None:
        """Count a reject."""
        self.making[f"{_REJECT}{reject.step} {reject.reason}"] += 1


def _made(dual: DualChain) -> str:
    if dual.right is None:
        return f"{_REJECT}{NO_RIGHT}"
    if dual.wrong is None:
        return f"{_RIGHT_ONLY}{dual.reason or NO_WRONG}"
    return f"{_PAIR}{dual.wrong.origin}{_CHAIN}"


@dataclass(frozen=True, slots=True)
class Known:
    """What was read, by the hash of each file."""

    counted: Mapping[str, Counted] = field(default_factory=dict)
    rejects: Mapping[str, Counted] = field(default_factory=dict)
    """Counts of the rejects that lie beside a file of dual chains, by that file's hash."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of questions, by `gen-dual`'s names."""

    counts: Counter[str]
    tasks: Counter[str] = field(default_factory=Counter)

    def part(self, start: str) -> Counter[str]:
        """The outcomes whose names begin so, without that beginning."""
        return Counter({name.removeprefix(start): n for name, n in self.counts.items() if name.startswith(start)})

    @property
    def rows(self) -> int:
        """Rows that were written."""
        return self.part(_RIGHT_ONLY).total() + self.part(_PAIR).total()


@dataclass(frozen=True, slots=True)
class _Aligned:
    """What `align` read and wrote."""

    counts: Counter[str]
    written: int
    """Rows of its output."""
    limited: bool
    """Whether only the first rows were wanted."""

    @property
    def pairs(self) -> int:
        """Rows with both chains."""
        return self.counts.total() - self.counts[NO_RIGHT] - self.counts[NO_WRONG]


def of_duals(source: Source, known: Known) -> Funnel | None:
    """The funnel that ends in a file of dual chains, aligned for the report where its rows were counted."""
    made, counted = _made_for(source.manifest, source.sha256, known), known.counted.get(source.sha256)
    if made is None:
        return None
    steps = _head(made) if counted is None else _to_differing(made, counted.aligned, counted)
    return Funnel(name=source.name, steps=tuple(steps), costs=costs_of(source.manifest))


def of_alignments(source: Source, known: Known) -> Funnel:
    """The funnel that ends in a file of alignments."""
    steps = _data(source.manifest, source.sha256, known)
    return Funnel(name=source.name, steps=tuple(steps), costs=costs_of(source.manifest))


def of_run(run: Run, known: Known) -> Funnel | None:
    """The funnel that ends in a run; None where its file tells no stage."""
    given = next(iter(mappings(run.lineage.get("inputs"))), {})
    manifest, sha256 = _manifest(given.get("made_by")), str(given.get("sha256"))
    steps = _trained(run, _data(manifest, sha256, known), _aligned(manifest, sha256, known))
    return Funnel(name=run.name, steps=tuple(steps), costs=costs_of(run.lineage)) if run.stages else None


def _data(manifest: Manifest | None, sha256: str, known: Known) -> list[FunnelStep]:
    """Questions to aligned pairs that differ; `manifest` and hash are those of the alignments."""
    aligned = _aligned(manifest, sha256, known)
    if aligned is None:
        return []
    given = next(iter(mappings((manifest or {}).get("inputs"))), {})
    made = _made_for(_manifest(given.get("made_by")), str(given.get("sha256")), known)
    return _to_differing(made, aligned, known.counted.get(sha256))


def _to_differing(made: _Made | None, aligned: _Aligned, counted: Counted | None) -> list[FunnelStep]:
    """Questions to aligned pairs that differ; where less was made than aligned, the aligned rows tell what was made."""
    if made is None or made.part(_PAIR).total() < aligned.pairs or made.rows < aligned.counts.total():
        made = _Made(counted.making) if counted else _made_from(aligned)
    head = _head(made)
    away = made.part(_PAIR).total() - aligned.pairs
    lost = Counter({name: n for name, n in aligned.counts.items() if name not in (PAIR, NO_RIGHT, NO_WRONG)})
    lost["beyond align's --limit" if aligned.limited else "not in the file that was aligned"] = away
    return [*head, FunnelStep(label=DIFFERING, count=aligned.counts[PAIR], lost=_reasons(lost))]


def _made_from(aligned: _Aligned) -> _Made:
    """Of pairs from elsewhere all that is known is what `align` read."""
    counts = Counter({f"{_REJECT}{NO_RIGHT}": aligned.counts[NO_RIGHT]})
    counts[f"{_RIGHT_ONLY}{NO_WRONG}"] = aligned.counts[NO_WRONG]
    counts[_PAIR] = aligned.pairs
    return _Made(+counts)


def _head(made: _Made) -> list[FunnelStep]:
    """Questions, those with a right chain, and pairs."""
    pairs = made.part(_PAIR)
    origins = Counter({name.removesuffix(_CHAIN): n for name, n in pairs.items() if name})
    others = Counter({n: c for n, c in made.counts.items() if not n.startswith((_REJECT, _RIGHT_ONLY, _PAIR))})
    tasks = made.tasks if len(made.tasks) > 1 else Counter[str]()
    return [
        FunnelStep(label=QUESTIONS, count=made.counts.total(), kinds=_reasons(tasks)),
        FunnelStep(label=WITH_RIGHT, count=made.rows, lost=_reasons(made.part(_REJECT) + others)),
        FunnelStep(label=PAIRS, count=pairs.total(), lost=_reasons(made.part(_RIGHT_ONLY)), kinds=_reasons(origins)),
    ]


def _made_for(manifest: Manifest | None, sha256: str, known: Known) -> _Made | None:
    """What became of the questions behind a file of dual chains: from the manifests of `gen-dual`, else its rows."""
    makers = list(_makers(manifest))
    if makers and all(makers):
        counts, tasks = Counter[str](), Counter[str]()
        for maker in makers:
            counts += _counts(maker.get("counts"))
            tasks += Counter({task: _counts(own).total() for task, own in _mapping(maker.get("tasks")).items()})
        return _Made(counts, tasks)
    counted = known.counted.get(sha256)
    if counted is None:
        return None
    beside = known.rejects.get(sha256)
    return _Made(counted.making + (beside.making if beside else Counter()))


def _makers(manifest: Manifest | None) -> Iterator[Manifest]:
    """The manifests of `gen-dual` behind a file; an empty one for each part that is not known."""
    if manifest is None:
        yield {}
    elif manifest.get("command") == "gen-dual" and "labels" not in manifest:
        yield manifest if isinstance(manifest.get("counts"), Mapping) else {}
    else:  # labelled, or aligned before
        for given in mappings(manifest.get("inputs")) or [{}]:
            yield from _makers(_manifest(given.get("made_by")))


def _aligned(manifest: Manifest | None, sha256: str, known: Known) -> _Aligned | None:
    if manifest and manifest.get("command") == "align" and isinstance(manifest.get("counts"), Mapping):
        counts = _counts(manifest["counts"])
        outputs = [one for one in mappings(manifest.get("outputs")) if one.get("sha256") == sha256]
        written = next((one.get("rows") for one in outputs), None)
        limited = _mapping(manifest.get("options")).get("limit") is not None
        return _Aligned(counts, written if isinstance(written, int) else counts.total(), limited)
    counted = known.counted.get(sha256)
    return None if counted is None else counted.aligned


def _trained(run: Run, data: list[FunnelStep], aligned: _Aligned | None) -> list[FunnelStep]:
    """The steps before and one for each stage; the stages come after what `train` read."""
    used = max(map(_used, run.stages), default=0)
    rows = aligned.written if aligned else used
    read = rows if run.limit is None else min(rows, run.limit)
    base = next((step for step in data[1::-1] if step.count >= rows), None)
    if read < used or base is None:  # not known, or told otherwise by the files than by the run, which was there
        return [FunnelStep(label=READ, count=used), *_stages(run, used, READ)]
    if base.count == read:
        return [*data, *_stages(run, read, base.label)]
    lost = Counter({"beyond train's --limit": rows - read, "not in the file that was read": base.count - rows})
    reading = FunnelStep(label=READ, count=read, lost=_reasons(lost), after=base.label)
    return [*data, reading, *_stages(run, read, READ)]


def _stages(run: Run, read: int, after: str) -> list[FunnelStep]:
    return [_stage(run, stage, read, after) for stage in run.stages]


def _used(stage: Mapping[str, Any]) -> int:
    return _whole(stage.get("questions")) + _whole(stage.get("held_out")) + _counts(stage.get("left_out")).total()


def _stage(run: Run, stage: Mapping[str, Any], read: int, after: str) -> FunnelStep:
    lost = _counts(stage.get("left_out"))
    lost["held out"] = _whole(stage.get("held_out"))
    lost["held out, and of no use to the stage"] = read - _used(stage)
    name = f"{run.facts.get('recipe')}: {stage.get('name')}"
    return FunnelStep(label=name, count=_whole(stage.get("questions")), lost=_reasons(lost), after=after)


def _reasons(counts: Mapping[str, int]) -> tuple[Reason, ...]:
    """Most frequent first; what did not happen is left out."""
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(label=label, count=count) for label, count in items if count)


def _counts(value: object) -> Counter[str]:
    return Counter({str(name): _whole(count) for name, count in _mapping(value).items()})


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _manifest(value: object) -> Manifest | None:
    return dict(value) if isinstance(value, Mapping) else None
