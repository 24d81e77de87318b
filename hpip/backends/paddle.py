# SPDX-License-Identifier: Apache-2.0
"""Plain Paddle Inference: the accuracy reference, the speed baseline, the fallback engine."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Collection
from importlib import util
from typing import Any

from hpip.backends.base import (
    Backend,
    Probe,
    Session,
    SessionOptions,
    refuse_settings,
    require_engine,
    require_precision,
)
from hpip.common.devices import Device
from hpip.common.system import installed_version, nvidia_gpu_count
from hpip.errors import BackendError
from hpip.types import AnyArray, ModelFiles

# Distributions of engines that run on NVIDIA GPUs without Paddle.
_GPU_ENGINES = ("onnxruntime-gpu", "tensorrt", "tensorrt-cu12", "tensorrt-cu13")
# Initial GPU memory pool; PaddleX 3.7 starts with the same and lets it grow.
_GPU_POOL_MB = 100
# Element types for which Paddle can share memory with NumPy.
_SHARED_TYPES = ("float32", "float64", "int32", "int64")


class PaddleBackend(Backend):
    """Paddle Inference without oneDNN and TensorRT, like PaddleX's `run_mode="paddle"`."""

    name = "paddle"
    format = "paddle"

    def probe(self) -> Probe:
        """See `Backend.probe`; imports Paddle, which takes a second or more."""
        if util.find_spec("paddle") is None:
            return Probe(None, "paddlepaddle is not installed", ())
        paddle = _import_paddle()
        devices = tuple(str(device) for device in _devices(paddle))
        return Probe(str(paddle.__version__), "", devices)

    def cuda_versions(self) -> tuple[str, str] | None:
        """CUDA and cuDNN versions of this build of Paddle; None for a CPU build."""
        if util.find_spec("paddle") is None:
            return None
        paddle = _import_paddle()
        if not paddle.is_compiled_with_cuda():
            return None
        return str(paddle.version.cuda()), str(paddle.version.cudnn())

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """See `Backend.open`."""
        require_engine(self, options.device)
        require_precision(self.name, options, "fp32")
        refuse_settings(self.name, options.settings, known=())
        return PaddleSession(files, options)


def plain_paddle_device(device: Device) -> Device:
    """The device of plain Paddle when another engine runs on `device`; imports neither.

    The same device, with one exception: the CPU if there is a GPU and another engine supports it,
    but Paddle's GPU build, which is not on PyPI, is not installed.
    """
    if device.kind != "gpu":
        return device
    installed = {name for name in ("paddlepaddle-gpu", *_GPU_ENGINES) if installed_version(name)}
    return nearest_device(device, installed, nvidia_gpu_count())


def nearest_device(device: Device, installed: Collection[str], gpus: int) -> Device:
    """As `plain_paddle_device`, for given installed distributions and number of GPUs."""
    others = set(installed) & set(_GPU_ENGINES)
    if device.kind == "gpu" and gpus and others and "paddlepaddle-gpu" not in installed:
        return Device("cpu")
    return device


class PaddleSession(Session):
    """One `paddle.inference` predictor.

    Args:
        files: program and parameters.
        options: device and threads.
        configure: modifies the configuration of plain Paddle, for derived backends.
        backend: name of the backend, for errors.
    """

    def __init__(
        self,
        files: ModelFiles,
        options: SessionOptions,
        configure: Callable[[Any], None] | None = None,
        backend: str = "paddle",
    ) -> None:
        from paddle import inference

        self._backend = backend
        self._shares = options.device.kind == "cpu"
        self._predictor: Any
        try:
            config = _config(files, options)
            if configure is not None:
                configure(config)
            self._predictor = inference.create_predictor(config)
        except (RuntimeError, ValueError, OSError) as error:
            raise BackendError(
                backend, "open", f"{files.program} and {files.params.name}: {_first_lines(error)}"
            ) from error
        self._begin()

    def _begin(self) -> None:
        Session.__init__(
            self,
            tuple(self._predictor.get_input_names()),
            tuple(self._predictor.get_output_names()),
        )

    def _clone(self) -> Session:
        twin = object.__new__(type(self))
        twin._backend = self._backend
        twin._shares = self._shares
        try:
            twin._predictor = self._predictor.clone()
        except (RuntimeError, ValueError) as error:
            raise BackendError(self._backend, "clone", _first_lines(error)) from error
        twin._begin()
        return twin

    def _run(self, inputs: dict[str, AnyArray]) -> list[AnyArray]:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        try:
            shared = [self._hand_over(name, inputs.pop(name)) for name in self.input_names]
            self._predictor.run()
            outputs = [
                self._predictor.get_output_handle(name).copy_to_cpu() for name in self.output_names
            ]
            # Paddle may return a view of an input, so inputs are released after all outputs are
            # copied. Paddle keeps their pointers, but the next run replaces them before reading.
            shared.clear()
            return outputs
        except (RuntimeError, ValueError, LookupError, MemoryError, OSError) as error:
            raise BackendError(
                self._backend, "run", f"inputs {shapes}: {_first_lines(error)}"
            ) from error

    def _hand_over(self, name: str, array: AnyArray) -> Any:
        """Pass an input to Paddle; the returned object must live until the outputs are copied.

        Inputs are shared where possible, since Paddle holds a copy until the next call: 0.8 GB for
        the region features of MaskRCNN-ResNet50. An input is always shared or always copied, since
        a copy would overwrite memory that was shared before.
        """
        handle = self._predictor.get_input_handle(name)
        if self._shares and array.dtype in _SHARED_TYPES:
            from paddle.base import core

            tensor = core.DenseTensor()
            tensor.set(array, core.CPUPlace(), True)
            handle.share_external_data(tensor)
            return tensor
        handle.reshape(array.shape)
        handle.copy_from_cpu(array)
        return None

    def _close(self) -> None:
        self._predictor = None
        gc.collect()


def _config(files: ModelFiles, options: SessionOptions) -> Any:
    from paddle import inference

    kind, index = options.device.kind, options.device.index
    config = inference.Config(str(files.program), str(files.params))
    # oneDNN is off by default in Paddle 3.0 to 3.2 and on in some later versions. The reference has
    # to use Paddle's own kernels. disable_mkldnn exists since 3.0.
    if hasattr(config, "disable_mkldnn"):
        config.disable_mkldnn()
    if kind == "cpu":
        config.disable_gpu()
        config.set_cpu_math_library_num_threads(options.threads)
        config.set_optimization_level(3)
    elif kind == "gpu":
        config.exp_disable_mixed_precision_ops({"feed", "fetch"})
        config.enable_use_gpu(_GPU_POOL_MB, index, inference.PrecisionType.Float32)
        config.set_optimization_level(3)
    elif kind == "xpu":
        config.enable_xpu()
        config.set_xpu_device_id(index)
        # Both passes break exported models on Kunlunxin devices; PaddleX 3.7 deletes them too.
        config.delete_pass("conv2d_bn_xpu_fuse_pass")
        config.delete_pass("transfer_layout_pass")
    else:
        config.enable_custom_device(kind, index)
    config.enable_new_ir(True)
    config.enable_new_executor()
    config.enable_memory_optim()
    config.disable_glog_info()
    return config


def _import_paddle() -> Any:
    with warnings.catch_warnings():
        # Paddle warns about a missing ccache on import, which is irrelevant without compilation.
        warnings.filterwarnings("ignore", message="No ccache found")
        import paddle
    return paddle


def _devices(paddle: Any) -> list[Device]:
    devices = [Device("cpu")]
    if paddle.is_compiled_with_cuda():
        devices += [Device("gpu", i) for i in range(paddle.device.cuda.device_count())]
    if paddle.is_compiled_with_xpu():
        devices += [Device("xpu", i) for i in range(paddle.device.xpu.device_count())]
    for kind in paddle.device.get_all_custom_device_type() or []:
        if kind in ("npu", "mlu"):
            names = paddle.device.get_available_custom_device()
            devices += [Device(kind, i) for i, name in enumerate(n for n in names if kind in n)]
    return devices


def _first_lines(error: BaseException) -> str:
    """The cause, without the C++ stack trace of Paddle's messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "Error:" in line or "Hint:" in line]
    return " ".join((causes or lines)[-2:]) or type(error).__name__
