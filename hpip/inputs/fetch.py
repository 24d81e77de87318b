# SPDX-License-Identifier: Apache-2.0
"""Downloads an image from a URL, within limits that the caller sets.

Without limits, an untrusted URL can make a server send requests to its own network, or block it
forever: see `UrlPolicy`. (PaddleX 3.7 has no size limit and no timeout, and ignores the HTTP
status.)
"""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.parse import urlsplit

from hpip.errors import InvalidInputError
from hpip.inputs.deadline import Deadline
from hpip.inputs.public_hosts import Network, WatchedHttpHandler

# Larger than any image that improves a model's results: an uncompressed 4K TIFF has 25 MB, and a
# JPEG of 100 megapixels at quality 95 about 50 MB.
DEFAULT_MAX_BYTES = 64 * 1024 * 1024
DEFAULT_TIMEOUT_S = 10.0
_CHUNK_BYTES = 64 * 1024
_HEADERS = {"User-Agent": "hpip", "Accept": "image/*,*/*"}
# Maximum length of a URL or of a server's text in a message.
_MOST_SHOWN_CHARS = 300


@dataclass(frozen=True)
class UrlPolicy:
    """Limits for downloads from URLs.

    Attributes:
        max_bytes: maximum size of the response body.
        timeout_s: time limit for the whole download, from the DNS lookup to the last byte of the
            body, including redirects.
        allowed_hosts: host names (lower case, without port) that hpip may connect to, including
            redirects; None for all.
        public_only: reject hosts with a private, loopback, link-local or other non-public address,
            also for redirects, and use no proxy. Servers should set it: without it, the sender of a
            URL can reach every host that the server can reach.
        private_hosts: host names and addresses (lower case) that `public_only` permits.
        max_redirects: maximum number of redirects to follow.
    """

    max_bytes: int = DEFAULT_MAX_BYTES
    timeout_s: float = DEFAULT_TIMEOUT_S
    allowed_hosts: frozenset[str] | None = None
    public_only: bool = False
    private_hosts: frozenset[str] = frozenset()
    max_redirects: int = 5

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or not self.timeout_s > 0:
            raise InvalidInputError(
                "UrlPolicy: expected max_bytes of at least 1 and timeout_s above 0; received"
                f" {self.max_bytes} and {self.timeout_s}. Correct the values."
            )

    def check(self, url: str) -> None:
        """Validate that a URL is http or https, and that its host is allowed.

        Raises:
            InvalidInputError: the URL is malformed, has another scheme, or its host is not allowed.
        """
        shown = _shortened(url)
        try:
            parts = urlsplit(url)
            host = parts.hostname
            # Raises ValueError if the port is not valid.
            _ = parts.port
        except ValueError as error:
            raise InvalidInputError(
                f"{shown}: not a valid URL: {_shortened(str(error))}. Correct the URL."
            ) from error
        if parts.scheme.lower() not in ("http", "https") or not host:
            raise InvalidInputError(
                f"{shown}: expected an http or https URL with a host; received the scheme"
                f" {_shortened(parts.scheme)!r}. Download the file and pass its path."
            )
        if parts.username is not None:
            raise InvalidInputError(
                f"{shown}: expected a URL without a user name. Remove the user name from the URL."
            )
        if self.allowed_hosts is not None and host not in self.allowed_hosts:
            raise InvalidInputError(
                f"{shown}: host {_shortened(host)!r} is not allowed; allowed hosts:"
                f" {', '.join(sorted(self.allowed_hosts)) or 'none'}. If you trust the host, add it"
                " to UrlPolicy.allowed_hosts."
            )


@dataclass(frozen=True)
class FetchedBody:
    """Body and content type (lower case) of a successful response."""

    data: bytes
    content_type: str


def fetch_url(url: str, policy: UrlPolicy) -> FetchedBody:
    """Download `url` within the limits of `policy`.

    Raises:
        InvalidInputError: the URL is not allowed or not reachable, the HTTP status is not 200, or
            the body is too large, too slow or truncated; chained from the cause.
    """
    policy.check(url)
    shown = _shortened(url)
    with Deadline(policy.timeout_s) as deadline:
        try:
            request = urllib.request.Request(url, headers=_HEADERS)
            with _opener(policy, deadline).open(request, timeout=policy.timeout_s) as response:
                body = _read_body(response, shown, policy)
        except InvalidInputError as error:
            # After `Deadline` shuts a connection down, it looks as if the server had closed it.
            if deadline.has_passed:
                raise _too_slow(shown, policy) from error
            raise
        except urllib.error.HTTPError as error:
            # The error is also the open response.
            error.close()
            raise InvalidInputError(
                f"{shown}: expected HTTP status 200; received HTTP {error.code}"
                f" {_shortened(str(error.reason))}. Check the URL, or download the file and pass"
                " its path."
            ) from error
        except Exception as error:
            # Besides OSError and HTTPException, urllib raises ValueError, OverflowError,
            # UnicodeError and others for invalid responses and URLs. None may abort other inputs.
            timed_out = isinstance(getattr(error, "reason", error), TimeoutError)
            if timed_out or deadline.has_passed:
                raise _too_slow(shown, policy) from error
            raise InvalidInputError(
                f"{shown}: can't be downloaded: {_shortened(str(error))}. Check the URL and the"
                " network, or download the file and pass its path."
            ) from error
        if deadline.has_passed:
            # `Deadline` may have shut the connection down, which looks like the end of the body.
            raise _too_slow(shown, policy)
        return body


def _opener(policy: UrlPolicy, deadline: Deadline) -> urllib.request.OpenerDirector:
    """An opener without urllib's handlers for file, ftp and data URLs."""
    opener = urllib.request.OpenerDirector()
    network = Network(deadline, public_only=policy.public_only, private_hosts=policy.private_hosts)
    connecting: tuple[urllib.request.BaseHandler, ...] = (WatchedHttpHandler(network),)
    if not policy.public_only:
        # A proxy resolves host names itself, and could connect to non-public addresses.
        connecting = (urllib.request.ProxyHandler(), *connecting)
    for handler in (
        *connecting,
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        _CheckedRedirects(policy),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Validates every redirect against the policy before urllib follows it."""

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy
        self._redirects_left = policy.max_redirects

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for `newurl`; urllib calls this for every redirect.

        Raises:
            InvalidInputError: the policy does not allow the URL, or there are too many redirects.
        """
        # Otherwise urllib reads the whole body of the redirect response, whatever its size.
        fp.close()
        shown = _shortened(req.full_url)
        self._redirects_left -= 1
        if self._redirects_left < 0:
            raise InvalidInputError(
                f"{shown}: redirected more than {self._policy.max_redirects} times. Download the"
                " file and pass its path."
            )
        try:
            self._policy.check(newurl)
        except InvalidInputError as error:
            raise InvalidInputError(f"{shown}: the redirect is not allowed: {error}") from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read_body(response: HTTPResponse, url: str, policy: UrlPolicy) -> FetchedBody:
    if response.status != 200:
        raise InvalidInputError(
            f"{url}: expected HTTP status 200; received HTTP {response.status}"
            f" {_shortened(response.reason)}. Check the URL, or download the file and pass its"
            " path."
        )
    # Read before the body, because http.client decreases `length` while the body is read.
    declared_bytes = response.length
    if declared_bytes is not None and declared_bytes > policy.max_bytes:
        raise _too_large(url, policy, f"{declared_bytes} bytes")
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > policy.max_bytes:
            raise _too_large(url, policy, "more")
    # `read1` does not raise an error if the connection closes early.
    if declared_bytes is not None and len(body) < declared_bytes:
        raise InvalidInputError(
            f"{url}: the connection closed after {len(body)} of {declared_bytes} bytes. Try again."
        )
    return FetchedBody(bytes(body), response.headers.get_content_type())


def _too_large(url: str, policy: UrlPolicy, received: str) -> InvalidInputError:
    return InvalidInputError(
        f"{url}: too large: expected at most {policy.max_bytes} bytes; received {received}. Raise"
        " UrlPolicy.max_bytes, or download the file and pass its path."
    )


def _too_slow(url: str, policy: UrlPolicy) -> InvalidInputError:
    return InvalidInputError(
        f"{url}: no complete response within {policy.timeout_s:g} s. Raise UrlPolicy.timeout_s, or"
        " download the file and pass its path."
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN_CHARS else f"{text[:_MOST_SHOWN_CHARS]}..."
