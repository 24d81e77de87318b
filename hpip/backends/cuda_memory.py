# SPDX-License-Identifier: Apache-2.0
"""Device memory and streams, through `cuda-bindings`, NVIDIA's Python API of the CUDA runtime.

Not tested on a GPU yet.
"""

from __future__ import annotations

from typing import Any

from hpip.errors import BackendError
from hpip.types import AnyArray


def device_count() -> int:
    """Number of GPUs that the CUDA runtime finds.

    Raises:
        RuntimeError: the runtime fails, for example without a driver.
    """
    return int(_checked(_runtime().cudaGetDeviceCount()))


def device_name(index: int) -> str:
    """Name and compute capability of a GPU; engines run only on the model they were built on."""
    properties = _checked(_runtime().cudaGetDeviceProperties(index))
    name = properties.name.decode() if isinstance(properties.name, bytes) else properties.name
    return f"{name} {properties.major}.{properties.minor}"


def use_device(index: int) -> None:
    """Make a device the current one of this thread, for allocations and engines."""
    _checked(_runtime().cudaSetDevice(index))


class DeviceBuffer:
    """A growing buffer in device memory, allocated on the current device."""

    def __init__(self) -> None:
        self.address = 0
        self._capacity_bytes = 0

    def reserve(self, size_bytes: int) -> None:
        """Ensure a capacity in bytes; growing discards the content."""
        if size_bytes > self._capacity_bytes:
            self.free()
            self.address = int(_checked(_runtime().cudaMalloc(size_bytes)))
            self._capacity_bytes = size_bytes

    def free(self) -> None:
        """Free the memory. Freeing twice does nothing."""
        if self.address:
            _checked(_runtime().cudaFree(self.address))
            self.address = self._capacity_bytes = 0


class CudaStream:
    """A CUDA stream on one device, which it makes the current one of this thread."""

    def __init__(self, device_index: int) -> None:
        self.device_index = device_index
        use_device(device_index)
        self._stream = _checked(_runtime().cudaStreamCreate())

    @property
    def handle(self) -> int:
        """Native handle of the stream; makes its device the current one of this thread."""
        use_device(self.device_index)
        return int(self._stream)

    def copy_to_device(self, target: DeviceBuffer, source: AnyArray) -> None:
        """Queue a copy of a C-contiguous array."""
        kind = _runtime().cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(target.address, source.ctypes.data, source.nbytes, kind)

    def copy_to_host(self, target: AnyArray, source: DeviceBuffer) -> None:
        """Queue a copy into a C-contiguous array."""
        kind = _runtime().cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(target.ctypes.data, source.address, target.nbytes, kind)

    def synchronize(self) -> None:
        """Wait until all queued work is done."""
        _checked(_runtime().cudaStreamSynchronize(self._stream))

    def close(self) -> None:
        """Destroy the stream."""
        _checked(_runtime().cudaStreamDestroy(self._stream))

    def _copy(self, target: int, source: int, size_bytes: int, kind: Any) -> None:
        if size_bytes:
            use_device(self.device_index)
            _checked(_runtime().cudaMemcpyAsync(target, source, size_bytes, kind, self._stream))


def _runtime() -> Any:
    from cuda.bindings import runtime

    return runtime


def _checked(result: tuple[Any, ...]) -> Any:
    """The value that a call of the CUDA runtime returned, without the status.

    Raises:
        BackendError: the status is not success.
    """
    status, *values = result
    if int(status) != 0:
        raise BackendError("cuda", "run", f"the CUDA runtime returned {status.name}")
    return values[0] if values else None
