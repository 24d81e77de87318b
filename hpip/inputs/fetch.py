# SPDX-License-Identifier: Apache-2.0
"""Download of an image from a URL, within limits that the caller sets.

A server that fetches what strangers name can be led to its own network or kept busy for ever: see
`UrlPolicy`. (PaddleX 3.7 fetches without a size limit, a timeout or a look at the status.)
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

# More than any photo that the models gain from: an uncompressed 4K TIFF has 25 MB, a 100 megapixel
# JPEG at quality 95 about 50.
DEFAULT_MAX_BYTES = 64 * 1024 * 1024
DEFAULT_TIMEOUT_S = 10.0
_CHUNK_BYTES = 64 * 1024
_HEADERS = {"User-Agent": "hpip", "Accept": "image/*,*/*"}
# Of a URL, or of what a server said, in a message.
_MOST_SHOWN_CHARS = 300


@dataclass(frozen=True)
class UrlPolicy:
    """What may be fetched from a URL.

    Attributes:
        max_bytes: largest body.
        timeout_s: limit for the whole fetch, from looking up the host to the last byte of the
            body, redirects included.
        allowed_hosts: host names (lower case, without port) that may be asked, redirects
            included; None allows all.
        public_only: refuse hosts with a private, loopback, link-local or other address that is not
            public, on every redirect, and use no proxy. A server should set it: without it,
            whoever names the URL reaches every host that the server reaches.
        private_hosts: host names and addresses (lower case) that `public_only` lets through.
        max_redirects: redirects that are followed.
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
                "UrlPolicy: max_bytes must be at least 1 and timeout_s above 0, got"
                f" {self.max_bytes} and {self.timeout_s}"
            )

    def check(self, url: str) -> None:
        """Refuse a URL that is not http or https, or whose host is not allowed.

        Raises:
            InvalidInputError: names the URL and what is allowed.
        """
        shown = _shortened(url)
        try:
            parts = urlsplit(url)
            host = parts.hostname
            # Raises where there is no such port.
            _ = parts.port
        except ValueError as error:
            raise InvalidInputError(
                f"{shown}: not a URL: {_shortened(str(error))}. Correct it."
            ) from error
        if parts.scheme.lower() not in ("http", "https") or not host:
            raise InvalidInputError(
                f"{shown}: expected an http or https URL with a host, got scheme"
                f" {_shortened(parts.scheme)!r}. Download the file and pass its path."
            )
        if parts.username is not None:
            raise InvalidInputError(f"{shown}: expected a URL without a user name. Remove it.")
        if self.allowed_hosts is not None and host not in self.allowed_hosts:
            raise InvalidInputError(
                f"{shown}: host {_shortened(host)!r} is not allowed; allowed are:"
                f" {', '.join(sorted(self.allowed_hosts)) or 'none'}. Add it to"
                " UrlPolicy.allowed_hosts if you trust it."
            )


@dataclass(frozen=True)
class FetchedBody:
    """Body of a successful answer, and the type that the server gave it (lower case)."""

    data: bytes
    content_type: str


def fetch_url(url: str, policy: UrlPolicy) -> FetchedBody:
    """Download `url` within `policy`.

    Raises:
        InvalidInputError: not allowed, unreachable, an HTTP status other than 200, too large, too
            slow, or cut short; chained from the cause.
    """
    policy.check(url)
    shown = _shortened(url)
    with Deadline(policy.timeout_s) as deadline:
        try:
            request = urllib.request.Request(url, headers=_HEADERS)
            with _opener(policy, deadline).open(request, timeout=policy.timeout_s) as response:
                body = _read_body(response, shown, policy)
        except InvalidInputError as error:
            # A connection that was shut for its slowness looks as if the server had closed it.
            if deadline.has_passed:
                raise _too_slow(shown, policy) from error
            raise
        except urllib.error.HTTPError as error:
            # The error is also the open answer.
            error.close()
            raise InvalidInputError(
                f"{shown}: the server answered HTTP {error.code}"
                f" {_shortened(str(error.reason))}; expected 200. Check the URL, or download"
                " the file and pass its path."
            ) from error
        except Exception as error:
            # Beside OSError and HTTPException: ValueError, OverflowError, UnicodeError and more
            # come out of urllib for what a server or a URL says. None may end other inputs.
            timed_out = isinstance(getattr(error, "reason", error), TimeoutError)
            if timed_out or deadline.has_passed:
                raise _too_slow(shown, policy) from error
            raise InvalidInputError(
                f"{shown}: can't be fetched: {_shortened(str(error))}. Check the URL and the"
                " network, or download the file and pass its path."
            ) from error
        if deadline.has_passed:
            # The connection may have been shut, which looks like the body's end.
            raise _too_slow(shown, policy)
        return body


def _opener(policy: UrlPolicy, deadline: Deadline) -> urllib.request.OpenerDirector:
    """An opener without the file, ftp and data handlers of urllib's own."""
    opener = urllib.request.OpenerDirector()
    network = Network(deadline, public_only=policy.public_only, private_hosts=policy.private_hosts)
    connecting: tuple[urllib.request.BaseHandler, ...] = (WatchedHttpHandler(network),)
    if not policy.public_only:
        # A proxy would look names up again, and reach what must not be reached.
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
    """Holds every redirect against the policy before it is followed."""

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
        """The request that follows `newurl`; urllib calls it for every redirect.

        Raises:
            InvalidInputError: the policy forbids the address, or one redirect more.
        """
        # Now, or urllib reads the whole body of the redirect, however long it is.
        fp.close()
        shown = _shortened(req.full_url)
        self._redirects_left -= 1
        if self._redirects_left < 0:
            raise InvalidInputError(
                f"{shown}: redirected more than {self._policy.max_redirects} times."
            )
        try:
            self._policy.check(newurl)
        except InvalidInputError as error:
            raise InvalidInputError(f"{shown}: redirected, and refused: {error}") from error
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read_body(response: HTTPResponse, url: str, policy: UrlPolicy) -> FetchedBody:
    if response.status != 200:
        raise InvalidInputError(
            f"{url}: the server answered HTTP {response.status} {_shortened(response.reason)};"
            " expected 200."
        )
    # Asked before the body is read: http.client counts it down.
    announced_bytes = response.length
    if announced_bytes is not None and announced_bytes > policy.max_bytes:
        raise _too_large(url, policy, f"{announced_bytes} bytes")
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > policy.max_bytes:
            raise _too_large(url, policy, "more")
    # read1 does not complain about a connection that closes early.
    if announced_bytes is not None and len(body) < announced_bytes:
        raise InvalidInputError(
            f"{url}: the connection closed after {len(body)} of {announced_bytes} bytes. Try again."
        )
    return FetchedBody(bytes(body), response.headers.get_content_type())


def _too_large(url: str, policy: UrlPolicy, received: str) -> InvalidInputError:
    return InvalidInputError(
        f"{url}: too large: expected at most {policy.max_bytes} bytes, got {received}. Raise"
        " UrlPolicy.max_bytes, or download the file and pass its path."
    )


def _too_slow(url: str, policy: UrlPolicy) -> InvalidInputError:
    return InvalidInputError(
        f"{url}: no whole answer within {policy.timeout_s:g} s. Raise UrlPolicy.timeout_s, or"
        " download the file and pass its path."
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN_CHARS else f"{text[:_MOST_SHOWN_CHARS]}..."
