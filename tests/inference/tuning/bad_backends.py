# SPDX-License-Identifier: Apache-2.0
"""Engines that are really there and really bad, run by the real child processes of the trials.

All compute the tiny model with NumPy, so that their processes start soon.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from hpip.backends.base import Backend, Feeds, Probe, Session, SessionOptions
from hpip.common.devices import Device
from hpip.errors import BackendError, GraphRewriteError
from hpip.types import AnyArray, ModelFiles


def tiny_model(inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
    """What `tests.tiny_model` exports, for one image."""
    (image,), (scale_yx,), (resized_hw,) = (
        inputs[name] for name in ("image", "scale_factor", "im_shape")
    )
    areas = (image > 0.5) & (image.sum(axis=0) - image < 0.4)
    boxes = np.zeros((3, 6), np.float32)
    for index, area in enumerate(areas):
        ys, xs = np.nonzero(area)
        boxes[index, 0] = index
        if len(ys):
            boxes[index, 1] = image[index][area].mean()
            corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            boxes[index, 2:] = corners / np.tile(scale_yx[::-1], 2)
    height, width = np.floor(resized_hw / scale_yx + 0.5).astype(int)
    rows = (np.arange(height) * resized_hw[0] / height).astype(int)
    columns = (np.arange(width) * resized_hw[1] / width).astype(int)
    masks = areas[:, rows][:, :, columns].astype(np.int32)
    return [boxes, np.array([3], np.int32), masks]


def remedy() -> Path:
    """A file that makes some of the engines work once it exists."""
    return Path(os.environ["HPIP_TEST_FILE"])


class GoodBackend(Backend):
    """Right."""

    name = "good"
    format = "paddle"

    class session(Session):  # noqa: N801
        def __init__(self) -> None:
            super().__init__(("im_shape", "image", "scale_factor"), ("boxes", "counts", "masks"))

        def before(self) -> None:
            """Do nothing."""

        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            self.before()
            return tiny_model(inputs)

        def _close(self) -> None:
            """Nothing is held."""

    def probe(self) -> Probe:
        return Probe("1.0", "", ("cpu",))

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        return self.session()


class FastBackend(GoodBackend):
    """Right, and faster than plain Paddle, because it remembers its answers."""

    name = "fast"

    class session(GoodBackend.session):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            key = b"".join(array.tobytes() for array in inputs.values())
            known = self.__dict__.setdefault("known", {})
            if key not in known:
                known[key] = super()._run(inputs)
            return [output.copy() for output in known[key]]


class GpuBackend(FastBackend):
    """Right and fast, where only an engine other than Paddle drives the GPU."""

    name = "gpu_only"

    def probe(self) -> Probe:
        return Probe("1.0", "", ("gpu:0",))


class CrashingBackend(GoodBackend):
    name = "crashing"

    class session(GoodBackend.session):  # noqa: N801
        def before(self) -> None:
            os.abort()


class CrashingAtOpenBackend(GoodBackend):
    name = "crashing_at_open"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        os.abort()


class HangingBackend(GoodBackend):
    name = "hanging"

    class session(GoodBackend.session):  # noqa: N801
        def before(self) -> None:
            time.sleep(600)


class WrongBackend(FastBackend):
    """Fast, with the right boxes and a mask that is shifted by a tenth."""

    name = "wrong"

    class session(FastBackend.session):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            boxes, counts, masks = super()._run(inputs)
            return [boxes, counts, np.roll(masks, masks.shape[2] // 10, axis=2)]


class EmptyBackend(FastBackend):
    """Fast, and finds nothing."""

    name = "empty"

    class session(FastBackend.session):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            outputs = super()._run(inputs)
            return [np.zeros_like(output) for output in outputs]


class GreedyBackend(GoodBackend):
    """Takes memory until it is stopped."""

    name = "greedy"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        taken = [np.ones(64 << 20, np.uint8) for _ in range(100)]
        raise AssertionError(f"nobody stopped it at {len(taken)} blocks")


class OutOfMemoryBackend(GoodBackend):
    """Is told that there is no memory."""

    name = "out_of_memory"

    class session(GoodBackend.session):  # noqa: N801
        def before(self) -> None:
            np.ones(1 << 60, np.uint8)


class RefusingBackend(GoodBackend):
    name = "refusing"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        raise GraphRewriteError("OnnxExporter", "operator pd_op.while is not supported")


class FailingBackend(FastBackend):
    """Fails as long as a file is missing, like an engine on a full disk."""

    name = "failing"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        if not remedy().exists():
            raise BackendError(self.name, "open", "No space left on device")
        return self.session()


class UnluckyBackend(FastBackend):
    """Crashes as long as a file is missing, and then creates it."""

    name = "unlucky"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        if not remedy().exists():
            remedy().touch()
            os.abort()
        return self.session()


class BrokenBackend(FastBackend):
    """Installed, but its library can't be loaded as long as a file is missing."""

    name = "broken"

    def probe(self) -> Probe:
        if not remedy().exists():
            return Probe(None, "libgomp.so.1 can't be loaded", (), broken=True)
        return super().probe()


class KilledBackend(FastBackend):
    """Is stopped from outside as long as a file is missing."""

    name = "killed"

    class session(FastBackend.session):  # noqa: N801
        def before(self) -> None:
            if not remedy().exists():
                os.kill(os.getpid(), int(os.environ["HPIP_TEST_SIGNAL"]))

        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            self.before()
            return super()._run(inputs)


class UnreadableBackend(FastBackend):
    """Can't read its files as long as another file is missing."""

    name = "unreadable"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        remedy().read_bytes()
        return self.session()


class PickyBackend(GoodBackend):
    """Takes one program."""

    name = "picky"
    opened = 0
    reason = "only one"

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        PickyBackend.opened += 1
        if PickyBackend.opened > 1:
            raise BackendError(self.name, "open", self.reason)
        return super().open(files, options)


class AbsentBackend(GoodBackend):
    name = "absent"

    def probe(self) -> Probe:
        return Probe(None, "the engine is not installed", ())


class LaterBrokenBackend(FastBackend):
    """Right while it is tried, broken when it serves: an upgrade, or a picture too large."""

    name = "later_broken"

    class session(FastBackend.session):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            if "HPIP_TEST_BROKEN" in os.environ:
                raise BackendError("later_broken", "run", "it broke")
            return super()._run(inputs)


class QuantizingBackend(FastBackend):
    """Right in int8, from a program that it made from pictures; right and slow in fp32."""

    name = "quantizing"

    class slow_session(GoodBackend.session):  # noqa: N801
        def before(self) -> None:
            time.sleep(0.2)

    def quantizer(self, device: Device) -> str | None:
        return "toy 1"

    def quantize(self, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
        return f"int8 from {len(list(feeds))} pictures".encode()

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        if options.precision == "int8" and not files.program.read_bytes().startswith(b"int8"):
            raise BackendError(self.name, "open", "this is not in int8")
        return self.session() if options.precision == "int8" else self.slow_session()


class ClumsyBackend(QuantizingBackend):
    """Loses half of each mask in int8."""

    name = "clumsy"

    class clumsy_session(FastBackend.session):  # noqa: N801
        def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
            boxes, counts, masks = super()._run(inputs)
            masks[:, ::2] = 0
            return [boxes, counts, masks]

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        session = super().open(files, options)
        return self.clumsy_session() if options.precision == "int8" else session


class BurstingBackend(QuantizingBackend):
    """Takes the process down while it quantises."""

    name = "bursting"

    def quantize(self, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
        os.abort()
