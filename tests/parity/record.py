# SPDX-License-Identifier: Apache-2.0
"""What both sides of the comparison write down about one model and one photo.

Scripts of two environments import this file: it needs nothing but NumPy, OpenCV and the standard
library, and nothing of hpip or PaddleX.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

THRESHOLDS = (0.5, 0.3)


@dataclass
class Mask:
    """A crop's run-length codes (COCO, compressed) and where the crop lies in the image."""

    counts: str
    crop_hw: tuple[int, int]
    offset_yx: tuple[int, int]


@dataclass
class Instances:
    """What one call found.

    A mask is None where this side has none that belongs to the box. Boxes that are bounds of masks
    are whole numbers, so one pixel of a mask moves them by a whole pixel.
    """

    boxes_from_masks: bool
    boxes_xyxy: list[list[float]]
    scores: list[float]
    class_ids: list[int]
    masks: list[Mask | None]


@dataclass
class Call:
    """Seconds on the clock, and of all threads together on the processor."""

    threshold: float
    seconds: float
    cpu_seconds: float
    instances: Instances


@dataclass
class Record:
    """One process: the model is loaded, then called once for each threshold, in this order."""

    software: dict[str, str]
    model: str
    photo: str
    pixels_sha256: str
    threads: int
    load_seconds: float
    calls: list[Call]
    peak_rss_bytes: int

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Record:
        return cls(**json.loads(path.read_text(encoding="utf-8"), object_hook=_dataclass_from))


def _dataclass_from(fields: dict[str, Any]) -> Any:
    for kind in (Mask, Instances, Call):
        if fields.keys() == kind.__dataclass_fields__.keys():
            return kind(**fields)
    return fields


def parse_args(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model_dir", type=Path, required=True, help="folder named as its model")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def record_run(
    args: argparse.Namespace,
    software: dict[str, str],
    load: Callable[[], Any],
    predict: Callable[[Any, np.ndarray, float], Any],
    instances_of: Callable[[Any], Instances],
) -> Record:
    """Time one load and one call per threshold; `instances_of` runs outside the clock."""
    pixels = cv2.imread(str(args.photo), cv2.IMREAD_COLOR)
    start = time.perf_counter()
    model = load()
    load_seconds = time.perf_counter() - start
    calls = []
    for threshold in THRESHOLDS:
        start, cpu_start = time.perf_counter(), time.process_time()
        result = predict(model, pixels, threshold)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        calls.append(Call(threshold, seconds, cpu_seconds, instances_of(result)))
    return Record(
        software=software,
        model=args.model_dir.name,
        photo=args.photo.name,
        pixels_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        threads=args.threads,
        load_seconds=load_seconds,
        calls=calls,
        peak_rss_bytes=_peak_rss_bytes(),
    )


def _peak_rss_bytes() -> int:
    """Peak resident memory of this process image.

    Not `ru_maxrss`: that one starts at the size of the process that launched this one.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status: peak memory can't be read on this system")
