"""The page's files as a browser gets them."""

import gzip
import json
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli
import httpx
import pytest

from demo.static_files import StaticFiles

WASM = b"\0asm" + bytes(4096)
OUR_WHEEL = b"def function(): pass\n" * 99
THEIR_WHEEL = gzip.compress(random.Random(1).randbytes(999), mtime=0)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small site in the form that `demo.assets` builds."""
    contents = {
        "pyodide/pyodide.mjs": b"/* small */",
        "pyodide/pyodide.asm.wasm": WASM,
        "pyodide/ours.whl": OUR_WHEEL,
        "pyodide/theirs.whl": THEIR_WHEEL,
        "vendor/pico.min.css": b"/* small */",
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    files = {name: {"bytes": len(content)} for name, content in contents.items()}
    manifest = {"build": "b1", "files": files, "boot": list(files)[:2]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """What the installed package brings."""
    folder = tmp_path / "js"
    folder.mkdir()
    (folder / "bridge.js").write_text("// bridge")
    return folder


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of compressed copies, which takes a while to fill."""
    return tmp_path_factory.mktemp("compressed")


@pytest.fixture
def browser(site: Path, scripts: Path, compressed: Path) -> httpx.AsyncClient:
    """Asks the application without a socket."""
    files = StaticFiles(site, scripts, compressed)
    return httpx.AsyncClient(transport=httpx.ASGITransport(files), base_url="http://demo")


def test_servers_that_start_at_the_same_time_share_the_compressed_copies(
    site: Path, scripts: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: StaticFiles(site, scripts, cache), range(8)))
    kept = {path.suffix for path in cache.iterdir() if path.name != "lock"}
    assert kept == {".br", ".gz"}


@pytest.mark.parametrize("path", ["/", "/boot.js", "/sw.js", "/nothing-here"])
async def test_every_reply_carries_the_policy(browser: httpx.AsyncClient, path: str) -> None:
    reply = await browser.get(path)
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ")
    assert "unsafe-inline" not in policy
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_page_names_versioned_files_that_never_change(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    named = re.findall(r'(?:src|href)="(/[^"#]*)"', page.text)
    assert len(named) >= 8
    for path in (path for path in named if "/vendor/" not in path):
        reply = await browser.get(path)
        assert (reply.status_code, "immutable" in reply.headers["Cache-Control"]) == (200, True)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/pyodide/pyodide.mjs", "text/javascript; charset=utf-8"),
        ("/pyodide/pyodide.asm.wasm", "application/wasm"),
        ("/app.webmanifest", "application/manifest+json"),
        ("/atiha/bridge.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_media_types(browser: httpx.AsyncClient, path: str, media_type: str) -> None:
    assert (await browser.get(path)).headers["Content-Type"] == media_type


@pytest.mark.parametrize(
    ("understood", "coding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("identity", None), ("abr", None)],
)
@pytest.mark.parametrize(
    ("path", "body"), [("ours.whl", OUR_WHEEL), ("pyodide.asm.wasm", WASM)], ids=["wheel", "wasm"]
)
async def test_what_is_large_travels_as_small_as_is_understood(
    browser: httpx.AsyncClient, understood: str, coding: str | None, path: str, body: bytes
) -> None:
    headers = {"Accept-Encoding": understood}
    async with browser.stream("GET", f"/pyodide/{path}", headers=headers) as reply:
        raw = b"".join([part async for part in reply.aiter_raw()])
    assert reply.headers.get("Content-Encoding") == coding
    decoded = {"br": brotli.decompress, "gzip": gzip.decompress}.get(coding or "", bytes)(raw)
    assert decoded == body


async def test_what_is_compressed_by_itself_travels_as_it_is(browser: httpx.AsyncClient) -> None:
    reply = await browser.get("/pyodide/theirs.whl")
    assert (reply.headers.get("Content-Encoding"), reply.content) == (None, THEIR_WHEEL)


async def test_what_did_not_change_is_not_sent_again(browser: httpx.AsyncClient) -> None:
    tag = (await browser.get("/films.json")).headers["ETag"]
    reply = await browser.get("/films.json", headers={"If-None-Match": tag})
    assert (reply.status_code, reply.content) == (304, b"")


async def test_what_the_service_worker_keeps_is_there(browser: httpx.AsyncClient) -> None:
    listed = (await browser.get("/assets.json")).json()
    assert not any(path.startswith("/api") for path in listed["keep"])
    for path in [*listed["keep"], listed["app"], *(file["url"] for file in listed["download"])]:
        assert (await browser.get(path)).status_code == 200


async def test_only_reading_is_possible(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/")).status_code == 405
