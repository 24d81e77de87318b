# SPDX-License-Identifier: Apache-2.0
"""The web pages `/` and `/docs`: files of this package and of fastapi-offline, and a sample image.

The files are read once and served from memory, and the pages load nothing from other hosts. The
script and the style of `/docs` are Swagger UI's (Apache-2.0), from the package fastapi-offline
(MIT).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

logger = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "page"
_SAMPLE = Path(__file__).parents[1] / "demo" / "scene_0013.jpg"
_SWAGGER_FILES = {"swagger-ui-bundle.js", "swagger-ui.css"}
# Not from the system's MIME table, which may be incomplete or differ.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' blob: data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    # The browser must revalidate each file, so that it never mixes those of two releases.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Swagger UI writes styles into its elements.
_DOCS_POLICY = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")


def add_page(app: FastAPI) -> None:
    """Add a route for each file."""
    files = {file.name: file.read_bytes() for file in _FOLDER.iterdir() if file.is_file()}
    files |= _swagger_files()
    if not files.keys() >= _SWAGGER_FILES:
        del files["docs.html"]
    files["sample.jpg"] = _SAMPLE.read_bytes()
    for name, content in files.items():
        suffix = Path(name).suffix
        if suffix not in _MEDIA_TYPES:
            continue
        path = {"index.html": "/", "docs.html": "/docs"}.get(name, f"/{name}")
        policy = _DOCS_POLICY if name == "docs.html" else _POLICY
        headers = {**_HEADERS, "Content-Security-Policy": policy}
        app.add_route(
            path, _sender(content, _MEDIA_TYPES[suffix], headers), include_in_schema=False
        )


def _swagger_files() -> dict[str, bytes]:
    try:
        folder = resources.files("fastapi_offline") / "static"
    except ModuleNotFoundError:
        logger.warning(
            "/docs is not available, because fastapi-offline is not installed. Install it: pip"
            " install 'hpip[serving]'"
        )
        return {}
    return {name: (folder / name).read_bytes() for name in _SWAGGER_FILES}


def _sender(
    content: bytes, media_type: str, headers: dict[str, str]
) -> Callable[[Request], Awaitable[Response]]:
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**headers, "ETag": etag}

    async def send(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if etag in (one.strip().removeprefix("W/") for one in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return send
