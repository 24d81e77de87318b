# SPDX-License-Identifier: Apache-2.0
"""`make demo`: segments the sample images of hpip, and shows the results."""

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
            _, drawing = result.save_all(arguments.save_path)
            drawings.append(cv2.imread(str(drawing)))
        console.print(pipeline.explain(), highlight=False)
    montage = arguments.save_path / "demo.jpg"
    cv2.imwrite(str(montage), side_by_side(drawings))
    console.print(
        f"saved drawings and JSON files to {arguments.save_path}, and a montage to {montage}"
    )


def instances_table(result: hpip.InstanceSegResult, latency_ms: float) -> Table:
    """Create a table with one row per instance: class, score, box and mask area."""
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


def side_by_side(images: list[np.ndarray], height: int = 300) -> np.ndarray:
    """Scale images to the same height, and concatenate them horizontally."""
    scaled = [
        cv2.resize(image, (round(image.shape[1] * height / image.shape[0]), height))
        for image in images
    ]
    return np.hstack(scaled)


if __name__ == "__main__":
    main()
