# SPDX-License-Identifier: Apache-2.0
"""The settings of a run, from flags and from the YAML file of a suite."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hpip.common.yaml_text import read_yaml
from hpip.errors import InvalidInputError, shorten

FORMATS = ("md", "csv", "json", "html")


@dataclass(frozen=True)
class BenchSettings:
    """What the benchmark measures, and how.

    Attributes:
        models: directories, official names or "demo".
        images: files, directories and glob patterns; if empty, the images of the demo model.
        backends: see `hpip.bench.contender.known_backends`.
        devices: see `create_predictor`.
        precisions: for the backends that support several.
        batch_sizes: images per call.
        sizes: `HxW` to which images are resized; if empty, they are not resized.
        threads: CPU threads; 0 for all CPUs that the process may use.
        thresholds: score thresholds; -1 for each model's own.
        paddlex_python: interpreter of an environment with PaddleX.
        url: address of an HTTP service to measure.
        callers: numbers of concurrent callers; one closed loop for each.
        rates: requests per second; one open loop for each.
        load_s: duration of each loop.
        coco: COCO annotation file, to compute AP.
        coco_images: root folder of its images.
        coco_limit: use only the first N images of the dataset; 0 for all.
        most_images: use only the first N of `images`; 0 for all.
        width: rounds end when the 95 % interval of every median is narrower than this part of the
            median, after at least `least_rounds`.
        least_rounds: minimum number of rounds.
        budget_s: time limit for the rounds of one workload.
        tune_budget_s: time limit for tuning a model at its first use; 0 for HPIP_TUNE_BUDGET_S.
        warmup: untimed calls before the rounds.
        rest_s: pause before each timed call.
        timeout_s: time limit for a reply; then the contender is killed.
        slow_s: results of plain Paddle and PaddleX are cached from this latency on.
        fresh: ignore cached results.
    """

    models: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("auto", "paddle")
    devices: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ("fp32",)
    batch_sizes: tuple[int, ...] = (1,)
    sizes: tuple[str, ...] = ()
    threads: tuple[int, ...] = (0,)
    thresholds: tuple[float, ...] = (-1.0,)
    paddlex_python: str | None = None
    url: str | None = None
    callers: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    load_s: float = 10.0
    coco: str | None = None
    coco_images: str | None = None
    coco_limit: int = 0
    most_images: int = 0
    width: float = 0.05
    least_rounds: int = 20
    budget_s: float = 120.0
    tune_budget_s: float = 0.0
    warmup: int = 1
    rest_s: float = 0.2
    timeout_s: float = 900.0
    slow_s: float = 10.0
    fresh: bool = False

    def check(self) -> None:
        """Validate the settings.

        Raises:
            InvalidInputError: names the setting.
        """
        for name in ("load_s", "width", "budget_s", "timeout_s", "slow_s"):
            if not getattr(self, name) > 0:
                raise InvalidInputError(
                    f"{name}: expected a number above 0; received {getattr(self, name)!r}"
                )
        least_of = {
            "least_rounds": 1,
            "warmup": 0,
            "rest_s": 0,
            "most_images": 0,
            "tune_budget_s": 0,
        }
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise InvalidInputError(
                    f"{name}: expected at least {least}; received {getattr(self, name)!r}"
                )
        if any(one < 1 for one in self.callers) or any(not one > 0 for one in self.rates):
            raise InvalidInputError(
                "callers and rates: expected at least one caller, and requests per second above 0;"
                f" received {self.callers} and {self.rates}"
            )
        if self.paddlex_python is not None and shutil.which(self.paddlex_python) is None:
            raise InvalidInputError(
                f"paddlex_python: expected a Python interpreter; received {self.paddlex_python!r},"
                " which does not exist or is not executable"
            )
        if (self.coco is None) != (self.coco_images is None):
            raise InvalidInputError(
                "coco and coco_images: expected both or neither; received only one"
            )
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise InvalidInputError(
                f"url: expected an http:// or https:// address; received {self.url!r}"
            )

    def to_json(self) -> dict[str, Any]:
        """JSON object for the report, with file names instead of paths."""
        content = asdict(self)
        for name in ("models", "images"):
            content[name] = [Path(one).name for one in getattr(self, name)]
        for name in ("coco", "coco_images"):
            value = getattr(self, name)
            content[name] = Path(value).name if value else None
        content["paddlex_python"] = self.paddlex_python is not None
        return content


QUICK = {
    "models": ("Mask-RT-DETR-S", "demo"),
    "backends": ("auto", "paddle"),
    "most_images": 1,
    "least_rounds": 6,
    "budget_s": 10.0,
    # Tuning Mask-RT-DETR-S takes 44 s on two cores; within 30 s no trial finishes.
    "tune_budget_s": 45.0,
    "warmup": 0,
    "width": 0.1,
}


def parse_size(text: str) -> tuple[int, int]:
    """Parse `HxW` into (height, width).

    Raises:
        InvalidInputError: the text has another form.
    """
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if match is None or min(int(part) for part in match.groups()) < 1:
        raise InvalidInputError(
            f"sizes: expected HEIGHTxWIDTH, such as 1080x1920; received {text!r}"
        )
    return int(match[1]), int(match[2])


def load_suite(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file; its paths are relative to the working directory.

    Raises:
        InvalidInputError: the file can't be read, or has an unknown setting or a wrong type.
    """
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError, InvalidInputError) as error:
        raise InvalidInputError(f"suite {path}: the file can't be read: {error}") from error
    if not isinstance(content, Mapping):
        raise InvalidInputError(
            f"suite {path}: expected a mapping of settings; received {shorten(content)}"
        )
    return {str(name): _setting(path, str(name), value) for name, value in content.items()}


def merge(settings: BenchSettings, *layers: Mapping[str, Any]) -> BenchSettings:
    """Override settings with each layer in turn; None values are ignored."""
    for layer in layers:
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in layer.items()
            if value is not None
        }
        settings = replace(settings, **given)
    return settings


def _setting(path: Path, name: str, value: Any) -> Any:
    kinds = {one.name: str(one.type) for one in fields(BenchSettings)}
    if name not in kinds:
        raise InvalidInputError(
            f"suite {path}: expected settings of {', '.join(kinds)}; received {shorten(name)}"
        )
    kind = kinds[name]
    # Values become text, and YAML can nest a list of a few bytes without end.
    if any(isinstance(one, list | dict | set) for one in _list(value)):
        raise InvalidInputError(f"suite {path}: {name}: expected {kind}; received {shorten(value)}")
    try:
        if kind.startswith("tuple"):
            one = {"str": str, "int": int, "float": float}[kind[len("tuple[") :].split(",")[0]]
            return tuple(one(entry) for entry in _list(value))
        if kind == "bool":
            return bool(value)
        if kind in ("int", "float"):
            return {"int": int, "float": float}[kind](value)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"suite {path}: {name}: expected {kind}; {error}") from error
    return None if value is None else str(value)


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
