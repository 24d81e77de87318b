# SPDX-License-Identifier: Apache-2.0
"""`make demo`: segments the pictures that come with hpip and shows what was found."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

import hpip
from hpip.model.official import demo_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save_path", type=Path, default=Path("output/demo"))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    console = Console()
    paths = demo_images()
    started = time.perf_counter()
    with hpip.create_pipeline(model="demo", device=arguments.device) as pipeline:
        pipeline.warm_up()
        console.print(f"model loaded and warmed up in {time.perf_counter() - started:.2f} s")
        drawings = []
        for path in paths:
            began = time.perf_counter()
            (result,) = pipeline.predict(path)
            latency_ms = (time.perf_counter() - began) * 1e3
            console.print(instances_table(result, latency_ms))
            _, picture = result.save_all(arguments.save_path)
            drawings.append(cv2.imread(str(picture)))
        console.print(pipeline.explain(), highlight=False)
    montage = arguments.save_path / "demo.jpg"
    cv2.imwrite(str(montage), side_by_side(drawings))
    console.print(f"pictures and JSON are in {arguments.save_path}, all side by side in {montage}")


def instances_table(result: hpip.InstanceSegResult, latency_ms: float) -> Table:
    """One row per instance: class, score, box and area."""
    name = Path(str(result.input_path)).name
    table = Table(title=f"{name}: {len(result.scores)} instances in {latency_ms:.0f} ms")
    for column in ("class", "score", "box x0 y0 x1 y1 (pixels)", "mask area (pixels)"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for label, score, box, mask in zip(
        result.labels, result.scores, result.boxes_xyxy, result.rle, strict=True
    ):
        corners = " ".join(f"{side:.0f}" for side in box)
        table.add_row(label, f"{score:.2f}", corners, str(hpip.ops.rle_area(mask.counts)))
    return table


def side_by_side(pictures: list[np.ndarray], height: int = 300) -> np.ndarray:
    """The pictures at one height, next to each other."""
    scaled = [
        cv2.resize(picture, (round(picture.shape[1] * height / picture.shape[0]), height))
        for picture in pictures
    ]
    return np.hstack(scaled)


if __name__ == "__main__":
    main()
