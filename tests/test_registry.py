"""Names -> plugins: built in, announced, in a file, dotted; broken ones harm nobody else."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from editctl import registry
from editctl.errors import UsageError
from editctl.options import fill
from editctl.registry import PluginError
from tests.support_cli import TEACHER, Cli

Announce = Callable[..., Path]


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Install a distribution of one module, with entry points: a folder on the path, as pip leaves it."""
    site = tmp_path / "site"
    site.mkdir()

    def install(name: str, code: str, **points: dict[str, str]) -> Path:
        info = site / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        groups = [
            f"[editctl.{group}]\n" + "".join(f"{key} = {value}\n" for key, value in found.items())
            for group, found in points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(groups))
        (site / f"{name}_code.py").write_text(code)
        importlib.invalidate_caches()
        return site

    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield install
    for name in set(sys.modules) - before:
        if name.startswith("mine"):
            del sys.modules[name]


def test_every_built_in_loads_and_is_what_it_says() -> None:
    for kind, known in registry.BUILT_IN.items():
        for name in known:
            plugin = registry.load(kind, name)
            assert all(hasattr(plugin, part) for part in registry.NEEDED[kind]), name
            assert fill(plugin.Options, {}, name) == plugin.Options()
            assert plugin.__doc__, name


def test_announced_plugin_is_listed_and_loaded(announce: Announce, cli: Cli) -> None:
    announce("mine", TEACHER, teachers={"good": "mine_code:Good"})
    assert registry.load("teachers", "good").name == "good"
    (row,) = [row for row in registry.listing("teachers") if row.name == "good"]
    assert (row.origin, row.version, row.error) == ("mine", "1.2", None)
    assert row.title == "Answers 1, or 2 when asked to be wrong."
    Path("q.jsonl").write_text('{"question":"a","answer":"1"}\n')
    assert cli("gen-dual", "q.jsonl", "-t", "good", "-o", "dual.jsonl").code == 0
    assert "good" in cli("gen-dual", "q.jsonl", "-t", "goood", "-o", "dual.jsonl").err


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from editctl.errors import UsageError\nraise UsageError('not here')", "UsageError: not here"),
        ("", "has no 'Good'"),
        ("class Good:\n    'No teacher.'", "is no teacher: it has no Options and no complete and no close"),
        ("class Good:\n    Options = complete = close = int", "Options that are a dataclass"),
    ],
)
def test_broken_plugin_is_listed_with_its_error_and_harms_no_other(
    code: str, says: str, announce: Announce, cli: Cli
) -> None:
    announce("mine", code, teachers={"good": "mine_code:Good"})
    listing = cli("plugins", "--json")
    assert listing.code == 0
    errors = {row["name"]: row["error"] for row in json.loads(listing.out)["plugins"]}
    assert says in errors.pop("good")
    assert set(errors.values()) == {None}
    assert says in cli("plugins").out
    assert cli("gen-dual", "toy:chain?n=1", "-t", "oracle", "-q", "-o", "dual.jsonl").code == 0
    for words in (["plugins", "show", "good"], ["gen-dual", "toy:chain?n=1", "-t", "good", "-o", "other.jsonl"]):
        outcome = cli(*words)
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert says in outcome.err
    assert not Path("other.jsonl").exists()


def test_built_in_wins_over_an_announced_plugin_of_its_name(announce: Announce) -> None:
    announce("mine", TEACHER, teachers={"oracle": "mine_code:Good"}, recipes={"edit": "mine_code:Good"})
    assert registry.load("teachers", "oracle").__name__ == "Oracle"
    assert registry.names("recipes")["edit"] == "editctl.recipes.edit:Edit"


def test_plugin_in_a_file_and_by_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "json.py").write_text(TEACHER.replace('"good"', f'"{folder}"'))
    found = [registry.load("teachers", f"{tmp_path}/{folder}/json.py:Good") for folder in ("one", "two")]
    assert [teacher.name for teacher in found] == ["one", "two"]
    assert sys.modules["json"] is json
    assert registry.load("teachers", f"{tmp_path}/one/json.py:Good") is found[0]
    assert registry.load("recipes", "editctl.recipes.edit:Edit").__name__ == "Edit"


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("teachers", "orakle", "unknown teacher 'orakle'; did you mean oracle?"),
        ("tasks", "bolean", "unknown task 'bolean'; did you mean boolean?"),
        ("recipes", "std_cot", "unknown recipe 'std_cot'; did you mean std-cot or scott or std-cot-dual?"),
        ("recipes", "none.py:Edit", "no such file none.py"),
        ("recipes", "editctl.recipes.edit:Edti", "editctl.recipes.edit has no 'Edti'; did you mean Edit"),
        ("teachers", "editctl.recipes.edit:Edit", "is no teacher: it has no complete and no close"),
        ("recipes", "no.such.module:Edit", "No module named 'no'"),
    ],
)
def test_names_that_lead_nowhere(kind: registry.Kind, name: str, says: str) -> None:
    with pytest.raises((UsageError, PluginError)) as caught:
        registry.load(kind, name)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a.py:Name", True),
        ("/x/y z.py:Name", True),
        ("package.module:Name", True),
        ("openai/gpt-4o", False),
        ("ollama:Name", False),
        ("local:some/model", False),
        ("recorded:a.jsonl", False),
        ("a.py", False),
        ("a.py:", False),
    ],
)
def test_references_are_told_from_names(name: str, is_one: bool) -> None:
    assert registry.is_reference(name) == is_one


def test_module_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "late.py"
    place.write_text("raise ValueError('early')")
    with pytest.raises(PluginError, match="ValueError: early"):
        registry.load("teachers", f"{place}:Good")
    place.write_text(TEACHER + "\n# longer, so that no stale bytecode is taken for it\n")
    assert registry.load("teachers", f"{place}:Good").name == "good"


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("edit", ["recipe edit: EDIT", "alpha=a number [1.0]", "pairs=all|corrupted|rectified [all]"]),
        ("oracle", ["teacher oracle: ", "error-rate=a number [0.0]"]),
        ("chain", ["task chain: ", "difficulty=a whole number [1]"]),
        ("logical", ["mistake logical: A logical mistake", '{% extends "corrupt_base.jinja" %}']),
        ("bad.py:Good", ["teacher bad.py:Good: Answers 1", "extra=text [{}]"]),
        ("editctl.recipes.std_cot:StdCot", ["recipe editctl.recipes.std_cot:StdCot: Std-CoT"]),
    ],
)
def test_show_prints_what_can_be_set(name: str, shows: list[str], cli: Cli) -> None:
    Path("bad.py").write_text(TEACHER)
    outcome = cli("plugins", "show", name)
    assert (outcome.code, outcome.err) == (0, "")
    assert [part for part in shows if part not in outcome.out] == []
    found = json.loads(cli("plugins", "show", name, "--json").out)
    assert found["name"] == name
    assert ("text" in found) == (name == "logical")


def test_show_of_something_else(cli: Cli) -> None:
    Path("bad.py").write_text(TEACHER)
    outcome = cli("plugins", "show", "bad.py:NoTeacher")
    assert outcome.code == 2
    assert "is no teacher, task or recipe" in outcome.err


def test_listing_names_everything_once(cli: Cli) -> None:
    rows = json.loads(cli("plugins", "--json").out)["plugins"]
    names = [(row["kind"], row["name"]) for row in rows]
    assert len(set(names)) == len(names)
    assert {("teachers", "oracle"), ("tasks", "chain"), ("recipes", "edit"), ("mistakes", "any")} <= set(names)
    text = cli("plugins").out
    assert [name for kind, name in names if f"{kind}: {name} " not in text] == []
    assert len(text.splitlines()) == len(names) + 1


def test_templates_of_a_package_are_found(announce: Announce, cli: Cli) -> None:
    site = announce("mine", "", templates={"mine": "mine_templates"})
    (site / "mine_templates" / "mistakes").mkdir(parents=True)
    (site / "mine_templates" / "__init__.py").write_text("")
    (site / "mine_templates" / "mistakes" / "units.jinja").write_text(
        '{# Units mixed up #}{% extends "corrupt_base.jinja" %}{% block pattern %}Mix the units up.{% endblock %}'
    )
    rows = {row["name"]: row for row in json.loads(cli("plugins", "--json").out)["plugins"]}
    assert rows["units"]["kind"] == "mistakes"
    assert rows["units"]["title"] == "Units mixed up"
    assert rows["units"]["origin"] == "mine"
    assert (rows["mine"]["kind"], rows["mine"]["version"], rows["mine"]["error"]) == ("templates", "1.2", None)
    assert cli("gen-dual", "toy:chain?n=1", "-t", "oracle", "-m", "units", "-o", "dual.jsonl").code == 0


@pytest.mark.parametrize("target", ["no_such_package", "no.such.package", "mine_code"])
def test_package_of_templates_that_is_not_there_is_listed_and_skipped(
    target: str, announce: Announce, cli: Cli
) -> None:
    announce("mine", "raise RuntimeError", templates={"mine": target})
    rows = {row["name"]: row for row in json.loads(cli("plugins", "--json").out)["plugins"]}
    assert rows["mine"]["error"]
    assert cli("gen-dual", "toy:chain?n=1", "-t", "oracle", "-o", "dual.jsonl").code == 0
