"""Tiny random encoder-decoder students and their tokenizers, made on the spot."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from editctl.models import Student
from editctl.records import Alignment
from editctl.rows import alignment_to_row
from editctl.tokens import Codec
from tests.support_cli import Cli, Outcome, lines
from tests.support_models import CORPUS, byte_level, pairs

SETTINGS: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": 512,
        "dropout": 0.0,
        "init_std": 0.2,
        "bos_token_id": None,
        "forced_eos_token_id": None,
    },
}
"""By kind; the published T5 of later versions has gated layers and a head of its own."""
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "t5": ("t5", {}),
    "flan-t5": ("t5", {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "bart": ("bart", {}),
}


TEXTS = (*CORPUS, "First, 0 1 2 3 4 5 6 7 8 9. Then, what? ans = x + y * (z - 1) / 2")
"""Among them all that the pairs of the tests hold."""


def t5_tokenizer(texts: Iterable[str] = TEXTS, *, spare: int = 100, unknown: str = "{}<\\^~`") -> Any:
    """A unigram tokenizer as T5 has it: any white space is one space, `{`, `<` and others are unknown, 100 spare
    tokens at the end, pad 0 and `</s>` 1."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    lost = str.maketrans("", "", unknown)
    core.train_from_iterator(
        [text.translate(lost) for text in texts],
        trainers.UnigramTrainer(vocab_size=300, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False),
    )
    pieces = [piece for piece in _pieces(core) if piece[0] != "<unk>"]
    extra = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(spare))]
    made: Any = T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces, *extra],
        extra_ids=spare,
        additional_special_tokens=[name for name, _ in extra] or None,
    )
    made.backend_tokenizer.normalizer = normalizers.NFKC()
    return made


def _pieces(core: Any) -> list[tuple[str, float]]:
    return [(str(name), float(score)) for name, score in json.loads(core.to_str())["model"]["vocab"]]


def sided_model(shape: str, vocabulary: int, *, seed: int = 0, **more: Any) -> Any:
    """A random encoder-decoder model in evaluation mode, whose first weights are large enough for mistakes to show."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    kind, own = SHAPES[shape]
    settings: dict[str, Any] = {**SETTINGS[kind], "vocab_size": vocabulary, "pad_token_id": 0, "eos_token_id": 1} | own
    config = AutoConfig.for_model(kind, **{**settings, "decoder_start_token_id": 1 if kind == "bart" else 0, **more})
    model = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
    if kind == "t5":  # else the embeddings, which are its head as well, drown all else, and it repeats what it is given
        model.shared.weight.data *= 0.05
    if shape == "flan-t5":
        # a third: whole ones make some tokens so unlikely that the guard for a wrong side that runs away stops a run
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) / 3)
    return model.eval()


def sided_student(shape: str = "t5", tokenizer: Any = None, **more: Any) -> Student:
    """A student that was not trained, as if it were loaded from somewhere."""
    tokenizer = tokenizer or (byte_level() if shape == "bart" else t5_tokenizer())
    return Student(shape, sided_model(shape, len(tokenizer), **more), tokenizer, "pretrained")


def sided_codec(student: Student) -> Codec:
    """How such a student reads and writes."""
    return Codec(student.tokenizer, "plain", encoder_decoder=True)


def saved_sided(folder: Path, shape: str = "t5", tokenizer: Any = None, **more: Any) -> str:
    """Such a student in a folder."""
    student = sided_student(shape, tokenizer, **more)
    student.model.save_pretrained(folder)
    student.tokenizer.save_pretrained(folder)
    return str(folder)


def write_inputs(folder: Path, aligned: Sequence[Alignment]) -> None:
    """Alignments to train on, and two questions to ask."""
    import torch

    torch.set_num_threads(1)
    (folder / "aligned.jsonl").write_text(lines(alignment_to_row(one) for one in aligned))
    asked = [{"id": one.dual.question.id, "question": one.dual.question.question, "answer": "4"} for one in pairs(2)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))


def train(cli: Cli, base: str, *words: str, code: int = 0) -> Outcome:
    """A short run of the command line on what was written."""
    few = ("--device", "cpu", "--batch-questions", "2", "--lora-r", "4")
    done = cli("train", "aligned.jsonl", "-s", base, *few, *words)
    assert done.code == code, done.err
    return done


def asked(cli: Cli, run: str, *words: str) -> list[dict[str, Any]]:
    """Predictions of a run."""
    done = cli("eval", run, "questions.jsonl", "-o", "predicted.jsonl", "--force", "--device", "cpu", *words)
    assert done.code == 0, done.err
    return [json.loads(line) for line in Path("predicted.jsonl").read_text().splitlines()]
