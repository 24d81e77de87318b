# SPDX-License-Identifier: Apache-2.0
"""Connections for fetches: within a deadline, and where wanted to the public internet only.

A name is resolved once, every address it has is checked, and the connection goes to a checked
address: whoever controls the name can't answer with a public address first and a private one later.
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

# Addresses that carry an IPv4 address in their last 32 bits and are translated on the way.
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def is_public(address: str) -> bool:
    """Whether anybody on the internet may have this IPv4 or IPv6 address.

    False for private, loopback, link-local, multicast, reserved and unspecified addresses, also
    where they are wrapped in an IPv6 address (mapped, 6to4, Teredo, NAT64).
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
    """Opens connections for one fetch, within its deadline.

    Args:
        deadline: of the fetch.
        public_only: only to hosts all of whose addresses are public.
        private_hosts: names (lower case) and addresses that may be private all the same.
    """

    def __init__(
        self, deadline: Deadline, *, public_only: bool, private_hosts: Collection[str] = ()
    ) -> None:
        self._deadline = deadline
        self._public_only = public_only
        self._private_hosts = private_hosts

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket, which the deadline watches.

        Raises:
            InvalidInputError: an address of the host is not public.
            OSError: the host has no address, none answers, or the time is up.
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
            # One private address among public ones is refused, too: honest hosts have no such mix.
            for *_, address in found:
                if not is_public(str(address[0])):
                    raise InvalidInputError(
                        f"host {host!r} has an address that is not public; such hosts are asked"
                        " only where the operator names them."
                    )
        return found


def _look_up(host: str, port: int, timeout_s: float) -> list[Any]:
    """`socket.getaddrinfo`, but no longer than the time that there is: it has no limit of its own.

    Raises:
        Exception: its own failure, or TimeoutError.
    """
    outcome: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            outcome.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            # OverflowError and UnicodeError as well as OSError: it is raised where it was asked.
            outcome.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        found = outcome.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"no address of {host} within the time") from None
    if isinstance(found, Exception):
        raise found
    return found


def _connecting(network: Network) -> Any:
    """What http.client calls for its socket, the one to a proxy included."""

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
    """Takes the place of urllib's handlers: their connections come from a `Network`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an http URL."""
        return self.do_open(partial(_Http, network=self._network), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an https URL."""
        return self.do_open(partial(_Https, network=self._network), req)
