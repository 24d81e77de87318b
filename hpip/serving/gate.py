# SPDX-License-Identifier: Apache-2.0
"""Restricts requests to allowed host names and to web pages of allowed origins.

Any web page can make a browser send requests, even to servers that only this machine can reach. The
Host header reveals a page whose own domain resolves to this server (DNS rebinding); the Origin
header reveals all other pages.
"""

from __future__ import annotations

import ipaddress
import re

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hpip.serving.problems import failure_response
from hpip.serving.settings import ServingSettings

ANY = "*"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::\d*)?")
_DEFAULT_PORT = re.compile(r":(?:80|443)?$")
# Not those of the web pages, which load their files by relative paths.
_PATHS_WITH_SLASH = frozenset(
    {"/instance-segmentation/", "/health/", "/health/ready/", "/metrics/"}
)
_READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PREFLIGHT_AGE_S = 600


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(settings: ServingSettings) -> frozenset[str] | None:
    """Return the allowed values of the Host header; None allows all."""
    if ANY in settings.allowed_hosts:
        return None
    if not settings.allowed_hosts and not is_loopback(settings.host):
        return None
    return settings.allowed_hosts | _LOOPBACK_NAMES | {settings.host.lower()}


class Gate:
    """ASGI middleware that rejects requests with a Host or an Origin that is not allowed.

    Requests from the origins in `cors_origins` get CORS headers, so that the page can read the
    response. The middleware also removes a trailing slash from the API's paths.
    """

    def __init__(self, app: ASGIApp, settings: ServingSettings) -> None:
        self._app = app
        self._hosts = allowed_hosts(settings)
        self._origins = settings.cors_origins
        self._for_pages = CORSMiddleware(
            app,
            allow_origins=sorted(settings.cors_origins),
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Server-Timing", "Retry-After"],
            max_age=_PREFLIGHT_AGE_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        problem = self._problem(request)
        if problem is not None:
            await failure_response(request, 403, problem)(scope, receive, send)
            return
        if scope["path"] in _PATHS_WITH_SLASH:
            scope = {**scope, "path": scope["path"].rstrip("/")}
        app = self._for_pages if self._is_named(request.headers.get("origin")) else self._app
        await app(scope, receive, send)

    def _problem(self, request: Request) -> str | None:
        host = request.headers.get("host")
        if self._hosts is not None and host is not None and _name(host) not in self._hosts:
            return (
                f"Host: the name {host[:100]!r} is not allowed for this server. To allow it, start"
                " the server with --allowed-host NAME."
            )
        origin = request.headers.get("origin")
        if origin is None or request.method in _READING_METHODS or self._is_named(origin):
            return None
        # A proxy may have terminated TLS, so the scheme is not compared.
        own = _DEFAULT_PORT.sub("", host or "")
        if own and own == _DEFAULT_PORT.sub("", origin.partition("://")[2]):
            return None
        return (
            f"Origin: pages of {origin[:100]!r} may not send requests to this server. To allow"
            " them, start the server with --cors-origin ORIGIN."
        )

    def _is_named(self, origin: str | None) -> bool:
        return origin is not None and (ANY in self._origins or origin in self._origins)


def _name(host: str) -> str | None:
    """Return a Host header without port and brackets, or None if it is not valid."""
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return None
    return (match[1] if match[2] is None else match[2]).rstrip(".")
