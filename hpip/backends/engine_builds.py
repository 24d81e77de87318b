# SPDX-License-Identifier: Apache-2.0
"""What engines that are built for one device and a range of shapes have in common.

Everything here is decided without a device.
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
from hpip.common.files import files_digest, remove_path
from hpip.errors import BackendError, BackendUnavailableError
from hpip.types import ModelFiles

if TYPE_CHECKING:
    from onnx import ModelProto

# Half precision loses detections where these run in it: box decoding and score functions saturate,
# layer norms overflow in their squares, sampling grids lose whole pixels (NVIDIA/TensorRT#3652,
# lyuwenyu/RT-DETR#222).
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
    """Shapes that one input may take: from `minimum` to `maximum`, fastest at `usual`."""

    minimum: tuple[int, ...]
    usual: tuple[int, ...]
    maximum: tuple[int, ...]


def shape_ranges(backend: str, options: SessionOptions) -> dict[str, ShapeRange]:
    """The range of every input, from `options.examples`.

    Raises:
        BackendError: there are no examples, or they are not in order from small to large.
    """
    if options.examples is None:
        raise BackendError(
            backend, "open", "it is built for a range of shapes: expected options.examples"
        )
    ranges = {}
    smallest, usual, largest = options.examples
    for name, array in smallest.items():
        found = ShapeRange(array.shape, usual[name].shape, largest[name].shape)
        dims = zip(found.minimum, found.usual, found.maximum, strict=True)
        if not all(low <= middle <= high for low, middle, high in dims):
            raise BackendError(
                backend, "open", f"input {name}: expected shapes from small to large, got {found}"
            )
        ranges[name] = found
    return ranges


def onnx_with_weights(backend: str, files: ModelFiles, *, half: bool) -> bytes:
    """A program in ONNX with its weights inside.

    Args:
        backend: whose name errors carry.
        files: the program, and the parameter file that holds its weights.
        half: in half precision, but for inputs, outputs and the operators that need more.

    Raises:
        BackendUnavailableError: onnxruntime, which converts to half precision, is not here.
        BackendError: the program or its weights can't be read.
    """
    from google.protobuf.message import DecodeError

    try:
        model = load_onnx(files)
    except (DecodeError, ValueError, OSError) as error:
        raise BackendError(backend, "open", f"{files.program}: {error}") from error
    return bytes((_in_half_precision(backend, model) if half else model).SerializeToString())


def load_onnx(files: ModelFiles) -> ModelProto:
    """A program in ONNX with its weights inside; it may lie elsewhere than they do.

    Raises:
        DecodeError, ValueError, OSError: a file is damaged or missing.
    """
    import onnx

    model = onnx.load(str(files.program), load_external_data=False)
    with files.params.open("rb") as stream:
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                stream.seek(int(place["offset"]))
                tensor.raw_data = stream.read(int(place["length"]))
                if len(tensor.raw_data) < int(place["length"]):
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
            f"fp16 needs onnxruntime, which converts the program: {error}.",
            "Install it with: pip install 'hpip[gpu]'",
        ) from error
    # Given a list of our own, the converter forgets its own, which names what ONNX forbids.
    kept = [*DEFAULT_OP_BLOCK_LIST, *FP32_ONNX_OPS]
    converted = convert_float_to_float16(model, keep_io_types=True, op_block_list=kept)
    # It puts its casts at the end, where ONNX does not allow them.
    OnnxModel(converted).topological_sort()
    return converted


def build_key(
    files: ModelFiles, options: SessionOptions, versions: Mapping[str, str], device_name: str
) -> str:
    """Names a build: equal only where program, parameters, shapes, versions and device are.

    Reads both files once.
    """
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
    """The folder with a finished build, made by `build` where it is not there yet.

    The build goes to a folder beside it that is renamed at the end, so that several processes may
    ask for the same one: the first that ends wins, and all of them use its files.
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
    """The engine's version; refuses what is no GPU, and what these engines are not built for here.

    Args:
        backend: whose engine.
        options: the device and the precision.
        hint: what to do where the engine is missing.

    Raises:
        BackendUnavailableError: the engine, the device or the precision is not here.
    """
    if options.device.kind != "gpu":
        raise BackendUnavailableError(
            backend.name, f"it runs on NVIDIA GPUs only, not on {options.device}.", "Choose gpu:0."
        )
    require_precision(backend.name, options, "fp32", "fp16")
    return require_engine(backend, options.device, hint=hint)
