"""What tokens cost and how many a prompt may have at most."""

import importlib.machinery
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from editctl import prices
from editctl.errors import UsageError
from editctl.interfaces import Message, Price
from editctl.prices import find_price, likely_tokens, parse_price, worst_case_tokens

LISTED: dict[str, Any] = {
    "good": {"litellm_provider": "openai", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
    "other/good": {"litellm_provider": "other", "input_cost_per_token": 3e-6, "output_cost_per_token": 4e-6},
    "batched": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1e-6,
        "input_cost_per_token_batches": 5e-7,
        "output_cost_per_token": 2e-6,
        "output_cost_per_token_batches": 1e-6,
        "cache_read_input_token_cost": 6e-7,
    },
    "writing": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 4e-6,
        "output_cost_per_token": 2e-5,
        "cache_read_input_token_cost": 4e-7,
        "cache_creation_input_token_cost": 5e-6,
    },
    "thinking": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
        "output_cost_per_token_batches": 1e-6,
        "output_cost_per_reasoning_token": 8e-6,
    },
    "ft:good": {"litellm_provider": "openai", "input_cost_per_token": 5e-6, "output_cost_per_token": 6e-6},
    "free-of-charge": {"litellm_provider": "mistral", "input_cost_per_token": 0.0, "output_cost_per_token": 0},
    "ollama/mine": {"litellm_provider": "ollama", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "ollama/big:671b-cloud": {"litellm_provider": "ollama", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "no-output": {"litellm_provider": "openai", "input_cost_per_token": 1e-6},
    "in-words": {"litellm_provider": "openai", "input_cost_per_token": "1e-6", "output_cost_per_token": 2e-6},
    "negative": {"litellm_provider": "openai", "input_cost_per_token": -1e-6, "output_cost_per_token": 2e-6},
    "per-request": {
        "litellm_provider": "openai",
        "input_cost_per_request": 0.005,
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 2e-6,
    },
    "no-row": 7,
}


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A list of our own in place of litellm's."""
    file = tmp_path / "model_prices_and_context_window_backup.json"
    file.write_text(json.dumps(LISTED))
    spec = importlib.machinery.ModuleSpec("litellm", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", {"litellm": spec}.get)
    prices._entry.cache_clear()
    yield file
    prices._entry.cache_clear()


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("good", Price(input=1e-6, output=2e-6)),
        ("openai/good", Price(input=1e-6, output=2e-6)),
        ("other/good", Price(input=3e-6, output=4e-6)),
        ("hosted_vllm/good", None),
        ("openai/nosuch", None),
        ("openai/ft:good:me::id", Price(input=5e-6, output=6e-6)),
        ("openai/thinking", Price(input=1e-6, output=8e-6)),
        ("anthropic/writing", Price(input=4e-6, output=2e-5, cached=4e-7)),
        ("mistral/free-of-charge", None),
        ("ollama/mine", Price(input=0.0, output=0.0)),
        ("ollama/big:671b-cloud", None),
        ("openai/no-output", None),
        ("openai/in-words", None),
        ("openai/negative", None),
        ("openai/per-request", None),
        ("no-row", None),
        ("", None),
        ("/", None),
    ],
)
def test_a_price_is_found_or_unknown(listed: Path, model: str, price: Price | None) -> None:
    assert find_price(model) == price


def test_a_batch_has_prices_of_its_own_where_they_are_listed(listed: Path) -> None:
    assert find_price("openai/batched") == Price(input=1e-6, output=2e-6, cached=6e-7)
    assert find_price("openai/batched", batch=True) == Price(input=5e-7, output=1e-6, cached=5e-7)
    assert find_price("openai/good", batch=True) == find_price("openai/good")
    assert find_price("openai/thinking", batch=True) == Price(input=1e-6, output=4e-6)


def test_what_is_written_into_a_cache_costs_more(listed: Path) -> None:
    assert find_price("anthropic/writing", writes_cache=True) == Price(input=5e-6, output=2e-5, cached=4e-7)
    assert find_price("openai/good", writes_cache=True) == find_price("openai/good")


@pytest.mark.parametrize("text", ["", "[]", "7", '{"good": '])
def test_without_a_readable_list_no_price_is_known(listed: Path, text: str) -> None:
    listed.write_text(text)
    assert find_price("openai/good") is None
    listed.unlink()
    prices._entry.cache_clear()
    assert find_price("openai/good") is None


def test_without_litellm_no_price_is_known(listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert find_price("openai/good") is None


def test_the_list_that_litellm_ships_is_understood_without_importing_it() -> None:
    code = """
import sys
from editctl.prices import find_price
plain, batch = (find_price("openai/gpt-4o-mini", batch=batch) for batch in (False, True))
assert plain and 0 < plain.cached < plain.input < plain.output < 1e-4, plain
assert batch and batch.output == plain.output / 2, batch
assert find_price("gpt-4o-mini") == plain
claude = find_price("anthropic/claude-sonnet-4-5"), find_price("anthropic/claude-sonnet-4-5", writes_cache=True)
assert claude[1].input > claude[0].input > claude[0].cached > 0, claude
assert find_price("hosted_vllm/gpt-4o-mini") is None
assert find_price("openai/test-model") is None
print([name for name in ("litellm", "pydantic", "httpx") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# a price of one's own


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("1.5,6", Price(input=1.5e-6, output=6e-6)),
        (" 1.5 , 6 , 0.75 ", Price(input=1.5e-6, output=6e-6, cached=0.75e-6)),
        ("0,0", Price(input=0.0, output=0.0)),
        ("1e3,2e3", Price(input=1e-3, output=2e-3)),
    ],
)
def test_a_price_is_read(text: str, price: Price) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize(
    "text", ["", "1", "1,", ",", "1,2,3,4", "-1,2", "1,-2", "nan,1", "1,inf", "a,b", "1;2", "$1,2"]
)
def test_what_is_no_price_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"such as 1\.5,6"):
        parse_price(text)


@given(st.text())
def test_any_text_is_a_price_or_refused(text: str) -> None:
    try:
        price = parse_price(text)
    except UsageError:
        return
    assert all(math.isfinite(amount) and amount >= 0 for amount in (price.input, price.output, price.cached or 0))


# tokens of a prompt


def messages(*texts: str) -> list[Message]:
    return [Message(role="user", content=text) for text in texts]


@pytest.fixture(scope="module")
def tokenizers() -> list[Callable[[str], int]]:
    """Two real tokenizers that litellm ships: one of bytes, one that rewrites text first."""
    import tiktoken
    import tokenizers

    found = importlib.util.find_spec("litellm")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "litellm_core_utils" / "tokenizers"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
        of_bytes = tiktoken.get_encoding("cl100k_base")
    rewriting = tokenizers.Tokenizer.from_file(str(folder / "anthropic_tokenizer.json"))
    return [
        lambda text: len(of_bytes.encode(text, disallowed_special=())),
        lambda text: len(rewriting.encode(text).ids),
    ]


@given(text=st.text())
@example(text="ﷺ" * 50)
@example(text="\u1680㋿½" * 50)
@example(text="0123456789" * 20)
@example(text="🤔é한자" * 20)
def test_no_tokenizer_makes_more_tokens(text: str, tokenizers: list[Callable[[str], int]]) -> None:
    room = worst_case_tokens(messages(text)) - worst_case_tokens(messages(""))
    for count in tokenizers:
        assert count(text) <= room


def test_turns_and_the_call_itself_take_tokens_too() -> None:
    assert worst_case_tokens([]) >= 100
    assert worst_case_tokens(messages("", "")) - worst_case_tokens(messages("")) >= 16
    assert worst_case_tokens(messages("a" * 1000)) - worst_case_tokens(messages("")) == 1000
    assert worst_case_tokens(messages("\ud800")) > worst_case_tokens(messages(""))


@given(st.lists(st.text(), max_size=5))
def test_what_is_likely_is_less_than_the_worst(texts: list[str]) -> None:
    assert likely_tokens(messages(*texts)) < worst_case_tokens(messages(*texts))


def test_what_is_likely_is_near_what_is_so(tokenizers: list[Callable[[str], int]]) -> None:
    text = "Ann has 12 apples and gives 5 of them to Bob, who has none. How many apples has Ann now? " * 10
    assert tokenizers[0](text) == pytest.approx(likely_tokens(messages(text)), rel=0.3)
