# SPDX-License-Identifier: Apache-2.0
"""What the front process and its workers tell each other, and how it travels.

Frames on a socket pair: the length in 8 bytes, then a pickled record. Both ends are our own
processes on one machine, so pickle is safe here.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

MaskFormat: TypeAlias = Literal["crop_rle", "coco_rle", "polygon", "none"]
Encoding: TypeAlias = Literal["json", "msgpack"]

_LENGTH = struct.Struct(">Q")


@dataclass(frozen=True)
class LoadOrder:
    """The first record that a worker gets.

    Attributes:
        pipeline: arguments of `create_pipeline`.
        max_batch_size: pictures of one run; None takes the pipeline's own.
        batch_timeout_ms: how long a picture waits for others to share its run.
        max_pixels: largest picture that is decoded.
        max_detections: most instances of one picture.
    """

    pipeline: Mapping[str, Any]
    max_batch_size: int | None
    batch_timeout_ms: float
    max_pixels: int
    max_detections: int


@dataclass(frozen=True)
class AnswerOptions:
    """What a request wants to know about its pictures."""

    threshold: float | None = None
    visualize: bool = True
    mask_format: MaskFormat = "crop_rle"
    encoding: Encoding = "json"


@dataclass(frozen=True)
class Picture:
    """One encoded picture to segment; `name` is what messages call it."""

    id: int
    data: bytes
    name: str
    options: AnswerOptions


@dataclass(frozen=True)
class Cancel:
    """Nobody waits for this picture any more: drop it unless the network has it."""

    id: int


@dataclass(frozen=True)
class Progress:
    """What a worker that is not ready does.

    Attributes:
        state: in a word or two: "loading", "tuning", "warming up".
        share: how much of it is done, 0 to 1, where that is known.
        detail: the step that it is at.
    """

    state: str
    share: float | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Ready:
    """The model is loaded and warm.

    Attributes:
        capacity: pictures that the worker can hold at once without idling.
        info: labels of the model-info metric: model, backend, device, ...
    """

    capacity: int
    info: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadFailed:
    """The model can't be loaded; the worker ends."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """The end of one picture, good or bad.

    Attributes:
        status: HTTP's: 200, 4xx for a bad picture, 499 for a dropped one, 500.
        body: the rendered result, in the encoding that was asked for; empty unless 200.
        message: what is wrong, for the client; empty if 200.
        stages_ms: where the time went.
        batch_size: pictures that shared the run.
    """

    id: int
    status: int
    body: bytes = b""
    message: str = ""
    stages_ms: dict[str, float] = field(default_factory=dict)
    batch_size: int = 0


def pack(record: object) -> bytes:
    """The record as a frame."""
    payload = pickle.dumps(record, protocol=5)
    return _LENGTH.pack(len(payload)) + payload


async def read_record(reader: asyncio.StreamReader) -> Any:
    """The next record, or None once the other end is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class Channel:
    """The worker's end: blocking; one thread receives, any thread sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, record: object) -> None:
        """Send one record; does nothing when the front process is gone."""
        frame = pack(record)
        try:
            with self._sending:
                self._connection.sendall(frame)
        except OSError:
            # The receiving thread sees the same end and stops the process.
            return

    def receive(self) -> Any:
        """The next record, or None once the front process is gone."""
        head = self._stream.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        payload = self._stream.read(length)
        return pickle.loads(payload) if len(payload) == length else None
