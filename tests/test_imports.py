"""Who may import whom, as data, and what `--help` may load."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = (
    *("torch", "transformers", "peft", "litellm", "jinja2", "rapidfuzz", "pydantic"),
    *("scipy", "numpy", "sympy", "lark", "math_verify", "pydantic_monty", "datasets"),
)
STAGES = ("generate", "align", "train", "evaluate", "report")
MAY_IMPORT = {
    "ground": {"ground"},
    "decoding": {"decoding", "ground"},
    "plugins": {"ground", "decoding"},
    "recipes": {"ground"},
    "templates": set(),
    "cli": {"cli", "ground"},
    "start": {"cli"},
    **{stage: {stage, "ground"} for stage in STAGES},
    "evaluate": {"evaluate", "ground", "decoding"},
}
"""Rooms of the house (see the architecture page), and the rooms each may import from."""
MAY_IMPORT_INSIDE_FUNCTIONS = {"cli": set(STAGES)}
"""The command line alone knows the stages, and imports them inside a command's body."""
HELP = ("", "gen-dual", "align", "inspect", "train", "eval", "score", "report", "plugins", "ledger", "env")


@dataclass(frozen=True)
class Import:
    """One import statement's target, and where it stands."""

    target: str
    line: int
    place: str
    """top, function or typing."""


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package below `root`, by name; plugins/ and templates/ are mapped into it."""
    found = {}
    for folder, prefix in (("editctl", "editctl"), ("plugins", "editctl.plugins"), ("templates", "editctl.templates")):
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([prefix, *(part for part in parts if part != "__init__")])] = path
    return found


def room(module: str) -> str:
    """The room a module lies in."""
    parts = module.split(".")
    if module == "editctl.__main__":
        return "start"
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "ground"


def imports(tree: ast.Module, known: dict[str, Path]) -> Iterator[Import]:
    """What a module imports, with `from package import module` told apart from `from module import name`."""
    for node, place in _walk(tree, "top"):
        if isinstance(node, ast.Import):
            yield from (Import(name.name, node.lineno, place) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield Import(inner if inner in known else base, node.lineno, place)


def _walk(node: ast.AST, place: str) -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        inner = place
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = "function"
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            inner = "typing"
        yield child, inner
        yield from _walk(child, inner)


def violations(root: Path) -> list[str]:
    """Every import that breaks a rule, as `module:line imports target`."""
    known = modules(root)
    found, graph = [], {}
    for module, path in sorted(known.items()):
        every = list(imports(ast.parse(path.read_text(encoding="utf-8")), known))
        found += [f"{module}:{one.line} imports {one.target}" for one in every if _breaks(module, one)]
        graph[module] = {one.target for one in every if one.place != "typing" and one.target in known} - {module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append(f"cycle: {' -> '.join(error.args[1])}")
    return found


def _breaks(module: str, one: Import) -> bool:
    own = room(module)
    if one.target.startswith("."):
        return True
    if one.target.split(".")[0] != "editctl":
        return own in ("ground", "cli") and one.place == "top" and one.target.split(".")[0] in HEAVY
    allowed = MAY_IMPORT[own]
    if one.place != "top":
        allowed = allowed | MAY_IMPORT_INSIDE_FUNCTIONS.get(own, set())
    return room(one.target) not in allowed


def test_no_module_imports_what_it_may_not() -> None:
    assert len(modules(ROOT)) > 40
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("editctl/align/stage.py", "from editctl.generate.maker import Maker", "editctl.generate.maker"),
        ("editctl/align/stage.py", "def f():\n    import editctl.train.stage", "editctl.train.stage"),
        ("editctl/evaluate/judging.py", "from editctl.cli import options", "editctl.cli.options"),
        ("editctl/rows.py", "from editctl.align import stage", "editctl.align.stage"),
        ("editctl/rows.py", "def f():\n    from editctl.recipes.edit import Edit", "editctl.recipes.edit"),
        ("editctl/rows.py", "import torch", "torch"),
        ("editctl/recipes/other.py", "from editctl.recipes.edit import Edit", "editctl.recipes.edit"),
        ("plugins/mine.py", "from editctl.generate.maker import Maker", "editctl.generate.maker"),
        ("editctl/cli/align.py", "from editctl.align.stage import align", "editctl.align.stage"),
        ("editctl/cli/align.py", "def f():\n    from editctl.recipes.edit import Edit", "editctl.recipes.edit"),
        ("editctl/align/stage.py", "from .units import words", ".units"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, module: str, text: str, found: str) -> None:
    for name in ("generate/maker", "align/stage", "align/units", "train/stage", "recipes/edit", "cli/options"):
        path = tmp_path / "editctl" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    place = tmp_path / module
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    assert [line.rpartition(" ")[2] for line in violations(tmp_path)] == [found]


def test_imports_inside_commands_and_for_type_checking_are_allowed(tmp_path: Path) -> None:
    for name in ("align/stage", "cli/align"):
        (tmp_path / "editctl" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "editctl/align/stage.py").write_text("import torch")
    (tmp_path / "editctl/cli/align.py").write_text(
        "if TYPE_CHECKING:\n    from editctl.align.stage import a\ndef f():\n    from editctl.align.stage import a\n"
    )
    assert violations(tmp_path) == []


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "editctl").mkdir()
    (tmp_path / "editctl/one.py").write_text("from editctl.two import b")
    (tmp_path / "editctl/two.py").write_text("def f():\n    from editctl.one import a")
    assert [line.partition(":")[0] for line in violations(tmp_path)] == ["cycle"]


def loaded_by(code: str) -> list[str]:
    """Heavy modules in memory after `code`, in a fresh interpreter."""
    report = f"import sys; print('LOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", HELP)
def test_help_loads_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from editctl.cli.main import main
sys.argv = ["editctl", *{command.split()!r}, "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert loaded_by(code) == []


def test_the_check_sees_what_is_loaded() -> None:
    assert loaded_by("import jinja2") == ["jinja2"]


def test_help_is_asked_of_every_command() -> None:
    from editctl.cli.main import app

    names = {one.name for one in app.registered_commands} | {one.name for one in app.registered_groups}
    assert names == {command for command in HELP if command}
