"""The key of a call: the same for the same call, another for whatever an answer may depend on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from editctl.generate.keys import identity_of, key_of
from editctl.generate.teachers import find_teacher
from editctl.interfaces import Message, Rendering, Request
from editctl.records import Question
from tests.support_asking import Paid, asking, call, said

OWN = {"api-base": "http://127.0.0.1:1/v1"}
SECRET = "sk-nobody-may-read-this-0123456789"


def served(model: str = "openai/test-model", **options: str) -> Any:
    """A teacher behind an address of one's own."""
    return find_teacher(model, {**OWN, **{name.replace("_", "-"): value for name, value in options.items()}})


TURNS: list[Message] = [{"role": "system", "content": "Think."}, {"role": "user", "content": "What?"}]
BASE = call(messages=TURNS, temperature=0.2, max_tokens=100, seed=0)
CHANGES: Mapping[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.4},
    "max_tokens": {"max_tokens": 101},
    "seed": {"seed": 1},
    "sample": {"sample": 1},
    "attempt": {"attempt": 2},
    "words": {"messages": [TURNS[0], {"role": "user", "content": "What ?"}]},
    "role": {"messages": [TURNS[0], {"role": "assistant", "content": "What?"}]},
    "fewer turns": {"messages": TURNS[1:]},
    "order": {"messages": TURNS[::-1]},
    "joined turns": {"messages": [{"role": "system", "content": "Think.What?"}]},
}


class Named(Paid):
    """A teacher that says nothing of what its answers depend on, with options."""

    @dataclass(frozen=True)
    class Options:
        """As a plugin may have them."""

        style: str = "short"
        api_key: str = ""

    def __init__(self, name: str = "paid", **options: str) -> None:
        super().__init__()
        self.name = name
        self.options = self.Options(**options)


@pytest.fixture(params=["served", "named"])
def teacher(request: pytest.FixtureRequest) -> Any:
    """One that describes itself, one that does not."""
    return served() if request.param == "served" else Named()


def test_a_key_is_a_sha256_that_stays_the_same(teacher: Any) -> None:
    key = key_of(teacher, BASE)
    assert len(key) == 32
    assert key == key_of(teacher, replace(BASE, messages=list(TURNS)))


def test_keys_stay_the_same_over_processes_and_versions() -> None:
    """Whoever changes how keys are made makes users pay for everything again."""
    assert key_of(served(), BASE).hex() == "348ecc3dfb21748667f8fc22c15d8ddc2cd2b89d9d7ac30877da94c8e96259fc"
    assert key_of(Named(), BASE).hex() == "f4b17583bd5617d0e6538205731ee89657e1e5fb360f19d096d9c0a06f1f64ea"


@pytest.mark.parametrize("change", CHANGES)
def test_a_key_changes_with_every_part_that_matters(teacher: Any, change: str) -> None:
    assert key_of(teacher, replace(BASE, **CHANGES[change])) != key_of(teacher, BASE)


def test_all_changes_have_keys_of_their_own(teacher: Any) -> None:
    keys = {key_of(teacher, replace(BASE, **change)) for change in CHANGES.values()}
    assert len(keys) == len(CHANGES)


ELSEWHERE: Mapping[str, dict[str, str]] = {
    "model": {"model": "openai/other-model"},
    "port": {"api_base": "http://127.0.0.1:2/v1"},
    "path": {"api_base": "http://127.0.0.1:1/v2"},
    "top-p": {"top_p": "0.5"},
    "extra low": {"extra": '{"reasoning_effort": "low"}'},
    "extra high": {"extra": '{"reasoning_effort": "high"}'},
}


def test_a_key_changes_with_the_server_and_what_is_sent_to_it() -> None:
    keys = {key_of(served(**options), BASE) for options in ELSEWHERE.values()}
    assert len(keys | {key_of(served(), BASE)}) == len(ELSEWHERE) + 1


@pytest.mark.parametrize(
    "options", [{"timeout": "7"}, {"extra": "{ }"}, {"transport": "direct"}, {"transport": "litellm"}], ids=str
)
def test_a_key_does_not_change_with_how_a_call_is_made(options: dict[str, str]) -> None:
    assert key_of(served(**options), BASE) == key_of(served(), BASE)


def test_a_key_does_not_change_with_the_question_behind_the_words(teacher: Any) -> None:
    other = Question(id="another", question="What?", answer="5", task="add", extra={"source": "x"})
    assert key_of(teacher, replace(BASE, question=other, template="mine", chain="a chain")) == key_of(teacher, BASE)


def test_turns_that_are_rendered_late_have_the_same_key(teacher: Any) -> None:
    """How many characters are fixed is for the provider's cache: it changes no answer."""
    late = Rendering(lambda: (tuple(TURNS), 3))
    assert key_of(teacher, replace(BASE, messages=late)) == key_of(teacher, BASE)


def test_a_teacher_that_says_nothing_is_known_by_name_options_and_what_is_asked() -> None:
    base = key_of(Named(), BASE)
    assert key_of(Named("other"), BASE) != base
    assert key_of(Named(style="long"), BASE) != base
    # It may look at these beside the messages.
    corrupt = replace(BASE, step="corrupt")
    keys = {
        key_of(Named(), one) for one in (corrupt, replace(corrupt, mistake="any"), replace(corrupt, mistake="fact"))
    }
    assert len(keys | {base}) == 4


def test_a_key_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key of the user's reaches the same completions, and none can be guessed from the hash."""
    assert key_of(Named(api_key=SECRET), BASE) == key_of(Named(api_key=SECRET + "0"), BASE)
    assert SECRET not in str(identity_of(Named(api_key=SECRET), BASE))
    keys = set()
    for secret in (SECRET, SECRET + "0"):
        monkeypatch.setenv("OPENAI_API_KEY", secret)
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://user:{secret}@127.0.0.1:1/v1")
        keys.add(key_of(find_teacher("openai/test-model", {}), BASE))
        assert secret not in str(identity_of(find_teacher("openai/test-model", {}), BASE))
    assert keys == {key_of(served(), BASE)}


@given(st.text(), st.text())
def test_different_words_have_different_keys(first: str, second: str) -> None:
    """Also where they hold quotes, braces or half a surrogate pair."""
    teacher = Named()
    one, two = (
        key_of(teacher, replace(BASE, messages=[{"role": "user", "content": text}])) for text in (first, second)
    )
    assert (one == two) == (first == second)


def test_half_a_surrogate_pair_has_a_key() -> None:
    broken: list[Message] = [{"role": "user", "content": "a\ud800b"}]
    assert len(key_of(served(), replace(BASE, messages=broken))) == 32


def test_changed_options_reach_new_completions_and_the_former_ones_stay(tmp_path: Path) -> None:
    """Another temperature asks anew; back at the first one, nothing is asked."""
    path = tmp_path / "ledger.sqlite"
    texts = []
    for answer, temperature in (("1", 0.2), ("2", 0.4), ("never", 0.2)):

        async def ask(request: Request, answer: str = answer) -> str:
            with asking(path, Paid(lambda _: said(answer))) as asker:
                completion = await asker.ask(request)
                await asker.close()
                return completion.text

        texts.append(asyncio.run(ask(replace(BASE, temperature=temperature))))
    assert texts == [said("1").text, said("2").text, said("1").text]
