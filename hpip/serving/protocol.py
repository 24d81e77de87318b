# SPDX-License-Identifier: Apache-2.0
"""HTTP connections on which nothing lasts for ever: uvicorn's own have no such limits.

Every state of a connection has a clock that the client can't set back by sending or taking a byte
now and then: its head, its body (read by somebody or not), its answer, and its end. What is neither
head nor body (trailers, blank lines, chunk extensions) counts as head.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 20.0
MAX_HEAD_BYTES = 64 * 1024
# The handler that reads a body has the same limit, and answers 408: it goes first.
_BODY_GRACE_S = 2.0
# How long clients may take to end their side while the server ends.
_SHUTDOWN_LINGER_S = 1.0


@dataclass(frozen=True)
class ConnectionLimits:
    """How long a connection's parts may take.

    Attributes:
        body_timeout_s: from the end of a head to the end of its body; and how much longer a
            client that was refused may go on sending before the connection is cut.
        answer_timeout_s: for a client to take an answer.
    """

    body_timeout_s: float
    answer_timeout_s: float


class BoundedHttpProtocol(HttpToolsProtocol):
    """Ends a connection whose client is too slow, in any state, or says too much beside a body."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._linger_s = limits.body_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._in_body = False
        self._has_body_data = False
        self._is_closing = False
        # Bytes of the current head, or since the last byte of a body.
        self._other_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        self._socket = transport
        # So that the protocol is told whenever something is not yet sent.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(_PoliteTransport(transport, self))  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._is_closing = True
        for timer in (self._head_timer, self._body_timer, self._answer_timer, self._end_timer):
            _cancel(timer)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: something waits for the client to take it."""
        super().pause_writing()
        _cancel(self._answer_timer)
        self._answer_timer = self.loop.call_later(self._limits.answer_timeout_s, self._socket.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`: the client has taken all."""
        _cancel(self._answer_timer)
        super().resume_writing()

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_message_begin()
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpRequestParser`; it also tells of trailers, which nobody reads."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        _cancel(self._head_timer)
        self._head_timer = None
        self._in_body = True
        self._other_bytes = 0
        self._expect_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        self._has_body_data = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._in_body = False
        _cancel(self._body_timer)
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_closing:
            # Read and dropped, so that the client can send to its end and then read its answer.
            return
        # A request that was answered early may still be sending its body when the next one begins:
        # what arrives together with that body is not all head.
        ended_a_body = self._in_body
        self._has_body_data = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_body:
            self._other_bytes = 0 if self._has_body_data else self._other_bytes + len(data)
        elif self._head_timer is not None and not ended_a_body:
            self._other_bytes += len(data)
        elif self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            # Bytes that begin no request have ended uvicorn's wait for one.
            self._expect_head()
        if self._other_bytes > MAX_HEAD_BYTES:
            self.send_400_response(f"The head of a request may have {MAX_HEAD_BYTES} bytes.")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, and end the connection."""
        cycle = self.cycle
        self._in_body = True  # there is more to come, which is not to be understood
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self._socket.abort()
                return
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """See uvicorn: the server ends."""
        self._linger_s = _SHUTDOWN_LINGER_S
        if self._end_timer is not None:
            self._end_within(_SHUTDOWN_LINGER_S)
        super().shutdown()

    def close(self) -> None:
        """End the connection so that its client can still read the answer.

        A socket that is closed with bytes unread resets the connection, and most systems then drop
        what had arrived for the client: so the sending side is ended first, and what the client
        still sends is read for a while.
        """
        if self._is_closing:
            return
        self._is_closing = True
        _cancel(self._head_timer)
        _cancel(self._body_timer)
        if not self._in_body:
            self._end_within(self._limits.answer_timeout_s)
            self._socket.close()
            return
        self._end_within(self._linger_s)
        self.flow.resume_reading()
        self._socket.write_eof()

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is read or answered."""
        return self._is_closing or bool(self._socket.is_closing())

    def _expect_head(self) -> None:
        _cancel(self._head_timer)
        self._other_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.close)

    def _expect_body(self) -> None:
        _cancel(self._body_timer)
        limit_s = self._limits.body_timeout_s + _BODY_GRACE_S
        self._body_timer = self.loop.call_later(limit_s, self._end_late_body)

    def _end_late_body(self) -> None:
        if self.pipeline:
            # It waits for the answer to an earlier request, and is not read before.
            self._expect_body()
        else:
            self._socket.abort()

    def _end_within(self, limit_s: float) -> None:
        _cancel(self._end_timer)
        self._end_timer = self.loop.call_later(limit_s, self._socket.abort)


class _PoliteTransport:
    """asyncio's transport, except that the protocol decides how it is closed."""

    def __init__(self, transport: asyncio.Transport, protocol: BoundedHttpProtocol) -> None:
        self._transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """See `BoundedHttpProtocol.close`."""
        self._protocol.close()

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._protocol.is_closing


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
