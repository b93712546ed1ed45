"""The built wheel inside Pyodide."""

from typing import Any

import pytest

from demo.assets import Site

OWN_NEEDS = {
    "annotated-types",
    "atiha-web",
    "pydantic",
    "pydantic-core",
    "pyodide-http",
    "typing-extensions",
    "typing-inspection",
}


@pytest.fixture(scope="module")
def booted(selenium_module_scope: Any) -> Any:
    """A page that has loaded our package by its name and has imported it."""
    selenium_module_scope.load_package("atiha-web")
    selenium_module_scope.run("import atiha_web")
    return selenium_module_scope


def installed(selenium: Any) -> set[str]:
    """The names of the distributions that Python in the page can see."""
    names: list[str] = selenium.run(
        """
        import importlib.metadata
        sorted({d.name.lower().replace("_", "-") for d in importlib.metadata.distributions()})
        """
    )
    return set(names)


def test_load_package_brings_pydantic_and_pyodide_http_and_no_more(booted: Any) -> None:
    assert installed(booted) == OWN_NEEDS


def test_import_in_pyodide_needs_no_http_library_and_no_server(booted: Any) -> None:
    loaded = booted.run("import sys; list(sys.modules)")
    unwanted = {"httpx", "pyodide_http", "fastapi", "asyncpg", "atiha_web.server"}
    assert {"atiha_web", *unwanted} & set(loaded) == {"atiha_web"}


def test_a_page_that_boots_fetches_just_what_the_manifest_says(booted: Any, site: Site) -> None:
    fetched: list[str] = booted.run_js(
        "return performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
    )
    expected = {path.removeprefix("pyodide") for path in site.manifest["boot"]}
    assert set(fetched) - {"/favicon.ico"} == expected


def test_micropip_brings_pydantic_and_pyodide_http_and_no_more(
    selenium_standalone: Any, site: Site
) -> None:
    url = f"{selenium_standalone.base_url}/{site.wheel.name}"
    selenium_standalone.load_package("micropip")
    selenium_standalone.run_async(f"import micropip; await micropip.install({url!r})")
    assert installed(selenium_standalone) == OWN_NEEDS | {"micropip"}
