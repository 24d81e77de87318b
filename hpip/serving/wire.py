# SPDX-License-Identifier: Apache-2.0
"""The messages between the front process and its workers, and their encoding.

A message is a frame on a socket pair: its length in 8 bytes, then a pickled record. Both ends are
hpip's own processes on one machine, so pickle is safe here.
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
class WorkerConfig:
    """What a worker loads, and its limits; the first record that it receives.

    Attributes:
        pipeline: arguments of `create_pipeline`.
        max_batch_size: maximum number of images per run; None for the pipeline's batch size.
        batch_timeout_ms: maximum time that an image waits for others to fill a batch.
        max_pixels: maximum number of pixels of an image.
        max_detections: maximum number of instances per image.
    """

    pipeline: Mapping[str, Any]
    max_batch_size: int | None
    batch_timeout_ms: float
    max_pixels: int
    max_detections: int


@dataclass(frozen=True)
class ResponseOptions:
    """The part of a request that determines the form of its response."""

    threshold: float | None = None
    visualize: bool = True
    mask_format: MaskFormat = "crop_rle"
    encoding: Encoding = "json"


@dataclass(frozen=True)
class ImageRequest:
    """One encoded image to segment; error messages call it `name`."""

    id: int
    data: bytes
    name: str
    options: ResponseOptions


@dataclass(frozen=True)
class Cancel:
    """Cancels an image, unless the network has already started on it."""

    id: int


@dataclass(frozen=True)
class Progress:
    """The progress of a worker that is not ready yet.

    Attributes:
        state: "loading", "tuning" or "warming up".
        share: completed share, 0 to 1; None if unknown.
        detail: the current step.
    """

    state: str
    share: float | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Ready:
    """The model is loaded and warmed up.

    Attributes:
        capacity: number of images that keep the worker busy; it accepts so many at once.
        info: labels of the metric `hpip_model_info`: model, backend, device, ...
    """

    capacity: int
    info: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadFailed:
    """The worker can't load the model, and exits."""

    reason: str


@dataclass(frozen=True)
class ImageResponse:
    """The result or the error of one image.

    Attributes:
        id: the `ImageRequest`'s.
        status: HTTP status: 200, 4xx for an invalid image (499 for a cancelled one), 500 or 502.
        body: the result in the requested encoding; empty unless the status is 200.
        message: the error, for the client; empty if the status is 200.
        stages_ms: latency of each stage.
        batch_size: number of images in the run.
    """

    id: int
    status: int
    body: bytes = b""
    message: str = ""
    stages_ms: dict[str, float] = field(default_factory=dict)
    batch_size: int = 0


def pack(record: object) -> bytes:
    """Encode a record as a frame."""
    payload = pickle.dumps(record, protocol=5)
    return _LENGTH.pack(len(payload)) + payload


async def read_record(reader: asyncio.StreamReader) -> Any:
    """Read the next record; None if the other process has closed the connection."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return pickle.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class Channel:
    """The worker's end of the connection; blocking.

    One thread may receive, and any number may send.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, record: object) -> None:
        """Send one record; does nothing if the front process has exited."""
        frame = pack(record)
        try:
            with self._sending:
                self._connection.sendall(frame)
        except OSError:
            # The receiving thread notices the same and stops the process.
            return

    def receive(self) -> Any:
        """Wait for the next record; None if the front process has exited."""
        head = self._stream.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        payload = self._stream.read(length)
        return pickle.loads(payload) if len(payload) == length else None
