"""Tests in Pyodide that would pass without having run."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
NEVER_CALLED = """
def test_nothing(selenium):
    @run_in_pyodide(packages=["atiha-web"])
    async def inner(selenium):
        assert False
"""


def is_sent_to_pyodide(node: ast.AST) -> bool:
    """Whether a node defines a function that `run_in_pyodide` decorates."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return any("run_in_pyodide" in ast.dump(decorator) for decorator in node.decorator_list)


def never_called(source: str) -> list[str]:
    """Names of nested functions for Pyodide that the function around them never mentions."""
    found = []
    for outer in ast.walk(ast.parse(source)):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            used = {
                node.id
                for statement in outer.body
                if not is_sent_to_pyodide(statement)
                for node in ast.walk(statement)
                if isinstance(node, ast.Name)
            }
            inner = [node for node in outer.body if is_sent_to_pyodide(node)]
            found += [node.name for node in inner if node.name not in used]
    return found


def test_a_nested_function_that_is_never_called_is_found() -> None:
    assert never_called(NEVER_CALLED) == ["inner"]


def test_a_nested_function_that_is_called_is_not_found() -> None:
    assert never_called(f"{NEVER_CALLED}\n    inner(selenium)\n") == []


def test_every_function_for_pyodide_is_called() -> None:
    found = {path.name: never_called(path.read_text("utf-8")) for path in TESTS.rglob("*.py")}
    assert {name: functions for name, functions in found.items() if functions} == {}
