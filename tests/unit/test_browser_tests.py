"""Tests in Pyodide that would pass without having run."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
NEVER_CALLED = """
def test_nothing(selenium):
    @run_in_pyodide(packages=["atiha-web"])
    async def inner(selenium):
        assert False
"""


def pyodide_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions among the statements that `run_in_pyodide` decorates."""
    for node in body:
        decorators = getattr(node, "decorator_list", [])
        if any("run_in_pyodide" in ast.dump(decorator) for decorator in decorators):
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield node


def never_called(source: str) -> list[str]:
    """Names of nested functions for Pyodide that the function around them never mentions."""
    found = []
    for outer in ast.walk(ast.parse(source)):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = list(pyodide_functions(outer.body))
            others = [node for node in outer.body if node not in inner]
            names = {n.id for other in others for n in ast.walk(other) if isinstance(n, ast.Name)}
            found += [node.name for node in inner if node.name not in names]
    return found


def test_a_nested_function_that_is_never_called_is_found() -> None:
    assert never_called(NEVER_CALLED) == ["inner"]


def test_a_nested_function_that_is_called_is_not_found() -> None:
    assert never_called(f"{NEVER_CALLED}\n    inner(selenium)\n") == []


def test_every_function_for_pyodide_is_called() -> None:
    found = {path.name: never_called(path.read_text("utf-8")) for path in TESTS.rglob("*.py")}
    assert {name: functions for name, functions in found.items() if functions} == {}
