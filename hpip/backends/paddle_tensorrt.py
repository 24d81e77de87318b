# SPDX-License-Identifier: Apache-2.0
"""Paddle Inference with TensorRT subgraphs: a program is converted once, Paddle runs the result.

Not tested on a GPU yet: written against Paddle 3.0's export API.
"""

from __future__ import annotations

import ctypes
import tempfile
import weakref
from pathlib import Path

from hpip.backends.base import (
    Backend,
    Probe,
    Session,
    SessionOptions,
    refuse_settings,
)
from hpip.backends.engine_builds import (
    FP32_PADDLE_OPS,
    build_key,
    built_folder,
    require_gpu,
    shape_ranges,
)
from hpip.backends.paddle import PaddleBackend, PaddleSession
from hpip.errors import BackendError, BackendUnavailableError
from hpip.types import ModelFiles

# Smaller subgraphs cost more in copies than TensorRT saves; the value is PaddleX's.
_MIN_SUBGRAPH_SIZE = 3
_WORKSPACE_BYTES = 1 << 30
# Operators that stay in Paddle: TensorRT lacks them or pads outputs and drops counts.
_OPS_OUTSIDE = (
    "pd_op.multiclass_nms3",
    "pd_op.generate_proposals",
    "pd_op.distribute_fpn_proposals",
    "pd_op.matrix_nms",
    "pd_op.roi_align",
)
_PREFIX = "inference"


class PaddleTensorRtBackend(Backend):
    """Paddle Inference with TensorRT subgraphs, for programs of Paddle 3 and 2."""

    name = "paddle_tensorrt"
    format = "paddle"

    def probe(self) -> Probe:
        """See `Backend.probe`."""
        found = PaddleBackend().probe()
        if found.version is None:
            return found
        gpus = tuple(device for device in found.devices if device.startswith("gpu"))
        if not gpus:
            return Probe(None, f"paddle {found.version} finds no GPU", ())
        from paddle import inference

        compiled = tuple(inference.get_trt_compile_version())
        if compiled == (0, 0, 0):
            return Probe(None, f"paddle {found.version} is built without TensorRT", ())
        library = f"libnvinfer.so.{compiled[0]}"
        try:
            ctypes.CDLL(library)
        except OSError as error:
            return Probe(None, f"{library} can't be loaded: {error}", (), broken=True)
        version = ".".join(str(part) for part in compiled)
        return Probe(f"{found.version}, TensorRT {version}", "", gpus)

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """See `Backend.open`; converts the program unless `build_dir` has the result already."""
        refuse_settings(self.name, options.settings, known=())
        version = require_gpu(
            self, options, hint="See the README for compatible versions of Paddle and TensorRT."
        )
        shape_ranges(self.name, options)
        self._require_same_model_as_gpu_0(options.device.index)
        if options.build_dir is None:
            kept = tempfile.TemporaryDirectory(prefix="hpip-trt-")
            _convert(files, options, Path(kept.name))
            session = _open(Path(kept.name), options)
            # Paddle reads the engines at the first run.
            weakref.finalize(session, kept.cleanup)
            return session
        key = build_key(files, options, {"paddle": version}, _gpu_name(options.device.index))
        folder = built_folder(
            options.build_dir / f"paddle-tensorrt-{key}",
            lambda partial: _convert(files, options, partial),
            lambda folder: _files(folder).params.is_file(),
        )
        return _open(folder, options)

    def _require_same_model_as_gpu_0(self, index: int) -> None:
        """Paddle's converter always builds on gpu:0, and engines need the same GPU model."""
        first, own = _gpu_name(0), _gpu_name(index)
        if own != first:
            raise BackendUnavailableError(
                self.name,
                f"engines are built on gpu:0, a {first}, and do not run on gpu:{index}, a {own}.",
                f"Set CUDA_VISIBLE_DEVICES={index} and use gpu:0.",
            )


def _files(folder: Path) -> ModelFiles:
    return ModelFiles(folder / f"{_PREFIX}.json", folder / f"{_PREFIX}.pdiparams")


def _open(folder: Path, options: SessionOptions) -> Session:
    return PaddleSession(_files(folder), options, backend=PaddleTensorRtBackend.name)


def _convert(files: ModelFiles, options: SessionOptions, folder: Path) -> None:
    """Write the program with its TensorRT subgraphs into `folder`."""
    from paddle.tensorrt.export import Input, PrecisionMode, TensorRTConfig, convert

    assert options.examples is not None
    smallest, usual, largest = options.examples
    half = options.precision == "fp16"
    config = TensorRTConfig(
        # Real values, not only shapes: boxes depend on the image sizes among the inputs.
        inputs=[
            Input(warmup_data=(smallest[name], usual[name], largest[name]), name=name)
            for name in smallest
        ],
        min_subgraph_size=_MIN_SUBGRAPH_SIZE,
        workspace_size=_WORKSPACE_BYTES,
        precision_mode=PrecisionMode.FP16 if half else PrecisionMode.FP32,
        ops_run_float=list(FP32_PADDLE_OPS) if half else [],
        disable_ops=list(_OPS_OUTSIDE),
    )
    config.save_model_dir = str(folder / _PREFIX)
    try:
        convert(str(_together(files, folder)), config)
    except (RuntimeError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise BackendError("paddle_tensorrt", "build", f"{files.program}: {error}") from error


def _together(files: ModelFiles, folder: Path) -> Path:
    """Path prefix of links to program and parameters in one folder, for the converter."""
    source = folder / "source"
    source.mkdir()
    # The converter recognises Paddle 2's format by the suffix.
    (source / _PREFIX).with_suffix(files.program.suffix).symlink_to(files.program.resolve())
    (source / f"{_PREFIX}.pdiparams").symlink_to(files.params.resolve())
    return source / _PREFIX


def _gpu_name(index: int) -> str:
    import paddle

    properties = paddle.device.cuda.get_device_properties(index)
    return f"{properties.name} {properties.major}.{properties.minor}"
