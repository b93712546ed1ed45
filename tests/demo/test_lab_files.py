"""JupyterLite's files as a browser gets them."""

import base64
import hashlib
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from demo.lab_files import LabFiles

PYODIDE = "/v/b1/pyodide/pyodide.mjs"
SCRIPT = "await import('../config-utils.js')"


@pytest.fixture
def browser(tmp_path: Path) -> httpx.AsyncClient:
    """Asks the application, mounted as in the demo, without a socket."""
    site = tmp_path / "site"
    for name, text in {
        "jupyter-lite.json": '["/pyodide/pyodide.mjs", "/pyodide/notebook-lock.json"]',
        "lab/index.html": f'<script type="application/json">{{}}</script><script>{SCRIPT}</script>',
        "lab/bundle.js": "/* small */",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    (tmp_path / "secret.txt").write_text("beside the site")
    files = LabFiles(site, PYODIDE, tmp_path / "cache")
    app = Starlette(routes=[Mount("/lab", files)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://demo")


async def test_lab_opens_with_the_notebook(browser: httpx.AsyncClient) -> None:
    reply = await browser.get("/lab/")
    assert (reply.status_code, reply.headers["Location"]) == (
        307,
        "/lab/lab/index.html?path=atiha_web.ipynb",
    )


async def test_the_kernel_gets_python_where_the_page_does(browser: httpx.AsyncClient) -> None:
    paths = (await browser.get("/lab/jupyter-lite.json")).json()
    assert paths == [PYODIDE, "/v/b1/pyodide/notebook-lock.json"]


@pytest.mark.parametrize("path", ["/lab/", "/lab/lab/index.html", "/lab/lab/bundle.js", "/lab/no"])
async def test_every_reply_lets_nothing_be_fetched_from_elsewhere(
    browser: httpx.AsyncClient, path: str
) -> None:
    policy = (await browser.get(path)).headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "connect-src 'self'"} < set(policy)
    assert not any("http" in rule or "*" in rule for rule in policy)


async def test_only_scripts_that_stand_in_the_document_run_there(
    browser: httpx.AsyncClient,
) -> None:
    policy = (await browser.get("/lab/lab/index.html")).headers["Content-Security-Policy"]
    [scripts] = [rule for rule in policy.split("; ") if rule.startswith("script-src")]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert scripts == f"script-src 'self' 'unsafe-eval' 'sha256-{digest}'"


async def test_what_did_not_change_is_not_sent_again(browser: httpx.AsyncClient) -> None:
    tag = (await browser.get("/lab/lab/bundle.js")).headers["ETag"]
    reply = await browser.get("/lab/lab/bundle.js", headers={"If-None-Match": tag})
    assert (reply.status_code, reply.content) == (304, b"")


@pytest.mark.parametrize("path", ["/lab/../secret.txt", "/lab/%2e%2e/secret.txt", "/lab/lab"])
async def test_there_is_nothing_beside_the_site(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code == 404


async def test_only_reading_is_possible(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/lab/lab/bundle.js")).status_code == 405
