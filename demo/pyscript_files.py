"""The page for PyScript as the browser gets it, below /pyscript."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from demo.static_files import SECURITY, Asset

PAGE = Path(__file__).parent / "pyscript"
POLICY = (
    "default-src 'none'",
    # PyScript makes functions and workers out of text; what they import is of this origin.
    "script-src 'self' 'unsafe-eval'",
    "worker-src 'self' blob:",
    # PyScript hides its own elements by a style sheet it writes.
    "style-src 'self' 'unsafe-inline'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


class PyScriptFiles:
    """An ASGI application over demo/pyscript and PyScript itself.

    Args:
        core: The folder of PyScript's own files.
        cache: A folder for compressed copies.
    """

    def __init__(self, core: Path, cache: Path) -> None:
        files = {f"/{file.name}": file for file in PAGE.iterdir() if file.is_file()}
        files |= {f"/core/{file.name}": file for file in core.iterdir()}
        cache.mkdir(parents=True, exist_ok=True)
        self._files = {
            path: Asset.of(path, file.read_bytes(), cache) for path, file in files.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = self._answer(Request(scope), scope["path"].removeprefix(scope["root_path"]))
        response.headers.update({**SECURITY, "Content-Security-Policy": "; ".join(POLICY)})
        await response(scope, receive, send)

    def _answer(self, request: Request, path: str) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response("Only GET and HEAD here.", 405, {"Allow": "GET, HEAD"})
        asset = self._files.get("/index.html" if path == "/" else path)
        if asset is None:
            return Response("There is no such file.", 404, {"Cache-Control": "no-cache"})
        return asset.response(request.headers, "no-cache")
