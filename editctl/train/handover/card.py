"""The model card of a run folder: what it is, from which data, with which figures, how it is used and cited.

Made from the facts of `editctl.json` alone; what is missing there is left out here. Everything that comes from data
or options is put on one line and escaped, and paths of this machine are cut to their last part.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from editctl import __version__
from editctl.manifest import redact
from editctl.models import ADAPTER_FILE, RUN_FILE, Student
from editctl.slots import ONLY, SLOTS, is_single, slots_in
from editctl.train.handover.card_use import citations, limits, rank_from, title_of, usage
from editctl.train.handover.public import bare, code, is_local, line, public_name

Facts = Mapping[str, Any]
TOLD = (
    "questions",
    "teacher",
    "mistake",
    "tokenizer",
    "unit",
    "conclusion",
    "shots",
    "max_shots",
    "reasoning",
    "map",
    "limit",
    "shard",
    "seed",
)
"""Options of earlier commands that say something about the data."""


def model_card(
    student: str, recipe: str, title: str, facts: Facts, *, base: str | None = None, rank: int | None = None
) -> str:
    """The README.md of a run folder.

    Args:
        student: What the run began with: a hub id, a folder (also another run's), or tiny.
        recipe: Its name.
        title: The recipe's one line; empty looks it up.
        facts: What `run_file.run_facts` makes, with the manifest as `lineage`.
        base: The model below the adapter; None reads it from the student's folder where that is an adapter too.
        rank: Rank of the adapter, for servers that want to know it; None works it out.
    """
    facts = {**facts, "recipe": recipe}
    below = adapter_settings(student)
    scratch = facts.get("weights") == "scratch"
    name = None if scratch else base or str(below.get("base_model_name_or_path") or student)
    rank = rank or rank_from(facts, below.get("r"))
    parts = [
        _front(facts, name),
        _heading(facts, title or title_of(recipe), name),
        _data(facts),
        _figures(facts),
        usage(facts, name, rank),
        limits(name),
        "## Citation\n\n" + citations(recipe),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def base_of(student: Student) -> str | None:
    """Name or folder of the model below a student's adapters; None where it has none."""
    if not student.adapters:
        return None
    found = student.model.peft_config[student.adapters[0]].base_model_name_or_path
    return str(found) if found else None


def adapter_settings(student: str) -> Facts:
    """The settings of the adapter in a folder; nothing where there is none."""
    try:
        found = json.loads((Path(student) / ADAPTER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _front(facts: Facts, name: str | None) -> str:
    import yaml

    front: dict[str, Any] = {"library_name": "peft" if facts.get("weights") == "lora" else "transformers"}
    if name:
        front["base_model"] = public_name(str(name))
    if isinstance(facts.get("license"), str):
        front["license"] = facts["license"]
    front["pipeline_tag"] = "text-generation"
    front["tags"] = ["editctl", *([bare(facts["recipe"], 60)] if facts.get("recipe") else [])]
    return "---\n" + yaml.safe_dump(front, sort_keys=False) + "---"


def _told_base(name: str) -> str:
    words = code(public_name(name))
    return f"{words} (a local model; it is not on the hub under this name)" if is_local(name) else words


def _heading(facts: Facts, title: str, name: str | None) -> str:
    recipe = line(facts.get("recipe", "unknown"), 60)
    whose = f"student of {line(public_name(name))}" if name else "student, from scratch"
    said = {
        "lora": "a LoRA adapter; the stages' adapters are joined into one",
        "full": "all weights",
        "scratch": "all weights, from scratch",
        "merged": "a LoRA adapter, merged into the base model",
    }
    rows = [
        *_students(facts),
        f"- base student: {_told_base(name)}" if name else "- base student: none, trained from scratch",
        f"- weights trained: {said.get(str(facts.get('weights')), line(facts.get('weights', 'unknown')))}",
        f"- prompt style: {line(facts.get('prompt_style', 'unknown'))}",
    ]
    if facts.get("preset"):
        rows.append(f"- preset: {line(facts['preset'])}")
    for key, said_as in (("recipe_options", "recipe options"), ("settings", "settings")):
        values = facts.get(key)
        told = _told(values) if isinstance(values, Mapping) else ""
        rows += [f"- {said_as}: {line(told, 600)}"] if told else []
    if "seed" in facts:
        rows.append(f"- seed: {line(facts['seed'])}")
    what = f": {line(title)}" if title else ""
    version = line(facts.get("editctl", __version__))
    return "\n".join(
        [
            f"# {recipe} {whose}",
            "",
            f"Trained by editctl {version}, recipe {code(facts.get('recipe'))}{what}.",
            "",
            *rows,
        ]
    )


def _students(facts: Facts) -> list[str]:
    slots = slots_in(facts)
    places = ", ".join(code(f"{SLOTS}/{slot}") for slot in slots)
    return [] if is_single(slots) else [f"- students: {len(slots)}, each in a folder of its own ({places})"]


def _told(values: Facts) -> str:
    known = {key.replace("_", " "): value for key, value in redact(values).items() if value not in (None, False, "")}
    return ", ".join(f"{key} {value}" for key, value in known.items())


def _data(facts: Facts) -> str:
    lineage = facts.get("lineage")
    if not isinstance(lineage, Mapping):
        return ""
    steps = [_step(manifest) for manifest in _chain(lineage) if manifest is not lineage]
    first = ["Each command of the chain that made the training data, oldest first:", ""] if steps else []
    known = [*first, *(f"{number}. {step}" for number, step in enumerate(steps, 1))]
    used = ", ".join(code(item["name"]) for item in _mappings(lineage.get("inputs")) if item.get("name"))
    when = f" on {line(lineage['started'])}" if lineage.get("started") else ""
    trained = [f"Trained{when} from {used or 'data of unknown name'}."]
    if not steps:
        trained.append("How these data were made is not known to editctl.")
    questions = facts.get("training_questions")
    if isinstance(questions, Sequence):
        trained.append(f"{len(questions)} questions were trained on; `{RUN_FILE}` holds the hashes of their contents.")
    return "\n".join(["## Training data", "", *known, *([""] if known else []), " ".join(trained)])


def _chain(manifest: Facts, depth: int = 0) -> Iterator[Facts]:
    """A manifest after all those of its inputs."""
    if depth < 50:
        for item in _mappings(manifest.get("inputs")):
            if isinstance(item.get("made_by"), Mapping):
                yield from _chain(item["made_by"], depth + 1)
    yield manifest


def _mappings(value: object) -> Iterator[Facts]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (item for item in value if isinstance(item, Mapping))


def _step(manifest: Facts) -> str:
    parts = [code(manifest.get("command", "unknown"))]
    if manifest.get("started"):
        parts.append(f"on {line(manifest['started'])}")
    parts.append(f"with editctl {line(manifest.get('editctl', 'of unknown version'))}")
    words = " ".join(parts)
    options = manifest.get("options")
    if isinstance(options, Mapping):
        safe = redact({key: options[key] for key in TOLD if options.get(key) not in (None, "", False, [], ())})
        words += "".join(f"; {line(key.replace('_', ' '))} {code(_words(value))}" for key, value in safe.items())
    counts = manifest.get("counts")
    if isinstance(counts, Mapping) and counts:
        words += "; made " + ", ".join(f"{line(key)}: {line(count)}" for key, count in counts.items())
    return words + (" (partial)" if manifest.get("status") == "partial" else "")


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _figures(facts: Facts) -> str:
    stages = list(_mappings(facts.get("stages")))
    if not stages:
        return ""
    history = list(_mappings(facts.get("history")))
    columns = ["stage", "questions", "left out", "updates", "learning rate", "first loss", "last loss", "dev loss"]
    rows = [_figure_row(stage, [one for one in history if one.get("stage") == stage.get("name")]) for stage in stages]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    if not is_single(slots_in(facts)):
        columns = ["slot", *columns]
        rows = [[line(stage.get("slot", ONLY)), *row] for stage, row in zip(stages, rows, strict=True)]
    lines = ["## Figures", "", *(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))]
    if facts.get("tokens_seen") is not None:
        lines += ["", f"Tokens seen: {_number(facts['tokens_seen'])}."]
    return "\n".join(lines)


def _figure_row(stage: Facts, history: Sequence[Facts]) -> list[str]:
    left_out = stage.get("left_out")
    reasons = left_out.items() if isinstance(left_out, Mapping) else ()
    losses = list(_present(history, ("loss",)))
    chosen = stage.get("chosen")
    best = chosen if isinstance(chosen, Mapping) else {}
    dev = [*_present(history, ("dev", "dev_loss", "eval_loss")), *_present([stage, best], ("dev_loss",))]
    update = f" (update {_number(best['update'])})" if best.get("update") is not None else ""
    return [
        line(stage.get("name", "")),
        _number(stage.get("questions")),
        ", ".join(f"{line(reason)} {_number(count)}" for reason, count in reasons) or "none",
        _number(stage.get("updates")),
        _number(stage.get("learning_rate")),
        _number(losses[0] if losses else None),
        _number(losses[-1] if losses else None),
        _number(dev[-1] if dev else None) + update,
    ]


def _present(rows: Iterable[Facts], keys: Sequence[str]) -> Iterator[object]:
    yield from (row[key] for row in rows for key in keys if row.get(key) is not None)


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else line(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
