"""Short functions, short files, no catch-all."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "editctl").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
LONGEST_FILE = 320
LONGEST_FUNCTION = 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: Function) -> int:
    """Lines of a function. Of a Typer command only those of its body: its options are its signature."""
    first = node.body[0].lineno if "typer.Option" in ast.unparse(node.args) or _takes_context(node) else node.lineno
    assert node.end_lineno is not None
    return node.end_lineno - first + 1


def _takes_context(node: Function) -> bool:
    return any(one.annotation and ast.unparse(one.annotation) == "typer.Context" for one in node.args.args)


def catch_alls(tree: ast.AST) -> list[int]:
    """Lines with `except:`, `except Exception` or `except BaseException` that swallow what they catch."""
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    return [
        node.lineno
        for node in handlers
        if node.type is None
        or re.search(r"\bException\b", ast.unparse(node.type))
        or (re.search(r"\bBaseException\b", ast.unparse(node.type)) and not isinstance(node.body[-1], ast.Raise))
    ]


def test_functions_are_short() -> None:
    lengths = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": length(node)
        for path in FILES
        for node in functions(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert len(lengths) > 300
    assert {name: count for name, count in lengths.items() if count > LONGEST_FUNCTION} == {}
    assert statistics.median(lengths.values()) < 12
    assert statistics.quantiles(lengths.values(), n=10)[8] < 35


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_short_and_catches_only_what_it_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_FILE
    assert catch_alls(ast.parse(text)) == []


def test_the_measures_see_what_they_should() -> None:
    tree = ast.parse(
        "def long(a):\n    b\n    c\n"
        "def command(context: typer.Context,\n    a: int,\n) -> None:\n    b\n"
        "try:\n    a\nexcept Exception:\n    b\nexcept (ValueError, BaseException):\n    c\nexcept:\n    d\n"
        "try:\n    a\nexcept BaseException:\n    b\n    raise\n"
    )
    assert [length(node) for node in functions(tree)] == [3, 1]
    assert catch_alls(tree) == [10, 12, 14]
