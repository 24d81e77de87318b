# SPDX-License-Identifier: Apache-2.0
"""The page at `/`: plain files, and one of the demo's pictures to try it with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response

_FOLDER = Path(__file__).parent / "page"
_SAMPLE = Path(__file__).parents[1] / "demo" / "scene_0013.jpg"
# Not from the system's table, which may lack them or have others.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    # The browser asks whether the file has changed: it must not mix those of two releases.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' blob: data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_page(app: FastAPI) -> None:
    """Add a route for each file; every other path stays unknown, and every other method refused."""
    files = {file.name: file for file in _FOLDER.iterdir() if file.suffix in _MEDIA_TYPES}
    files |= {"": files.pop("index.html"), "sample.jpg": _SAMPLE}
    for name, file in files.items():
        app.add_route(f"/{name}", _sender(file), include_in_schema=False)


def _sender(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return FileResponse(file, headers=_HEADERS, media_type=_MEDIA_TYPES[file.suffix])

    return send
