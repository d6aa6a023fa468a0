"""Small models and tokenizers, made on the spot: two layers, 32 wide, on the CPU."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from editctl.align.edits import align_texts
from editctl.align.units import words
from editctl.models import Student
from editctl.recipe import Recipe
from editctl.records import Alignment, Chain, DualChain, Question
from editctl.scratch import train_tokenizer
from editctl.student import Style
from editctl.tokens import Codec
from editctl.train.adapters import Lora
from editctl.train.checkpoints import RunState
from editctl.train.plan import Planned, Settings, plan, weight_mode
from editctl.train.stage import Outcome, train
from editctl.train.surroundings import Surroundings

CORPUS = (
    "Step 1: 6 + 8 = 14, keep 4. Step 2: 4 - 6 = -2, keep 2. Therefore, the answer is 2.",
    "Start with 3. Step 1: add 1. Step 2: multiply by 5. Keep the last digit each time. What is left?",
    "The cat sat (A) on the mat, the dog (B) did not; naïve café, déjà vu. Q: A: yes no not all some",
    "数学 答案 是 四 🙂 👍🏽 ok \n\n  two  spaces\tand a tab",
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_level(texts: Iterable[str] = CORPUS, *, bos: bool = False, trim: bool = False, size: int = 400) -> Any:
    """Byte-level BPE as GPT-2 and Llama 3 have it; `trim` leaves white space out of the offsets."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|begin|>"]
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if trim:
        core.post_processor = processors.ByteLevel(trim_offsets=True)
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", special.index("<|begin|>"))]
        )
    start = {"bos_token": "<|begin|>"} if bos else {}
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>", **start)


def sentence_pieces(texts: Iterable[str] = CORPUS) -> Any:
    """A unigram model over Metaspace with byte fallback, as T5, Gemma and Llama 2 have it in spirit."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    core.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    core.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="</s>")


def word_pieces(texts: Iterable[str] = CORPUS) -> Any:
    """WordPiece, which loses white space, as BERT has it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=200, special_tokens=["[UNK]", "[SEP]"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", eos_token="[SEP]")


def with_chat(tokenizer: Any, template: str = CHATML) -> Any:
    """The same tokenizer with ChatML turns; their marks are special tokens without a role of their own."""
    from tokenizers import AddedToken

    marks: list[Any] = [AddedToken(mark, special=True, normalized=False) for mark in ("<|im_start|>", "<|im_end|>")]
    tokenizer.add_tokens(marks, special_tokens=True)
    tokenizer.chat_template = template
    return tokenizer


def llama(vocabulary: int, *, layers: int = 2, positions: int = 512, seed: int = 0, **more: Any) -> Any:
    """A random Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
        **more,
    )
    return LlamaForCausalLM(config)


def gpt2(vocabulary: int, seed: int = 0) -> Any:
    """A random GPT-2 without dropout of its own."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=256,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=1,
    )
    return GPT2LMHeadModel(config)


def saved(folder: Path, family: str = "llama", tokenizer: Any = None) -> str:
    """A random model with its tokenizer in a folder, as anybody's student lies there."""
    tokenizer = tokenizer or train_tokenizer(CORPUS, 400)
    model = (llama if family == "llama" else gpt2)(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def scratch(texts: Iterable[str] = CORPUS, seed: int = 0) -> Student:
    """A new student, all of whose weights are trained."""
    tokenizer = train_tokenizer(texts, 400)
    return Student("small", llama(len(tokenizer), seed=seed), tokenizer, "scratch")


def pair(number: int = 0, *, right: str = "", wrong: str = "", **more: Any) -> Alignment:
    """An aligned pair of sums; right and wrong differ in the sum and in the answer."""
    first, second = number % 7 + 1, number % 5 + 2
    right = right or f"{first} + {second} = {first + second}. Therefore, the answer is {first + second}."
    wrong = wrong or f"{first} + {second} = {first + second + 1}. Therefore, the answer is {first + second + 1}."
    dual = DualChain(
        question=Question(id=f"q{number}", question=f"What is {first} + {second} ({number})?", answer="4", task="add"),
        right=Chain(text=right, answer="4", origin=more.get("right_origin", "sampled")),
        wrong=Chain(text=wrong, answer="5", origin=more.get("wrong_origin", "corrupted")),
        teacher="test",
        reason=more.get("reason"),
    )
    return Alignment(dual=dual, edits=align_texts(right, wrong, words, "word", None))


def pairs(count: int) -> list[Alignment]:
    """That many pairs."""
    return [pair(number) for number in range(count)]


def run(
    student: Student,
    recipe: Recipe,
    options: Any,
    alignments: Sequence[Alignment],
    *,
    style: Style = "plain",
    folder: Path | None = None,
    show: Any = None,
    **choices: Any,
) -> tuple[Outcome, list[Planned], Codec]:
    """Plan and train as the command does; checkpoints go into `folder`, or away with it."""
    choices.setdefault("lora", Lora(r=4, alpha=8, dropout=0.0))
    settings = Settings(**choices)
    codec = Codec(student.tokenizer, style, encoder_decoder=student.encoder_decoder)
    planned = plan(recipe, options, alignments, codec, settings, weight_mode(student, settings))
    with tempfile.TemporaryDirectory() as temporary:
        state = RunState(folder or Path(temporary))
        around = Surroundings(settings, "cpu", state, lambda: student, show or (lambda record: None))
        _, outcome = train(student, planned, codec, around)
    return outcome, planned, codec
