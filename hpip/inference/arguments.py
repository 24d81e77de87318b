# SPDX-License-Identifier: Apache-2.0
"""Validates the arguments of predictors and pipelines."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

from hpip.backends.base import Precision
from hpip.backends.registry import backend_names
from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.inference.tuning.candidates import EngineOptions

# Keys of PaddleX's hpi_config; PaddleX itself sets those that name a device or a model.
_HPI_KEYS = (
    "auto_config",
    "backend",
    "backend_config",
    "auto_paddle2onnx",
    "device_type",
    "device_id",
    "hpi_info",
    "model_name",
    "pdx_model_name",
)
_PRECISIONS: dict[str, Precision] = {
    "auto": "fp32",
    "fp32": "fp32",
    "bf16": "bf16",
    "fp16": "fp16",
    "int8": "int8",
}
_THREAD_KEYS = ("cpu_threads", "cpu_num_threads")
# PaddleX's run modes of Paddle Inference: hpip's backend, and the precision that a mode implies.
_RUN_MODES: dict[Any, tuple[str, Precision | None]] = {
    "paddle": ("paddle", None),
    "mkldnn": ("paddle_onednn", None),
    "mkldnn_bf16": ("paddle_onednn", "bf16"),
    "trt_fp32": ("paddle_tensorrt", "fp32"),
    "trt_fp16": ("paddle_tensorrt", "fp16"),
    "trt_int8": ("paddle_tensorrt", "int8"),
}


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def check_score_threshold(value: Any, name: str = "threshold") -> float:
    """Return the threshold as a float in [0, 1].

    Raises:
        InvalidInputError: the value is not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise InvalidInputError(f"{name}: expected a number from 0 to 1; received {value!r}")
    return float(value)


def check_count(value: Any, name: str, at_least: int = 1) -> int:
    """Return the number as an int.

    Raises:
        InvalidInputError: the value is not a whole number, or less than `at_least`.
    """
    if not _is_whole(value) or int(value) < at_least:
        raise InvalidInputError(
            f"{name}: expected a whole number of at least {at_least}; received {value!r}"
        )
    return int(value)


def resolve_classes(
    classes: Collection[int | str] | int | str | None, labels: tuple[str, ...]
) -> frozenset[int] | None:
    """Convert class names and ids to ids; None, for all classes, stays None.

    Raises:
        InvalidInputError: a name is not a label of the model, or an id is out of range.
    """
    if classes is None:
        return None
    wanted: list[Any] = [classes] if isinstance(classes, str | int) else list(classes)
    ids = set()
    for entry in wanted:
        if isinstance(entry, str):
            if entry not in labels:
                raise InvalidInputError(
                    f"classes: expected labels of the model ({', '.join(labels[:5])}, ...); "
                    f"received {entry!r}"
                )
            ids.add(labels.index(entry))
        elif _is_whole(entry):
            if not 0 <= int(entry) < len(labels):
                raise InvalidInputError(
                    f"classes: expected ids from 0 to {len(labels) - 1}; received {entry}"
                )
            ids.add(int(entry))
        else:
            raise InvalidInputError(f"classes: expected names or ids; received {entry!r}")
    return frozenset(ids)


def check_precision(value: Any) -> Precision:
    """Return the lowest allowed precision; "auto" means fp32.

    Raises:
        InvalidInputError: the value is not "auto", "fp32", "bf16", "fp16" or "int8".
    """
    name = value.lower() if isinstance(value, str) else ""
    if name not in _PRECISIONS:
        raise InvalidInputError(
            f"precision: expected one of {', '.join(_PRECISIONS)}; received {value!r}"
        )
    return _PRECISIONS[name]


def check_engine_options(
    hpi_config: Mapping[str, Any] | None, precision: Any = "auto"
) -> EngineOptions:
    """Validate PaddleX's `hpi_config` mapping and the precision.

    Args:
        hpi_config: `backend` names an engine, and `backend_config` has its settings, including
            PaddleX's `run_mode` for Paddle and `precision` for TensorRT. `auto_paddle2onnx=False`
            excludes engines that need a conversion to ONNX.
        precision: "auto", "fp32", "bf16", "fp16" or "int8".

    Raises:
        InvalidInputError: `hpi_config` is not a mapping or has an unknown key, or `backend` is
            missing although there are settings or `auto_config` is False.
        BackendUnavailableError: hpip does not support the backend.
    """
    chosen = check_precision(precision)
    config = _check_mapping(hpi_config)
    backend = config.get("backend")
    if backend is None and config.get("auto_config") is False:
        raise InvalidInputError("hpi_config: auto_config=False needs a backend; received none")
    if backend is not None and backend not in backend_names():
        raise BackendUnavailableError(
            str(backend),
            "hpip does not support this backend.",
            f"Supported: {', '.join(backend_names())}.",
        )
    settings = dict(config.get("backend_config") or {})
    threads = None
    for key in _THREAD_KEYS:
        if key in settings:
            threads = check_count(settings.pop(key), f"hpi_config.backend_config.{key}")
    if backend == "paddle" and "run_mode" in settings:
        backend, chosen = _run_mode(settings.pop("run_mode"), chosen)
    if backend is not None and "precision" in settings:
        chosen = check_precision(settings.pop("precision"))
    if settings and backend is None:
        raise InvalidInputError(
            "hpi_config: settings in backend_config need a backend; "
            f"received {', '.join(map(str, settings))} and no backend"
        )
    may_convert = config.get("auto_paddle2onnx") is not False
    return EngineOptions(backend, chosen, settings, threads, may_convert)


def _run_mode(mode: Any, precision: Precision) -> tuple[str, Precision]:
    if mode not in _RUN_MODES:
        raise InvalidInputError(
            f"hpi_config.backend_config.run_mode: expected one of {', '.join(_RUN_MODES)}; "
            f"received {mode!r}"
        )
    backend, implied = _RUN_MODES[mode]
    return backend, implied or precision


def _check_mapping(hpi_config: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if hpi_config is None:
        return {}
    if not isinstance(hpi_config, Mapping):
        raise InvalidInputError(
            f"hpi_config: expected a mapping with keys of {', '.join(_HPI_KEYS)}; "
            f"received {type(hpi_config).__name__}"
        )
    if unknown := sorted(set(hpi_config) - set(_HPI_KEYS), key=str):
        raise InvalidInputError(
            f"hpi_config: expected keys of {', '.join(_HPI_KEYS)}; received {unknown[0]!r}"
        )
    backend_config = hpi_config.get("backend_config")
    if backend_config is not None and not isinstance(backend_config, Mapping):
        raise InvalidInputError(
            "hpi_config.backend_config: expected a mapping of the backend's settings; "
            f"received {backend_config!r}"
        )
    return hpi_config
