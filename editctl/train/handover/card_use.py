"""The lower half of a model card: how the student is used, what it can't do, whom to cite."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from editctl import __version__, registry
from editctl.errors import EditctlError
from editctl.models import RUN_FILE
from editctl.recipe import DecodeStep
from editctl.records import Prompt, Question
from editctl.slots import ONLY, SLOTS, is_single, slots_in
from editctl.student import question_prompt, render
from editctl.train.handover.public import is_local, public_name

SAMPLE = Question(id="sample", question="What is 17 + 25?")
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for --max-lora-rank."""
DEFAULT_RANK = 128
"""Two stages of the default rank."""
EDIT = """@inproceedings{dai2025edit,
  title     = {Capture the Key in Reasoning to Enhance {CoT} Distillation Generalization},
  author    = {Dai, Chengwei and Li, Kun and Zhou, Wei and Hu, Songlin},
  booktitle = {Proceedings of the 63rd Annual Meeting of the Association for Computational Linguistics},
  year      = {2025},
  url       = {https://aclanthology.org/2025.acl-long.21},
  note      = {First version: arXiv 2405.19737}
}"""
CASCOD = """@inproceedings{dai2024cascod,
  title     = {Improve Student's Reasoning Generalizability through Cascading Decomposed {CoTs} Distillation},
  author    = {Dai, Chengwei and Li, Kun and Zhou, Wei and Hu, Songlin},
  booktitle = {Proceedings of the 2024 Conference on Empirical Methods in Natural Language Processing},
  pages     = {15623--15643},
  year      = {2024},
  url       = {https://aclanthology.org/2024.emnlp-main.875},
  note      = {arXiv 2405.19842}
}"""
EDITCTL = f"""@software{{editctl,
  title   = {{editctl: mistake-driven key reasoning step distillation from a shell}},
  version = {{{__version__}}}
}}"""
LOADING = {
    "lora": """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

run, base = "RUN", {base!r}
tokenizer = AutoTokenizer.from_pretrained(run)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run)
""",
    "plain": """from transformers import AutoModelForCausalLM, AutoTokenizer

run = "RUN"
tokenizer = AutoTokenizer.from_pretrained(run)
model = AutoModelForCausalLM.from_pretrained(run)
""",
}
LOADING_SLOTS = {
    "lora": """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

run, base = "RUN", {base!r}
places = {places!r}
tokenizer = AutoTokenizer.from_pretrained(run, subfolder={first!r})
models = {{
    place: PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run, subfolder=place)
    for place in places
}}
model = models[{first!r}]
""",
    "plain": """from transformers import AutoModelForCausalLM, AutoTokenizer

run = "RUN"
places = {places!r}
tokenizer = AutoTokenizer.from_pretrained(run, subfolder={first!r})
models = {{place: AutoModelForCausalLM.from_pretrained(run, subfolder=place) for place in places}}
model = models[{first!r}]
""",
}
"""Of a run of several students."""
ASKING = """
ids = tokenizer(prompt, return_tensors="pt"{special})["input_ids"]
output = model.generate(ids, attention_mask=ids.new_ones(ids.shape), max_new_tokens=512, do_sample=False)
print(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
"""

ASKING_APART = """
import torch

from editctl.records import Prompt
from editctl.tokens import Codec

codec = Codec(tokenizer, "plain", gap={gap!r}, encoder_decoder=True)
ids = torch.tensor([codec.prompt({prompt!r})])
output = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=512, do_sample=False)
print(codec.decode(output[0].tolist()))
"""
"""Of an encoder-decoder student, whose tokenizer alone may lose line breaks and braces."""
APART = (
    "`Codec` writes what the tokenizer alone would lose (T5's loses line breaks, indentation, braces) by tokens that "
    "no text uses, and reads it back. vLLM and most servers have no encoder-decoder students."
)


def citations(recipe: str) -> str:
    """BibTeX of the paper behind a recipe and of editctl."""
    paper = CASCOD if "cascod" in recipe.lower() else EDIT
    return f"```bibtex\n{paper}\n\n{EDITCTL}\n```"


def limits(base: str | None) -> str:
    """What no training of this kind gives."""
    lines = [
        "## Limits",
        "",
        "- A small model that imitates a teacher's reasoning also makes mistakes that sound like reasoning; check its "
        "answers, and measure it on questions of your own before you rely on it.",
        "- It was trained on the tasks above and in the prompt format above; other tasks and formats were not looked "
        "at. Losses say how well the training data were learnt, not how good the answers are.",
        "- Faults and prejudices of the base model and of the teacher are still there; nothing was done for safety.",
    ]
    if base:
        lines.append("- The licences of the base model and of the teacher's outputs apply.")
    return "\n".join(lines)


def usage(facts: Mapping[str, Any], base: str | None, rank: int) -> str:
    """Snippets for editctl, plain transformers or peft, and vLLM; RUN stands for the folder or the repository."""
    adapter = facts.get("weights") == "lora"
    name = public_name(base) if base else ""
    steps = _plan(facts)
    prompt = steps[0].prompt(SAMPLE, ()) if steps else question_prompt(SAMPLE)
    loading = _loading(facts, steps, "lora" if adapter else "plain", name)
    apart = bool(facts.get("encoder_decoder"))
    loading = loading.replace("AutoModelForCausalLM", "AutoModelForSeq2SeqLM") if apart else loading
    parts = [
        f"## Use\n\n`RUN` stands for this folder or repository. editctl asks the student as `{RUN_FILE}` says:",
        "```bash\neditctl eval RUN questions.jsonl -o predictions.jsonl\n```",
        "In plain " + ("peft" if adapter else "transformers") + _local_words(base if adapter else None) + ":",
        f"```python\n{loading}{_prompt_code(prompt, facts)}```",
    ]
    if len(steps) > 1:
        names = ", then ".join(_step_words(step) for step in steps)
        parts.append(f"This recipe asks in {len(steps)} steps ({names}); the prompt above is the first one's.")
    if apart:
        return "\n\n".join([*parts, APART])
    return "\n\n".join([*parts, "With vLLM:", f"```bash\n{_vllm(adapter, name, rank, slots_in(facts))}\n```"])


def _loading(facts: Mapping[str, Any], steps: Sequence[DecodeStep], kind: str, base: str) -> str:
    slots = slots_in(facts)
    if is_single(slots):
        return LOADING[kind].format(base=base) if kind == "lora" else LOADING[kind]
    asked = [step.slot for step in steps if step.slot in slots]
    first = f"{SLOTS}/{(asked or slots)[0]}"
    return LOADING_SLOTS[kind].format(base=base, places=[f"{SLOTS}/{slot}" for slot in slots], first=first)


def _step_words(step: DecodeStep) -> str:
    return f"`{step.name}`" if step.slot == ONLY else f"`{step.name}` of the student in `{SLOTS}/{step.slot}`"


def _local_words(base: str | None) -> str:
    return " (the base model is a local one: put your own path in its place)" if base and is_local(base) else ""


def _plan(facts: Mapping[str, Any]) -> list[DecodeStep]:
    """How the recipe asks; nothing where it is not installed here or has changed."""
    try:
        method = registry.load("recipes", str(facts.get("recipe")))()
        options = facts.get("recipe_options")
        return list(method.plan(method.Options(**(options if isinstance(options, Mapping) else {}))))
    except (EditctlError, TypeError, ValueError):
        return []


def _prompt_code(prompt: Prompt, facts: Mapping[str, Any]) -> str:
    gap = facts.get("gap") is not False
    if facts.get("encoder_decoder"):
        return ASKING_APART.format(prompt=prompt, gap=gap)
    if facts.get("prompt_style") != "chat":
        return f"\nprompt = {render(prompt, 'plain', None, gap)!r}" + ASKING.format(special="")
    forced = f" + {prompt.forced!r}" if prompt.forced else ""
    turns = f'[{{"role": "user", "content": {prompt.user!r}}}]'
    text = (
        f"\nturns = {turns}\nprompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)"
    )
    # The template has written the special tokens already.
    return text + forced + ASKING.format(special=", add_special_tokens=False")


def _vllm(adapter: bool, base: str, rank: int, slots: Sequence[str]) -> str:
    places = {ONLY: "RUN"} if is_single(slots) else {slot: f"RUN/{SLOTS}/{slot}" for slot in slots}
    if not adapter:
        return "\n".join(f"vllm serve {place}" for place in places.values())
    most = next((one for one in VLLM_RANKS if one >= rank), rank)
    modules = " ".join(f"{slot}={place}" for slot, place in places.items())
    return f"vllm serve {base} --enable-lora --max-lora-rank {most} --lora-modules {modules}"


def rank_from(facts: Mapping[str, Any], below: object) -> int:
    """Rank of the joined adapter, of several slots the largest one: one adapter a stage, and the one it began with."""
    stages, lineage = facts.get("stages"), facts.get("lineage")
    places = (facts.get("settings"), lineage.get("options") if isinstance(lineage, Mapping) else None)
    each = next((place["lora_r"] for place in places if isinstance(place, Mapping) and "lora_r" in place), None)
    if not (isinstance(each, int) and isinstance(stages, list) and stages):
        return DEFAULT_RANK
    own = Counter(one.get("slot", ONLY) if isinstance(one, Mapping) else ONLY for one in stages)
    return each * max(own.values()) + (below if isinstance(below, int) else 0)


def title_of(recipe: str) -> str:
    """A recipe's one line; empty where it is not installed here."""
    try:
        return str(registry.load("recipes", recipe).title)
    except EditctlError:
        return ""
