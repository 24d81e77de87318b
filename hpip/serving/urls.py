# SPDX-License-Identifier: Apache-2.0
"""Fetches images by URL in the front process, if the server allows it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from hpip.errors import InvalidInputError
from hpip.inputs.fetch import UrlPolicy, fetch_url
from hpip.serving.problems import RequestError
from hpip.serving.settings import ServingSettings

_FETCHERS = 8


class UrlFetcher:
    """Fetches the URLs of requests, a limited number at a time."""

    def __init__(self, settings: ServingSettings) -> None:
        self._allowed = settings.allow_url_input
        self._policy = UrlPolicy(
            max_bytes=settings.max_body_bytes,
            timeout_s=settings.url_timeout_s,
            allowed_hosts=settings.url_hosts,
            public_only=True,
            private_hosts=settings.private_url_hosts,
        )
        self._executor = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch")

    async def fetch(self, url: str) -> bytes:
        """Download the content of a URL.

        Raises:
            RequestError: 403 if the server does not allow URLs, 422 if this one failed.
        """
        if not self._allowed:
            raise RequestError(
                403,
                "This server does not accept URLs, because it was started without"
                " --allow-url-input. Send the image in base64.",
            )
        loop = asyncio.get_running_loop()
        try:
            body = await loop.run_in_executor(self._executor, fetch_url, url, self._policy)
        except InvalidInputError as error:
            raise RequestError(422, str(error)) from None
        return body.data

    def close(self) -> None:
        """Cancel the fetches that have not started."""
        self._executor.shutdown(wait=False, cancel_futures=True)
