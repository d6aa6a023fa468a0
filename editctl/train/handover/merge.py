"""From a trained student to a plain model folder: the adapters folded into the base, in the base's own type."""

import copy
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editctl.errors import UsageError
from editctl.files import disk_errors, write_text
from editctl.models import RUN_FILE, Student, load, run_facts
from editctl.slots import is_single, place_of, slots_in
from editctl.train.adapters import all_plain, lora_layers
from editctl.train.handover.card import base_of, model_card
from editctl.train.handover.folder import check_place, open_to_readers

_PREFIX = "base_model.model."
_GENERATION = "generation_config.json"


def merge(source: str, folder: str | Path, *, force: bool = False, trust_remote_code: bool = False) -> None:
    """Make a plain model folder of a run folder, or of any LoRA adapter on its base. Works on the CPU.

    A run of several students becomes a folder of as many plain models, each where the run has it.

    Raises:
        UsageError: a place that is taken, a source that can't be loaded or merged.
    """
    place, facts = Path(folder), run_facts(source) or {}
    slots = slots_in(facts)
    check_place(place, force)
    if not is_single(slots):
        _merge_slots(Path(source), slots, place, facts, trust_remote_code)
        return
    student = load(source, device="cpu", dtype="float32", trust_remote_code=trust_remote_code)
    merge_into(student, place, facts=facts)


def _merge_slots(source: Path, slots: Sequence[str], folder: Path, facts: Mapping[str, Any], trust: bool) -> None:
    """One student after the other, beside the folder's place; moved in when all are there."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for slot in slots:
            told = _merge_slot(place_of(source, slot, slots), place_of(temporary, slot, slots), trust)
        _describe(temporary, told, facts, "")
        with disk_errors(str(folder)):
            _move_in(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _merge_slot(source: Path, folder: Path, trust: bool) -> "_Told":
    """In a function of its own: its student is gone before the next one is loaded."""
    student = load(str(source), device="cpu", dtype="float32", trust_remote_code=trust)
    merge_into(student, folder, facts={})
    return _Told.of(student)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a card says of a student's weights."""

    adapted: bool
    base: str | None

    @classmethod
    def of(cls, student: Student) -> "_Told":
        return cls(bool(student.adapters), base_of(student))


def _move_in(new: Path, place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)
    new.rename(place)


def merge_into(
    student: Student,
    folder: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    title: str = "",
    state: Mapping[str, Any] | None = None,
) -> None:
    """Write a student as a plain model: weights, tokenizer, generation settings, `editctl.json`, card.

    The sum of base and adapters is made in float32 and rounded once to the type the base is stored in: in float32 the
    outputs are those of adapter and base, in bfloat16 they differ as far as weights of 8 bits can. The student itself
    stays as it is.

    Args:
        facts: Of the run; None reads them from the folder above, where that is a run folder.
        title: The recipe's one line, for the card.
        state: All weights by the names of `student.model.state_dict()`, gathered from processes that hold a share
            each; None reads the live model.

    Raises:
        UsageError: a base in 4 or 8 bits, or an adapter that is no plain LoRA.
    """
    check_merge(student)
    facts = run_facts(str(folder.parent)) if facts is None else facts
    model = _plain_model(student, merged_state(student, state))
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with disk_errors(str(folder)):
            _save(student, model, temporary)
        if facts:
            _describe(temporary, _Told.of(student), facts, title)
        with disk_errors(str(folder)):
            _move_in(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _save(student: Student, model: Any, folder: Path) -> None:
    model.save_pretrained(str(folder))
    student.tokenizer.save_pretrained(str(folder))
    found = _base_file(student, _GENERATION)
    if found is not None:  # as it stands: some that hub models bring along would not pass the library's own check
        shutil.copyfile(found, folder / _GENERATION)
    open_to_readers(folder)


def _describe(folder: Path, told: _Told, facts: Mapping[str, Any], title: str) -> None:
    facts = {**facts, "weights": "merged" if told.adapted else facts.get("weights")}
    write_text(folder / RUN_FILE, json.dumps(facts, ensure_ascii=False, indent=1, default=str) + "\n")
    card = model_card(str(facts.get("student", "")), str(facts["recipe"]), title, facts, base=told.base)
    write_text(folder / "README.md", card)


def check_merge(student: Student) -> None:
    """Raises UsageError for a student whose adapters can't be folded into its base exactly."""
    base = student.model.get_base_model() if student.adapters else student.model
    if getattr(base, "is_quantized", False) or getattr(base.config, "quantization_config", None) is not None:
        raise UsageError(
            f"student {student.name}: its base model is loaded in few bits (--four-bit), and merging would round away "
            "what was trained; train without --merge, then merge the adapter onto the full-precision base "
            "(docs/serving.md shows how)"
        )
    if not all_plain(student):
        raise UsageError(f"student {student.name}: its adapter is no plain LoRA; merge it with peft's own tools")


def merged_state(student: Student, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All weights of the plain model by their plain names, on the CPU, in the type the base is stored in."""
    state = student.model.state_dict() if state is None else state
    if any(tensor.is_meta for tensor in state.values()):
        raise UsageError(f"student {student.name}: parts of it are not in memory; merge the run folder afterwards")
    summed = {}
    for layer in lora_layers(student, state) if student.adapters else ():
        weight = state[f"{layer.name}.base_layer.weight"]
        summed[f"{layer.name}.base_layer.weight"] = weight.detach().float() + layer.delta().to(weight.device)
    loaded = next(one.dtype for name, one in state.items() if ".lora_" not in name and one.is_floating_point())
    stored = _stored_type(student, loaded)
    found = {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        plain = name.removeprefix(_PREFIX if student.adapters else "").replace(".base_layer.", ".")
        # Weights a model keeps in a type of its own (a router in float32) stay in it.
        wanted = stored if tensor.dtype == loaded else tensor.dtype
        found[plain] = summed.get(name, tensor).detach().to(device="cpu", dtype=wanted).contiguous()
    return found


def _plain_model(student: Student, tensors: dict[str, Any]) -> Any:
    """A model of the base's class around these tensors, nothing computed and nothing copied."""
    import torch

    base = student.model.get_base_model() if student.adapters else student.model
    config = copy.deepcopy(base.config)
    tied = dict(base.all_tied_weights_keys) if config.tie_word_embeddings else {}
    if any(_parted(tensors, one, other) for one, other in tied.items()):
        # An adapter on one of two tied matrices: only apart can they be what was trained.
        config.tie_word_embeddings = False
        config.get_text_config().tie_word_embeddings = False
    kind = next(one for one in type(base).__mro__ if not one.__name__.startswith("FSDP"))
    with torch.device("meta"):
        model = kind(config)
    missing, unexpected = model.load_state_dict(tensors, strict=False, assign=True)
    # As after loading: what differs stays apart. Flan-T5's configuration calls its own head tied to the embeddings.
    model.tie_weights(missing_keys=set(missing), recompute_mapping=False)
    odd = [*unexpected, *(name for name in missing if name not in tied)]
    if odd:
        raise UsageError(f"student {student.name}: can't be merged: weights don't fit its model class ({odd[0]})")
    return model


def _parted(tensors: Mapping[str, Any], one: str, other: str) -> bool:
    import torch

    return one in tensors and other in tensors and not torch.equal(tensors[one], tensors[other])


def _stored_type(student: Student, loaded: Any) -> Any:
    """Type of the base's weights in its own folder or repository; where that is unknown, as they were loaded."""
    import torch

    found = _base_file(student, "config.json")
    if found is None or student.origin == "scratch":
        return loaded
    config = json.loads(found.read_text(encoding="utf-8"))
    inner = config.get("text_config") or {}
    name = next((one[key] for one in (config, inner) for key in ("dtype", "torch_dtype") if one.get(key)), None)
    kind = getattr(torch, str(name).removeprefix("torch."), None)
    return kind if isinstance(kind, torch.dtype) and kind.is_floating_point else loaded


def _base_file(student: Student, name: str) -> Path | None:
    """A file of the base model, where it lies on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    base = base_of(student) or student.name
    if (Path(base) / name).is_file():
        return Path(base) / name
    try:
        found = try_to_load_from_cache(base, name)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
