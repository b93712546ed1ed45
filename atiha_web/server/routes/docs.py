"""``/docs``: the API to read and try, from this origin alone (no CDN) and without inline script."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles

from atiha_web.server.errors import ServerError

_OWN = Path(__file__).parents[1] / "static"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>atiha-web API</title>
<link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<script src="/docs/assets/swagger-ui-bundle.js" defer></script>
<script src="/docs/own/docs.js" data-openapi="/openapi.json" defer></script>
<div id="docs"></div>
</html>
"""


def add_docs(app: FastAPI) -> None:
    """Serve the page and its files."""
    app.mount("/docs/assets", StaticFiles(directory=_swagger_files()), name="docs-assets")
    app.mount("/docs/own", StaticFiles(directory=_OWN), name="docs-own")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(_PAGE, media_type="text/html")


def _swagger_files() -> Path:
    """The folder of Swagger UI's own files, which the ``fastapi-offline`` wheel carries."""
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise ServerError("fastapi-offline is missing: install atiha-web[server]")
    return Path(spec.origin).parent / "static"
