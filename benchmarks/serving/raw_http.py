# SPDX-License-Identifier: Apache-2.0
"""A minimal HTTP/1.1 client, which can also send malformed requests.

It parses only what is needed, so that sixteen clients take little CPU time from the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 18


class LostError(Exception):
    """The connection closed, or the timeout passed, before the response was complete."""


@dataclass(frozen=True)
class Reply:
    """A response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request_bytes(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    content_length: int | None = None,
) -> bytes:
    """Encode a request; `content_length` overrides the length of the body."""
    length = len(body) if content_length is None else content_length
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Connection:
    """A client's connection, opened when needed, and reused until the server closes it.

    Args:
        url: the server's.
        timeout_s: time after which a response counts as lost.
        buffer_bytes: size of the receive buffer.
    """

    def __init__(self, url: str, timeout_s: float = 120.0, *, buffer_bytes: int = 1 << 22) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._timeout_s = timeout_s
        self._buffer_bytes = buffer_bytes
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, pieces: Iterable[bytes], pause_s: float = 0.0) -> Reply:
        """Send a request in pieces; read the response, which may arrive before the last piece.

        Raises:
            LostError: there was no complete response.
        """
        kept = self._streams is not None
        pieces = list(pieces)
        try:
            return await asyncio.wait_for(self._exchange(pieces, pause_s), self._timeout_s)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            await self.close()
            # A server may close an idle connection at any time; then the request is sent again.
            if kept and not getattr(error, "partial", b""):
                return await self.exchange(pieces, pause_s)
            raise LostError(f"{type(error).__name__}: {error}") from error
        except asyncio.TimeoutError as error:
            await self.close()
            raise LostError(f"no response within {self._timeout_s:g} s") from error

    async def abort(self, pieces: Iterable[bytes], after_s: float, *, reset: bool) -> None:
        """Send pieces, wait, and disconnect, with a TCP reset if `reset`, as a crashed client."""
        _, writer = await self._open()
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await asyncio.wait_for(writer.drain(), self._timeout_s)
            await asyncio.sleep(after_s)
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await self.close()

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._streams is None:
            return
        _, writer = self._streams
        self._streams = None
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=self._buffer_bytes)
        return self._streams

    async def _exchange(self, pieces: Iterable[bytes], pause_s: float) -> Reply:
        reader, writer = await self._open()
        reading = asyncio.create_task(_read_reply(reader))
        try:
            all_sent = await _send(writer, pieces, pause_s, reading)
            reply = await reading
        finally:
            reading.cancel()
        if not all_sent or reply.headers.get("connection", "").lower() == "close":
            await self.close()
        return reply


async def _send(
    writer: asyncio.StreamWriter,
    pieces: Iterable[bytes],
    pause_s: float,
    reading: asyncio.Task[Reply],
) -> bool:
    """Send the pieces; False if the response arrived before the last one."""
    try:
        for piece in pieces:
            for start in range(0, len(piece), CHUNK_BYTES):
                if reading.done():
                    return False
                writer.write(piece[start : start + CHUNK_BYTES])
                await writer.drain()
            if pause_s:
                await asyncio.wait({reading}, timeout=pause_s)
    except ConnectionError:
        # The server may have responded before it closed the connection.
        return False
    return True


async def _read_reply(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.rstrip().split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.read()
    return Reply(int(status_line.split()[1]), headers, body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
