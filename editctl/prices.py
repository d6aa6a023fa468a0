"""What tokens cost, and how many a prompt may have. Prices come from the list that litellm ships, read as a file."""

import importlib.util
import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from editctl.errors import UsageError
from editctl.interfaces import Message, Price

_LIST = "model_prices_and_context_window_backup.json"
_OWN_MACHINE = ("ollama", "ollama_chat", "lemonade")
"""Providers whose price of 0 is true: the machine is the user's. With all others 0 means that nobody looked it up."""
_OTHER_FEES = ("input_cost_per_request", "input_cost_per_query")
_MILLION = 1_000_000
_TURN = 16
_CALL = 128


def find_price(model: str, *, batch: bool = False, writes_cache: bool = False) -> Price | None:
    """What a model costs, in USD a token, by the name that litellm gives it; None where it is not known.

    Args:
        model: such as `openai/gpt-4o-mini`.
        batch: the price in the provider's batches, where it has one.
        writes_cache: prompts are marked for the provider's cache; a token that is written into it costs more, and a
            price that is to hold as a limit must count on that.
    """
    entry = _entry(model)
    if entry is None or any(_amount(entry, field) for field in _OTHER_FEES):
        return None
    read, written = _cost(entry, "input_cost_per_token", batch), _cost(entry, "output_cost_per_token", batch)
    if read is None or written is None:
        return None
    if read == written == 0 and not _is_free(model, entry):
        return None
    if writes_cache:
        read = max(read, _cost(entry, "cache_creation_input_token_cost", batch) or 0.0)
    cached = _cost(entry, "cache_read_input_token_cost", batch)
    return Price(input=read, output=written * _extra_for_thoughts(entry), cached=min(cached, read) if cached else None)


def parse_price(text: str) -> Price:
    """Read `IN,OUT` or `IN,OUT,CACHED`, in USD per million tokens.

    Raises:
        UsageError: anything else.
    """
    try:
        amounts = [float(part) for part in text.split(",")]
    except ValueError:
        amounts = []
    if len(amounts) not in (2, 3) or not all(math.isfinite(amount) and amount >= 0 for amount in amounts):
        raise UsageError(
            f"--price {text!r}: give the price of a million prompt tokens and of a million answer tokens in USD, "
            "such as 1.5,6, and where it differs that of cached prompt tokens: 1.5,6,0.75"
        )
    read, written, *cached = (amount / _MILLION for amount in amounts)
    return Price(input=read, output=written, cached=cached[0] if cached else None)


def worst_case_tokens(messages: Iterable[Message]) -> int:
    """No tokenizer makes more prompt tokens of these turns.

    Tokenizers in use cut text into pieces of at least one UTF-8 byte, after rewriting it in normal form (NFKC) where
    they do, which can lengthen it. Chat templates put a few control tokens around each turn, and some put a fixed
    text of their own before the first: both are allowed for.
    """
    return _CALL + sum(_TURN + _most_bytes(message["content"]) for message in messages)


def likely_tokens(messages: Iterable[Message]) -> int:
    """An estimate of the prompt tokens: one for about 4 UTF-8 bytes, and 4 around each turn."""
    return sum(4 + math.ceil(_bytes(message["content"]) / 4) for message in messages)


def _most_bytes(text: str) -> int:
    size = _bytes(text)
    return size if text.isascii() else max(size, _bytes(unicodedata.normalize("NFKC", text)))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=64)
def _entry(model: str) -> Mapping[str, Any] | None:
    """The row of a model. Only rows are kept in memory: the whole list would take 20 MB."""
    prices = _read_list()
    provider, _, bare = model.partition("/") if "/" in model else ("", "", model)
    if model in prices:
        return _row(prices[model])
    # A fine-tuned model is listed under the model it was made from: ft:MODEL:OWNER::ID.
    row = _row(prices.get(":".join(bare.split(":")[:2]) if bare.startswith("ft:") else bare))
    return row if row and str(row.get("litellm_provider")).startswith(provider) else None


def _row(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _read_list() -> Mapping[str, Any]:
    """Empty where litellm is not installed or its list can't be read: then no price is known."""
    found = importlib.util.find_spec("litellm")
    if found is None or found.origin is None:
        return {}
    try:
        prices = json.loads(Path(found.origin).with_name(_LIST).read_bytes())
    except (OSError, ValueError):
        return {}
    return prices if isinstance(prices, dict) else {}


def _cost(entry: Mapping[str, Any], field: str, batch: bool) -> float | None:
    in_batch = _amount(entry, f"{field}_batches") if batch else None
    return _amount(entry, field) if in_batch is None else in_batch


def _amount(entry: Mapping[str, Any], field: str) -> float | None:
    value = entry.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return float(value)


def _extra_for_thoughts(entry: Mapping[str, Any]) -> float:
    """Hidden reasoning is billed as output, with a few models at a higher price; the limit must count on that."""
    plain, thought = _amount(entry, "output_cost_per_token"), _amount(entry, "output_cost_per_reasoning_token")
    return max(1.0, thought / plain) if plain and thought else 1.0


def _is_free(model: str, entry: Mapping[str, Any]) -> bool:
    return entry.get("litellm_provider") in _OWN_MACHINE and not model.endswith("cloud")
