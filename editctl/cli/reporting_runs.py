"""What a report tells of runs: their cards, and what the trainer saw, looked at with the run's own tokenizer."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editctl.errors import EditctlError, UsageError

if TYPE_CHECKING:
    from editctl.cli.reporting_inputs import Inputs
    from editctl.recipe import Stage
    from editctl.records import Alignment
    from editctl.report.facts.sources import Run
    from editctl.report.page.model import RunView, TrainedView
    from editctl.train.sight.view import Lens
    from editctl.views import ExampleView, LeftOut


def run_cards(inputs: "Inputs") -> "tuple[RunView, ...]":
    """A card for each run."""
    from editctl.report.facts.losses import card

    return tuple(card(run, _defaults(run)) for run in inputs.runs)


def _defaults(run: "Run") -> Mapping[str, Any] | None:
    """The options that the run's recipe would have by itself; None where the recipe can't be loaded."""
    from dataclasses import asdict

    from editctl import options, registry

    name = str(run.facts.get("recipe"))
    try:
        return asdict(options.fill(registry.load("recipes", name).Options, {}, name))
    except EditctlError:
        return None


def run_views(values: dict[str, Any], inputs: "Inputs") -> "tuple[tuple[TrainedView, ...], list[str]]":
    """What the trainer saw of each run's first questions, and why that can't be told of some runs."""
    from editctl.report.facts.trained import trained_views
    from editctl.rows import alignment_from_row

    views: list[TrainedView] = []
    notes = []
    for run in inputs.runs if values["examples"] else ():
        for source in run.data:
            try:
                look = _look(run)
            except EditctlError as error:
                notes.append(f"{run.name}: what the trainer saw can't be shown: {error}")
                continue
            rows = source.records(alignment_from_row)
            views += trained_views(run, (alignment for _, alignment in rows), look, values["examples"])
    return tuple(views), notes


def _look(run: "Run") -> "Callable[[Alignment], dict[str, tuple[ExampleView, ...] | LeftOut]]":
    """How the trainer saw a question: recipe, options, tokenizer, prompt style as `editctl.json` tells them.

    Raises:
        EditctlError: a recipe or a tokenizer that can't be loaded, or a run file that does not tell enough.
    """
    from editctl.train.sight.view import Seen, look

    lenses = _lenses(run)

    def seen(alignment: "Alignment") -> "dict[str, tuple[ExampleView, ...] | LeftOut]":
        found = {stage.name: look(lens, stage, alignment) for stage, lens in lenses}
        return {name: one.views if isinstance(one, Seen) else one for name, one in found.items()}

    return seen


def _lenses(run: "Run") -> "list[tuple[Stage, Lens]]":
    from editctl import options, registry
    from editctl.slots import place_of, slots_in

    facts = run.facts
    if not facts.get("recipe"):
        raise UsageError("its editctl.json names no recipe")
    method = registry.load("recipes", str(facts["recipe"]))()
    own = facts.get("recipe_options")
    texts = {key: str(value) for key, value in own.items() if value is not None} if isinstance(own, Mapping) else {}
    chosen = options.fill(method.Options, texts, str(facts["recipe"]))
    slots = slots_in(facts)
    lenses = {slot: _lens(run, method, chosen, place_of(run.folder, slot, slots)) for slot in slots}
    return [(stage, lenses[stage.slot]) for stage in method.stages(chosen) if stage.slot in lenses]


def _lens(run: "Run", method: Any, chosen: Any, folder: Path) -> "Lens":
    from editctl.models import load_tokenizer, quietly
    from editctl.tokens import Codec
    from editctl.train.sight.view import Lens

    settings, style = run.facts.get("settings"), run.facts.get("prompt_style")
    length = settings.get("max_length") if isinstance(settings, Mapping) else None
    if style not in ("plain", "chat") or not isinstance(length, int):
        raise UsageError("its editctl.json tells no prompt style or no max_length")
    quietly()
    tokenizer = load_tokenizer(_tokenizer_place(folder))
    apart = bool(run.facts.get("encoder_decoder"))
    codec = Codec(tokenizer, style, gap=bool(run.facts.get("gap", True)), encoder_decoder=apart)
    return Lens(method, chosen, codec, length)


def _tokenizer_place(folder: Path) -> str:
    """The run's own tokenizer, else that of a base that lies on this machine: a report fetches nothing."""
    from editctl.models import ADAPTER_FILE, base_of

    if (folder / "tokenizer_config.json").is_file():
        return str(folder)
    base = base_of(folder) if (folder / ADAPTER_FILE).is_file() else ""
    if not base or not Path(base).is_dir():
        raise UsageError(f"its tokenizer is not in {folder}, nor on this machine")
    return base
