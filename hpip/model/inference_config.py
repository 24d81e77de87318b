# SPDX-License-Identifier: Apache-2.0
"""Reads `inference.yml`: preprocessing, labels and score threshold of an exported model.

The keys and defaults are those of PaddleX 3.7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hpip.common.yaml_text import parse_yaml, read_yaml
from hpip.errors import InvalidInputError, ModelFormatError, shorten
from hpip.types import (
    Interpolation,
    NormalizeStep,
    PadStrideStep,
    PermuteStep,
    PreprocessPlan,
    PreprocessStep,
    ResizeStep,
)

# Larger inputs than any network's: 800 MB as float32.
_MOST_SIDE, _MOST_AREA = 16_384, 1 << 26

Options: TypeAlias = dict[str, Any]
Triple: TypeAlias = tuple[float, float, float]

_INTERPOLATIONS: Mapping[int | str, Interpolation] = {
    0: "nearest",
    1: "linear",
    2: "cubic",
    3: "area",
    "NEAREST": "nearest",
    "LINEAR": "linear",
    "BICUBIC": "cubic",
    "AREA": "area",
}


@dataclass(frozen=True)
class InferenceConfig:
    """The parts of `inference.yml` that inference needs.

    Attributes:
        model_name: official name of the model's architecture.
        preprocess: the steps from image to network input.
        labels: class names by class id.
        score_threshold: `draw_threshold`; 0.5 if the file has none.
    """

    model_name: str
    preprocess: PreprocessPlan
    labels: tuple[str, ...]
    score_threshold: float


def read_inference_config(config_file: Path) -> InferenceConfig:
    """Read an `inference.yml`.

    Raises:
        ModelFormatError: the file is missing, empty or not YAML, or a key is missing or invalid.
    """
    try:
        document = read_yaml(config_file)
    except FileNotFoundError as error:
        raise ModelFormatError(
            f"{config_file} is missing: expected the inference.yml that PaddleX exports beside the "
            "program. Copy it to the model directory."
        ) from error
    except InvalidInputError as error:
        raise ModelFormatError(f"{config_file} {error}. Copy or export the model again.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"cannot read {config_file}: {error}") from error
    return _config(document, str(config_file))


def parse_inference_config(data: bytes, name: str) -> InferenceConfig:
    """Read the content of an `inference.yml`; `name` tells in errors where it comes from.

    Raises:
        ModelFormatError: see `read_inference_config`.
    """
    try:
        return _config(parse_yaml(data.decode()), name)
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"cannot read {name}: {error}") from error
    except InvalidInputError as error:
        raise ModelFormatError(f"{name} {error}. Copy or export the model again.") from error


def _config(document: Any, name: str) -> InferenceConfig:
    if not isinstance(document, dict):
        found = "an empty file" if document is None else type(document).__name__
        raise ModelFormatError(
            f"{name}: expected a mapping with Global, Preprocess and label_list, received "
            f"{found}. Copy or export the model again."
        )
    try:
        return InferenceConfig(
            model_name=_model_name(document),
            preprocess=_preprocess_plan(document),
            labels=_labels(document),
            score_threshold=_score_threshold(document),
        )
    except _ConfigError as error:
        raise ModelFormatError(
            f"{name}: {error}. Correct the file, or copy or export the model again."
        ) from error
    except (ValueError, OverflowError) as error:  # a number that no float or text can hold
        raise ModelFormatError(
            f"{name} holds a number out of range: {error}. Correct the file, or copy or"
            " export the model again."
        ) from error


class _ConfigError(Exception):
    """An invalid document; converted to a ModelFormatError that names the file."""


def _model_name(document: Options) -> str:
    section = document.get("Global")
    name = section.get("model_name") if isinstance(section, dict) else None
    if not isinstance(name, str) or not name:
        raise _ConfigError(
            f"Global.model_name: expected the model's name, received {shorten(name)}"
        )
    return name


def _score_threshold(document: Options) -> float:
    value = document.get("draw_threshold", 0.5)
    if not _is_number(value) or not 0 <= value <= 1:
        raise _ConfigError(
            f"draw_threshold: expected a number from 0 to 1, received {shorten(value)}"
        )
    return float(value)


def _labels(document: Options) -> tuple[str, ...]:
    labels = document.get("label_list")
    if not isinstance(labels, list) or not labels:
        raise _ConfigError(
            f"label_list: expected a list of class names, received {shorten(labels)}"
        )
    for index, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, str | int | float):
            raise _ConfigError(
                f"label_list[{index}]: expected a class name, received {shorten(label)} (quote "
                "yes, no, on, off and null: YAML parses them as booleans and null)"
            )
    return tuple(str(label) for label in labels)


def _preprocess_plan(document: Options) -> PreprocessPlan:
    entries = document.get("Preprocess")
    if not isinstance(entries, list) or not entries:
        raise _ConfigError(f"Preprocess: expected a list of operators, received {shorten(entries)}")
    steps: list[PreprocessStep] = []
    for index, entry in enumerate(entries):
        kind = entry.get("type") if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in _STEP_READERS:
            known = ", ".join(_STEP_READERS)
            raise _ConfigError(
                f"Preprocess[{index}]: expected an operator of type {known}, received "
                f"{shorten(entry if kind is None else kind)}"
            )
        options = {key: value for key, value in entry.items() if key != "type"}
        try:
            steps.append(_STEP_READERS[kind](options))
        except _ConfigError as error:
            raise _ConfigError(f"Preprocess[{index}] ({kind}): {error}") from error
        if options:
            raise _ConfigError(
                f"Preprocess[{index}] ({kind}): unknown keys {shorten(list(options))}"
            )
    _check_order(steps)
    return PreprocessPlan(tuple(steps))


def _check_order(steps: list[PreprocessStep]) -> None:
    """Check the order: Resize and NormalizeImage need HWC; PadStride and the network need CHW."""
    layouts = ["CHW" if isinstance(step, PadStrideStep) else "HWC" for step in steps]
    permutes = [index for index, step in enumerate(steps) if isinstance(step, PermuteStep)]
    if len(permutes) != 1:
        raise _ConfigError(f"Preprocess: expected Permute once, received it {len(permutes)} times")
    before, after = layouts[: permutes[0]], layouts[permutes[0] + 1 :]
    if "CHW" in before or "HWC" in after:
        raise _ConfigError(
            "Preprocess: expected Resize and NormalizeImage before Permute and PadStride after it, "
            f"received {', '.join(type(step).__name__.removesuffix('Step') for step in steps)}"
        )
    for kind in (ResizeStep, NormalizeStep, PadStrideStep):
        count = sum(isinstance(step, kind) for step in steps)
        if count > 1:
            name = kind.__name__.removesuffix("Step")
            raise _ConfigError(
                f"Preprocess: expected {name} at most once, since hpip fuses all steps to one; "
                f"received it {count} times"
            )


def _resize_step(options: Options) -> ResizeStep:
    target = options.pop("target_size", None)
    if (
        not isinstance(target, list | tuple)
        or len(target) != 2
        or not all(_is_integer(side) and 0 < side <= _MOST_SIDE for side in target)
        or target[0] * target[1] > _MOST_AREA
    ):
        raise _ConfigError(
            f"target_size: expected [height, width], each at most {_MOST_SIDE} and at most"
            f" {_MOST_AREA} pixels, received {shorten(target)}"
        )
    keep_ratio = options.pop("keep_ratio", False)
    if not isinstance(keep_ratio, bool):
        raise _ConfigError(f"keep_ratio: expected true or false, received {shorten(keep_ratio)}")
    interp = options.pop("interp", 2)
    key = interp.upper() if isinstance(interp, str) else interp
    if isinstance(key, bool) or not isinstance(key, int | str) or key not in _INTERPOLATIONS:
        known = ", ".join(str(known_key) for known_key in _INTERPOLATIONS)
        raise _ConfigError(f"interp: expected one of {known}, received {shorten(interp)}")
    return ResizeStep((target[0], target[1]), keep_ratio, _INTERPOLATIONS[key])


def _normalize_step(options: Options) -> NormalizeStep:
    norm_type = options.pop("norm_type", None)
    if norm_type not in (None, "", "none", "mean_std"):
        # PaddleX 3.7 does not support other kinds either.
        raise _ConfigError(f"norm_type: expected none or mean_std, received {shorten(norm_type)}")
    is_scale = options.pop("is_scale", True)
    if not isinstance(is_scale, bool):
        raise _ConfigError(f"is_scale: expected true or false, received {shorten(is_scale)}")
    mean = _triple(options, "mean", (0.485, 0.456, 0.406))
    std = _triple(options, "std", (0.229, 0.224, 0.225))
    if 0 in std:
        raise _ConfigError(f"std: expected numbers other than 0, received {list(std)}")
    return NormalizeStep(1 / 255 if is_scale else 1.0, mean, std)


def _triple(options: Options, key: str, default: Triple) -> Triple:
    value = options.pop(key, default)
    values = [value] * 3 if _is_number(value) else value
    if (
        not isinstance(values, list | tuple)
        or len(values) != 3
        or not all(_is_number(item) for item in values)
    ):
        raise _ConfigError(f"{key}: expected three numbers (R, G, B), received {shorten(value)}")
    red, green, blue = values
    return float(red), float(green), float(blue)


def _permute_step(options: Options) -> PermuteStep:
    return PermuteStep()


def _pad_stride_step(options: Options) -> PadStrideStep:
    stride = options.pop("stride", 32)
    if not _is_integer(stride) or stride > _MOST_SIDE:
        raise _ConfigError(
            f"stride: expected a whole number up to {_MOST_SIDE}, received {shorten(stride)}"
        )
    return PadStrideStep(stride)


# Each reader removes its keys from the options; remaining keys are an error.
_STEP_READERS: Mapping[str, Callable[[Options], PreprocessStep]] = {
    "Resize": _resize_step,
    "NormalizeImage": _normalize_step,
    "Permute": _permute_step,
    "PadStride": _pad_stride_step,
}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))
