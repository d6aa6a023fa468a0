"""From a teacher's name to a teacher (models that litellm reaches: test_providers.py)."""

from pathlib import Path

import pytest

from editctl.errors import EditctlError
from editctl.generate.stage import make_dual_chains
from editctl.generate.teachers import find_teacher
from editctl.registry import PluginError
from tests.support_generate import SUM, maker_of

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
    outcome = next(iter(make_dual_chains([SUM], maker_of(teacher))))
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
