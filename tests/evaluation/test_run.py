# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from hpip import create_pipeline, ops
from hpip.errors import BackendUnavailableError, DatasetError, FailedInputsError, InvalidInputError
from hpip.evaluation import METRICS, Evaluation, evaluate, load_dataset, metric_differences
from hpip.evaluation.scores import score_detections
from hpip.inference.pipeline import InstanceSegPipeline
from tests.coco_files import CATEGORIES, SIDE, CocoFolder, Xyxy, by_hand
from tests.pictures import rectangles

RED, GREEN, BLUE = 1, 2, 3


@pytest.fixture(scope="module")
def pipeline(tiny_model_dir: Path) -> Iterator[InstanceSegPipeline]:
    with create_pipeline(model_dir=tiny_model_dir, device="cpu", threads=1) as made:
        yield made


@pytest.fixture
def coco(tmp_path: Path) -> CocoFolder:
    return CocoFolder(tmp_path)


def run(pipeline: InstanceSegPipeline, coco: CocoFolder, **options: Any) -> Evaluation:
    return evaluate(pipeline, coco.images_dir, coco.write(), **options)


def dim(image: np.ndarray, brightness: float) -> np.ndarray:
    """The tiny model's scores are brightnesses."""
    return np.round(image * (brightness * 255 / 230)).astype(np.uint8)


def assert_same_by_hand(
    evaluation: Evaluation, annotations: Path, folder: Path, regions: tuple[str, ...]
) -> None:
    evaluation.save_detections(folder / "detections.json")
    for region in regions:
        ours = getattr(evaluation, region)
        stats, class_aps = by_hand(annotations, folder / "detections.json", region)
        found = [-1.0 if ours.metrics[name] is None else ours.metrics[name] for name in METRICS]
        assert found == pytest.approx(stats, abs=1e-9), region
        found = [-1.0 if one.ap is None else one.ap for one in ours.classes]
        assert found == pytest.approx(class_aps, abs=1e-9), region


def messy(coco: CocoFolder) -> CocoFolder:
    """Shifted, missed and invented instances of three sizes and many scores, and a crowd."""
    rng = np.random.default_rng(3)
    for index in range(12):
        areas: dict[str, Xyxy] = {}
        for row, colour in enumerate(CATEGORIES.values()):
            x0, y0 = 2 * int(rng.integers(0, 10)), 42 * row
            width, height = 2 * rng.integers([4, 5], [45, 21])
            areas[colour] = (x0, y0, x0 + int(width), y0 + int(height))
        picture = rectangles(SIDE, SIDE, **areas)
        if index % 2:
            # A frame is small by its mask and medium by its box.
            for x0, y0, x1, y1 in areas.values():
                picture[y0 + 4 : y1 - 4, x0 + 4 : x1 - 4] = 0
        image_id = coco.picture(dim(picture, rng.uniform(0.52, 0.99)))
        for category, xyxy in zip(CATEGORIES, areas.values(), strict=True):
            if rng.random() < 0.8:
                x0, y0, x1, y1 = np.clip(xyxy + rng.integers(-3, 4, 4), 0, SIDE).tolist()
                wrong = rng.random() < 0.2
                coco.instance(image_id, 1 + category % 3 if wrong else category, (x0, y0, x1, y1))
        if index == 0:
            coco.instance(image_id, GREEN, (0, 0, SIDE, SIDE), iscrowd=1)
    return coco


def test_perfect_answers_score_one(pipeline: InstanceSegPipeline, coco: CocoFolder) -> None:
    areas = {"red": (0, 0, 16, 16), "green": (0, 20, 48, 68), "blue": (20, 70, 124, 126)}
    for _ in range(2):
        image_id = coco.picture(rectangles(SIDE, SIDE, **areas))
        for category, xyxy in zip(CATEGORIES, areas.values(), strict=True):
            coco.instance(image_id, category, xyxy)
    steps: list[tuple[int, int]] = []
    found = run(pipeline, coco, on_progress=lambda done, total: steps.append((done, total)))
    for scores in (found.masks, found.boxes):
        expected = dict.fromkeys(METRICS, pytest.approx(1.0)) | {"AP_large": None, "AR_large": None}
        assert scores.metrics == expected
        assert scores.best_f1.f1 == scores.f1_at_half.f1 == 1.0
        assert scores.best_f1.score_threshold < 230 / 255
        assert [one.ap for one in scores.classes] == pytest.approx([1.0] * 3)
    assert steps == [(1, 2), (2, 2)]
    assert found.categories.matched_by == "name"
    assert found.failures == ()


def test_a_shift_costs_the_stricter_thresholds(
    pipeline: InstanceSegPipeline, coco: CocoFolder
) -> None:
    # 26 of 38 columns are shared: IoU 0.684, enough for 0.5, 0.55, 0.6 and 0.65 of ten thresholds.
    image_id = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
    coco.instance(image_id, RED, (22, 16, 54, 48))
    found = run(pipeline, coco)
    for scores in (found.masks, found.boxes):
        assert scores.metrics["AP"] == pytest.approx(0.4)
        assert scores.metrics["AP50"] == pytest.approx(1.0)
        assert scores.metrics["AP75"] == 0.0


def test_missed_and_invented_instances(pipeline: InstanceSegPipeline, coco: CocoFolder) -> None:
    seen = coco.picture(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)))
    unseen = coco.picture(rectangles(SIDE, SIDE))
    coco.picture(dim(rectangles(SIDE, SIDE, blue=(16, 16, 48, 48)), 0.7))
    for image_id in (seen, unseen):
        coco.instance(image_id, RED, (16, 16, 48, 48))
    found = run(pipeline, coco)
    # Precision is 1 at the recalls 0, 0.01, ..., 0.5 and 0 at the other fifty.
    assert found.masks.metrics["AP"] == pytest.approx(51 / 101)
    assert found.masks.metrics["AR100"] == pytest.approx(0.5)
    assert [one.ap for one in found.masks.classes] == [pytest.approx(51 / 101), None, None]
    # COCO's AP leaves out classes without instances; the F1 score over all classes does not.
    at_half = found.masks.f1_at_half
    assert (at_half.precision, at_half.recall, at_half.f1) == (0.5, 0.5, 0.5)
    best = found.masks.best_f1
    assert (best.precision, best.recall, best.f1) == (1.0, 0.5, pytest.approx(2 / 3))
    assert best.score_threshold == pytest.approx((0.7 + 230 / 255) / 2, abs=0.01)


def test_the_threshold_leaves_detections_out(
    pipeline: InstanceSegPipeline, coco: CocoFolder
) -> None:
    for brightness in (0.6, 0.9):
        image_id = coco.picture(dim(rectangles(SIDE, SIDE, red=(16, 16, 48, 48)), brightness))
        coco.instance(image_id, RED, (16, 16, 48, 48))
    low, high = run(pipeline, coco), run(pipeline, coco, threshold=0.8)
    assert (len(low.detections), len(high.detections)) == (2, 1)
    assert (low.masks.metrics["AR100"], high.masks.metrics["AR100"]) == (1.0, 0.5)
    assert high.masks.f1_at_half.score_threshold == 0.8
    assert metric_differences(high, low)["boxes"]["AR100"] == pytest.approx(-0.5)
    assert metric_differences(high, low)["boxes"]["AP_large"] is None


def test_every_figure_is_the_one_of_pycocotools(
    pipeline: InstanceSegPipeline, coco: CocoFolder, tmp_path: Path
) -> None:
    found = run(pipeline, messy(coco))
    assert 0.05 < (found.masks.metrics["AP"] or 0) < 0.95
    assert_same_by_hand(found, coco.write(), tmp_path, ("masks", "boxes"))


def test_a_model_without_boxes_is_scored_by_those_of_its_masks(
    tiny_classes_model_dir: Path, coco: CocoFolder, tmp_path: Path
) -> None:
    with create_pipeline(model_dir=tiny_classes_model_dir, device="cpu", threads=1) as pipeline:
        found = run(pipeline, messy(coco), max_images=4)
    coco.images = coco.images[:4]
    kept = {image["id"] for image in coco.images}
    coco.entries = [entry for entry in coco.entries if entry["image_id"] in kept]
    assert_same_by_hand(found, coco.write(), tmp_path, ("masks", "boxes"))


def test_all_kinds_of_segmentation_mean_the_same(
    pipeline: InstanceSegPipeline, coco: CocoFolder
) -> None:
    xyxy = (16, 16, 48, 48)
    picture = rectangles(SIDE, SIDE, red=xyxy)
    mask = (picture[:, :, 2] > 0).astype(np.uint8)
    compressed = ops.encode_rle(mask).decode()
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    for segmentation in (
        [[16, 16, 48, 16, 48, 48, 16, 48]],
        [[16, 16, 32, 16, 32, 48, 16, 48], [32, 16, 48, 16, 48, 48, 32, 48]],
        {"size": [SIDE, SIDE], "counts": compressed},
        {"size": [SIDE, SIDE], "counts": runs},
    ):
        coco.instance(
            coco.picture(picture), RED, xyxy,
            segmentation=segmentation, bbox=None, area=None, iscrowd=None, id=None,
        )  # fmt: skip
    dataset = load_dataset(coco.write())
    for annotation in dataset.annotations:
        assert annotation["bbox"] == [16, 16, 32, 32]
        assert annotation["area"] == 32 * 32
        assert annotation["segmentation"]["counts"] == compressed
    found = evaluate(pipeline, coco.images_dir, dataset)
    assert found.masks.metrics["AP"] == pytest.approx(1.0)


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong(
    pipeline: InstanceSegPipeline, coco: CocoFolder
) -> None:
    xyxy = (16, 16, 48, 48)
    coco.instance(coco.picture(rectangles(SIDE, SIDE, red=xyxy)), RED, xyxy)
    crowded = coco.picture(rectangles(SIDE, SIDE, red=(0, 0, 20, 20)))
    runs = {"size": [SIDE, SIDE], "counts": [0, SIDE * SIDE]}
    coco.instance(crowded, RED, (0, 0, SIDE, SIDE), iscrowd=1, segmentation=runs)
    scores = run(pipeline, coco).masks
    assert scores.metrics["AP"] == pytest.approx(1.0)
    assert (scores.f1_at_half.precision, scores.classes[0].instances) == (1.0, 1)


def test_annotation_id_0_counts(pipeline: InstanceSegPipeline, coco: CocoFolder) -> None:
    # pycocotools marks unmatched detections with 0: by hand, this file gives an AP of 0.
    xyxy = (16, 16, 48, 48)
    coco.instance(coco.picture(rectangles(SIDE, SIDE, red=xyxy)), RED, xyxy, id=0)
    assert run(pipeline, coco).masks.metrics["AP"] == pytest.approx(1.0)


def test_nothing_found_scores_zero(pipeline: InstanceSegPipeline, coco: CocoFolder) -> None:
    coco.instance(coco.picture(rectangles(SIDE, SIDE)), RED, (16, 16, 48, 48))
    found = run(pipeline, coco)
    assert found.detections == ()
    assert found.masks.metrics["AP"] == found.masks.best_f1.f1 == 0.0
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("seed", range(8))
def test_f1_agrees_with_matching_at_every_threshold(seed: int, tmp_path: Path) -> None:
    dataset, records = random_detections(seed, CocoFolder(tmp_path))
    scores = score_detections(dataset, records, "masks", threshold=0.0)
    by_threshold = {
        t: slow_f1(dataset.annotations, [r for r in records if r["score"] >= t])
        for t in {record["score"] for record in records} | {0.5}
    }
    assert scores.f1_at_half.f1 == pytest.approx(by_threshold[0.5])
    assert scores.best_f1.f1 == pytest.approx(max(by_threshold.values()))
    # The threshold lies between two scores.
    kept = [r for r in records if r["score"] > scores.best_f1.score_threshold]
    assert slow_f1(dataset.annotations, kept) == pytest.approx(scores.best_f1.f1)


def random_detections(seed: int, coco: CocoFolder) -> tuple[Any, list[dict[str, Any]]]:
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(6):
        image_id = coco.picture(np.zeros((SIDE, SIDE, 3), np.uint8))
        for _ in range(5):
            category = int(rng.integers(1, 4))
            x0, y0 = rng.integers(0, 60, 2)
            x1, y1 = rng.integers([x0, y0], 110) + 10
            xyxy = (int(x0), int(y0), int(x1), int(y1))
            if rng.random() < 0.8:
                coco.instance(image_id, category, xyxy)
            for _ in range(rng.integers(0, 3)):
                moved = np.clip(np.add(xyxy, rng.integers(-6, 7, 4)), 0, SIDE)
                left, top, right, bottom = moved.tolist()
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[top:bottom, left:right] = 1
                records.append(
                    {
                        "image_id": image_id,
                        "category_id": category,
                        # Few different scores, so that many are tied.
                        "score": int(rng.integers(1, 12)) / 12,
                        "bbox": [left, top, right - left, bottom - top],
                        "segmentation": {
                            "size": [SIDE, SIDE],
                            "counts": ops.encode_rle(mask).decode(),
                        },
                    }
                )
    return load_dataset(coco.write()), records


def slow_f1(annotations: Any, records: list[dict[str, Any]]) -> float:
    """F1 at IoU 0.5: best scores choose first, each takes the best instance that is left."""
    right, free = 0, list(annotations)
    for record in sorted(records, key=lambda record: -record["score"]):
        best, best_iou = None, 0.5
        for candidate in free:
            if all(candidate[key] == record[key] for key in ("image_id", "category_id")):
                pair = record["segmentation"], candidate["segmentation"]
                iou = coco_mask.iou([pair[0]], [pair[1]], [0]).item()
                if iou >= best_iou:
                    best, best_iou = candidate, iou
        if best is not None:
            free.remove(best)
            right += 1
    return 2 * right / (len(records) + len(annotations))


def test_other_categories_and_labels_in_a_dataset(
    pipeline: InstanceSegPipeline, coco: CocoFolder
) -> None:
    coco.categories = {5: "Blue", 8: "violet"}
    areas = {"red": (0, 0, 16, 16), "blue": (0, 20, 48, 68)}
    image_id = coco.picture(rectangles(SIDE, SIDE, **areas))
    coco.instance(image_id, 5, areas["blue"])
    coco.instance(image_id, 8, areas["red"])
    found = run(pipeline, coco)
    assert [record["category_id"] for record in found.detections] == [5]
    assert found.categories.labels_without_category == ("red", "green")
    assert found.categories.categories_without_label == ("violet",)
    assert [one.ap for one in found.masks.classes] == [pytest.approx(1.0), 0.0]


def test_images_without_a_result_count_as_empty(
    pipeline: InstanceSegPipeline, coco: CocoFolder, tmp_path: Path
) -> None:
    xyxy = (16, 16, 48, 48)
    for name in ("good.png", "missing.png", "broken.png", "turned.png"):
        picture = rectangles(SIDE, 96, red=xyxy)
        coco.instance(coco.picture(picture, name), RED, xyxy)
    (coco.images_dir / "missing.png").unlink()
    (coco.images_dir / "broken.png").write_bytes(b"no picture")
    entry = coco.images[3]
    entry["height"], entry["width"] = entry["width"], entry["height"]
    steps: list[tuple[int, int]] = []
    found = run(pipeline, coco, on_progress=lambda *step: steps.append(step))
    errors = dict(found.failures)
    assert set(errors) == {"missing.png", "broken.png", "turned.png"}
    assert "no such file" in str(errors["missing.png"])
    assert "EXIF" in str(errors["turned.png"])
    assert steps[-1] == (4, 4)
    assert found.masks.metrics["AR100"] == pytest.approx(0.25)
    assert_same_by_hand(found, coco.write(), tmp_path, ("masks", "boxes"))
    assert len(found.to_json()["failed_images"]) == 3


def test_a_folder_without_the_images_is_told_at_once(
    pipeline: InstanceSegPipeline, coco: CocoFolder
) -> None:
    coco.instance(coco.picture(rectangles(SIDE, SIDE)), RED, (0, 0, 9, 9))
    with pytest.raises(DatasetError, match=r"none of them .*elsewhere"):
        evaluate(pipeline, coco.folder / "elsewhere", coco.write())
    (coco.images_dir / "7.png").write_bytes(b"")
    with pytest.raises(FailedInputsError):
        run(pipeline, coco)


def change(content: dict[str, Any], section: str, **fields: Any) -> dict[str, Any]:
    content[section][0].update(fields)
    return content


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: [], "lists images, annotations, categories"),
        (lambda content: {**content, "images": []}, "images: expected at least one"),
        (lambda content: {**content, "annotations": []}, "not a crowd"),
        (lambda content: change(content, "annotations", image_id=4), "image_id that is in images"),
        (lambda content: change(content, "annotations", category_id=4), "that is in categories"),
        (lambda content: change(content, "annotations", category_id="1"), "an integer"),
        (lambda content: change(content, "annotations", segmentation=[]), "polygons"),
        (lambda content: change(content, "annotations", segmentation=[[1, 2, 3, 4]]), "polygons"),
        (lambda content: change(content, "annotations", segmentation=[[0.0] * 7]), "polygons"),
        (
            lambda content: change(
                content, "annotations", segmentation={"size": [9, 9], "counts": "0"}
            ),
            "size",
        ),
        (
            lambda content: change(
                content, "annotations", segmentation={"size": [SIDE, SIDE], "counts": [1, 2]}
            ),
            "RLE counts that add up",
        ),
        (
            lambda content: change(
                content, "annotations", segmentation={"size": [SIDE, SIDE], "counts": "~~"}
            ),
            r"annotations\[0\]",
        ),
        (lambda content: change(content, "annotations", bbox=[0, 0, -1, 5]), "bbox"),
        (lambda content: change(content, "annotations", area=-2), "area"),
        (lambda content: change(content, "images", height=0), "height of at least 1"),
        (lambda content: change(content, "images", file_name=""), "file_name"),
        (lambda content: change(content, "categories", name=3), "name"),
        (
            lambda content: {**content, "images": content["images"] * 2},
            "ids: expected unique values",
        ),
        (lambda content: {**content, "categories": [4]}, r"categories\[0\]"),
    ],
)
def test_damaged_annotation_files(damage: Any, message: str, coco: CocoFolder) -> None:
    coco.instance(coco.picture(rectangles(SIDE, SIDE)), RED, (0, 0, 9, 9))
    path = coco.write()
    load_dataset(path)
    path.write_text(json.dumps(damage(coco.content())))
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_json(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can't be read"):
        load_dataset(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(DatasetError, match="JSON"):
        load_dataset(tmp_path / "cut.json")


def test_arguments_out_of_range(pipeline: InstanceSegPipeline, coco: CocoFolder) -> None:
    coco.instance(coco.picture(rectangles(SIDE, SIDE)), RED, (0, 0, 9, 9))
    with pytest.raises(InvalidInputError, match="threshold"):
        run(pipeline, coco, threshold=2.0)
    with pytest.raises(InvalidInputError, match="max_images"):
        run(pipeline, coco, max_images=0)


def test_a_missing_evaluator_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(BackendUnavailableError, match=r"pip install 'hpip\[eval\]'"):
        load_dataset(tmp_path / "annotations.json")
