"""JupyterLite's files as the browser gets them, below /lab."""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from demo.static_files import SECURITY, Asset

START = "/lab/index.html?path=atiha_web.ipynb"
POLICY = (
    "default-src 'none'",
    # A notebook is there to run code. JupyterLab compiles its schemas, Vega its formulas, and what
    # a cell displays as JavaScript runs too. The hashes are of the scripts inside the document.
    "script-src 'self' 'unsafe-eval' {hashes}",
    # JupyterLab styles its widgets from scripts.
    "style-src 'self' 'unsafe-inline'",
    # What keeps a notebook, whatever it runs, from sending anything elsewhere.
    "connect-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "manifest-src 'self'",
    "worker-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


class LabFiles:
    """An ASGI application over the folder that `demo.assets.build_lab` made.

    Files are read when they are first asked for: a visit needs a third of them.

    Args:
        folder: JupyterLite.
        pyodide: The path of pyodide.mjs on this origin, beside its lock files and wheels.
        cache: A folder for compressed copies.
    """

    def __init__(self, folder: Path, pyodide: str, cache: Path) -> None:
        files = (file for file in folder.rglob("*") if file.is_file())
        self._paths = {f"/{file.relative_to(folder).as_posix()}": file for file in files}
        self._pyodide = pyodide.removesuffix("pyodide.mjs")
        self._cache = cache
        self._read: dict[str, _File] = {}
        cache.mkdir(parents=True, exist_ok=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request, path = Request(scope), scope["path"].removeprefix(scope["root_path"])
        if path in self._paths and path not in self._read:
            self._read[path] = await run_in_threadpool(self._file, path)
        response = self._answer(request, path)
        policy = self._read[path].policy if path in self._read else _policy(b"")
        response.headers.update({**SECURITY, "Content-Security-Policy": policy})
        await response(scope, receive, send)

    def _answer(self, request: Request, path: str) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response("Only GET and HEAD here.", 405, {"Allow": "GET, HEAD"})
        if path in {"", "/"}:
            return RedirectResponse(request.scope["root_path"] + START)
        if path in self._read:
            return self._read[path].asset.response(request.headers, "no-cache")
        return Response("There is no such file.", 404, {"Cache-Control": "no-cache"})

    def _file(self, path: str) -> "_File":
        body = self._paths[path].read_bytes()
        if path == "/jupyter-lite.json":
            body = body.replace(b'"/pyodide/', f'"{self._pyodide}'.encode())
        policy = _policy(body if path.endswith(".html") else b"")
        return _File(Asset.of(path, body, self._cache), policy)


@dataclass(frozen=True)
class _File:
    asset: Asset
    policy: str


def _policy(document: bytes) -> str:
    """The policy that lets the scripts inside a document run."""
    scripts = re.findall(rb"<script>(.*?)</script>", document, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
    return "; ".join(POLICY).format(hashes=" ".join(f"'sha256-{name}'" for name in digests))
