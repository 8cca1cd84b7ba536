"""Every annotation and module-level value that names numpy's types can be evaluated: the oldest numpy has fewer."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("omnivla_vision", "examples")
MODULES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
IMPORTABLE = sys.stdlib_module_names | {"numpy"}  # torch and ROS need not be there
NUMPY_NAMES = {"np", "NDArray", "ArrayLike", "DTypeLike"}


class _Foreign(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Foreign

    def __getitem__(cls, item: object) -> type:
        return Foreign


class Foreign(metaclass=_Foreign):
    """Stands for every type that is not numpy's, in all that annotations do with one."""


class Names(dict[str, Any]):
    """What a module imports from numpy and the standard library; any other name is foreign."""

    def __init__(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                node.names = [alias for alias in node.names if alias.name.split(".")[0] in IMPORTABLE]
                wanted = bool(node.names)
            else:
                wanted = isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in IMPORTABLE
            if wanted:
                exec(compile(ast.unparse(node), "imports", "exec"), self)

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Foreign)


def evaluated(tree: ast.Module) -> Iterator[ast.expr]:
    """What Python evaluates at import, or what reads a function's types later."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation:
            yield node.annotation
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            yield node.returns
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast":
            yield node.args[0]
    yield from (node.value for node in tree.body if isinstance(node, ast.Assign))


def of_numpy(path: Path) -> list[str]:
    expressions = evaluated(ast.parse((ROOT / path).read_text()))
    return [
        ast.unparse(expression)
        for expression in expressions
        if any(isinstance(node, ast.Name) and node.id in NUMPY_NAMES for node in ast.walk(expression))
    ]


def problem_with(expression: str, names: Names) -> str | None:
    try:
        eval(expression, {}, names)
    except (TypeError, AttributeError) as error:
        return f"{expression}: {error}"
    return None


EXPRESSIONS = {path: found for path in MODULES if (found := of_numpy(path))}


@pytest.mark.parametrize("path", EXPRESSIONS, ids=str)
def test_this_numpy_has_every_type_that_is_named(path: Path) -> None:
    names = Names(ast.parse((ROOT / path).read_text()))
    assert [problem for text in EXPRESSIONS[path] if (problem := problem_with(text, names))] == []
