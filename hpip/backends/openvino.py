# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

from hpip.backends.base import (
    Backend,
    Feeds,
    Precision,
    Probe,
    Session,
    SessionOptions,
    refuse_settings,
    require_cpu,
    require_engine,
    require_precision,
)
from hpip.backends.onnxruntime_int8 import quantize, quantizer, require_int8
from hpip.backends.openvino_builds import cached_model
from hpip.backends.openvino_core import core, require_no_fork
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError
from hpip.types import AnyArray, ModelFiles

_SETTINGS = ("performance_hint",)
_HINTS = ("latency", "throughput")
# A quantized model specifies its int8 operators itself; the others are fp32.
_PRECISIONS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


class OpenVinoBackend(Backend):
    """OpenVINO's CPU plugin in fp32, bf16, or int8 for models quantized by ONNX Runtime.

    Compiled models are cached in `build_dir`.

    Settings: `performance_hint`, "latency" (default) or "throughput".
    """

    name = "openvino"
    format = "onnx"

    def probe(self) -> Probe:
        """See `Backend.probe`."""
        if util.find_spec("openvino") is None:
            return Probe(None, "openvino is not installed", ())
        try:
            import openvino

            found = core().available_devices
        except BackendError as error:
            return Probe(None, str(error), ())
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            return Probe(None, f"openvino can't be loaded: {error}", (), broken=True)
        if "CPU" not in found:
            return Probe(None, "openvino has no CPU plugin", ())
        return Probe(str(openvino.__version__), "", ("cpu",))

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """See `Backend.open`."""
        refuse_settings(self.name, options.settings, known=_SETTINGS)
        properties = compile_properties(options)
        require_no_fork()
        require_engine(self)
        if options.precision == "bf16":
            _require_bf16()
        require_int8(self.name, files, options)
        return OpenVinoSession(files, options, properties)

    def quantizer(self, device: Device) -> str | None:
        """See `Backend.quantizer`."""
        return quantizer(device)

    def quantize(self, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
        """See `Backend.quantize`."""
        return quantize(self.name, files, feeds)


class OpenVinoSession(Session):
    """One compiled model with one infer request. Inputs are not copied; outputs are."""

    def __init__(
        self, files: ModelFiles, options: SessionOptions, properties: Mapping[str, Any]
    ) -> None:
        try:
            compiled = cached_model(
                files, options, properties, partial(_compile, files, properties)
            )
            self._request = compiled.create_infer_request()
        except (RuntimeError, OSError, ValueError, TypeError) as error:
            raise BackendError(
                "openvino", "open", f"{files.program} and {files.params.name}: {_last_lines(error)}"
            ) from error
        super().__init__(
            tuple(port.any_name for port in compiled.inputs),
            tuple(port.any_name for port in compiled.outputs),
        )

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        try:
            results = self._request.infer(dict(inputs), share_inputs=True, share_outputs=False)
            return [results[index] for index in range(len(self.output_names))]
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
            raise BackendError(
                "openvino", "run", f"inputs {shapes}: {_last_lines(error)}"
            ) from error

    def _close(self) -> None:
        self._request = None
        gc.collect()


def _compile(files: ModelFiles, properties: Mapping[str, Any]) -> Any:
    with _in_one_folder(files) as program:
        return core().compile_model(core().read_model(program), "CPU", dict(properties))


def compile_properties(options: SessionOptions) -> dict[str, Any]:
    """Properties for `compile_model`, by OpenVINO's names.

    Raises:
        InvalidInputError: the performance hint is unknown.
        BackendUnavailableError: the device or the precision is not supported.
    """
    require_cpu("openvino", options)
    require_precision("openvino", options, *_PRECISIONS)
    hint = options.settings.get("performance_hint", "latency")
    if hint not in _HINTS:
        raise InvalidInputError(
            f"settings of openvino: expected a performance_hint of {', '.join(_HINTS)}; "
            f"received {hint!r}"
        )
    return {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_NUM_THREADS": options.threads,
        # By default, OpenVINO uses bf16 on processors that have it.
        "INFERENCE_PRECISION_HINT": _PRECISIONS[options.precision],
        # Several sessions would pin their threads to the same cores.
        "ENABLE_CPU_PINNING": not options.shares_cpu,
    }


def _require_bf16() -> None:
    able = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" not in able:
        raise BackendUnavailableError(
            "openvino", "this processor does not support bf16.", "Use precision='fp32'."
        )


@contextmanager
def _in_one_folder(files: ModelFiles) -> Iterator[Path]:
    """Path of the model in a temporary folder that contains its weights too.

    OpenVINO reads external data only from the folder of the model, and follows no symbolic link
    out of it. It maps the file, so that the folder can be deleted once the model is compiled.
    """
    with tempfile.TemporaryDirectory(prefix="hpip-openvino-") as name:
        folder = Path(name)
        program = folder / files.program.name
        shutil.copyfile(files.program, program)
        weights = folder / files.params.name
        try:
            os.link(files.params.resolve(), weights)
        except OSError:
            # Another file system, or a file of another user.
            shutil.copyfile(files.params, weights)
        yield program


def _last_lines(error: Exception) -> str:
    """The last lines, which state the cause, after OpenVINO's source locations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[-3:])[:600] or type(error).__name__
