# SPDX-License-Identifier: Apache-2.0
"""preprocess against PaddleX's chain of operators: the same bits where the resize gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpip import ops
from hpip.errors import InvalidInputError
from hpip.types import (
    Interpolation,
    NormalizeStep,
    PadStrideStep,
    PermuteStep,
    PreprocessPlan,
    PreprocessStep,
    ResizeStep,
)
from tests.reference import preprocess as reference

IMAGENET = NormalizeStep(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SCALE_ONLY = NormalizeStep(1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
PERMUTE = PermuteStep()


def plan_of(*steps: PreprocessStep) -> PreprocessPlan:
    return PreprocessPlan(steps)


# The steps of the five families, at a size that keeps the tests quick.
PLANS = {
    "Mask-RT-DETR": plan_of(ResizeStep((64, 64), False, "cubic"), SCALE_ONLY, PERMUTE),
    "PP-YOLOE_seg": plan_of(ResizeStep((64, 64), False, "cubic"), IMAGENET, PERMUTE),
    "MaskRCNN": plan_of(
        ResizeStep((80, 133), True, "linear"), IMAGENET, PERMUTE, PadStrideStep(32)
    ),
    "MaskRCNN-C4": plan_of(ResizeStep((80, 133), True, "linear"), IMAGENET, PERMUTE),
    "SOLOv2": plan_of(IMAGENET, ResizeStep((80, 133), True, "linear"), PERMUTE, PadStrideStep(32)),
    "SOLOv2 area": plan_of(IMAGENET, ResizeStep((40, 30), False, "area"), PERMUTE),
    "nearest": plan_of(ResizeStep((50, 70), False, "nearest"), IMAGENET, PERMUTE),
    "area": plan_of(ResizeStep((20, 31), False, "area"), IMAGENET, PERMUTE, PadStrideStep(8)),
    "no resize": plan_of(IMAGENET, PERMUTE, PadStrideStep(32)),
    "no normalization": plan_of(ResizeStep((30, 40), False, "linear"), PERMUTE),
    "only permute": plan_of(PERMUTE, PadStrideStep(0)),
}
# (50, 192): three columns to one in some plans, so that pixels are picked.
IMAGE_SIZES_HW = [(1, 1), (48, 64), (97, 61), (80, 133), (1, 50), (50, 192)]


def random_bgr(hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*hw, 3), np.uint8)


def preprocess(images: list[np.ndarray], plan: PreprocessPlan, threads: int = 1) -> np.ndarray:
    """The batch; every value of the buffer must be written, so it starts as NaN."""
    size_hw = plan.network_hw((images[0].shape[0], images[0].shape[1]))
    out = np.full((len(images), 3, *size_hw), np.nan, np.float32)
    ops.preprocess(images, plan, out, threads=threads)
    return out


@pytest.mark.parametrize("image_hw", IMAGE_SIZES_HW, ids=str)
@pytest.mark.parametrize("name", PLANS)
def test_equals_the_chain_of_operators(name: str, image_hw: tuple[int, int]) -> None:
    image = random_bgr(image_hw)
    expected = reference.network_input(image, PLANS[name], ops.resize)
    np.testing.assert_array_equal(preprocess([image], PLANS[name])[0], expected)


@pytest.mark.parametrize("image_hw", IMAGE_SIZES_HW, ids=str)
@pytest.mark.parametrize("name", PLANS)
def test_matches_the_chain_with_opencv(name: str, image_hw: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")

    def resize(image: np.ndarray, size_hw: tuple[int, int], interpolation: str) -> np.ndarray:
        flag = getattr(cv2, f"INTER_{interpolation.upper()}")
        resized: np.ndarray = cv2.resize(image, size_hw[::-1], interpolation=flag)
        return resized

    image = random_bgr(image_hw)
    plan = PLANS[name]
    expected = reference.network_input(image, plan, resize)
    result = preprocess([image], plan)[0]
    steps = [step for step in plan.steps if isinstance(step, ResizeStep | NormalizeStep)]
    float_resize = len(steps) == 2 and isinstance(steps[0], NormalizeStep)
    if float_resize:
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)
    elif "cubic" in [getattr(step, "interpolation", None) for step in steps]:
        # One uint8 level, after normalization, at few pixels of the larger pictures.
        np.testing.assert_allclose(result, expected, rtol=0, atol=1.001 / 255 / 0.224)
        if min(image_hw) > 40 and cv2.ipp.useIPP():
            assert (result == expected).mean() >= 0.99
    else:
        np.testing.assert_array_equal(result, expected)


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=4),
    st.sampled_from(["nearest", "linear", "cubic", "area"]),
    st.booleans(),
    st.sampled_from([0, 8, 32]),
)
@settings(max_examples=50)
def test_a_batch_is_its_images_and_threads_change_nothing(
    sizes_hw: list[tuple[int, int]],
    interpolation: Interpolation,
    normalize_first: bool,
    stride: int,
) -> None:
    steps = [ResizeStep((21, 34), False, interpolation), IMAGENET]
    plan = plan_of(*(steps[::-1] if normalize_first else steps), PERMUTE, PadStrideStep(stride))
    images = [random_bgr(hw, seed) for seed, hw in enumerate(sizes_hw)]
    size_hw = plan.network_hw((1, 1))
    singles = [preprocess([image], plan)[0] for image in images]
    for threads in (1, 4, 7):
        out = np.full((len(images), 3, *size_hw), np.nan, np.float32)
        ops.preprocess(images, plan, out, threads=threads)
        np.testing.assert_array_equal(out, np.array(singles).reshape(out.shape))


def test_images_of_one_network_size_and_different_pictures() -> None:
    plan = PLANS["MaskRCNN"]
    images = [random_bgr(hw) for hw in [(60, 97), (60, 99), (120, 195)]]
    batch = preprocess(images, plan, threads=5)
    for image, result in zip(images, batch, strict=True):
        np.testing.assert_array_equal(result, preprocess([image], plan)[0])
        height, width = plan.resized_hw((image.shape[0], image.shape[1]))
        assert (result[:, height:] == 0).all()
        assert (result[:, :, width:] == 0).all()


def test_large_images_give_the_same_bits_on_any_thread_count() -> None:
    image = random_bgr((700, 500))
    for steps in ((IMAGENET, ResizeStep((300, 400), False, "linear")), (IMAGENET,)):
        plan = plan_of(*steps, PERMUTE, PadStrideStep(32))
        one = preprocess([image, image], plan)
        for threads in (2, 7):
            np.testing.assert_array_equal(preprocess([image, image], plan, threads), one)


# 8 MiB, from which planar float32 tensors are stored another way, lie between their sizes.
SIDES_OF_8_MIB_HW = [(801, 871), (801, 873)]


@pytest.mark.parametrize("target_hw", SIDES_OF_8_MIB_HW, ids=str)
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "nearest"])
def test_large_tensors_hold_the_values_of_interleaved_ones(
    interpolation: Interpolation, target_hw: tuple[int, int]
) -> None:
    """At any place in memory, at odd widths, for any number of threads, and nothing around them."""
    resize = ResizeStep(target_hw, False, interpolation)
    image = random_bgr((50, 61))
    for steps in ((resize, IMAGENET), (IMAGENET, resize)):
        plan = plan_of(*steps, PERMUTE)
        interleaved = np.empty((1, *target_hw, 3), np.float32)
        ops.preprocess([image], plan, interleaved, layout="nhwc")
        expected = interleaved.transpose(0, 3, 1, 2)
        for threads, first in ((1, 0), (2, 1), (3, 5), (7, 15)):
            memory = np.full(expected.size + 32, np.nan, np.float32)
            out = memory[first : first + expected.size].reshape(expected.shape)
            ops.preprocess([image], plan, out, threads=threads)
            np.testing.assert_array_equal(out, expected)
            assert np.isnan(memory[:first]).all()
            assert np.isnan(memory[first + expected.size :]).all()


def test_a_large_batch_of_padded_images_is_its_images() -> None:
    plan = plan_of(ResizeStep((400, 500), True, "linear"), IMAGENET, PERMUTE, PadStrideStep(32))
    images = [random_bgr((60, 73), seed) for seed in range(4)]
    singles = [preprocess([image], plan) for image in images]
    assert singles[0].nbytes < 8 << 20 < 4 * singles[0].nbytes
    for threads in (1, 3):
        batch = preprocess(images, plan, threads)
        np.testing.assert_array_equal(batch, np.concatenate(singles))


def test_any_memory_layout_of_images() -> None:
    image = random_bgr((33, 41))
    expected = preprocess([image], PLANS["MaskRCNN"])
    for view in (
        image[::-1].copy()[::-1],
        np.asfortranarray(image),
        np.concatenate([image, image], axis=1)[:, :41],
        image[:, :, ::-1].copy()[:, :, ::-1],
    ):
        np.testing.assert_array_equal(preprocess([view], PLANS["MaskRCNN"]), expected)


@pytest.mark.parametrize("name", PLANS)
def test_rgb_and_grey_pictures(name: str) -> None:
    plan = PLANS[name]
    bgr = random_bgr((48, 64))
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    out = np.full_like(preprocess([bgr], plan), np.nan)
    ops.preprocess([rgb], plan, out, channel_order="rgb")
    np.testing.assert_array_equal(out, preprocess([bgr], plan))
    grey = bgr[:, :, 1]
    expected = preprocess([np.stack([grey] * 3, axis=2)], plan)
    for image in (grey, grey[:, :, None], np.ascontiguousarray(grey)):
        for order in ("bgr", "rgb"):
            out.fill(np.nan)
            ops.preprocess([image], plan, out, channel_order=order)
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("name", PLANS)
def test_other_layouts_and_halves_hold_the_same_values(name: str) -> None:
    plan = PLANS[name]
    images = [random_bgr((97, 61), seed) for seed in range(2)]
    expected = preprocess(images, plan)
    moved = expected.transpose(0, 2, 3, 1)
    for dtype in (np.float32, np.float16):
        for layout, values in (("nchw", expected), ("nhwc", moved)):
            out = np.full(values.shape, np.nan, dtype)
            ops.preprocess(images, plan, out, layout=layout, threads=2)
            np.testing.assert_array_equal(out, values.astype(dtype))


def test_halves_round_as_numpy_rounds() -> None:
    """From subnormal halves to infinity, ties included: one picture pixel is factor + offset."""
    random = np.random.default_rng(0)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (halves[:-1] + halves[1:]) / 2
    near = np.concatenate([np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, 0)])
    picked = random.choice(np.concatenate([halves, ties, near]), 99, replace=False)
    limits = np.array([0, 2**-25, 2**-24, 65504, 65519, 65520, 65536, 1e9, -1e-9], np.float32)
    for values in np.concatenate([picked, limits]).reshape(-1, 3):
        step = NormalizeStep(1.0, tuple(-float(v) for v in values), (1.0, 1.0, 1.0))
        out = np.empty((1, 3, 1, 11), np.float16)
        ops.preprocess([np.zeros((1, 11, 3), np.uint8)], plan_of(step, PERMUTE), out)
        with np.errstate(over="ignore"):
            expected = values.astype(np.float16)
        np.testing.assert_array_equal(out[0, :, 0], np.repeat(expected[:, None], 11, axis=1))


def test_an_empty_batch_writes_nothing() -> None:
    ops.preprocess([], PLANS["MaskRCNN"], np.zeros((0, 3, 32, 32), np.float32))
    ops.preprocess([], PLANS["MaskRCNN"], np.zeros((0, 3, 0, 0), np.float32))


IMAGE = random_bgr((48, 64))
OUT = np.zeros((1, 3, 64, 64), np.float32)
PLAN = PLANS["PP-YOLOE_seg"]
CUBIC = ResizeStep((64, 64), False, "cubic")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": ["a.jpg"]}, r"images\[0\]: expected a numpy array, received str"),
        (
            {"images": [IMAGE[:, :, :2]]},
            r"images\[0\]: expected a uint8 array of shape \(H, W, 3\)",
        ),
        ({"images": [IMAGE[0, :, 0]]}, r"images\[0\]: expected a uint8 or float32 array of shape"),
        ({"channel_order": "gbr"}, "channel_order: expected 'bgr' or 'rgb', received 'gbr'"),
        ({"layout": "hwc"}, "layout: expected 'nchw' or 'nhwc', received 'hwc'"),
        ({"layout": "nhwc"}, r"out: expected shape \(1, 64, 64, 3\), received \(1, 3, 64, 64\)"),
        ({"images": [IMAGE, IMAGE[:0]]}, r"images\[1\]: expected at least one pixel"),
        ({"images": [IMAGE.astype(np.float32)]}, r"images\[0\]: expected a uint8 array"),
        ({"images": [IMAGE, IMAGE]}, r"out: expected shape \(2, 3, 64, 64\), .*\(1, 3, 64, 64\)"),
        ({"images": []}, r"out: expected shape \(0, 3, 64, 64\)"),
        ({"out": np.zeros((1, 3, 64, 65), np.float32)}, r"out: expected shape \(1, 3, 64, 64\)"),
        (
            {"out": np.zeros((1, 3, 64, 64))},
            "out: expected a float32 or float16 .* a float64",
        ),
        ({"out": None}, "out: expected a float32 or float16 .* received NoneType"),
        ({"out": np.zeros((1, 64, 64, 3), np.float32).transpose(0, 3, 1, 2)}, "C-contiguous"),
        ({"out": np.frombuffer(OUT.tobytes(), np.float32).reshape(OUT.shape)}, "written to"),
        ({"threads": -1}, "threads: expected at least 1, received -1"),
        ({"plan": plan_of(CUBIC, IMAGENET)}, "plan: expected .* PermuteStep, .* received"),
        ({"plan": plan_of(CUBIC, CUBIC, PERMUTE)}, "plan: expected at most one ResizeStep"),
        ({"plan": plan_of(IMAGENET, CUBIC, IMAGENET, PERMUTE)}, "plan: expected at most one"),
        ({"plan": plan_of(PERMUTE, CUBIC)}, "plan: expected at most one ResizeStep"),
        ({"plan": plan_of(CUBIC, PadStrideStep(32), PERMUTE)}, "plan: expected at most one"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        ops.preprocess(**{"images": [IMAGE], "plan": PLAN, "out": OUT, **arguments})


def test_refuses_a_batch_of_different_network_sizes() -> None:
    plan = PLANS["MaskRCNN"]
    images = [random_bgr((60, 99)), random_bgr((99, 60))]
    with pytest.raises(InvalidInputError, match=r"images\[1\]: expected network size \(96, 160\)"):
        ops.preprocess(images, plan, np.zeros((2, 3, 96, 160), np.float32))


def test_refuses_to_write_over_an_image() -> None:
    memory = np.zeros(3 * 64 * 64 * 4, np.uint8)
    out = memory.view(np.float32).reshape(1, 3, 64, 64)
    with pytest.raises(InvalidInputError, match="out: expected memory of its own"):
        ops.preprocess([memory[:300].reshape(10, 10, 3)], PLAN, out)
