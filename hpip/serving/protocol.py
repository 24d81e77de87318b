# SPDX-License-Identifier: Apache-2.0
"""HTTP connections with a timeout for every state, which uvicorn lacks.

The states are the request's head, its body (whether or not a handler reads it), the response, and
the closing of the connection. A client can't reset a timeout by sending or receiving single bytes.
Data that is neither head nor body (trailers, blank lines, chunk extensions) counts as head.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_TIMEOUT_S = 20.0
MAX_HEAD_BYTES = 64 * 1024
# The handler that reads the body has the same timeout, and must respond with 408 before this one.
_BODY_GRACE_S = 2.0
# Time for clients to close their side of a connection while the server shuts down.
_SHUTDOWN_LINGER_S = 1.0


@dataclass(frozen=True)
class ConnectionLimits:
    """Timeouts of a connection.

    Attributes:
        body_timeout_s: from the end of the head to the end of the body. After an early error
            response, the client has the same time to finish sending before the connection closes.
        answer_timeout_s: for the client to receive a response.
    """

    body_timeout_s: float
    answer_timeout_s: float


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes connections of clients that are too slow, or that send too much besides a body."""

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
        # Calls `pause_writing` whenever data is waiting to be sent.
        transport.set_write_buffer_limits(high=0)
        super().connection_made(_ProtocolClosedTransport(transport, self))  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._is_closing = True
        for timer in (self._head_timer, self._body_timer, self._answer_timer, self._end_timer):
            _cancel(timer)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: data waits for the client to receive it."""
        super().pause_writing()
        _cancel(self._answer_timer)
        self._answer_timer = self.loop.call_later(self._limits.answer_timeout_s, self._socket.abort)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`: the client has received everything."""
        _cancel(self._answer_timer)
        super().resume_writing()

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_message_begin()
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """See `httptools.HttpRequestParser`; ignores trailers, which it reports as headers."""
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
            # Discarded, so that the client can finish sending and then read the response.
            return
        # After an early response, the rest of the body and the next request can arrive together:
        # then not all of the data is head.
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
            # These bytes do not start a request, but have stopped uvicorn's keep-alive timeout.
            self._expect_head()
        if self._other_bytes > MAX_HEAD_BYTES:
            self.send_400_response(
                f"The head of the request is too large: expected at most {MAX_HEAD_BYTES} bytes."
            )

    def send_400_response(self, msg: str) -> None:
        """Reject data that is not HTTP, and close the connection."""
        cycle = self.cycle
        self._in_body = True  # discard the data that follows
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self._socket.abort()
                return
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """See uvicorn: the server shuts down."""
        self._linger_s = _SHUTDOWN_LINGER_S
        if self._end_timer is not None:
            self._end_within(_SHUTDOWN_LINGER_S)
        super().shutdown()

    def close(self) -> None:
        """Close the connection so that its client can still read the response.

        Closing a socket with unread bytes resets the connection, and most systems then discard
        what the client has not read yet. So this closes the sending side first, and discards what
        the client still sends until a timeout.
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
        """Whether the connection is closing, and ignores further requests."""
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
            # The body is not read before the response to an earlier request is sent.
            self._expect_body()
        else:
            self._socket.abort()

    def _end_within(self, limit_s: float) -> None:
        _cancel(self._end_timer)
        self._end_timer = self.loop.call_later(limit_s, self._socket.abort)


class _ProtocolClosedTransport:
    """An asyncio transport whose `close` is the protocol's, which lets the client finish."""

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
