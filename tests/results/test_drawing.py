# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.results.drawing import _ink_level, _place, class_color_bgr, draw_instances
from hpip.types import RleMask, UInt8Array

PHOTO_HW = (120, 200)


def block(y: int, x: int, height: int, width: int) -> RleMask:
    return RleMask(ops.encode_rle(np.ones((height, width), np.uint8)), (height, width), (y, x))


def drawn(image: UInt8Array, masks: list[RleMask], **changes: Any) -> UInt8Array:
    boxes = [(*m.offset_yx[::-1], *np.add(m.offset_yx, m.crop_hw)[::-1]) for m in masks]
    arguments: dict[str, Any] = {
        "masks": masks,
        "boxes_xyxy": np.array(boxes, np.float32).reshape(-1, 4),
        "class_ids": np.arange(len(masks)),
        "labels": ["thing"] * len(masks),
        "scores": np.linspace(0.9, 0.5, len(masks), dtype=np.float32),
    }
    return draw_instances(image, **{**arguments, **changes})


def noise(height: int, width: int) -> UInt8Array:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def contrast(a: Any, b: Any) -> float:
    """WCAG 2's contrast ratio of two BGR colours."""

    def luminance(bgr: Any) -> float:
        level = np.asarray(bgr, float) / 255
        linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.0722, 0.7152, 0.2126])

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_image_is_left_alone(order: Any) -> None:
    image = np.array(noise(*PHOTO_HW), order=order)
    before = image.copy()
    picture = drawn(image, [block(10, 20, 50, 60)])
    np.testing.assert_array_equal(image, before)
    assert picture.shape == image.shape
    np.testing.assert_array_equal(picture, drawn(before, [block(10, 20, 50, 60)]))


def test_nothing_to_draw() -> None:
    image = noise(*PHOTO_HW)
    picture = drawn(image, [])
    np.testing.assert_array_equal(picture, image)
    assert not np.shares_memory(picture, image)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_colour_inside_the_mask_only(alpha: float) -> None:
    image = noise(*PHOTO_HW)
    picture = drawn(image, [block(40, 50, 60, 80)], class_ids=np.array([5]), alpha=alpha)
    inside = (slice(45, 95), slice(55, 125))
    expected = image[inside] * (1 - alpha) + alpha * np.array(class_color_bgr(5))
    np.testing.assert_allclose(picture[inside], expected, atol=0.51)
    # Above the label, left, right and below.
    for outside in np.s_[:20, :], np.s_[:, :45], np.s_[:, 135:], np.s_[105:, :]:
        np.testing.assert_array_equal(picture[outside], image[outside])


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_out_of_range(alpha: float) -> None:
    with pytest.raises(InvalidInputError, match="alpha: expected a number from 0 to 1"):
        drawn(noise(8, 8), [block(1, 1, 4, 4)], alpha=alpha)


def test_colours_depend_on_the_class_and_not_on_the_order() -> None:
    """PaddleX takes the colour from an instance's place in the list."""
    image = noise(*PHOTO_HW)
    masks = [block(30, 10, 40, 50), block(60, 90, 50, 70), block(25, 170, 10, 12)]
    class_ids = np.array([7, 0, 7])
    scores = np.array([0.5, 0.8, 0.6], np.float32)
    picture = drawn(image, masks, class_ids=class_ids, scores=scores)
    reordered = drawn(image, masks[::-1], class_ids=class_ids[::-1], scores=scores[::-1])
    np.testing.assert_array_equal(picture, reordered)


def test_colours_of_eighty_classes_differ() -> None:
    colors = np.array([class_color_bgr(i) for i in range(80)], np.uint8)
    lab = cv2.cvtColor(colors[np.newaxis].astype(np.float32) / 255, cv2.COLOR_BGR2Lab)[0]
    for count, least in (12, 20), (24, 13), (80, 6):
        pairs = itertools.combinations(lab[:count], 2)
        assert min(float(np.linalg.norm(a - b)) for a, b in pairs) > least


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_label_text_contrasts(color: tuple[int, int, int]) -> None:
    ink = _ink_level(color)
    assert ink in (0, 255)
    assert contrast(color, (ink, ink, ink)) >= 4.5


@given(
    image_hw=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    fraction=st.tuples(*[st.floats(0, 1)] * 6),
    taken=st.lists(st.tuples(*[st.integers(0, 25)] * 2), max_size=4),
)
def test_labels_lie_inside_the_picture(
    image_hw: tuple[int, int], fraction: tuple[float, ...], taken: list[tuple[int, int]]
) -> None:
    height, width = image_hw
    plate_hw = 1 + int(fraction[4] * (height - 1)), 1 + int(fraction[5] * (width - 1))
    (y0, y1), (x0, x1) = (
        sorted(int(part * side) for part in pair)
        for pair, side in ((fraction[:2], height), (fraction[2:4], width))
    )
    others = [(y, x, y + plate_hw[0], x + plate_hw[1]) for y, x in taken]
    top, left, bottom, right = _place(plate_hw, (y0, x0, y1, x1), image_hw, others)
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width
    assert (bottom - top, right - left) == plate_hw


def test_labels_make_way_for_each_other() -> None:
    plate_hw, box, image_hw = (10, 40), (50, 50, 100, 120), (200, 200)
    rects: list[tuple[int, int, int, int]] = []
    for _ in range(6):
        rects.append(_place(plate_hw, box, image_hw, rects))
    covered = np.zeros(image_hw, int)
    for y0, x0, y1, x1 in rects:
        covered[y0:y1, x0:x1] += 1
    assert rects[0] == (40, 50, 50, 90)
    # Both upper corners overlap by 10 columns, so each row holds one label.
    assert covered.sum() == 6 * 400
    assert (covered[:, 50:90] > 0).any(axis=1).sum() == 40


@settings(max_examples=60, deadline=None)
@given(
    image_hw=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    label=st.text(max_size=30),
    class_id=st.integers(0, 1000),
)
def test_any_size_and_label(image_hw: tuple[int, int], label: str, class_id: int) -> None:
    image = np.full((*image_hw, 3), 128, np.uint8)
    picture = drawn(image, [block(0, 0, *image_hw)], labels=[label], class_ids=np.array([class_id]))
    assert picture.shape == image.shape
    # The box alone changes the corner.
    assert (picture[-1, -1] != 128).any()


def label_ink(label: str, **changes: Any) -> int:
    """How many pixels a label covers that is above its box, in a black picture."""
    picture = drawn(
        np.zeros((300, 900, 3), np.uint8), [block(100, 10, 90, 90)], labels=[label], **changes
    )
    return int(np.any(picture[:97], axis=2).sum())


def test_long_labels_are_shortened_to_the_width() -> None:
    image = np.zeros((100, 120, 3), np.uint8)
    picture = drawn(image, [block(50, 70, 40, 40)], labels=["word " * 2000], alpha=0.0)
    columns = np.flatnonzero(np.any(picture[:49], axis=(0, 2)))
    assert 90 < len(columns) <= 120


def test_line_breaks_are_no_text() -> None:
    assert label_ink("caf?") == label_ink("caf\n")


@pytest.fixture(scope="module")
def font_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The font that Pillow carries within itself, as a file."""
    path = tmp_path_factory.mktemp("font") / "sans.ttf"
    path.write_bytes(ImageFont.load_default(12).font_bytes)
    return path


def test_font_files_draw_other_characters(font_path: Path) -> None:
    image = np.zeros((300, 900, 3), np.uint8)
    masks = [block(100, 10, 90, 90)]
    accented, plain, asked = (
        drawn(image, masks, labels=[label], font_path=font_path) for label in ("é", "e", "?")
    )
    assert (accented != plain).any()
    assert (accented != asked).any()
    assert label_ink("two\nlines", font_path=font_path) > 0


def test_not_a_font(tmp_path: Path) -> None:
    for path in (tmp_path / "none.ttf", Path(__file__)):
        with pytest.raises(InvalidInputError, match="font_path: expected a TrueType"):
            label_ink("label", font_path=path)


def test_memory_does_not_grow_with_the_number_of_masks() -> None:
    """PaddleX stacks every mask at the size of the image, twice."""
    count, height, width = 100, 1080, 1920
    image = np.zeros((height, width, 3), np.uint8)
    masks = [block(5 * i, 10 * i, 300, 400) for i in range(count)]
    tracemalloc.start()
    drawn(image, masks)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The picture and a few crops; the stack alone would be 207 MB.
    assert peak_bytes < 3 * image.nbytes < count * height * width / 10
