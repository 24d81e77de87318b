# SPDX-License-Identifier: Apache-2.0
"""Opens connections for downloads within a deadline, optionally to public addresses only.

A host name is resolved once, all of its addresses are checked, and the connection goes to a checked
address. This prevents DNS rebinding: a name that resolves first to a public and then to a private
address.
"""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import urllib.request
from collections.abc import Collection
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any

from hpip.errors import InvalidInputError
from hpip.inputs.deadline import Deadline

# NAT64: IPv6 addresses whose last 32 bits are an IPv4 address, which gateways translate to.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def is_public(address: str) -> bool:
    """Whether an IPv4 or IPv6 address is reachable on the public internet.

    False for private, loopback, link-local, multicast, reserved and unspecified addresses, even if
    embedded in an IPv6 address (IPv4-mapped, 6to4, Teredo, NAT64).
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in network for network in _NAT64):
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        teredo = ip.teredo[1] if ip.teredo else None
        inner = ip.ipv4_mapped or ip.sixtofour or teredo
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class Network:
    """Opens the connections of one download, within its deadline.

    Args:
        deadline: deadline of the download.
        public_only: connect only to hosts whose addresses are all public.
        private_hosts: host names (lower case) and addresses that are exempt from `public_only`.
    """

    def __init__(
        self, deadline: Deadline, *, public_only: bool, private_hosts: Collection[str] = ()
    ) -> None:
        self._deadline = deadline
        self._public_only = public_only
        self._private_hosts = private_hosts

    def connect(self, host: str, port: int) -> socket.socket:
        """Connect to a host; the deadline watches the returned socket.

        Raises:
            InvalidInputError: an address of the host is not public.
            OSError: the host has no address, none accepts the connection, or the time limit has
                passed.
        """
        failure: OSError | None = None
        for family, kind, protocol, _, address in self._checked_addresses(host, port):
            left_s = self._deadline.left_s()
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(left_s)
                connection.connect(address)
                self._deadline.watch(connection)
            except OSError as error:
                connection.close()
                failure = error
                continue
            return connection
        raise failure or OSError(f"{host} has no address")

    def _checked_addresses(self, host: str, port: int) -> list[Any]:
        found = _look_up(host, port, self._deadline.left_s())
        if self._public_only and host.lower() not in self._private_hosts:
            # One non-public address is enough to reject a host: regular hosts do not mix the two.
            for *_, address in found:
                if not is_public(str(address[0])):
                    raise InvalidInputError(
                        f"host {host!r}: expected public addresses only; at least one is not"
                        " public. To trust this host, add it to UrlPolicy.private_hosts"
                        " (`hpip serve --private-url-host`)."
                    )
        return found


def _look_up(host: str, port: int, timeout_s: float) -> list[Any]:
    """Call `socket.getaddrinfo`, which has no timeout of its own, within a time limit.

    Raises:
        TimeoutError: the lookup takes longer than `timeout_s`.
        Exception: the error that `getaddrinfo` raises.
    """
    outcome: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            outcome.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            # OSError, OverflowError or UnicodeError; raised again in the calling thread.
            outcome.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        found = outcome.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"the DNS lookup of {host} takes longer than {timeout_s:g} s") from None
    if isinstance(found, Exception):
        raise found
    return found


def _connecting(network: Network) -> Any:
    """The function that http.client calls to connect, to a proxy too."""

    def create_connection(address: tuple[str, int], *_: object) -> socket.socket:
        return network.connect(*address)

    return create_connection


class _Http(HTTPConnection):
    def __init__(self, host: str, *, network: Network, **options: Any) -> None:
        super().__init__(host, **options)
        self._create_connection = _connecting(network)


class _Https(HTTPSConnection):
    def __init__(self, host: str, *, network: Network, **options: Any) -> None:
        super().__init__(host, context=ssl.create_default_context(), **options)
        self._create_connection = _connecting(network)


class WatchedHttpHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Replaces urllib's handlers for http and https; a `Network` opens their connections."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an http URL."""
        return self.do_open(partial(_Http, network=self._network), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an https URL."""
        return self.do_open(partial(_Https, network=self._network), req)
