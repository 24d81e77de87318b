# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("generator_parts")


def test_equal_seed_and_index_give_equal_pixels() -> None:
    from scenes import SceneMaker

    first, second = SceneMaker(5, coins=4), SceneMaker(5, coins=4)
    for index in (0, 3):
        a, b = first.make(index), second.make(index)
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.ids, b.ids)
        assert a.classes == b.classes
    assert first.make(0).image.shape != first.make(1).image.shape or np.any(
        first.make(0).image != first.make(1).image
    )


def test_the_splits_differ_even_for_one_seed() -> None:
    from scenes import SceneMaker

    train, held_out = SceneMaker(5, coins=4), SceneMaker(5, coins=4, held_out=True)
    assert not np.array_equal(train.make(0).image, held_out.make(0).image)


def test_no_photograph_is_in_both_splits_and_coins_is_in_none() -> None:
    from backgrounds import HELD_OUT_PHOTOS, TRAIN_PHOTOS

    assert not set(TRAIN_PHOTOS) & set(HELD_OUT_PHOTOS)
    assert not [name for _, name in TRAIN_PHOTOS + HELD_OUT_PHOTOS if "coins" in name]


def test_objects_stay_recognisable_and_do_not_overlap() -> None:
    from scenes import MIN_AREA_PX, SceneMaker
    from sprites import LABELS

    maker = SceneMaker(11, coins=8)
    seen = set()
    for index in range(12):
        scene = maker.make(index)
        masks = scene.masks()
        assert scene.image.shape == (*scene.ids.shape, 3)
        assert len(masks) == len(scene.classes) == scene.ids.max()
        assert masks.sum(0).max(initial=0) <= 1
        assert masks.sum((1, 2)).min(initial=10**6) >= MIN_AREA_PX
        seen.update(scene.classes)
    assert seen <= set(range(len(LABELS)))
    assert len(seen) >= 8


# pycocotools 2.0.11 hands NumPy 2 an array class without its `copy` argument.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_boxes_and_areas_come_from_the_masks(tmp_path: Path) -> None:
    coco_mask = pytest.importorskip("pycocotools.mask")
    from data import write_coco

    document = json.loads(write_coco(tmp_path, range(3)).read_text())
    names = {image["id"]: image for image in document["images"]}
    assert len(names) == 3
    for annotation in document["annotations"]:
        image = names[annotation["image_id"]]
        picture = cv2.imread(str(tmp_path / image["file_name"]))
        mask = coco_mask.decode(annotation["segmentation"])
        assert mask.shape == picture.shape[:2] == (image["height"], image["width"])
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box
        assert annotation["area"] == mask.sum()
