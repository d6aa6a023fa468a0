"""From a teacher's name to a teacher (models that litellm reaches: test_providers.py)."""

from pathlib import Path

import pytest

from editctl.errors import EditctlError, UsageError
from editctl.generate.teachers import find_teacher
from editctl.registry import PluginError
from tests.support_generate import SUM, dual_chains

PARROT = '''
from dataclasses import dataclass
from editctl.interfaces import Completion
from editctl.options import option

@dataclass(frozen=True)
class ParrotOptions:
    word: str = option("4", "what it always answers")

class Parrot:
    """Always says the same."""
    name = "parrot"
    offline = True
    Options = ParrotOptions

    def __init__(self, argument, options):
        self.word = options.word

    async def complete(self, request):
        return Completion(text=f"Quite so. Therefore, the answer is {self.word}.")

    async def close(self):
        pass

class Stone:
    pass
'''


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "parrot.py"
    path.write_text(PARROT)
    return str(path)


def test_a_file_is_a_teacher_with_options_of_its_own(file: str) -> None:
    teacher = find_teacher(f"{file}:Parrot", {"word": "5"})
    outcome = next(dual_chains([SUM], teacher))
    assert outcome.reason == "other-answer"
    assert teacher.name == "parrot"


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("{file}:Parot", {}, "did you mean Parrot"),
        ("{file}:Stone", {}, "is no teacher"),
        ("{file}:Parrot", {"wrod": "5"}, "did you mean word"),
        ("{file}x:Parrot", {}, "unknown teacher|no such"),
        ("nowhere.py:Parrot", {}, "no such file nowhere.py"),
    ],
)
def test_what_is_no_teacher_is_refused(file: str, spec: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(EditctlError, match=message) as caught:
        find_teacher(spec.format(file=file), options)
    assert caught.value.exit_code == 2


def test_a_broken_file_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nowhere_at_all")
    with pytest.raises(PluginError, match="nowhere_at_all"):
        find_teacher(f"{tmp_path / 'broken.py'}:Teacher", {})


def test_a_dotted_name_needs_no_registration() -> None:
    assert find_teacher("editctl.plugins.oracle:Oracle", {}).name == "oracle"


# which way calls to a model travel

HERE = {"api-base": "http://127.0.0.1:9/v1"}
DIRECT, LITELLM = "OpenAIServer", "LitellmTeacher"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-test-0123456789")


@pytest.mark.parametrize(
    ("spec", "options", "kind"),
    [
        ("openai/test-model", HERE, DIRECT),
        ("hosted_vllm/org/model", HERE, DIRECT),
        ("openai_like/m", HERE, DIRECT),
        ("custom_openai/m", HERE, DIRECT),
        ("lm_studio/m", HERE, DIRECT),
        ("llamafile/m", HERE, DIRECT),
        ("openai/gpt-4o-mini", HERE, DIRECT),
        ("openai/gpt-4.1", HERE, DIRECT),
        ("openai/gpt-oss-120b", HERE, DIRECT),
        ("openai/olmo-2", HERE, DIRECT),
        ("hosted_vllm/o1-like", HERE, DIRECT),
        ("openai/test-model", {**HERE, "extra": '{"reasoning_effort": "low", "min_p": 0.1}'}, DIRECT),
        ("openai/test-model", {**HERE, "transport": "direct"}, DIRECT),
        ("openai-server:my-model", HERE, DIRECT),
        ("openai-server:org/model", {**HERE, "transport": "direct"}, DIRECT),
        ("openai/test-model", {}, LITELLM),
        ("openai/test-model", {**HERE, "transport": "litellm"}, LITELLM),
        ("litellm:openai/test-model", HERE, LITELLM),
        ("anthropic/claude-sonnet-4-5", HERE, LITELLM),
        ("gpt-4o-mini", HERE, LITELLM),
        ("openai/o3-mini", HERE, LITELLM),
        ("openai/o1", HERE, LITELLM),
        ("openai/gpt-5-mini", HERE, LITELLM),
        ("openai/ft:gpt-5:me::id", HERE, LITELLM),
        ("openai/gpt-6", HERE, LITELLM),
        ("openai/test-model", {**HERE, "extra": '{"num_retries": 2}'}, LITELLM),
    ],
)
def test_a_server_with_an_address_is_asked_directly(keys: None, spec: str, options: dict[str, str], kind: str) -> None:
    teacher = find_teacher(spec, options)
    assert type(teacher).__name__ == kind
    assert teacher.name == spec.removeprefix("litellm:").removeprefix("openai-server:")
    assert not teacher.offline


@pytest.mark.parametrize(
    ("variable", "spec"),
    [
        ("OPENAI_BASE_URL", "openai/test-model"),
        ("OPENAI_API_BASE", "openai/test-model"),
        ("HOSTED_VLLM_API_BASE", "hosted_vllm/test-model"),
        ("LM_STUDIO_API_BASE", "lm_studio/test-model"),
    ],
)
def test_the_environment_may_hold_the_address(variable: str, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9/v1")
    assert type(find_teacher(spec, {})).__name__ == DIRECT


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("openai/test-model", {"transport": "direct"}, "it needs an address: --api-base, or OPENAI_BASE_URL"),
        ("anthropic/claude-sonnet-4-5", {**HERE, "transport": "direct"}, "it needs a model of openai/, "),
        ("gpt-4o-mini", {**HERE, "transport": "direct"}, "it needs a model of openai/, "),
        ("openai/o3-mini", {**HERE, "transport": "direct"}, "reasoning models"),
        ("openai/m", {**HERE, "transport": "direct", "extra": '{"num_retries": 2}'}, "extra sets num_retries"),
        ("litellm:openai/m", {**HERE, "transport": "direct"}, "say different things"),
        ("openai-server:m", {**HERE, "transport": "litellm"}, "say different things"),
        ("openai-server:m", {}, "no address; give --api-base"),
    ],
)
def test_what_can_not_go_directly_is_said(keys: None, spec: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        find_teacher(spec, options)
    assert caught.value.exit_code == 2
