# SPDX-License-Identifier: Apache-2.0
"""`make demo`: segments the sample images of hpip, first without Paddle, then with it."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

import hpip
from hpip.model.official import demo_images, find_model
from hpip.results.comparison import compare

# The demo model's own.
SCORE_THRESHOLD = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save_path", type=Path, default=Path("output/demo"))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        # Without its program, the folder of the embedded model is a bundle only.
        bundle = Path(folder) / "demo"
        shutil.copytree(find_model("demo"), bundle, ignore=shutil.ignore_patterns("inference.json"))
        results = run_bundle(bundle, arguments, console)
    compare_with_paddle(results, console)


def run_bundle(
    bundle: Path, arguments: argparse.Namespace, console: Console
) -> list[hpip.InstanceSegResult]:
    """Segment all images without Paddle, and save the results."""
    started = time.perf_counter()
    results, drawings = [], []
    with hpip.create_pipeline(model_dir=bundle, device=arguments.device) as pipeline:
        pipeline.warm_up()
        console.print(f"model loaded and warmed up in {time.perf_counter() - started:.2f} s")
        for path in demo_images():
            began = time.perf_counter()
            (result,) = pipeline.predict(path)
            latency_ms = (time.perf_counter() - began) * 1e3
            console.print(instances_table(result, latency_ms))
            _, drawing = result.save_all(arguments.save_path)
            drawings.append(cv2.imread(str(drawing)))
            results.append(result)
        console.print(pipeline.explain(), highlight=False)
    montage = arguments.save_path / "demo.jpg"
    cv2.imwrite(str(montage), side_by_side(drawings))
    console.print(
        f"saved drawings and JSON files to {arguments.save_path}, and a montage to {montage}"
    )
    return results


def compare_with_paddle(results: list[hpip.InstanceSegResult], console: Console) -> None:
    """Run the original graph on plain Paddle, and compare; raises SystemExit for a difference."""
    started = time.perf_counter()
    with hpip.create_pipeline(model="demo", use_hpip=False) as pipeline:
        expected = list(pipeline.predict(demo_images()))
    for reference, result in zip(expected, results, strict=True):
        if violations := compare(reference, result, SCORE_THRESHOLD).violations():
            raise SystemExit(f"{result.input_path} differs from plain Paddle: {violations}")
    console.print(
        f"plain Paddle, with the original graph, has the same results "
        f"(in {time.perf_counter() - started:.1f} s)"
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
