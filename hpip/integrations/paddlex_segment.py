# SPDX-License-Identifier: Apache-2.0
"""What both generations of PaddleX share: opening a model with hpip, and PaddleX's fields."""

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

# The model that comes with hpip, under the name in its inference.yml.
DEMO_MODEL_NAME = "hpip-demo"
# PaddleX counts threads with this where nothing else is said.
_THREADS_VARIABLE = "PADDLE_PDX_CPU_NUM_THREADS"
_THREAD_KEYS = ("cpu_threads", "cpu_num_threads")
_HPI_KEYS = ("auto_config", "backend", "backend_config", "auto_paddle2onnx")


class SegmentationResult(InstanceSegResult):  # type: ignore[misc]
    """PaddleX's result, which also draws boxes that come beside masks of the whole image.

    hpip gives SOLOv2 `cls_id` and `coordinate` as every other model has them, so that PaddleX's
    serving application answers for it. PaddleX's drawing takes a coordinate for the sign that masks
    are crops.
    """

    def _to_img(self) -> Any:
        boxes = self["boxes"]
        if not any("class_id" in box for box in boxes):
            return super()._to_img()
        bare = [{k: v for k, v in box.items() if k != "coordinate"} for box in boxes]
        return InstanceSegResult({**self, "boxes": bare})._to_img()


class UnfitModelError(Exception):
    """hpip can't take this model or device; PaddleX runs it as without `use_hpip`."""


def open_predictor(model_dir: str | Path, hpi_config: Mapping[str, Any]) -> Predictor:
    """Open a model with hpip.

    Args:
        model_dir: the model's directory.
        hpi_config: PaddleX's `HPIConfig` as a mapping: `device_type` is there.

    Raises:
        UnfitModelError: hpip does not know the model or device, and no backend was asked for.
        HpipError: as `hpip.create_predictor`.
    """
    kind = hpi_config["device_type"]
    config = _only_hpi_keys(hpi_config)
    may_choose = config.get("backend") is None
    if may_choose and kind not in DEVICE_KINDS:
        raise UnfitModelError(f"hpip does not run on {kind}")
    try:
        return create_predictor(
            model_dir=model_dir,
            device=_device_string(hpi_config),
            hpi_config=config,
            threads=_wanted_threads(config.get("backend_config") or {}),
        )
    except ModelFormatError as error:
        if may_choose:
            raise UnfitModelError(str(error)) from error
        raise


def named_engine(hpi_config: Mapping[str, Any]) -> Engine | None:
    """The engine that a model of another kind is to run on, or None where PaddleX's own may run it.

    Raises:
        InvalidInputError, BackendUnavailableError: as `check_engine_options`.
    """
    if hpi_config.get("backend") in (None, "paddle"):
        return None
    options = check_engine_options(_only_hpi_keys(hpi_config))
    threads = options.threads or _wanted_threads({}) or available_cpus()
    return Engine(
        str(options.backend), _device(hpi_config), threads, options.precision, options.settings
    )


def may_tune(hpi_config: Mapping[str, Any]) -> bool:
    """Whether hpip may choose the engine of a model of another kind."""
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
    """A model of another kind, for hpip's engines.

    Raises:
        ModelFormatError: the directory is incomplete.
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
        batch_data: arrays and paths, as PaddleX's batch sampler gives them.
        threshold: lowest score; None takes the model's own.

    Raises:
        InvalidInputError: an image can't be used.
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
    """What PaddleX's variable says, unless the configuration says it."""
    text = os.environ.get(_THREADS_VARIABLE)
    if not text or not set(_THREAD_KEYS).isdisjoint(backend_config):
        return None
    try:
        return check_count(int(text), _THREADS_VARIABLE)
    except ValueError as error:
        raise InvalidInputError(
            f"{_THREADS_VARIABLE}: expected a number of threads; received {text!r}"
        ) from error
