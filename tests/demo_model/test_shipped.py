# SPDX-License-Identifier: Apache-2.0
"""What the model in the wheel finds, on plain Paddle Inference and through the pipeline."""

from __future__ import annotations

import difflib
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from hpip import create_pipeline

if TYPE_CHECKING:
    from evaluate import Instances

    Detect = Callable[[Path], Instances]

HERE = Path(__file__).parent
TRUTH = json.loads((HERE / "shipped_truth.json").read_text())
pytest.importorskip("paddle", reason="the shipped model runs on Paddle here")

# pycocotools 2.0.11 hands NumPy 2 an array class without its `copy` argument.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def plain(demo_dir: Path) -> Detect:
    from evaluate import PlainPaddle, read_rgb

    model = PlainPaddle(demo_dir)
    return lambda path: model(read_rgb(path))


@pytest.fixture(scope="module")
def pipeline() -> Detect:
    from evaluate import Instances

    made = create_pipeline("instance_segmentation", model="demo", device="cpu", threshold=0.05)

    def detect(path: Path) -> Instances:
        (result,) = made.predict(str(path))
        masks = np.stack([result.mask(i) for i in range(len(result.scores))]).astype(bool)
        return Instances(result.class_ids, result.scores, result.boxes_xyxy, masks)

    return detect


@pytest.fixture(params=["plain", "pipeline"])
def detect(request: pytest.FixtureRequest) -> Detect:
    """Detections of a picture from score 0.05 on or lower, by either way of running the model."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("image", TRUTH["images"], ids=lambda image: image["file_name"])
def test_shipped_picture_holds_what_was_drawn_into_it(
    detect: Detect, demo_dir: Path, image: dict
) -> None:
    from evaluate import mask_iou

    drawn = [a for a in TRUTH["annotations"] if a["image_id"] == image["id"]]
    masks = np.stack([coco_mask.decode(a["segmentation"]) for a in drawn]).astype(bool)
    found = detect(demo_dir / image["file_name"]).above(0.5)
    iou = mask_iou(found.masks, masks)
    matched = iou.argmax(1)
    assert sorted(matched) == list(range(len(drawn)))
    for row, index in enumerate(matched):
        assert found.classes[row] == drawn[index]["category_id"] - 1
        assert iou[row, index] >= 0.7
        assert _box_iou(found.boxes[row], drawn[index]["bbox"]) >= 0.65
    assert iou.max(1).mean() >= 0.85


def _box_iou(xyxy: np.ndarray, xywh: list[int]) -> float:
    x, y, width, height = xywh
    truth = np.array([x, y, x + width, y + height], np.float64)
    low, high = np.maximum(xyxy[:2], truth[:2]), np.minimum(xyxy[2:], truth[2:])
    overlap = np.prod(np.clip(high - low, 0, None))
    areas = np.prod(xyxy[2:] - xyxy[:2]) + width * height
    return float(overlap / (areas - overlap))


def test_coins_on_the_real_photograph(detect: Detect, demo_dir: Path) -> None:
    from evaluate import HERE as TOOLS
    from evaluate import coin_report

    found = detect(demo_dir / "coins.png")
    report = coin_report(found, TOOLS / "coins_reference.png")
    for score in ("0.05", "0.5"):
        assert report[score]["coins"] == 24
        assert report[score]["found"] >= 22
        assert report[score]["false"] <= 2


def test_a_plain_surface_gives_the_dummy_row_of_the_official_export(demo_dir: Path) -> None:
    from evaluate import PlainPaddle

    found = PlainPaddle(demo_dir)(np.full((262, 120, 3), 128, np.uint8))
    assert found.scores.tolist() == [0.0]
    assert found.masks.shape == (1, 262, 120)  # the graph itself gives 261 rows
    assert not found.masks.any()


def test_the_folder_fits_the_wheel(demo_dir: Path) -> None:
    assert sum(path.stat().st_size for path in demo_dir.iterdir()) <= 8 << 20


def test_the_tail_has_the_operators_of_the_official_export(
    demo_dir: Path, zoo_source_dir: Path
) -> None:
    from print_tail import tail

    packed = (zoo_source_dir / "PP-YOLOE_seg-S" / "inference.json.gz").read_bytes()
    official = tail(json.loads(gzip.decompress(packed)))
    ours = tail(json.loads((demo_dir / "inference.json").read_text()))
    # The official trace slices a few shapes that nothing reads.
    surplus = [line for line in difflib.ndiff(ours, official) if line[0] in "+-"]
    assert {line.split()[-1] for line in surplus} == {"1.slice"}
    assert not [line for line in surplus if line[0] == "-"]


@pytest.mark.slow
@pytest.mark.usefixtures("generator_parts")
def test_mask_ap_on_held_out_pictures(demo_dir: Path, tmp_path: Path) -> None:
    from data import write_coco
    from evaluate import PlainPaddle, coco_ap, coco_results

    write_coco(tmp_path, range(200))
    assert coco_ap(tmp_path, coco_results(PlainPaddle(demo_dir), tmp_path))["AP"] >= 0.69
