# SPDX-License-Identifier: Apache-2.0
"""Static int8 quantization of convolutions and matrix products with ONNX Runtime's quantizer.

The result is standard ONNX in QDQ format, which OpenVINO runs in int8 too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpip.backends.base import Feeds, SessionOptions
from hpip.backends.engine_builds import load_onnx
from hpip.common.devices import Device
from hpip.common.system import cpu_facts, installed_version
from hpip.errors import BackendError
from hpip.types import ModelFiles

if TYPE_CHECKING:
    from onnx import ModelProto

# Part of cache keys: raise it whenever the settings below or the excluded operators change.
_RECIPE_VERSION = 2
# All other operators stay in fp32: in int8, scores, boxes, layer norms and sampling grids lose
# accuracy for little speed. Quantizing the operators between convolutions too (additions,
# activations, concatenations) made the demo model less accurate and no faster.
_QUANTIZED_OPS = ("Conv", "MatMul", "Gemm")
# Their outputs include coordinates and scores.
_FLOAT_OUTPUT_OPS = ("MatMul", "Gemm")
# The operator that every quantized model contains.
_MARK = b"QuantizeLinear"


def quantizer(device: Device) -> str | None:
    """See `Backend.quantizer`; does not import ONNX Runtime."""
    if device.kind != "cpu" or not all(map(util.find_spec, ("onnxruntime", "onnx"))):
        return None
    version = (
        installed_version("onnxruntime")
        or installed_version("onnxruntime-gpu")
        or "of another distribution"
    )
    weights = "7" if _adds_in_16_bits() else "8"
    return f"onnxruntime {version}, recipe {_RECIPE_VERSION}, weights of {weights} bits"


def _adds_in_16_bits() -> bool:
    """Whether int8 products are accumulated in 16 bits, which saturate, as on x86 without VNNI.

    ONNX Runtime's documentation recommends 7-bit weights there (`reduce_range`), whose products
    cannot saturate.
    """
    flags = cpu_facts().get("flags", "").split()
    return bool(flags) and not {"avx512_vnni", "avx_vnni"} & set(flags)


def require_int8(backend: str, files: ModelFiles, options: SessionOptions) -> None:
    """Check that a model is quantized if int8 is requested.

    Raises:
        BackendError: int8 is requested, and the model is not quantized.
    """
    if options.precision == "int8" and _MARK not in files.program.read_bytes():
        raise BackendError(
            backend,
            "open",
            f"{files.program} is not quantized; expected the result of `Backend.quantize` for int8",
        )


def quantize(backend: str, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
    """Quantize an ONNX model; returns a serialized model with embedded weights.

    Weights are quantized per output channel, activations per tensor, with min-max calibration.

    Args:
        backend: name of the backend, for errors.
        files: the ONNX model and its weights.
        feeds: calibration data, at least one set of inputs.

    Raises:
        BackendError: there is no calibration data, no operator can be quantized, or ONNX Runtime
            failed.
    """
    try:
        return _quantize(files, feeds)
    except MemoryError:
        raise
    # The exceptions of ONNX Runtime and onnx have no common base class.
    except Exception as error:
        why = " ".join(str(error).split())[:600] or type(error).__name__
        raise BackendError(backend, "quantize", f"{files.program}: {why}") from error


def _quantize(files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="hpip-int8-") as name:
        whole, prepared, target = (
            Path(name) / f"{part}.onnx" for part in ("whole", "prep", "int8")
        )
        onnx.save(load_onnx(files), whole)
        # Folds batch norms into convolutions, which is impossible once their inputs are quantized.
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        whole.unlink()
        model = onnx.load(prepared)
        chosen = _name_and_choose(model)
        if not chosen:
            raise ValueError(f"it has no {' or '.join(_QUANTIZED_OPS)} with weights to quantize")
        onnx.save(model, prepared)
        quantize_static(
            str(prepared),
            str(target),
            _reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTIZED_OPS),
            nodes_to_quantize=chosen,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=_adds_in_16_bits(),
            extra_options={"OpTypesToExcludeOutputQuantization": list(_FLOAT_OUTPUT_OPS)},
        )
        return target.read_bytes()


def _name_and_choose(model: ModelProto) -> list[str]:
    """Give every node a unique name; returns the names of the nodes to quantize."""
    weights = {tensor.name for tensor in model.graph.initializer}
    chosen = []
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
        if node.op_type in _QUANTIZED_OPS and node.input[1] in weights:
            chosen.append(node.name)
    return chosen


def _reader(feeds: Iterable[Feeds]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Passes the calibration data to the quantizer one by one."""

        def __init__(self, remaining: Iterator[Feeds]) -> None:
            self._remaining = remaining

        def get_next(self) -> dict[str, Any] | None:
            found = next(self._remaining, None)
            return None if found is None else dict(found)

    return Reader(iter(feeds))
