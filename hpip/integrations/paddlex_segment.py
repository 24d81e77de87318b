# SPDX-License-Identifier: Apache-2.0
"""Opens models with hpip, and returns the fields of PaddleX's results, for all PaddleX versions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paddlex.inference.models.instance_segmentation.result import InstanceSegResult

from hpip.common.devices import DEVICE_KINDS, Device, parse_devices
from hpip.common.system import available_cpus
from hpip.errors import InvalidInputError, ModelFormatError
from hpip.inference.arguments import check_count, check_engine_options
from hpip.inference.execution.runner import Engine
from hpip.inference.predictor import Predictor, create_predictor
from hpip.inputs.decode import as_bgr
from hpip.inputs.sources import Source
from hpip.integrations.static_program import StaticProgram
from hpip.model.files import find_model_files

# The name of hpip's demo model in its inference.yml.
DEMO_MODEL_NAME = "hpip-demo"
# PaddleX's environment variable for the default number of CPU threads.
_THREADS_VARIABLE = "PADDLE_PDX_CPU_NUM_THREADS"
_THREAD_KEYS = ("cpu_threads", "cpu_num_threads")
_HPI_KEYS = ("auto_config", "backend", "backend_config", "auto_paddle2onnx")


class SegmentationResult(InstanceSegResult):  # type: ignore[misc]
    """PaddleX's result, which can also draw boxes with masks of the whole image (SOLOv2).

    hpip adds `cls_id` and `coordinate` to the boxes of SOLOv2, which PaddleX's serving application
    requires. PaddleX's drawing assumes that masks are crops if a box has a `coordinate`.
    """

    def _to_img(self) -> Any:
        boxes = self["boxes"]
        if not any("class_id" in box for box in boxes):
            return super()._to_img()
        bare = [{k: v for k, v in box.items() if k != "coordinate"} for box in boxes]
        return InstanceSegResult({**self, "boxes": bare})._to_img()


class UnsupportedModelError(Exception):
    """hpip does not support this model or device; PaddleX runs it as without `use_hpip`."""


def open_predictor(model_dir: str | Path, hpi_config: Mapping[str, Any]) -> Predictor:
    """Open a model with hpip.

    Args:
        model_dir: the model's directory.
        hpi_config: PaddleX's `HPIConfig` as a mapping, with the key `device_type`.

    Raises:
        UnsupportedModelError: hpip does not support the model or device, and no backend was
            requested.
        HpipError: see `hpip.create_predictor`.
    """
    kind = hpi_config["device_type"]
    config = _only_hpi_keys(hpi_config)
    may_choose = config.get("backend") is None
    if may_choose and kind not in DEVICE_KINDS:
        raise UnsupportedModelError(f"hpip does not support the device {kind}")
    try:
        return create_predictor(
            model_dir=model_dir,
            device=_device_string(hpi_config),
            hpi_config=config,
            threads=_wanted_threads(config.get("backend_config") or {}),
        )
    except ModelFormatError as error:
        if may_choose:
            raise UnsupportedModelError(str(error)) from error
        raise


def named_engine(hpi_config: Mapping[str, Any]) -> Engine | None:
    """The engine that is requested for a model of another task; None for PaddleX's own runner.

    Raises:
        InvalidInputError, BackendUnavailableError: see `check_engine_options`.
    """
    if hpi_config.get("backend") in (None, "paddle"):
        return None
    options = check_engine_options(_only_hpi_keys(hpi_config))
    threads = options.threads or _wanted_threads({}) or available_cpus()
    return Engine(
        str(options.backend), _device(hpi_config), threads, options.precision, options.settings
    )


def may_tune(hpi_config: Mapping[str, Any]) -> bool:
    """Whether hpip may choose the engine of a model of another task."""
    settings = set(hpi_config.get("backend_config") or {}) - set(_THREAD_KEYS)
    return (
        hpi_config.get("backend") is None
        and not settings
        and hpi_config.get("auto_paddle2onnx") is not False
        and hpi_config["device_type"] in DEVICE_KINDS
    )


def static_program(
    model_name: str, model_dir: Path, hpi_config: Mapping[str, Any]
) -> StaticProgram:
    """Describe a model of another task for hpip's engines.

    Raises:
        ModelFormatError: the model directory is incomplete.
    """
    settings = hpi_config.get("backend_config") or {}
    threads = next((settings[key] for key in _THREAD_KEYS if key in settings), None)
    return StaticProgram(
        model_name,
        find_model_files(Path(model_dir)),
        _device(hpi_config),
        threads or _wanted_threads({}) or available_cpus(),
    )


def process_batch(
    predictor: Predictor,
    read: Callable[[Sequence[Any]], list[dict[str, Any]]],
    batch_data: Any,
    threshold: float | None,
) -> dict[str, list[Any]]:
    """Segment one of PaddleX's batches, and return the fields of its results.

    Args:
        predictor: the opened model.
        read: PaddleX's `ReadImage` for BGR.
        batch_data: arrays and paths from PaddleX's batch sampler.
        threshold: score threshold; None for the predictor's.

    Raises:
        InvalidInputError: an image is not valid.
        BackendError: the engine failed.
    """
    images = [
        as_bgr(data["ori_img"], path or "array")
        for data, path in zip(read(batch_data.instances), batch_data.input_paths, strict=True)
    ]
    sources = [
        Source(image, path, page, path or "array")
        for image, path, page in zip(
            images, batch_data.input_paths, batch_data.page_indexes, strict=True
        )
    ]
    results = []
    for _, outcome in predictor.segment(sources, predictor.select(threshold)):
        if isinstance(outcome, Exception):
            raise outcome
        results.append(outcome)
    return {
        "input_path": batch_data.input_paths,
        "page_index": batch_data.page_indexes,
        "input_img": images,
        "boxes": [result["boxes"] for result in results],
        "masks": [result["masks"] for result in results],
    }


def _only_hpi_keys(hpi_config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: hpi_config[key] for key in _HPI_KEYS if hpi_config.get(key) is not None}


def _device_string(hpi_config: Mapping[str, Any]) -> str:
    kind, index = hpi_config["device_type"], hpi_config.get("device_id")
    return str(kind) if index is None else f"{kind}:{index}"


def _device(hpi_config: Mapping[str, Any]) -> Device:
    (device,) = parse_devices(_device_string(hpi_config))
    return device


def _wanted_threads(backend_config: Mapping[str, Any]) -> int | None:
    """Threads in PaddleX's environment variable; None if unset or if the configuration has them."""
    text = os.environ.get(_THREADS_VARIABLE)
    if not text or not set(_THREAD_KEYS).isdisjoint(backend_config):
        return None
    try:
        return check_count(int(text), _THREADS_VARIABLE)
    except ValueError as error:
        raise InvalidInputError(
            f"{_THREADS_VARIABLE}: expected a number of threads of at least 1; received {text!r}."
            " Correct or unset the environment variable."
        ) from error
