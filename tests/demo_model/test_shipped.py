# SPDX-License-Identifier: Apache-2.0
"""What the model in the wheel finds, on plain Paddle Inference."""

from __future__ import annotations

import difflib
import gzip
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

HERE = Path(__file__).parent
TRUTH = json.loads((HERE / "shipped_truth.json").read_text())
pytest.importorskip("paddle", reason="the shipped model runs on Paddle here")

# pycocotools 2.0.11 hands NumPy 2 an array class without its `copy` argument.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model(demo_dir: Path):
    from evaluate import PlainPaddle

    return PlainPaddle(demo_dir)


@pytest.mark.parametrize("image", TRUTH["images"], ids=lambda image: image["file_name"])
def test_shipped_picture_holds_what_was_drawn_into_it(model, demo_dir: Path, image: dict) -> None:
    from evaluate import mask_iou

    drawn = [a for a in TRUTH["annotations"] if a["image_id"] == image["id"]]
    masks = np.stack([coco_mask.decode(a["segmentation"]) for a in drawn]).astype(bool)
    rgb = cv2.imread(str(demo_dir / image["file_name"]))[..., ::-1]
    found = model(np.ascontiguousarray(rgb)).above(0.5)
    iou = mask_iou(found.masks, masks)
    matched = iou.argmax(1)
    assert sorted(matched) == list(range(len(drawn)))
    for row, index in enumerate(matched):
        assert found.classes[row] == drawn[index]["category_id"] - 1
        assert iou[row, index] >= 0.8
        assert _box_iou(found.boxes[row], drawn[index]["bbox"]) >= 0.8


def _box_iou(xyxy: np.ndarray, xywh: list[int]) -> float:
    x, y, width, height = xywh
    truth = np.array([x, y, x + width, y + height], np.float64)
    low, high = np.maximum(xyxy[:2], truth[:2]), np.minimum(xyxy[2:], truth[2:])
    overlap = np.prod(np.clip(high - low, 0, None))
    areas = np.prod(xyxy[2:] - xyxy[:2]) + width * height
    return float(overlap / (areas - overlap))


def test_coins_on_the_real_photograph(model, demo_dir: Path) -> None:
    from evaluate import HERE as TOOLS
    from evaluate import coin_report

    report = coin_report(model, demo_dir / "coins.png", TOOLS / "coins_reference.png")
    assert report["0.5"]["coins"] == 24
    assert report["0.5"]["found"] >= 22
    assert report["0.5"]["false"] <= 2


def test_an_empty_picture_gives_the_dummy_row_of_the_official_export(model) -> None:
    grey = np.full((90, 120, 3), 128, np.uint8)
    found = model(grey)
    assert len(found.above(0.05).scores) == 0
    assert found.masks.shape[1:] == (90, 120)


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
def test_mask_ap_on_held_out_pictures(model, tmp_path: Path) -> None:
    from data import write_coco
    from evaluate import coco_ap, coco_results

    write_coco(tmp_path, range(200))
    assert coco_ap(tmp_path, coco_results(model, tmp_path))["AP"] >= 0.45
