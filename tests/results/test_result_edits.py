# SPDX-License-Identifier: Apache-2.0
"""Results are dicts that PaddleX's users edit before they draw and save them."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.results.result import InstanceSegResult
from hpip.types import RleMask, UInt8Array

IMAGE_HW = (240, 320)
LABELS = ["bus", "person", "bus"]
# (y, x) and (height, width) of the masks, which fill their boxes.
PLACES = [((20, 24), (80, 120)), ((120, 200), (60, 90)), ((160, 8), (70, 36))]


def mask_at(offset_yx: tuple[int, int], hw: tuple[int, int]) -> RleMask:
    return RleMask(ops.encode_rle(np.ones(hw, np.uint8)), hw, offset_yx)


def make(**changes: Any) -> InstanceSegResult:
    boxes = [(x, y, x + w, y + h) for (y, x), (h, w) in PLACES]
    arguments: dict[str, Any] = {
        "input_path": "street.png",
        "page_index": None,
        "image": np.full((*IMAGE_HW, 3), 100, np.uint8),
        "class_ids": np.array([4, 0, 4], np.int64),
        "scores": np.array([0.75, 0.5, 0.25], np.float32),
        "boxes_xyxy": np.array(boxes, np.float32),
        "masks": [mask_at(*place) for place in PLACES],
        "labels": list(LABELS),
    }
    return InstanceSegResult(**{**arguments, **changes})


def saved(result: InstanceSegResult, folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(result.save_to_json(folder / "r.json").read_text())
    return content


def unlike(a: UInt8Array, b: UInt8Array) -> UInt8Array:
    """(H, W) where two pictures differ."""
    return np.any(a != b, axis=2)


def test_it_is_a_dict() -> None:
    result = make()
    assert isinstance(result, dict)
    assert len(result) == 5
    assert list(result.keys()) == ["input_path", "page_index", "input_img", "boxes", "masks"]
    for whole in (dict(result), {**result}, result | {}, {} | result, dict(**result)):
        assert type(whole) is dict
        assert [box["label"] for box in whole["boxes"]] == LABELS
        assert [mask.shape for mask in whole["masks"]] == [hw for _, hw in PLACES]
    assert dict(result.items()).keys() == result.keys()
    assert len(list(result.values())) == 5
    assert (result | {"a": 1})["a"] == 1
    assert ({"a": 1, "page_index": 7} | result)["page_index"] is None
    with pytest.raises(TypeError, match="ndarray"):
        json.dumps(result)


def test_boxes_that_are_filtered_keep_their_masks(tmp_path: Path) -> None:
    result = make()
    result["boxes"] = [box for box in result["boxes"] if box["label"] == "bus"]
    content = saved(result, tmp_path)
    assert [box["label"] for box in content["boxes"]] == ["bus", "bus"]
    assert [mask["size"] for mask in content["masks"]] == [[80, 120], [70, 36]]
    assert result.scores.tolist() == [0.75, 0.25]
    assert result.class_ids.tolist() == [4, 4]
    assert [mask.offset_yx for mask in result.rle] == [(20, 24), (160, 8)]
    assert [record["bbox"][:2] for record in result.to_coco(1)] == [[24, 20], [8, 160]]
    assert len(result.polygons()) == 2
    assert repr(result).endswith("2 instances>")
    # The person's mask is not drawn any more.
    assert not unlike(result.draw(), result.image)[125:175, 205:285].any()


@pytest.mark.parametrize(
    "edit",
    [
        lambda boxes: boxes.pop(1),
        lambda boxes: boxes.reverse(),
        lambda boxes: boxes.sort(key=lambda box: box["score"]),
        lambda boxes: boxes.clear(),
        lambda boxes: boxes.insert(0, boxes.pop()),
    ],
    ids=["pop", "reverse", "sort", "clear", "rotate"],
)
def test_the_list_of_boxes_may_be_changed_in_place(edit: Callable[[list[Any]], Any]) -> None:
    result = make()
    edit(result["boxes"])
    expected = {
        tuple(box): place for box, place in zip(make().boxes_xyxy.tolist(), PLACES, strict=True)
    }
    assert len(result.rle) == len(result["boxes"])
    for box, mask in zip(result["boxes"], result.rle, strict=True):
        assert (mask.offset_yx, mask.crop_hw) == expected[tuple(box["coordinate"])]
    assert result.labels == [box["label"] for box in result["boxes"]]


def test_edited_fields_are_drawn_and_saved(tmp_path: Path) -> None:
    result = make()
    result["boxes"][0].update(label="tram", score=np.float32(0.5), coordinate=[150, 2, 500, 28])
    result["boxes"][0]["area"] = np.int64(600)
    content = saved(result, tmp_path)
    assert content["boxes"][0] == {
        "cls_id": 4, "label": "tram", "score": 0.5, "coordinate": [150, 2, 500, 28], "area": 600,
    }  # fmt: skip
    assert result.labels == ["tram", "person", "bus"]
    assert result.boxes_xyxy[0].tolist() == [150, 2, 320, 28]
    before = make(labels=["tram", *LABELS[1:]]).draw()
    assert unlike(result.draw(), before).any()


def test_copies_of_the_boxes_are_matched(tmp_path: Path) -> None:
    result = make()
    result["boxes"] = [{**box, "label": box["label"].upper()} for box in result["boxes"]]
    assert result.labels == ["BUS", "PERSON", "BUS"]
    assert [mask.offset_yx for mask in result.rle] == [place for place, _ in PLACES]
    result["boxes"] = [dict(box) for box in result["boxes"][1:]]
    assert [mask.offset_yx for mask in result.rle] == [place for place, _ in PLACES[1:]]
    result["boxes"] = [{**box, "coordinate": [1, 2, 3, 4]} for box in result["boxes"][1:]]
    with pytest.raises(InvalidInputError, match=r"boxes\[0\]: it is a new dict.*masks"):
        result.save_to_json(tmp_path)
    result["masks"] = [np.ones((2, 2), bool)]
    assert result.rle == [mask_at((2, 1), (2, 2))]


def test_boxes_and_masks_filtered_one_after_the_other() -> None:
    """As for PaddleX's results, whose two lists know nothing of each other."""
    result = make()
    keep = [i for i, box in enumerate(result["boxes"]) if box["score"] < 0.6]
    result["boxes"] = [result["boxes"][i] for i in keep]
    result["masks"] = [result["masks"][i] for i in keep]
    assert [mask.offset_yx for mask in result.rle] == [place for place, _ in PLACES[1:]]
    result["masks"].pop()
    with pytest.raises(InvalidInputError, match="masks: expected one for each of 2 boxes"):
        result.draw()


def test_masks_may_be_painted_and_replaced(tmp_path: Path) -> None:
    result = make()
    result["masks"][0][:40] = 0
    result["masks"][1] = np.zeros(IMAGE_HW, np.uint8)
    result["masks"][1][:2, :3] = 255
    assert result.mask(0).sum() == 40 * 120
    assert result.rle[1].crop_hw == IMAGE_HW
    assert result.mask(1).sum() == 6
    assert saved(result, tmp_path)["masks"][1]["size"] == list(IMAGE_HW)
    assert not unlike(result.draw(), make().image)[45:55, 40:130].any()
    assert result.rle[2] is make(masks=result.rle).rle[2]


def test_whole_image_masks() -> None:
    result = make(full_image_masks=True)
    assert len(result["masks"]) == 3
    assert [mask.crop_hw for mask in result.rle] == [hw for _, hw in PLACES]
    result["boxes"] = [{**box, "class_id": 9} for box in result["boxes"][:1]]
    assert result.class_ids.tolist() == [9]
    assert [mask["size"] for mask in result.json["res"]["masks"]] == [list(IMAGE_HW)]


def test_deleted_keys(tmp_path: Path) -> None:
    result = make()
    del result["masks"]
    assert "masks" not in saved(result, tmp_path)
    assert not unlike(result.draw(), result.image)[60:90, 40:130].any()
    assert unlike(result.draw(), result.image)[60:90, 24].any()
    assert result.pop("input_img").shape == (*IMAGE_HW, 3)
    with pytest.raises(InvalidInputError, match="'input_img' was deleted"):
        result.save_to_img(tmp_path)
    assert result.pop("page_index") is None
    assert result.pop("page_index", 3) == 3
    with pytest.raises(KeyError):
        result.pop("page_index")
    with pytest.raises(InvalidInputError, match="'boxes' can't be deleted"):
        del result["boxes"]
    assert saved(result, tmp_path).keys() == {"input_path", "image_hw", "boxes"}
    del result["boxes"][0]["score"]
    assert "score" not in saved(result, tmp_path)["boxes"][0]
    assert result.scores[0] == np.float32(0.75)


def test_assigned_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = make()
    result["img_path"] = Path("other/place.jpg")
    result["page_index"] = 2
    assert result["input_path"] == result.input_path == "other/place.jpg"
    assert result.save_to_img(tmp_path).name == "place_2_res.jpg"
    result["input_img"] = np.zeros((*IMAGE_HW, 3), np.uint8)
    assert (result.draw()[0, 0] == 0).all()
    result.update({"camera": "left"}, size=np.float32(2), when=Path("a/b"))
    assert result.setdefault("camera", "right") == "left"
    result |= {"values": np.arange(3)}
    content = saved(result, tmp_path)
    assert (content["camera"], content["size"], content["when"]) == ("left", 2.0, "a/b")
    assert content["values"] == [0, 1, 2]
    result.print(json_format=True)
    assert json.loads(capsys.readouterr().out)["res"]["camera"] == "left"
    result["odd"] = object()
    with pytest.raises(InvalidInputError, match="can't be written as JSON"):
        result.save_to_json(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("boxes", np.zeros((3, 4)), "boxes: expected a list of dicts .* ndarray"),
        ("boxes", [1, 2], "boxes: expected a list of dicts"),
        ("boxes", 5, "boxes: expected a list of dicts .* int"),
        ("boxes", {"label": "bus"}, "boxes: expected a list of dicts"),
        ("masks", [np.zeros(4)], r"masks\[0\]: expected a 2-D array"),
        ("masks", ["x"], r"masks\[0\]: expected a 2-D array"),
        ("masks", 5, "masks: expected a list of 2-D arrays"),
        ("input_img", np.zeros((4, 4, 3), np.uint8), r"input_img: .* \(240, 320, 3\).*\(4, 4, 3\)"),
        ("input_img", None, "input_img: .* NoneType"),
    ],
)
def test_assignments_that_can_mean_nothing(key: str, value: Any, message: str) -> None:
    result = make()
    with pytest.raises(InvalidInputError, match=message):
        result[key] = value
    assert result.labels == LABELS


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"score": "high"}, r"boxes\[1\]: score: expected a number; received 'high'"),
        ({"cls_id": "bus"}, r"boxes\[1\]: cls_id: expected a whole number"),
        ({"coordinate": [1, 2, 3]}, r"boxes\[1\]: coordinate: expected four finite numbers"),
        ({"coordinate": [1, 2, 3, float("nan")]}, r"boxes\[1\]: coordinate"),
        ({"coordinate": None}, r"boxes\[1\]: coordinate"),
    ],
)
def test_edits_that_can_mean_nothing(edit: dict[str, Any], message: str) -> None:
    result = make()
    result["boxes"][1].update(edit)
    with pytest.raises(InvalidInputError, match=message):
        result.draw()


def test_a_new_box_needs_a_mask_and_all_keys() -> None:
    result = make()
    result["boxes"].append({"cls_id": 1, "label": "x", "score": 1, "coordinate": [1, 1, 9, 9]})
    with pytest.raises(InvalidInputError, match=r"boxes\[3\]: it is a new dict"):
        _ = result.rle
    result["masks"].append(np.ones((8, 8), np.uint8))
    assert result.rle[3] == mask_at((1, 1), (8, 8))
    result["masks"][3] = np.ones((270, 2), np.uint8)
    with pytest.raises(InvalidInputError, match=r"masks\[3\]: .* 270x2 pixels, which exceed"):
        _ = result.rle
    del result["boxes"][3]["score"]
    with pytest.raises(InvalidInputError, match=r"boxes\[3\]: expected the keys"):
        _ = result.rle


@pytest.mark.parametrize(
    "clone",
    [copy.copy, copy.deepcopy, lambda r: r.copy(), lambda r: pickle.loads(pickle.dumps(r))],
    ids=["copy", "deepcopy", "method", "pickle"],
)
@pytest.mark.parametrize("touched", [False, True])
def test_copies(clone: Callable[[InstanceSegResult], InstanceSegResult], touched: bool) -> None:
    result = make()
    if touched:
        result["boxes"] = [box for box in result["boxes"] if box["label"] == "bus"]
        assert len(result["masks"]) == 3
    other = clone(result)
    assert type(other) is InstanceSegResult
    assert other.keys() == result.keys()
    assert other.rle == result.rle
    assert other.labels == result.labels
    assert not unlike(other.draw(), result.draw()).any()
    other["camera"] = "left"
    assert "camera" not in result


def test_clear_says_why_it_does_not_work() -> None:
    result = make()
    with pytest.raises(InvalidInputError, match="can't be deleted"):
        result.clear()
    other = make()
    assert other.popitem()[0] == "masks"
