"""The page's files as the browser gets them: versioned paths, compression, security headers.

A file is served twice: under its own path, always revalidated, and below `/v/<version>/`, where it
never changes. index.html and the style sheets name the versioned paths, so that a visit never
mixes two versions of the page.
"""

import gzip
import hashlib
import io
import json
import mimetypes
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import brotli
from filelock import FileLock
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PAGE = Path(__file__).parent / "page"
REWRITTEN = {".html", ".css", ".webmanifest"}
# Archives are built uncompressed; as one text they take less than file by file.
COMPRESSED = {
    ".css",
    ".html",
    ".js",
    ".json",
    ".mjs",
    ".svg",
    ".wasm",
    ".webmanifest",
    ".whl",
    ".zip",
}
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".whl": "application/zip",
    ".woff2": "font/woff2",
}
POLICY = (
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
SECURITY = {
    "Content-Security-Policy": "; ".join(POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
WORTHWHILE = 0.9
"""What is not smaller than this after compression is sent as it is."""
LARGE = 500_000
"""From here on the best that Brotli can would take minutes, for a tenth less."""
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file in memory, compressed once where that makes it smaller."""

    body: bytes
    media_type: str
    tag: str
    encoded: Mapping[str, bytes]
    """By content coding, the smallest first."""

    @classmethod
    def of(cls, path: str, body: bytes, cache: Path) -> "Asset":
        """Keep `body`; its compressed form stays in the folder `cache` for the next start."""
        suffix = Path(path).suffix
        media_type = MEDIA_TYPES.get(suffix) or mimetypes.guess_type(path)[0]
        digest = _digest(body)
        encoded = {}
        if suffix in COMPRESSED:
            gzipped = _compressed(body, _gzip, cache / f"{digest}.gz")
            if len(gzipped) <= WORTHWHILE * len(body):
                smaller = _compressed(body, _brotli, cache / f"{digest}.br")
                encoded = {"br": smaller, "gzip": gzipped}
        return cls(body, media_type or "application/octet-stream", f'W/"{digest}"', encoded)

    @property
    def sent(self) -> int:
        """How many bytes travel to who understands all codings."""
        return len(next(iter(self.encoded.values()), self.body))

    def response(self, request: Headers, cache_control: str) -> Response:
        """Answer a GET with the headers `request`."""
        headers = {"ETag": self.tag, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        if self.tag in request.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body = self.body
        understood = re.findall(r"[\w-]+", request.get("accept-encoding", ""))
        coding = next((each for each in self.encoded if each in understood), None)
        if coding is not None:
            body = self.encoded[coding]
            headers["Content-Encoding"] = coding
        return Response(body, headers=headers, media_type=self.media_type)


class StaticFiles:
    """An ASGI application over the page in this folder and the assets that were built for it.

    Args:
        site: The folder that `demo.assets` built, with its manifest.json.
        scripts: The folder of JavaScript that the installed package brings, served as /atiha/….
        cache: A folder for compressed copies.
    """

    def __init__(self, site: Path, scripts: Path, cache: Path) -> None:
        manifest = json.loads((site / "manifest.json").read_text("utf-8"))
        named = (name for name in manifest["files"] if not name.startswith("pyscript/"))
        built = {name: (site / name).read_bytes() for name in named}
        page = {file.name: file.read_bytes() for file in PAGE.iterdir() if file.is_file()}
        page |= {f"atiha/{file.name}": file.read_bytes() for file in scripts.glob("*.js")}
        page["app.zip"] = _archive(PAGE / "app")
        version = _digest(
            *(part for item in sorted(page.items()) for part in item), manifest["build"]
        )
        versioned = {f"/{name}": f"/v/{version}/{name}" for name in page if name != "index.html"}
        versioned |= {f"/{name}": f"/v/{manifest['build']}/{name}" for name in built}
        for name, body in page.items():
            if Path(name).suffix in REWRITTEN:
                page[name] = _with_versions(body, versioned)
        versioned["/assets.json"] = f"/v/{version}/assets.json"
        cache.mkdir(parents=True, exist_ok=True)
        files = {f"/{name}": Asset.of(name, body, cache) for name, body in (built | page).items()}
        listed = _asset_list(version, versioned, files, manifest["boot"], built)
        files["/assets.json"] = Asset.of("assets.json", listed, cache)
        self._current = {**files, "/": files["/index.html"]}
        self._versioned = versioned
        self._forever = {versioned[path]: file for path, file in files.items() if path in versioned}

    def forever(self, path: str) -> str:
        """The path under which a file, given by its own path, never changes."""
        return self._versioned[path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        response = self._answer(request)
        response.headers.update(SECURITY)
        await response(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return Response("Only GET and HEAD here.", 405, {"Allow": "GET, HEAD"})
        path = request.url.path
        if asset := self._forever.get(path):
            return asset.response(request.headers, FOREVER)
        if asset := self._current.get(path):
            return asset.response(request.headers, "no-cache")
        return Response("There is no such page.", 404, {"Cache-Control": "no-cache"})


def _asset_list(
    version: str,
    versioned: Mapping[str, str],
    files: Mapping[str, Asset],
    boot: Iterable[str],
    built: Iterable[str],
) -> bytes:
    """What boot.js loads and sw.js keeps."""
    started = [f"/{name}" for name in boot]
    not_kept = {f"/{name}" for name in built} | {"/sw.js"}
    page = [path for path in versioned if path not in not_kept]
    vendored = [path for path in versioned if path.startswith("/vendor/")]
    listed = {
        "version": version,
        "pyodide": versioned["/pyodide/pyodide.mjs"].removesuffix("pyodide.mjs"),
        "packages": ["atiha-web"],
        "app": versioned["/app.zip"],
        "download": [
            {"url": versioned[path], "bytes": len(files[path].body), "sent": files[path].sent}
            for path in started
        ],
        "keep": [
            "/",
            "/atiha/bridge.js",
            *(versioned[path] for path in [*page, *started, *vendored]),
        ],
    }
    return json.dumps(listed).encode()


def _with_versions(body: bytes, versioned: Mapping[str, str]) -> bytes:
    def replace(match: re.Match[str]) -> str:
        return f'"{versioned.get(match[1], match[1])}"'

    return re.sub(r'"(/[\w./-]+)"', replace, body.decode()).encode()


def _archive(package: Path) -> bytes:
    """The Python of the page as a zip that is the same for the same sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.rglob("*.py")):
            name = file.relative_to(package.parent).as_posix()
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())
    return buffer.getvalue()


def _digest(*parts: bytes | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)


def _brotli(body: bytes) -> bytes:
    compressed: bytes = brotli.compress(body, quality=7 if len(body) >= LARGE else 11)
    return compressed


def _compressed(body: bytes, compress: Callable[[bytes], bytes], kept: Path) -> bytes:
    if not kept.exists():
        # Two servers of one checkout may start at the same time: the second waits for the first.
        with FileLock(kept.with_name("lock")):
            if not kept.exists():
                fresh = kept.with_name(f"{kept.name}.new")
                fresh.write_bytes(compress(body))
                fresh.rename(kept)
    return kept.read_bytes()
