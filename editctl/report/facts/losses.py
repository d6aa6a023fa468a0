"""A run's loss curves and its card, from what its `editctl.json` tells."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from editctl.manifest import redact, redact_text
from editctl.report.facts.sources import Run, mappings, texts
from editctl.report.page.model import LossCurve, LossPoint, RunView
from editctl.slots import is_single, slots_in

_SETTINGS = ("batch_questions", "max_length", "schedule", "dev_fraction", "early_stop")
_ADAPTER = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")


def curves(run: Run) -> tuple[LossCurve, ...]:
    """The losses of each stage, their updates counted over all stages."""
    history = mappings(run.facts.get("history"))
    found, before = [], 0
    for stage in run.stages:
        own = [one for one in history if one.get("stage") == stage.get("name")]
        held_out = _held_out(stage, own)
        points = [_point(one, before, held_out) for one in own if "loss" in one]
        before += max([_whole(stage.get("updates")), *(_whole(one.get("step")) for one in own)])
        if points:
            found.append(
                LossCurve(
                    run=run.name,
                    stage=stage_name(run, stage),
                    normaliser=str(stage.get("normaliser", "")),
                    points=tuple(points),
                )
            )
    return tuple(found)


def stage_name(run: Run, stage: Mapping[str, Any]) -> str:
    """A stage as it is shown: with its slot where the run has several students."""
    name = str(stage.get("name"))
    return name if is_single(slots_in(run.facts)) else f"{name} ({stage.get('slot')})"


def _point(one: Mapping[str, Any], before: int, held_out: Mapping[int, float]) -> LossPoint:
    step = _whole(one.get("step"))
    return LossPoint(
        step=before + step,
        loss=_number(one.get("loss")),
        right=_number(one.get("right")),
        wrong=_number(one.get("wrong")),
        held_out=held_out.get(step),
    )


def _held_out(stage: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """The losses on held-out questions by update of the stage: looks have rows of their own in the history."""
    chosen = _mapping(stage.get("chosen"))
    looks = [(one.get("step"), one.get("dev")) for one in history]
    looks.append((chosen.get("update"), chosen.get("dev_loss")))
    return {_whole(step): loss for step, told in looks if (loss := _number(told)) is not None}


def card(run: Run, defaults: Mapping[str, Any] | None) -> RunView:
    """What a run is; `defaults` are the recipe's options as it would have them, None where that is not known."""
    told = [(name, redact_text(text)) for name, text in _facts(run, defaults) if text]
    return RunView(name=run.name, facts=tuple(told))


def _facts(run: Run, defaults: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    facts, lineage = run.facts, run.lineage
    yield "student", _text(facts.get("student"))
    yield "recipe", _text(facts.get("recipe"))
    yield "preset", _text(facts.get("preset"))
    yield "options of the recipe", _listed(_differing(facts.get("recipe_options"), defaults))
    yield "weights trained", _text(facts.get("weights"))
    settings = redact(_mapping(facts.get("settings")))
    shown = (*_SETTINGS, *(_ADAPTER if facts.get("weights") == "lora" else ()))
    yield "settings", _listed({name: settings[name] for name in shown if settings.get(name) not in (None, 0.0, "")})
    yield "prompt style", _text(facts.get("prompt_style"))
    yield "questions trained on", f"{len(texts(facts.get('training_questions'))):,}"
    for stage in run.stages:
        yield f"stage {stage_name(run, stage)}", _told_stage(stage)
    yield "updates", _text(sum(_whole(stage.get("updates")) for stage in run.stages))
    yield "tokens seen", _text(facts.get("tokens_seen"))
    yield "seconds", _text(lineage.get("seconds"))
    yield "seed", _text(facts.get("seed"))
    yield "started", _text(lineage.get("started"))
    yield "versions", ", ".join(f"{name} {version}" for name, version in _mapping(lineage.get("versions")).items())


def _told_stage(stage: Mapping[str, Any]) -> str:
    rate = _number(stage.get("learning_rate"))
    told = [f"{_text(stage.get('questions'))} questions", f"{_text(stage.get('updates'))} updates"]
    told += [f"learning rate {rate:g}"] if rate is not None else []
    chosen = _mapping(stage.get("chosen"))
    loss = _number(chosen.get("dev_loss"))
    if loss is not None:
        told.append(f"update {_text(chosen.get('update'))} taken, {loss:.4f} on held-out questions")
    return ", ".join(told)


def _differing(options: object, defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options that are not the recipe's own; all of them where those are not known."""
    own = redact(_mapping(options))
    return {name: value for name, value in own.items() if defaults is None or defaults.get(name) != value}


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', '-')} {value}" for name, value in values.items())


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
