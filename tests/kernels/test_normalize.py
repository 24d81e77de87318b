# SPDX-License-Identifier: Apache-2.0
"""normalize against PaddleX's arithmetic, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hpip import ops
from hpip.errors import InvalidInputError
from tests.reference import preprocess as reference

MEAN = (0.485, 0.456, 0.406, 0.5)
STD = (0.229, 0.224, 0.225, 0.25)

shapes = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4])),
)
images = st.one_of(
    hnp.arrays(np.uint8, shapes),
    hnp.arrays(np.float32, shapes, elements=st.floats(-1e6, 1e6, width=32)),
)
numbers = st.floats(0.001, 1000)


@given(images, numbers, numbers, st.sampled_from([1 / 255, 1.0, 0.5]))
def test_matches_the_oracle(image: np.ndarray, mean: float, std: float, scale: float) -> None:
    channels = 1 if image.ndim == 2 else image.shape[2]
    means, stds = [mean + c for c in range(channels)], [std + c for c in range(channels)]
    result = ops.normalize(image, means, stds, scale=scale)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, reference.normalize(image, means, stds, scale))


def test_every_level_of_every_channel() -> None:
    image = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    result = ops.normalize(image, MEAN[:3], STD[:3])
    exact = (np.arange(256)[:, None] / 255 - MEAN[:3]) / STD[:3]
    np.testing.assert_allclose(result[:, 0], exact, rtol=0, atol=5e-7)
    np.testing.assert_array_equal(
        result, reference.normalize(image, MEAN[:3], STD[:3], scale=1 / 255)
    )


@given(images)
def test_zero_mean_and_unit_std_change_nothing(image: np.ndarray) -> None:
    channels = 1 if image.ndim == 2 else image.shape[2]
    result = ops.normalize(image, [0.0] * channels, [1.0] * channels, scale=1)
    np.testing.assert_array_equal(result, image)


@given(images)
def test_any_thread_count_gives_the_same_bits(image: np.ndarray) -> None:
    channels = 1 if image.ndim == 2 else image.shape[2]
    one, four, seven = (
        ops.normalize(image, MEAN[:channels], STD[:channels], threads=threads)
        for threads in (1, 4, 7)
    )
    np.testing.assert_array_equal(one, four)
    np.testing.assert_array_equal(one, seven)


def test_large_image_in_threads_and_other_layouts() -> None:
    image = np.random.default_rng(0).integers(0, 256, (400, 301, 3), np.uint8)
    expected = reference.normalize(image, MEAN[:3], STD[:3], 1 / 255)
    for view in (image, image[::-1].copy()[::-1], np.asfortranarray(image)):
        result = ops.normalize(view, MEAN[:3], STD[:3], threads=3)
        np.testing.assert_array_equal(result, expected)


def test_writes_into_a_given_array() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    canvas = np.full((6, 9, 3), 7, np.float32)
    out = canvas[1:5, 2:7]
    assert ops.normalize(image, MEAN[:3], STD[:3], out=out) is out
    np.testing.assert_array_equal(out, ops.normalize(image, MEAN[:3], STD[:3]))
    out[...] = 7
    assert (canvas == 7).all()


IMAGE = np.zeros((4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": IMAGE.astype(np.int32)}, "image: expected a uint8 or float32 .* an int32"),
        ({"image": np.zeros((4, 5, 5), np.uint8), "mean": [0] * 5, "std": [1] * 5}, "channels"),
        ({"image": IMAGE[:, :0]}, "image: expected at least one pixel"),
        ({"mean": MEAN}, "mean, std: expected 3 numbers each, .* received 4 and 3"),
        ({"std": STD[:1]}, "mean, std: expected 3 numbers each, .* received 3 and 1"),
        ({"std": (1.0, 0.0, 1.0)}, "scale, mean, std: expected finite numbers and no std of 0"),
        ({"mean": (1.0, np.nan, 1.0)}, "scale, mean, std: expected finite numbers"),
        ({"scale": np.inf}, "scale, mean, std: expected finite numbers"),
        ({"threads": 0}, "threads: expected at least 1, received 0"),
        ({"out": np.zeros((4, 5, 3), np.float64)}, "out: expected a float32 array"),
        ({"out": np.zeros((4, 5), np.float32)}, r"out: expected .*\(4, 5, 3\).*\(4, 5\)"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ops.normalize(**{"image": IMAGE, "mean": MEAN[:3], "std": STD[:3], **arguments})


def test_refuses_to_write_over_its_input() -> None:
    image = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(InvalidInputError, match="out: expected memory of its own"):
        ops.normalize(image, MEAN[:3], STD[:3], out=image)
