# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's static quantiser: convolutions and products with weights in 8 bits.

What it writes is standard ONNX, which OpenVINO runs in 8 bits as well.
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

# Part of cache keys: raise it whenever the settings below, or what is left out, change.
_RECIPE_VERSION = 2
# Everything else keeps float32: scores, boxes, layer norms and sampling grids lose more in 8 bits
# than they cost. The operators between convolutions (additions, activations, concatenations) were
# tried too: they made the demo model less exact and no faster.
_QUANTIZED_OPS = ("Conv", "MatMul", "Gemm")
# Products with weights make coordinates and scores, too.
_FLOAT_OUTPUT_OPS = ("MatMul", "Gemm")
# The operator that every quantised program has.
_MARK = b"QuantizeLinear"


def quantizer(device: Device) -> str | None:
    """See `Backend.quantizer`; imports no engine."""
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
    """Whether this processor adds pairs of 8-bit products in 16 bits, where large ones saturate.

    x86 does so without VNNI. ONNX Runtime's documentation advises weights of 7 bits there
    (`reduce_range`), whose products cannot saturate.
    """
    flags = cpu_facts().get("flags", "").split()
    return bool(flags) and not {"avx512_vnni", "avx_vnni"} & set(flags)


def require_int8(backend: str, files: ModelFiles, options: SessionOptions) -> None:
    """Refuse to call a program int8 that was never quantised.

    Raises:
        BackendError: int8 is asked for, and nothing in the program runs in 8 bits.
    """
    if options.precision == "int8" and _MARK not in files.program.read_bytes():
        raise BackendError(
            backend, "open", f"{files.program} is not in int8; expected one that `quantize` made"
        )


def quantize(backend: str, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
    """An ONNX program with its weights in it, quantised by the ranges that `feeds` reach.

    Weights have one scale for each output channel, activations one for the tensor; ranges are the
    least and the largest value over all feeds.

    Args:
        backend: who asks; named in errors.
        files: the program and its weights.
        feeds: at least one.

    Raises:
        BackendError: there are no feeds, nothing in the program can be quantised, or ONNX Runtime
            refused it.
    """
    try:
        return _quantize(files, feeds)
    except MemoryError:
        raise
    # Neither the engine's errors nor those of the onnx package have a base of their own.
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
        # Folds batch norms into convolutions: between two quantised tensors they could not be.
        quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
        whole.unlink()
        model = onnx.load(prepared)
        chosen = _name_and_choose(model)
        if not chosen:
            raise ValueError(f"no {', '.join(_QUANTIZED_OPS)} with weights is in it")
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
    """Give every node a name of its own; return those of the operators with weights."""
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
        """Feeds one by one, as the quantiser asks for them."""

        def __init__(self, remaining: Iterator[Feeds]) -> None:
            self._remaining = remaining

        def get_next(self) -> dict[str, Any] | None:
            found = next(self._remaining, None)
            return None if found is None else dict(found)

    return Reader(iter(feeds))
