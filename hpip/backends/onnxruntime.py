# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU, and on NVIDIA GPUs with its CUDA and TensorRT providers."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import TypeAlias

from hpip.backends.base import (
    Backend,
    Feeds,
    Precision,
    Probe,
    Session,
    SessionOptions,
    refuse_settings,
    require_engine,
    require_precision,
)
from hpip.backends.cuda_libraries import (
    TENSORRT_PROVIDER,
    load_cuda_libraries,
    missing_library,
    provider_refusal,
)
from hpip.backends.engine_builds import build_key
from hpip.backends.onnxruntime_int8 import quantize, quantizer, require_int8
from hpip.common.devices import Device
from hpip.common.system import nvidia_gpu_count
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError
from hpip.types import AnyArray, ModelFiles

Provider: TypeAlias = tuple[str, dict[str, str]]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_SETTINGS = ("provider", "memory_arena")
_PROVIDERS = ("cuda", "tensorrt")
# Only fatal errors are logged; all others are raised as exceptions.
_LOG_SEVERITY = 4


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime in fp32, and on the CPU in int8.

    Settings: `provider` selects the execution provider on a GPU, "cuda" or "tensorrt";
    `memory_arena=False` frees memory after each run, which is slower.
    """

    name = "onnxruntime"
    format = "onnx"

    def probe(self) -> Probe:
        """See `Backend.probe`. A provider of a listed GPU may still fail to load in `open`."""
        if util.find_spec("onnxruntime") is None:
            return Probe(None, "onnxruntime is not installed", ())
        try:
            import onnxruntime

            providers = onnxruntime.get_available_providers()
        except (ImportError, OSError, AttributeError) as error:
            return Probe(None, f"onnxruntime can't be loaded: {error}", (), broken=True)
        gpus = nvidia_gpu_count() if _CUDA in providers else 0
        devices = ("cpu", *(f"gpu:{index}" for index in range(gpus)))
        return Probe(str(onnxruntime.__version__), "", devices)

    def open(self, files: ModelFiles, options: SessionOptions) -> Session:
        """See `Backend.open`."""
        int8: tuple[Precision, ...] = ("int8",) if options.device.kind == "cpu" else ()
        require_precision(self.name, options, "fp32", *int8)
        refuse_settings(self.name, options.settings, known=_SETTINGS)
        version = require_engine(self)
        import onnxruntime

        providers = provider_list(with_own_build_dir(files, options, version))
        missing = {name for name, _ in providers} - set(onnxruntime.get_available_providers())
        if missing:
            raise BackendUnavailableError(
                self.name,
                f"this build of ONNX Runtime {version} has no {', '.join(sorted(missing))}.",
                "For NVIDIA GPUs, install it with: pip install 'hpip[gpu]'",
            )
        require_engine(self, options.device)
        load_cuda_libraries([name for name, _ in providers])
        require_int8(self.name, files, options)
        return OnnxRuntimeSession(files, options, providers)

    def quantizer(self, device: Device) -> str | None:
        """See `Backend.quantizer`."""
        return quantizer(device)

    def quantize(self, files: ModelFiles, feeds: Iterable[Feeds]) -> bytes:
        """See `Backend.quantize`."""
        return quantize(self.name, files, feeds)


class OnnxRuntimeSession(Session):
    """One `InferenceSession`. Inputs are not copied; outputs, which are small, are."""

    def __init__(
        self, files: ModelFiles, options: SessionOptions, providers: list[Provider]
    ) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = _LOG_SEVERITY
        settings.enable_cpu_mem_arena = bool(options.settings.get("memory_arena", True))
        for key, value in session_config(files.params.parent, shares_cpu=options.shares_cpu):
            settings.add_session_config_entry(key, value)
        try:
            # Loaded from memory, since a path would forbid weights in another folder. With its
            # fallback, ONNX Runtime would continue on another device when a provider fails.
            self._session = onnxruntime.InferenceSession(
                files.program.read_bytes(), settings, providers=providers, enable_fallback=0
            )
        # ONNX Runtime's exceptions have no common base class.
        except Exception as error:
            if missing_library(providers[0][0]):
                raise provider_refusal(providers[0][0]) from error
            raise BackendError(
                "onnxruntime", "open", f"{files.program} and {files.params.name}: {_short(error)}"
            ) from error
        if providers[0][0] not in self._session.get_providers():
            # ONNX Runtime continues on the CPU when a provider's libraries can't be loaded.
            raise provider_refusal(providers[0][0])
        super().__init__(
            tuple(value.name for value in self._session.get_inputs()),
            tuple(value.name for value in self._session.get_outputs()),
        )

    def _run(self, inputs: Mapping[str, AnyArray]) -> list[AnyArray]:
        try:
            results: list[AnyArray] = self._session.run(None, dict(inputs))
        except Exception as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
            raise BackendError("onnxruntime", "run", f"inputs {shapes}: {_short(error)}") from error
        return results

    def _clone(self) -> Session:
        # `InferenceSession.run` is thread-safe.
        twin = object.__new__(type(self))
        twin._session = self._session
        Session.__init__(twin, self.input_names, self.output_names)
        return twin

    def _close(self) -> None:
        self._session = None
        gc.collect()


def session_config(weights_folder: Path, *, shares_cpu: bool) -> list[tuple[str, str]]:
    """Session configuration entries, by ONNX Runtime's keys."""
    return [
        ("session.model_external_initializers_file_folder_path", str(weights_folder)),
        # Spinning threads wake up faster, but take CPU time from concurrent sessions.
        ("session.intra_op.allow_spinning", "0" if shares_cpu else "1"),
        ("session.force_spinning_stop", "1"),
    ]


def provider_list(options: SessionOptions) -> list[Provider]:
    """Execution providers in order of priority.

    Raises:
        InvalidInputError: the provider is unknown, or is for GPUs and the device is not one.
        BackendUnavailableError: ONNX Runtime has no provider for this kind of device.
    """
    kind = options.device.kind
    chosen = options.settings.get("provider")
    if chosen is not None and (chosen not in _PROVIDERS or kind != "gpu"):
        raise InvalidInputError(
            f"settings of onnxruntime: expected a provider of {', '.join(_PROVIDERS)} for a GPU; "
            f"received {chosen!r} for {options.device}"
        )
    if kind == "cpu":
        return [(_CPU, {})]
    if kind != "gpu":
        raise BackendUnavailableError(
            "onnxruntime", f"it does not support {options.device}.", "Use a Paddle backend."
        )
    cuda = (_CUDA, cuda_options(options.device.index))
    if chosen == "tensorrt":
        return [(TENSORRT_PROVIDER, tensorrt_options(options)), cuda, (_CPU, {})]
    return [cuda, (_CPU, {})]


def with_own_build_dir(files: ModelFiles, options: SessionOptions, version: str) -> SessionOptions:
    """The options with a build folder for this model alone, for the TensorRT provider.

    The provider names its engines by the graph, not by the weights: in a common folder, a
    fine-tuned model would be run with the engine of its base model.
    """
    if options.build_dir is None or options.settings.get("provider") != "tensorrt":
        return options
    key = build_key(files, options, {"onnxruntime": version}, str(options.device))
    folder = options.build_dir / f"onnxruntime-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return replace(options, build_dir=folder)


def cuda_options(device_index: int) -> dict[str, str]:
    """Options of the CUDA provider: minimal memory growth, heuristic convolution search."""
    return {
        "device_id": str(device_index),
        # The default doubles the arena at each growth.
        "arena_extend_strategy": "kSameAsRequested",
        # EXHAUSTIVE benchmarks all algorithms for each new input size.
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


def tensorrt_options(options: SessionOptions) -> dict[str, str]:
    """Options of the TensorRT provider: fp32, cached engines, shape ranges of the examples."""
    chosen = {
        "device_id": str(options.device.index),
        "trt_fp16_enable": "0",
        "trt_timing_cache_enable": "1",
    }
    if options.build_dir is not None:
        folder = str(options.build_dir)
        chosen |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_path": folder,
        }
    if options.examples is not None:
        names = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
        for name, feeds in zip(names, options.examples, strict=True):
            chosen[name] = ",".join(
                f"{key}:{'x'.join(str(n) for n in array.shape)}" for key, array in feeds.items()
            )
    return chosen


def _short(error: Exception) -> str:
    """The message without ONNX Runtime's error code prefix."""
    text = " ".join(str(error).split())
    return text.split(" : ", 2)[-1][:600] or type(error).__name__
