"""LoRA over several stages ends in one adapter that plain peft loads, and that is exactly what was trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from editctl.errors import UsageError
from editctl.models import Student, load
from editctl.recipes.edit import Edit, EditOptions
from editctl.recipes.std_cot import StdCot, StdCotOptions
from editctl.train.adapters import Lora, add_adapter, save_adapter
from editctl.train.folder import write_run
from tests.support_models import pairs, run, saved

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""peft's own; the tests call it without our help here and there."""
OPTIONS = EditOptions(beta=0.5, key_learning_rate=2e-3)
FAST: dict[str, Any] = {"max_steps": 4, "learning_rate": 2e-2, "batch_questions": 4}
IDS = torch.arange(5, 60).view(1, -1)


def student_of(folder: str) -> Student:
    """A student from a folder."""
    return load(folder, device="cpu", dtype="float32")


def logits(model: Any) -> Tensor:
    """Logits of some text, dropout off."""
    model.eval()
    with torch.inference_mode():
        found: Tensor = model(input_ids=IDS).logits
    return found


def weights(model: Any, word: str = "") -> dict[str, Tensor]:
    """Copies of the parameters whose name holds a word."""
    return {name: one.detach().clone() for name, one in model.named_parameters() if word in name}


def same_function(student: Student, base: str, place: Path | str) -> bool:
    """Whether plain peft, from the saved folder, computes what the trained adapters compute side by side.

    In float64: in float32 the two orders of summation drift apart by a little over 1e-5 where a norm divides by next
    to nothing, which a random model has here and there.
    """
    student.model.base_model.set_adapter(list(student.adapters))
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(place))
    return bool(torch.allclose(logits(again.double()), logits(student.model.double()), atol=1e-6, rtol=0))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether all values are the same, bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("targets", [None, ("all-linear",)])
def test_two_stages_end_in_one_adapter_on_the_original_base(
    tmp_path: Path, family: str, targets: tuple[str, ...] | None
) -> None:
    base = saved(tmp_path / "base", family)
    student = student_of(base)
    untouched = {name.replace(".base_layer", ""): one for name, one in weights(student.model).items()}
    lora = Lora(r=3, alpha=12, dropout=0.1, targets=targets)
    run(student, Edit(), OPTIONS, pairs(8), lora=lora, **FAST)
    assert student.adapters == ("stage1", "stage2")
    trained = logits(student.model)
    inner = student.model.get_base_model()
    now = {name.replace(".base_layer", ""): one for name, one in weights(inner).items() if "lora_" not in name}
    assert same(now, untouched)
    place = tmp_path / "run"
    place.mkdir()
    save_adapter(student, place)
    assert json.loads((place / "adapter_config.json").read_text())["r"] == 6
    assert {path.name for path in place.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", "README.md"}
    assert same_function(student, base, place)
    assert not torch.allclose(logits(AutoModelForCausalLM.from_pretrained(base)), trained, atol=1e-2)


def test_the_first_adapter_is_frozen_in_the_second_stage(tmp_path: Path) -> None:
    student = student_of(saved(tmp_path / "base"))
    run(student, StdCot(), StdCotOptions(), pairs(8), **FAST)
    first = weights(student.model, "stage1")
    assert any(one.abs().max() > 0 for name, one in first.items() if "lora_B" in name)
    add_adapter(student, "stage2", Lora(r=2))
    trainable = [name for name, one in student.model.named_parameters() if one.requires_grad]
    assert trainable
    assert all(".stage2." in name for name in trainable)
    before = weights(student.model, "stage2")
    settings = {**FAST, "max_steps": 8}
    _train_more(student, settings)
    assert same(weights(student.model, "stage1"), first)
    assert not same(weights(student.model, "stage2"), before)


def _train_more(student: Student, choices: dict[str, Any]) -> None:
    from editctl.tokens import Codec
    from editctl.train.stage import Settings, _run_stage, plan

    codec = Codec(student.tokenizer, "plain")
    settings = Settings(**choices)
    (planned,) = plan(StdCot(), StdCotOptions(), pairs(8), codec, settings, "lora")
    _run_stage(student, replace(planned), codec, settings, "cpu", [], lambda record: None)


def test_the_first_adapters_dropout_is_off_in_the_second_stage(tmp_path: Path) -> None:
    student = student_of(saved(tmp_path / "base"))
    add_adapter(student, "stage1", Lora(r=2, dropout=0.5))
    add_adapter(student, "stage2", Lora(r=2, dropout=0.5))
    drops = [
        module.lora_dropout
        for module in student.model.modules()
        if isinstance(module.__dict__.get("_modules", {}).get("lora_dropout"), nn.ModuleDict)
    ]
    assert drops
    assert all(isinstance(one["stage1"], nn.Identity) for one in drops)
    assert all(isinstance(one["stage2"], nn.Dropout) for one in drops)


def test_a_fresh_adapter_changes_nothing(tmp_path: Path) -> None:
    student = student_of(saved(tmp_path / "base"))
    before = logits(student.model)
    add_adapter(student, "stage1", Lora(r=2))
    assert torch.equal(logits(student.model), before)


def written(student: Student, place: Path) -> str:
    """A student in a run folder."""
    write_run(place, student, {"recipe": "edit"}, "# card\n")
    return str(place)


def test_training_goes_on_from_a_run_folder(tmp_path: Path) -> None:
    base = saved(tmp_path / "base")
    student = student_of(base)
    run(student, StdCot(), StdCotOptions(), pairs(8), lora=Lora(r=2, alpha=4, dropout=0.0), **FAST)
    first = written(student, tmp_path / "first")
    student = student_of(first)
    assert student.adapters == ("start",)
    start = logits(student.model)
    lora = Lora(r=3, alpha=3, dropout=0.0, targets=("q_proj", "o_proj"))
    run(student, StdCot(), StdCotOptions(), pairs(8), lora=lora, **FAST)
    trained = logits(student.model)
    second = written(student, tmp_path / "second")
    config = json.loads((tmp_path / "second/adapter_config.json").read_text())
    assert config["r"] == 5
    assert config["base_model_name_or_path"] == base
    assert same_function(student, base, second)
    assert not torch.allclose(start, trained, atol=1e-3)


def foreign(tmp_path: Path, **options: Any) -> tuple[str, Tensor]:
    """Somebody's own adapter, not at zero, and what it makes of the base."""
    base = saved(tmp_path / "base")
    torch.manual_seed(5)
    config = LoraConfig(r=4, lora_alpha=2, target_modules=["q_proj"], init_lora_weights=False, **options)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    model.save_pretrained(tmp_path / "foreign")
    return str(tmp_path / "foreign"), logits(model)


def test_a_rank_stabilised_adapter_joins_exactly_too(tmp_path: Path) -> None:
    folder, theirs = foreign(tmp_path, use_rslora=True)
    student = student_of(folder)
    assert torch.allclose(logits(student.model), theirs, atol=1e-6)
    run(student, StdCot(), StdCotOptions(), pairs(4), **{**FAST, "max_steps": 0})
    place = written(student, tmp_path / "run")
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), place)
    assert torch.allclose(logits(again), theirs, atol=1e-5)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"bias": "lora_only"}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_that_can_not_be_joined_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    student = student_of(foreign(tmp_path, **options)[0])
    with pytest.raises(UsageError, match="no plain LoRA"):
        add_adapter(student, "stage1", Lora(r=2))


def test_all_weights_can_be_trained_on_from_an_adapter(tmp_path: Path) -> None:
    folder, theirs = foreign(tmp_path)
    student = student_of(folder)
    run(student, StdCot(), StdCotOptions(), pairs(8), full=True, **FAST)
    assert student.adapters == ()
    trained = logits(student.model)
    assert not torch.allclose(trained, theirs, atol=1e-2)
    place = written(student, tmp_path / "run")
    assert not (tmp_path / "run/adapter_config.json").exists()
    assert torch.allclose(logits(AutoModelForCausalLM.from_pretrained(place)), trained, atol=1e-6)


def test_modules_that_are_not_there_are_refused(tmp_path: Path) -> None:
    student = student_of(saved(tmp_path / "base"))
    with pytest.raises(UsageError, match="--lora-targets"):
        add_adapter(student, "stage1", Lora(r=2, targets=("no_such_module",)))


def test_an_adapter_joined_at_another_scale_would_be_seen(tmp_path: Path) -> None:
    """The planted mistake: the joined adapter keeps the first one's alpha, so that its scale is not 1."""
    base = saved(tmp_path / "base")
    student = student_of(base)
    run(student, Edit(), OPTIONS, pairs(8), lora=Lora(r=3, alpha=12, dropout=0.0), **FAST)
    place = tmp_path / "run"
    place.mkdir()
    save_adapter(student, place)
    config = json.loads((place / "adapter_config.json").read_text())
    assert same_function(student, base, place)
    (place / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 12}))
    assert not same_function(student, base, place)


def test_the_seed_of_a_run_makes_its_adapters(tmp_path: Path) -> None:
    """Whatever was drawn before: the first values of an adapter are part of the run."""
    base = saved(tmp_path / "base")
    found = []
    for drawn, seed in ((1, 0), (2, 0), (1, 1)):
        student = student_of(base)
        torch.manual_seed(drawn)
        run(student, Edit(), OPTIONS, pairs(8), seed=seed, **FAST)
        found.append(weights(student.model, "lora_"))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])
    first = [one for name, one in found[0].items() if "lora_A.stage1" in name]
    second = [one for name, one in found[0].items() if "lora_A.stage2" in name]
    assert not any(torch.equal(one, other) for one, other in zip(first, second, strict=True))
