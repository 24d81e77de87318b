# SPDX-License-Identifier: Apache-2.0
"""Connections to the public internet only, for URLs that strangers name.

A name is resolved once, every address it has is checked, and the connection goes to a checked
address: whoever controls the name can't answer with a public address first and a private one later.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import urllib.request
from collections.abc import Collection
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any

from hpip.errors import InvalidInputError

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


class PublicHosts:
    """Opens sockets to hosts all of whose addresses are public, and to named exceptions.

    Args:
        private_hosts: names (lower case) and addresses that may be private.
        timeout_s: for connecting; and the socket is shut so long after it was opened, so that a
            server which sends a byte now and then can't hold it.
    """

    def __init__(self, private_hosts: Collection[str], timeout_s: float) -> None:
        self._private_hosts = private_hosts
        self._timeout_s = timeout_s

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket.

        Raises:
            InvalidInputError: an address of the host is not public.
            OSError: the host has no address, or none answers.
        """
        failure: OSError | None = None
        for family, kind, protocol, _, address in self._checked_addresses(host, port):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._timeout_s)
                connection.connect(address)
            except OSError as error:
                connection.close()
                failure = error
                continue
            timer = threading.Timer(self._timeout_s, _shut, (connection,))
            timer.daemon = True
            timer.start()
            return connection
        raise failure or OSError(f"{host} has no address")

    def _checked_addresses(self, host: str, port: int) -> list[Any]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if host.lower() not in self._private_hosts:
            # One private address among public ones is refused, too: honest hosts have no such mix.
            for *_, address in found:
                if not is_public(str(address[0])):
                    raise InvalidInputError(
                        f"host {host!r} has an address that is not public; such hosts are asked"
                        " only where the operator names them."
                    )
        return found


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It was closed in time.
        return


class _Http(HTTPConnection):
    def __init__(self, host: str, *, hosts: PublicHosts, **options: Any) -> None:
        super().__init__(host, **options)
        self._hosts = hosts

    def connect(self) -> None:
        self.sock = self._hosts.connect(self.host, self.port)


class _Https(HTTPSConnection):
    def __init__(self, host: str, *, hosts: PublicHosts, **options: Any) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, context=self._tls, **options)
        self._hosts = hosts

    def connect(self) -> None:
        plain = self._hosts.connect(self.host, self.port)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class PublicHttpHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Takes the place of urllib's handlers; knows no proxies, which would resolve names again."""

    def __init__(self, hosts: PublicHosts) -> None:
        super().__init__()
        self._hosts = hosts

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an http URL."""
        return self.do_open(partial(_Http, hosts=self._hosts), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an https URL."""
        return self.do_open(partial(_Https, hosts=self._hosts), req)
