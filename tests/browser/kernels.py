"""Pages whose workers run Python, for tests of the worker backend."""

import json
import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from demo.assets import Site
from tests.browser.servers import OriginServer, Request, Response

HERE = Path(__file__).parent
HARNESS = HERE / "worker_harness.py"
SERVE = '<script src="/atiha/serve.js"></script>'
JAVASCRIPT = "text/javascript"
PAGE = "<!doctype html><title>Kernels</title><link rel=icon href=data:,>{head}<body></body>"


def add_routes(server: OriginServer, site: Site) -> None:
    """Serve this package's scripts out of the wheel, and pages that start workers."""
    with ZipFile(site.wheel) as wheel:
        scripts = {
            f"/atiha/{name}": wheel.read(f"atiha_web/js/{name}")
            for name in ("bridge.js", "serve.js")
        }
    scripts |= {f"/{path.name}": path.read_bytes() for path in HERE.glob("*.mjs")}
    for path, body in scripts.items():
        add_file(server, path, body, JAVASCRIPT)
    kernels = '<script type="module" src="/kernels.mjs"></script>'
    add_file(server, "/serving.html", PAGE.format(head=SERVE + kernels), "text/html")
    add_file(server, "/twice.html", PAGE.format(head=SERVE + SERVE), "text/html")
    add_file(server, "/alone.html", PAGE.format(head=kernels), "text/html")


def add_file(
    server: OriginServer, path: str, body: str | bytes, kind: str, policy: str = ""
) -> None:
    """Answer a GET with a file."""
    content = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": kind, "Content-Security-Policy": policy}
    server.routes["GET", path] = lambda _: Response(200, content, headers)


def add_older_release(server: OriginServer) -> str:
    """Serve `/old.html`, which serves kernels of a release before this one; returns the path."""
    for name in ("bridge.js", "serve.js"):
        now = server.routes["GET", f"/atiha/{name}"](Request("GET", name, {}, b"")).body
        add_file(server, f"/old/{name}", re.sub(rb"VERSION = \d+", b"VERSION = 1", now), JAVASCRIPT)
    head = SERVE.replace("/atiha/", "/old/")
    add_file(server, "/old.html", PAGE.format(head=head), "text/html")
    return "/old.html"


@pytest.fixture
def kernel_pages(origin_server: OriginServer, site: Site) -> str:
    """The origin of `serving.html`, which serves kernels, and of `alone.html`, which does not."""
    add_routes(origin_server, site)
    return origin_server.url


class SeleniumKernel:
    """One worker of the page that pytest-pyodide keeps open."""

    def __init__(self, selenium: Any) -> None:
        self._selenium = selenium
        selenium.run_js(
            """
            const script = document.createElement("script");
            script.src = "/atiha/serve.js";
            document.head.append(script);
            await import("/kernels.mjs");
            globalThis.kernel ??= kernels.start();
            """
        )

    def run(self, code: str) -> Any:
        """Run Python there; the harness can be imported."""
        files = {HARNESS.name: HARNESS.read_text("utf-8")}
        return self._selenium.run_js(
            f"return await kernel.run({json.dumps(code)}, {json.dumps(files)})"
        )


@pytest.fixture
def kernel(selenium: Any, kernel_pages: str) -> SeleniumKernel:
    """A worker that all tests of a module share, on a page that serves it."""
    return SeleniumKernel(selenium)
