# SPDX-License-Identifier: Apache-2.0
"""An HTTP service with PaddleX's `/instance-segmentation` as a contender."""

from __future__ import annotations

import base64
import functools
import http.client
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hpip.bench.contenders.channel import RunTimer, memory, serve
from hpip.bench.contenders.load import run_load

_PATH = "/instance-segmentation"


class UrlContender:
    """Handles requests by HTTP calls; each thread has its own connection."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._host = ""
        self._prefix = ""
        self._secure = False
        self._timeout_s = 60.0
        self._threshold: float | None = None

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Store the address; the service has loaded the model already."""
        parts = urlsplit(request["url"])
        self._host, self._prefix = parts.netloc, parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._timeout_s = request["http_timeout_s"]
        self._threshold = request["threshold"]
        return {"load_ms": None, "explanation": f"runs:    {request['url']}"}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a timed call; the images of a batch are sent one after the other."""
        timer = RunTimer()
        for image in request["images"]:
            self._post(image)
        return {"wall_ms": timer.wall_ms(), "cpu_ms": None, "stages_ms": {}}

    def load_test(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a load test; see `hpip.bench.contenders.load`."""
        return run_load(self._post, request)

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Handlers of all requests that this contender supports."""
        return {
            "load": self.load,
            "run": self.run,
            "load_test": self.load_test,
            "memory": memory,
        }

    def _post(self, image: str) -> None:
        body = _body(image, self._threshold)
        connection = self._connection()
        try:
            connection.request("POST", self._prefix + _PATH, body, _HEADERS)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self._here.connection = None
            raise
        if response.status != 200:
            raise RuntimeError(f"HTTP {response.status}: {answer[:200].decode(errors='replace')}")
        # Parsing the response is part of the latency of a caller.
        json.loads(answer)

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._here, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            connection = self._here.connection = kind(self._host, timeout=self._timeout_s)
        return connection


_HEADERS = {"Content-Type": "application/json"}


@functools.lru_cache(maxsize=64)
def _body(image: str, threshold: float | None) -> bytes:
    """The request body; it is cached, because encoding is not part of the service's latency."""
    content: dict[str, Any] = {"image": base64.b64encode(Path(image).read_bytes()).decode("ascii")}
    if threshold is not None:
        content["threshold"] = threshold
    return json.dumps(content).encode()


if __name__ == "__main__":
    serve(UrlContender().handlers())
