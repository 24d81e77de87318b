# SPDX-License-Identifier: Apache-2.0
"""NVIDIA TensorRT: engines built from the ONNX model, for one GPU model and range of shapes.

Not tested on a GPU yet: written against the Python APIs of TensorRT 10 and 11. Networks are
strongly typed, the only kind in TensorRT 11, so for fp16 the ONNX model is converted first.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from hpip.backends.base import Backend, Probe, Session, SessionOptions, refuse_settings
from hpip.backends.cuda_memory import (
    CudaStream,
    DeviceBuffer,
    device_count,
    device_name,
    use_device,
)
from hpip.backends.engine_builds import (
    build_key,
    built_folder,
    onnx_with_weights,
    require_gpu,
    shape_ranges,
)
from hpip.errors import BackendError
from hpip.types import AnyArray, ModelFiles

_WORKSPACE_BYTES = 1 << 30
_ENGINE_NAME = "model.engine"


class TensorRtBackend(Backend):
    """TensorRT, for ONNX models."""

    name = "tensorrt"
    format = "onnx"

    def probe(self) -> Probe:
        """See `Backend.probe`."""
        for module, package in (("tensorrt", "tensorrt"), ("cuda", "cuda-bindings")):
            if util.find_spec(module) is None:
                return Probe(None, f"{package} is not installed", ())
        try:
            import tensorrt

            gpus = device_count()
        except (ImportError, OSError, RuntimeError) as error:
            return Probe(None, f"tensorrt can't be loaded: {error}", (), broken=True)
        if gpus == 0:
            return Probe(None, "no NVIDIA GPU is available", ())
        return Probe(str(tensorrt.__version__), "", tuple(f"gpu:{i}" for i in range(gpus)))

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """See `Backend.open`; builds the engine unless `build_dir` has it already."""
        refuse_settings(self.name, options.settings, known=())
        version = require_gpu(
            self, options, hint="Install tensorrt and cuda-bindings for your CUDA version."
        )
        if options.build_dir is None:
            return TensorRtSession(_build(files, options), options.device.index)
        versions = {"tensorrt": version}
        key = build_key(files, options, versions, device_name(options.device.index))
        folder = built_folder(
            options.build_dir / f"tensorrt-{key}",
            lambda partial: _write(partial / _ENGINE_NAME, _build(files, options)),
            lambda folder: (folder / _ENGINE_NAME).is_file(),
        )
        return TensorRtSession((folder / _ENGINE_NAME).read_bytes(), options.device.index)


class TensorRtSession(Session):
    """One engine with one execution context and one CUDA stream."""

    def __init__(self, serialized: bytes, device_index: int) -> None:
        import tensorrt

        self._stream = CudaStream(device_index)
        self._runtime = tensorrt.Runtime(_logger())
        self._engine = self._runtime.deserialize_cuda_engine(serialized)
        if self._engine is None:
            raise BackendError(
                "tensorrt",
                "open",
                "the engine was built for another GPU model or TensorRT version; run "
                "`hpip cache clear`",
            )
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        inputs = tuple(n for n in names if modes[n] == tensorrt.TensorIOMode.INPUT)
        outputs = tuple(n for n in names if modes[n] == tensorrt.TensorIOMode.OUTPUT)
        self._inputs = {name: DeviceBuffer() for name in inputs}
        self._allocator = _output_allocator(outputs)
        for name in outputs:
            self._context.set_output_allocator(name, self._allocator)
        super().__init__(inputs, outputs)

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        import tensorrt

        stream = self._stream
        use_device(stream.device_index)
        for name, array in inputs.items():
            if not self._context.set_input_shape(name, array.shape):
                raise BackendError(
                    "tensorrt",
                    "run",
                    f"input {name}: shape {array.shape} is outside the range of shapes of the "
                    "engine; build it for larger images or batches",
                )
            buffer = self._inputs[name]
            buffer.reserve(array.nbytes)
            stream.copy_to_device(buffer, array)
            self._context.set_tensor_address(name, buffer.address)
        if not self._context.execute_async_v3(stream.handle):
            raise BackendError("tensorrt", "run", "execution failed; see TensorRT's log above")
        stream.synchronize()
        outputs = []
        for name in self.output_names:
            shape = self._allocator.shapes[name]
            array = np.empty(shape, tensorrt.nptype(self._engine.get_tensor_dtype(name)))
            stream.copy_to_host(array, self._allocator.buffers[name])
            outputs.append(array)
        stream.synchronize()
        return outputs

    def _close(self) -> None:
        self._context = self._engine = self._runtime = None
        for buffer in (*self._inputs.values(), *self._allocator.buffers.values()):
            buffer.free()
        self._stream.close()


def _output_allocator(names: tuple[str, ...]) -> Any:
    """Allocator for outputs with data-dependent sizes."""
    import tensorrt

    class OutputAllocator(tensorrt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.buffers = {name: DeviceBuffer() for name in names}
            self.shapes: dict[str, tuple[int, ...]] = {}

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            # cudaMalloc aligns to 256 bytes, the maximum that TensorRT requires.
            self.buffers[tensor_name].reserve(max(1, size))
            return self.buffers[tensor_name].address

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.shapes[tensor_name] = tuple(shape)

    return OutputAllocator()


def _build(files: ModelFiles, options: SessionOptions) -> bytes:
    import tensorrt

    use_device(options.device.index)
    logger = _logger()
    builder = tensorrt.Builder(logger)
    flags = 0
    if int(str(tensorrt.__version__).split(".")[0]) < 11:
        flags = 1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = tensorrt.OnnxParser(network, logger)
    half = options.precision == "fp16"
    if not parser.parse(onnx_with_weights("tensorrt", files, half=half)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise BackendError("tensorrt", "open", f"{files.program}: {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(tensorrt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    # On by default; TF32 rounds the operands of products to 10 bits, less than fp32.
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    ranges = shape_ranges("tensorrt", options)
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        profile.set_shape(name, ranges[name].minimum, ranges[name].usual, ranges[name].maximum)
    config.add_optimization_profile(profile)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise BackendError("tensorrt", "build", f"{files.program}: see TensorRT's log above")
    return bytes(serialized)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _logger() -> Any:
    import tensorrt

    return tensorrt.Logger(tensorrt.Logger.WARNING)
