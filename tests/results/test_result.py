# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from hpip import ops
from hpip.errors import BackendUnavailableError, InvalidInputError, SaveError
from hpip.inputs.sources import Source
from hpip.results.polygons import trace_outlines
from hpip.results.result import InstanceSegResult
from hpip.types import RleMask, UInt8Array

# pycocotools 2.0 decodes into arrays that numpy 2 calls old-fashioned.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGE_HW = (48, 64)


def ellipse(height: int, width: int) -> UInt8Array:
    y, x = np.mgrid[:height, :width] + 0.5
    inside = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2) <= 0.25
    return inside.astype(np.uint8)


def decoded(segmentation: dict[str, Any]) -> UInt8Array:
    return np.asarray(coco_mask.decode(segmentation))


def iou(a: UInt8Array, b: UInt8Array) -> float:
    return float(np.sum((a > 0) & (b > 0)) / np.sum((a > 0) | (b > 0)))


def make_result(**changes: Any) -> InstanceSegResult:
    crops = [ellipse(20, 30), ellipse(11, 7)]
    offsets = [(3, 4), (37, 57)]
    arguments: dict[str, Any] = {
        "input_path": "some/folder/street.jpg",
        "page_index": None,
        "image": np.random.default_rng(0).integers(0, 256, (*IMAGE_HW, 3), np.uint8),
        "class_ids": np.array([2, 0], np.int64),
        "scores": np.array([0.75, 0.5], np.float32),
        "boxes_xyxy": np.array([[4.25, 3, 33.75, 23], [57, 37, 64, 48]], np.float32),
        "masks": [
            RleMask(ops.encode_rle(crop), (crop.shape[0], crop.shape[1]), offset)
            for crop, offset in zip(crops, offsets, strict=True)
        ],
        "labels": ["bus", "Fußgänger 歩行者"],
    }
    return InstanceSegResult(**{**arguments, **changes})


def empty_result() -> InstanceSegResult:
    return make_result(
        class_ids=np.empty(0, np.int64),
        scores=np.empty(0, np.float32),
        boxes_xyxy=np.empty((0, 4), np.float32),
        masks=[],
        labels=[],
    )


def test_mapping_has_paddlex_keys() -> None:
    result = make_result()
    assert list(result) == ["input_path", "page_index", "input_img", "boxes", "masks"]
    assert set(dict(result)) == set(result.keys())
    assert result["input_path"] == result["img_path"] == "some/folder/street.jpg"
    assert "img_path" in result
    assert "masks" in result
    assert "nothing" not in result
    assert result.get("nothing") is None
    assert result["page_index"] is None
    assert result["input_img"] is result.image
    with pytest.raises(KeyError, match="nothing"):
        result["nothing"]


def test_boxes_and_masks_are_paddlex_like() -> None:
    result = make_result()
    assert result["boxes"] == [
        {"cls_id": 2, "label": "bus", "score": 0.75, "coordinate": [4.25, 3.0, 33.75, 23.0]},
        {
            "cls_id": 0,
            "label": "Fußgänger 歩行者",
            "score": 0.5,
            "coordinate": [57.0, 37.0, 64.0, 48.0],
        },
    ]
    masks = result["masks"]
    assert isinstance(masks, list)
    assert [mask.dtype for mask in masks] == [np.uint8, np.uint8]
    np.testing.assert_array_equal(masks[0], ellipse(20, 30))
    np.testing.assert_array_equal(masks[1], ellipse(11, 7))


def test_whole_image_masks_of_solov2() -> None:
    result = make_result(full_image_masks=True)
    assert [box["class_id"] for box in result["boxes"]] == [2, 0]
    assert result["boxes"][0].keys() == {"cls_id", "label", "score", "coordinate", "class_id"}
    assert [mask.shape for mask in result["masks"]] == [IMAGE_HW, IMAGE_HW]
    np.testing.assert_array_equal(result["masks"][1][37:, 57:], ellipse(11, 7))
    assert result.rle[1].crop_hw == (11, 7)
    for mask, stored in zip(result["masks"], result.json["res"]["masks"], strict=True):
        assert (stored["size"], stored["offset_yx"]) == (list(IMAGE_HW), [0, 0])
        np.testing.assert_array_equal(decoded(stored), mask)


def test_printed_literal(capsys: pytest.CaptureFixture[str]) -> None:
    result = make_result()
    result.print()
    assert ast.literal_eval(capsys.readouterr().out) == {
        "res": {
            "input_path": "some/folder/street.jpg",
            "page_index": None,
            "boxes": result["boxes"],
            "masks": "...",
        }
    }


@pytest.mark.parametrize(
    "show",
    [lambda r: r.print(True), lambda r: r.print(format_json=True, indent=2)],
    ids=["json_format", "format_json"],
)
def test_printed_json(
    show: Callable[[InstanceSegResult], None], capsys: pytest.CaptureFixture[str]
) -> None:
    result = make_result()
    show(result)
    text = capsys.readouterr().out
    assert "歩行者" in text
    assert json.loads(text)["res"]["boxes"] == result["boxes"]
    assert json.loads(text)["res"]["masks"] == "..."


def test_printed_json_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    make_result().print(json_format=True, ensure_ascii=True)
    assert capsys.readouterr().out.isascii()


@pytest.mark.parametrize(
    ("changes", "picture"),
    [
        ({}, "street_res.jpg"),
        ({"input_path": "a.b.PNG"}, "a.b_res.PNG"),
        ({"input_path": "scan.gif"}, "scan_res.png"),
        ({"input_path": "ein/Straßenfoto 街.jpeg"}, "Straßenfoto 街_res.jpeg"),
        ({"input_path": "https://host/x/cat.webp?size=3#top"}, "cat_res.webp"),
        ({"input_path": "https://host/a%20b%2Fc%C3%A9.jpg"}, "cé_res.jpg"),
        ({"input_path": "doc.pdf", "page_index": 0}, "doc_0_res.png"),
        ({"input_path": None, "name": "array_7"}, "array_7_res.png"),
        ({"input_path": None, "name": "array_7_1", "page_index": 1}, "array_7_1_res.png"),
        ({"input_path": "http://host/", "name": "array_7"}, "array_7_res.png"),
    ],
)
def test_file_names_in_a_folder(tmp_path: Path, changes: dict[str, Any], picture: str) -> None:
    folder = tmp_path / "not" / "there yet"
    result = make_result(**changes)
    assert result.save_to_img(folder) == folder / picture
    assert result.save_to_json(str(folder)) == (folder / picture).with_suffix(".json")
    assert sorted(folder.iterdir()) == sorted({folder / picture, result.save_to_json(folder)})
    assert cv2.imdecode(np.fromfile(folder / picture, np.uint8), cv2.IMREAD_COLOR).shape == (
        *IMAGE_HW,
        3,
    )


def test_nameless_results_get_names_of_their_own(tmp_path: Path) -> None:
    first, second = (make_result(input_path=None) for _ in range(2))
    for result in (first, second):
        result.save_all(tmp_path)
        result.save_all(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("input_path", "page_index", "stem", "suffix"),
    [
        ("photos/street.v2.JPG", None, "street.v2", ".JPG"),
        ("paper.pdf", 2, "paper_2", ".png"),
        ("http://host/a%20b.webp?size=[1]&file=c/d.png", None, "a b", ".webp"),
        ("http://host/", None, "image", ".png"),
        ("http://host/", 1, "image_1", ".png"),
    ],
)
def test_a_result_is_named_as_its_source(
    tmp_path: Path, input_path: str, page_index: int | None, stem: str, suffix: str
) -> None:
    source = Source(None, input_path, page_index, name="unused")
    assert source.stem == stem
    result = make_result(input_path=input_path, page_index=page_index, name=source.stem)
    assert result.save_to_img(tmp_path).name == f"{stem}_res{suffix}"


def test_a_stem_of_the_callers(tmp_path: Path) -> None:
    files = make_result().save_all(tmp_path / "v1.2", stem="street_2")
    assert [path.name for path in files] == ["street_2_res.json", "street_2_res.jpg"]
    assert [path.parent for path in files] == [tmp_path / "v1.2"] * 2


def test_file_paths_are_taken_as_they_are(tmp_path: Path) -> None:
    result = make_result()
    assert result.save_to_img(tmp_path / "deep" / "p.TIFF") == tmp_path / "deep" / "p.TIFF"
    assert result.save_to_json(tmp_path / "deep" / "r.json").is_file()
    saved = cv2.imread(str(tmp_path / "deep" / "p.TIFF"))
    np.testing.assert_array_equal(saved, result.draw())


def test_folders_with_dots(tmp_path: Path) -> None:
    (tmp_path / "run.1").mkdir()
    result = make_result()
    assert result.save_to_json(tmp_path / "run.1").parent == tmp_path / "run.1"
    assert result.save_to_json(f"{tmp_path}/run.2/").parent == tmp_path / "run.2"
    with pytest.raises(InvalidInputError, match=r"\.json, received .*run\.3; .*slash"):
        result.save_to_json(tmp_path / "run.3")
    with pytest.raises(InvalidInputError, match=r"\.png.*received .*p\.xyz"):
        result.save_to_img(tmp_path / "p.xyz")


def test_picture_too_large_for_its_format(tmp_path: Path) -> None:
    result = make_result(image=np.zeros((48, 70_000, 3), np.uint8))
    with pytest.raises(InvalidInputError, match=r"70000x48 pixels as \.jpg"):
        result.save_to_img(tmp_path)
    assert result.save_to_img(tmp_path / "wide.png").is_file()


@pytest.mark.parametrize("save", ["save_to_img", "save_to_json", "save_all"])
def test_refusals_of_the_file_system(tmp_path: Path, save: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match=r"can't write .*file"):
        getattr(make_result(), save)(tmp_path / "file" / "folder")
    # Read-only for root too.
    with pytest.raises(SaveError, match="can't write /proc/self"):
        getattr(make_result(), save)("/proc/self/fd")


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "street_res.json").mkdir()
    with pytest.raises(SaveError, match=r"street_res\.json") as raised:
        make_result().save_to_json(tmp_path)
    assert isinstance(raised.value, OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["street_res.json"]


def test_saved_masks_are_run_lengths_not_lists(tmp_path: Path) -> None:
    """PaddleX writes every pixel as a number on a line of its own."""
    big = np.zeros((1000, 1000, 3), np.uint8)
    mask = RleMask(ops.encode_rle(ellipse(900, 900)), (900, 900), (50, 60))
    result = make_result(image=big, masks=[mask, mask])
    path = result.save_to_json(tmp_path)
    assert path.stat().st_size < 20_000
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content == result.json["res"]
    assert content["boxes"] == result["boxes"]
    assert content["image_hw"] == [1000, 1000]
    for stored, dense in zip(content["masks"], result["masks"], strict=True):
        assert stored["offset_yx"] == [50, 60]
        np.testing.assert_array_equal(decoded(stored), dense)


def test_json_of_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    result = make_result(input_path="odd\udcff.jpg")
    content = json.loads(result.save_to_json(tmp_path / "r.json").read_text(encoding="utf-8"))
    assert content["input_path"] == "odd\udcff.jpg"


def test_empty_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = empty_result()
    assert result["boxes"] == result["masks"] == result.rle == []
    assert result.to_coco(1) == result.polygons() == []
    assert (result.json["res"]["boxes"], result.json["res"]["masks"]) == ([], [])
    np.testing.assert_array_equal(result.draw(), result.image)
    np.testing.assert_array_equal(np.asarray(result.img["res"]), result.image[:, :, ::-1])
    result.print()
    assert "'boxes': []" in capsys.readouterr().out
    assert [path.is_file() for path in result.save_all(tmp_path)] == [True, True]


def test_one_pixel_image(tmp_path: Path) -> None:
    dot = np.ones((1, 1), np.uint8)
    result = make_result(
        image=np.zeros((1, 1, 3), np.uint8),
        class_ids=np.array([1], np.int64),
        scores=np.array([1], np.float32),
        boxes_xyxy=np.array([[0, 0, 1, 1]], np.float32),
        masks=[RleMask(ops.encode_rle(dot), (1, 1), (0, 0))],
        labels=["dot"],
    )
    np.testing.assert_array_equal(result.mask(0), dot)
    assert result.polygons()[0][0].size == 8
    assert result.save_to_img(tmp_path).is_file()


def test_coco_records_load_and_rasterise() -> None:
    result = make_result()
    dataset = COCO()
    dataset.dataset = {
        "info": {},
        "images": [{"id": 7, "height": IMAGE_HW[0], "width": IMAGE_HW[1]}],
        "categories": [{"id": 1, "name": "person"}, {"id": 6, "name": "bus"}],
        "annotations": [],
    }
    dataset.createIndex()
    records = json.loads(json.dumps(result.to_coco(7, {0: 1, 2: 6})))
    loaded = dataset.loadRes(records)
    annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=[7]))
    assert [a["category_id"] for a in annotations] == [6, 1]
    assert [a["score"] for a in annotations] == [0.75, 0.5]
    assert annotations[0]["bbox"] == [4.25, 3.0, 29.5, 20.0]
    for i, annotation in enumerate(annotations):
        np.testing.assert_array_equal(loaded.annToMask(annotation), result.mask(i))


def test_coco_categories() -> None:
    result = make_result()
    assert [record["category_id"] for record in result.to_coco(1)] == [2, 0]
    assert [record["category_id"] for record in result.to_coco(1, [1, 2, 3])] == [3, 1]
    with pytest.raises(InvalidInputError, match="class id 2; received 1 entries"):
        result.to_coco(1, {0: 1})


def filled(mask: UInt8Array) -> UInt8Array:
    """What the outside, walking over edges and not corners, can't reach."""
    padded = np.pad(mask, 1)
    cv2.floodFill(padded, None, (0, 0), 2, flags=4)
    return (padded[1:-1, 1:-1] != 2).astype(np.uint8)


def rasterised(rings: list[Any], image_hw: tuple[int, int]) -> UInt8Array:
    rles = coco_mask.frPyObjects([ring.tolist() for ring in rings], *image_hw)
    return decoded(coco_mask.merge(rles))


def enclosed_area(ring: Any) -> float:
    x, y = np.concatenate([ring, ring[:2]]).astype(float).reshape(-1, 2).T
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2


@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1)
    )
)
def test_polygons_follow_pixel_edges(mask: UInt8Array) -> None:
    rings = trace_outlines(mask)
    whole = filled(mask)
    assert sum(map(enclosed_area, rings)) == whole.sum()
    for ring in rings:
        assert ring.dtype == np.float32
        corners = np.concatenate([ring, ring[:2]]).reshape(-1, 2)
        assert all(np.sum(a != b) == 1 for a, b in pairwise(corners))
    if rings:
        np.testing.assert_array_equal(rasterised(rings, whole.shape), whole)
    else:
        assert not mask.any()


def test_polygons_lie_in_the_image() -> None:
    result = make_result()
    for i, rings in enumerate(result.polygons()):
        np.testing.assert_array_equal(rasterised(rings, IMAGE_HW), result.mask(i))


def test_simplified_polygons() -> None:
    mask = ellipse(300, 400)
    (exact,), (simple,) = trace_outlines(mask), trace_outlines(mask, tolerance_px=1)
    assert simple.size < exact.size / 8
    assert iou(rasterised([simple], mask.shape), mask) > 0.98
    (dot,) = trace_outlines(np.ones((1, 1), np.uint8), (5, 6), tolerance_px=10)
    assert sorted(dot.tolist()) == [5, 5, 6, 6, 6, 6, 7, 7]


def test_img_is_an_rgb_picture() -> None:
    result = make_result()
    picture = result.img["res"]
    assert (picture.mode, picture.size) == ("RGB", IMAGE_HW[::-1])
    np.testing.assert_array_equal(np.asarray(picture)[:, :, ::-1], result.draw())


@pytest.mark.parametrize("module", ["PIL", "cv2"])
def test_missing_libraries_are_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [module, *(name for name in sys.modules if name.split(".")[0] == module)]:
        monkeypatch.setitem(sys.modules, name, None)
    wheel = {"PIL": "pip install pillow", "cv2": "opencv-python-headless .*opencv-contrib"}
    with pytest.raises(BackendUnavailableError, match=wheel[module]):
        _ = make_result().img


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((4, 4), np.uint8)}, "image: expected uint8"),
        ({"image": np.zeros((48, 64, 3), np.float32)}, "image: expected uint8 .* float32"),
        ({"class_ids": np.zeros(2, np.int32)}, "class_ids: expected int64 .* received int32"),
        ({"scores": np.zeros(3, np.float32)}, r"scores: .* \(2,\) for 2 masks; .* \(3,\)"),
        ({"boxes_xyxy": np.zeros((2, 5), np.float32)}, r"boxes_xyxy: .* \(2, 4\)"),
        ({"labels": ["one"]}, "labels: expected one for each of 2 masks; received 1"),
        ({"image": np.zeros((48, 60, 3), np.uint8)}, r"masks\[1\]: expected a crop of the 48x60"),
    ],
)
def test_contradicting_arguments(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_result(**changes)


def test_identity_and_repr() -> None:
    result = make_result()
    assert result == result
    assert result != make_result()
    assert len({result, make_result()}) == 2
    assert repr(result) == "<InstanceSegResult of some/folder/street.jpg: 2 instances>"
    assert repr(make_result(page_index=3)).endswith("street.jpg, page 3: 2 instances>")


def test_import_brings_no_picture_library() -> None:
    code = "import hpip.results.result, sys; print({'cv2', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
