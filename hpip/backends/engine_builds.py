# SPDX-License-Identifier: Apache-2.0
"""Common parts of engines that are built for one device and a range of input shapes.

Nothing in this module needs the device.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpip.backends.base import Backend, SessionOptions, require_engine, require_precision
from hpip.common.digest import files_digest
from hpip.common.files import remove_path
from hpip.errors import BackendError, BackendUnavailableError
from hpip.types import ModelFiles

if TYPE_CHECKING:
    from onnx import ModelProto

# Operators that must stay in fp32, or fp16 loses detections: box decoding and score functions
# saturate, layer norms overflow when they square, sampling grids are off by whole pixels
# (NVIDIA/TensorRT#3652, lyuwenyu/RT-DETR#222).
FP32_PADDLE_OPS = (
    "pd_op.softmax",
    "pd_op.sigmoid",
    "pd_op.layer_norm",
    "pd_op.instance_norm",
    "pd_op.grid_sample",
    "pd_op.exp",
    "pd_op.log",
    "pd_op.cumsum",
)
FP32_ONNX_OPS = (
    "Softmax",
    "Sigmoid",
    "LayerNormalization",
    "InstanceNormalization",
    "GridSample",
    "Exp",
    "Log",
    "CumSum",
    "AveragePool",
    "ReduceMean",
    "Pow",
    "Sqrt",
)


@dataclass(frozen=True)
class ShapeRange:
    """Range of shapes of one input (optimization profile); tuned for `usual`."""

    minimum: tuple[int, ...]
    usual: tuple[int, ...]
    maximum: tuple[int, ...]


def shape_ranges(backend: str, options: SessionOptions) -> dict[str, ShapeRange]:
    """The range of every input, from `options.examples`.

    Raises:
        BackendError: there are no examples, or they are not sorted from small to large.
    """
    if options.examples is None:
        raise BackendError(
            backend,
            "open",
            "expected options.examples, since the engine is built for a range of input shapes",
        )
    ranges = {}
    smallest, usual, largest = options.examples
    for name, array in smallest.items():
        found = ShapeRange(array.shape, usual[name].shape, largest[name].shape)
        dims = zip(found.minimum, found.usual, found.maximum, strict=True)
        if not all(low <= middle <= high for low, middle, high in dims):
            raise BackendError(
                backend,
                "open",
                f"input {name}: expected shapes from small to large, received {found}",
            )
        ranges[name] = found
    return ranges


def onnx_with_weights(backend: str, files: ModelFiles, *, half: bool) -> bytes:
    """A serialized ONNX model with its weights embedded.

    Args:
        backend: name of the backend, for errors.
        files: the ONNX model, and the parameter file with its weights.
        half: convert to fp16, except inputs, outputs and `FP32_ONNX_OPS`.

    Raises:
        BackendUnavailableError: onnxruntime, which converts to fp16, is not installed.
        BackendError: the model or its weights can't be read.
    """
    from google.protobuf.message import DecodeError

    try:
        model = load_onnx(files)
    except (DecodeError, ValueError, OSError) as error:
        raise BackendError(backend, "open", f"{files.program}: {error}") from error
    return bytes((_in_half_precision(backend, model) if half else model).SerializeToString())


def load_onnx(files: ModelFiles) -> ModelProto:
    """An ONNX model with its weights embedded; the weights may be in another folder.

    Raises:
        DecodeError, ValueError, OSError: a file is damaged or missing.
    """
    import onnx

    model = onnx.load(str(files.program), load_external_data=False)
    # Not onnx's `load_external_data_for_model`: it reads beside the model only, and refuses links.
    with files.params.open("rb") as stream:
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                if not {"offset", "length"} <= set(place):
                    raise ValueError(f"the weights {tensor.name} have no offset or no length")
                length = int(place["length"])
                stream.seek(int(place["offset"]))
                tensor.raw_data = stream.read(length)
                if len(tensor.raw_data) < length:
                    raise ValueError(f"{files.params} ends within the weights {tensor.name}")
                del tensor.external_data[:]
                tensor.data_location = onnx.TensorProto.DEFAULT
    return model


def _in_half_precision(backend: str, model: Any) -> Any:
    try:
        from onnxruntime.transformers.float16 import (
            DEFAULT_OP_BLOCK_LIST,
            convert_float_to_float16,
        )
        from onnxruntime.transformers.onnx_model import OnnxModel
    except ImportError as error:
        raise BackendUnavailableError(
            backend,
            f"fp16 needs onnxruntime, which converts the model to fp16: {error}.",
            "Install it with: pip install 'hpip[gpu]'",
        ) from error
    # A list replaces the converter's default, which names the operators without fp16 in ONNX.
    blocked = [*DEFAULT_OP_BLOCK_LIST, *FP32_ONNX_OPS]
    converted = convert_float_to_float16(model, keep_io_types=True, op_block_list=blocked)
    # The converter appends its Cast nodes at the end, which violates ONNX's topological order.
    OnnxModel(converted).topological_sort()
    return converted


def build_key(
    files: ModelFiles, options: SessionOptions, versions: Mapping[str, str], device_name: str
) -> str:
    """Cache key of a build: a hash of model files, shapes, versions, device and settings."""
    parts = [
        files_digest((files.program, files.params)),
        *(f"{name}={version}" for name, version in sorted(versions.items())),
        device_name,
        options.precision,
        repr(sorted(options.settings.items())),
    ]
    for example in options.examples or ():
        parts += [f"{name}:{array.shape}" for name, array in sorted(example.items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def built_folder(
    folder: Path, build: Callable[[Path], None], is_complete: Callable[[Path], bool]
) -> Path:
    """The folder with a finished build; calls `build` if it does not exist yet.

    The build is written to a temporary folder that is renamed at the end, so that several
    processes may build the same one: all use the files of the process that finishes first.
    """
    if is_complete(folder):
        return folder
    partial = folder.with_name(f".{folder.name}-{secrets.token_hex(8)}")
    partial.mkdir(parents=True)
    try:
        build(partial)
        if folder.exists() and not is_complete(folder):
            remove_path(folder)
        try:
            partial.replace(folder)
        except OSError:
            if not is_complete(folder):
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def require_gpu(backend: Backend, options: SessionOptions, *, hint: str) -> str:
    """Check for a GPU and for fp32 or fp16; returns the engine's version.

    Args:
        backend: backend of the engine.
        options: device and precision.
        hint: remedy for a missing engine, for the error message.

    Raises:
        BackendUnavailableError: the engine, the device or the precision is not available.
    """
    if options.device.kind != "gpu":
        raise BackendUnavailableError(
            backend.name, f"it runs on NVIDIA GPUs only, not on {options.device}.", "Choose gpu:0."
        )
    require_precision(backend.name, options, "fp32", "fp16")
    return require_engine(backend, options.device, hint=hint)
