# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket

import pytest

from hpip.errors import InvalidInputError
from hpip.inputs.deadline import Deadline
from hpip.inputs.public_hosts import Network, is_public


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254"),
        *("0.0.0.0", "100.64.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2002:a00:1::", "2001:0:0:0:0:0:80ff:fffe"),
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_public(address)


def test_a_name_is_resolved_once_and_the_checked_address_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that turns private after the check (DNS rebinding) is not asked again."""
    asked = []

    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected = []

    def refuse(_: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with Deadline(5.0) as deadline, pytest.raises(ConnectionRefusedError):
        Network(deadline, public_only=True).connect("rebind.example", 80)
    assert connected == [("93.184.216.34", 80)]
    assert asked == ["rebind.example"]


def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("93.184.216.34", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with Deadline(5.0) as deadline, pytest.raises(InvalidInputError, match="not public"):
        Network(deadline, public_only=True).connect("mixed.example", 80)
