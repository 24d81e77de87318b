# SPDX-License-Identifier: Apache-2.0
"""Models that answer otherwise when their input is rounded otherwise, on plain Paddle too."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import hpip
from hpip.choice import choose
from hpip.devices import Device
from hpip.errors import BackendError
from hpip.model import load_model_spec
from hpip.options import EngineOptions
from hpip.plans import UntouchedPlan
from hpip.postprocess import Selection
from hpip.sameness import FLOAT32, Comparison
from hpip.tuning.answers import TRIAL_GATES
from hpip.tuning.budget import Limits
from hpip.tuning.rounding import ROUNDING, WIDEST, NoisyPlan, rounding_gate
from hpip.tuning.tune import tune
from hpip.types import AnyArray, UInt8Array
from tests.pictures import rectangles

from .conftest import Register, request_for

BRIGHT, ON_THE_EDGE = 140, 128
STRICT = TRIAL_GATES["fp32"]


def speckled() -> UInt8Array:
    """A red area, with pixels in it that are as bright as the tiny model's limit.

    They are an eighteenth of the area: enough to miss the gate, too few to be beyond any.
    """
    picture = rectangles(64, 64, red=(8, 8, 56, 56))
    picture[picture > 0] = BRIGHT
    picture[11:53:7, 9:55:3, 2] = ON_THE_EDGE
    return picture


@pytest.fixture(scope="module")
def wobbly_model_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a mean that brings such pixels to its limit of 0.5."""
    folder = tmp_path_factory.mktemp("models") / "wobbly"
    shutil.copytree(tiny_model_dir, folder)
    path = folder / "inference.yml"
    settings = yaml.safe_load(path.read_text())
    (normalize,) = [one for one in settings["Preprocess"] if one["type"] == "NormalizeImage"]
    normalize["mean"] = [ON_THE_EDGE / 255 - 0.5] * 3
    path.write_text(yaml.safe_dump(settings))
    return folder


def tuned(model_dir: Path, picture: UInt8Array, **options: object):
    request = request_for(model_dir, **options)
    return tune(request, limits=Limits(300), pictures=[picture]).verdict


def test_an_engine_that_rounds_otherwise_is_told_from_a_wrong_one(
    only: Register, wobbly_model_dir: Path
) -> None:
    only("rounding", "wrong", "empty")
    verdict = tuned(wobbly_model_dir, speckled())
    states = {trial.engine.backend: trial.state for trial in verdict.trials}
    assert states == {"rounding": "within rounding", "wrong": "wrong", "empty": "wrong"}
    trial = verdict.trials[0]
    assert "mask IoU" in trial.reason
    assert trial.ratio is not None
    assert trial.time_ms is not None
    assert verdict.complete


def test_the_automatic_choice_stays_strict_and_says_what_it_leaves(
    only: Register, wobbly_model_dir: Path
) -> None:
    only("rounding")
    verdict = tuned(wobbly_model_dir, speckled())
    assert verdict.selection.engine.backend == "paddle"
    ((name, reason),) = verdict.selection.rejected
    assert name == "rounding, 1 thread"
    assert "no further off than rounding moves plain Paddle's own" in reason
    assert "it serves where hpi_config names it" in reason


def test_the_same_engine_is_right_where_rounding_decides_nothing(
    only: Register, wobbly_model_dir: Path
) -> None:
    only("rounding")
    # Small, since plain Paddle adds up brightness pixel by pixel.
    plain = rectangles(64, 64, red=(8, 8, 24, 24))
    (trial,) = tuned(wobbly_model_dir, plain).trials
    assert trial.state == "verified", trial.reason


def test_who_names_it_gets_it_with_a_warning(
    only: Register, wobbly_model_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only("rounding", "wrong")
    for backend in ("rounding", "wrong"):
        tuned(wobbly_model_dir, speckled(), backend=backend)

    def named(backend: str):
        options = EngineOptions(backend=backend)
        spec = load_model_spec(wobbly_model_dir)
        return choose(spec, Device("cpu"), use_hpip=True, threads=1, options=options)

    choice = named("rounding")
    assert (choice.engine.backend, choice.floor, choice.within_rounding) == ("rounding", None, True)
    assert "rounding moves plain Paddle's own" in caplog.text
    with pytest.raises(BackendError, match="wrong failed to verify"):
        named("wrong")


def test_a_predictor_on_it_answers(only: Register, wobbly_model_dir: Path) -> None:
    only("rounding")
    tuned(wobbly_model_dir, speckled(), backend="rounding")
    with hpip.create_predictor(
        model_dir=wobbly_model_dir, device="cpu", threads=1, hpi_config={"backend": "rounding"}
    ) as predictor:
        (result,) = predictor.predict(speckled())
    assert result.boxes_xyxy.tolist() == [[8, 8, 56, 56]]


def test_noise_is_small_and_the_same_each_time(tiny_model_dir: Path) -> None:
    plan = UntouchedPlan(load_model_spec(tiny_model_dir))
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    inputs: Mapping[str, AnyArray] = {"image": image, "im_shape": np.ones((1, 2), np.float32)}
    noisy = NoisyPlan(plan)
    feeds = noisy.feeds(inputs, Selection(0.5))
    relative = np.abs(feeds["image"] / image - 1)
    assert 0 < relative.max() < 2 * ROUNDING
    assert feeds["im_shape"] is inputs["im_shape"]
    assert feeds["image"].dtype == np.float32
    np.testing.assert_array_equal(feeds["image"], noisy.feeds(inputs, Selection(0.5))["image"])
    assert (noisy.steps, noisy.outputs) == (plan.steps, plan.outputs)


SAME = Comparison(FLOAT32, 3, (), (), 0.0, 0.0, 3, 1.0, 1.0)
unit = st.floats(0, 1)
comparisons = st.lists(
    st.builds(
        replace,
        st.just(SAME),
        max_score_diff=unit,
        max_box_diff_px=st.floats(0, 10),
        min_mask_iou=unit,
        mean_mask_iou=unit,
    ),
    max_size=3,
)


@given(comparisons)
def test_the_gate_lies_between_the_strict_one_and_the_widest(own: list[Comparison]) -> None:
    gate = rounding_gate(own)
    assert STRICT.threshold_margin <= gate.threshold_margin <= WIDEST.threshold_margin
    assert STRICT.score <= gate.score <= WIDEST.score
    assert STRICT.box_px <= gate.box_px <= WIDEST.box_px
    assert STRICT.mask_iou_each >= gate.mask_iou_each >= WIDEST.mask_iou_each
    assert STRICT.mask_iou_mean >= gate.mask_iou_mean >= WIDEST.mask_iou_mean
    assert gate.box_iou == STRICT.box_iou


def test_who_does_not_wobble_is_held_against_the_strict_gate() -> None:
    assert rounding_gate([SAME]) == STRICT
    assert rounding_gate([]) == STRICT


def test_twice_what_rounding_does_is_allowed() -> None:
    wobbly = replace(SAME, max_score_diff=0.002, min_mask_iou=0.9, mean_mask_iou=0.99)
    gate = rounding_gate([SAME, wobbly])
    assert gate.score == pytest.approx(0.004)
    assert gate.mask_iou_each == pytest.approx(0.8)
    assert gate.mask_iou_mean == pytest.approx(0.98)
