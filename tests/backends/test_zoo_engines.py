# SPDX-License-Identifier: Apache-2.0
"""Engines give plain Paddle's answers on real graphs and real photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hpip
from hpip.common.devices import Device
from hpip.graph.compile import compile_model
from hpip.inference.execution.plan import TruncatedPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine, Runner
from hpip.inference.tuning.gates import Prediction, compare_predictions
from hpip.inputs.sources import iter_sources
from hpip.model.spec import ModelSpec, load_model_spec
from hpip.results.comparison import compare
from hpip.types import UInt8Array
from tests.backends.conftest import engines, skip_where_absent

DEMO = Path(hpip.__file__).parent / "demo"
OFFICIAL = [
    *(f"Mask-RT-DETR-{size}" for size in "SMLXH"),
    *("PP-YOLOE_seg-S", "SOLOv2", "MaskRCNN-ResNet50"),
    *("MaskRCNN-ResNet50-FPN", "MaskRCNN-ResNet50-vd-FPN", "MaskRCNN-ResNet101-FPN"),
    *("MaskRCNN-ResNet101-vd-FPN", "MaskRCNN-ResNeXt101-vd-FPN"),
    *("Cascade-MaskRCNN-ResNet50-FPN", "Cascade-MaskRCNN-ResNet50-vd-SSLDv2-FPN"),
]


def other_engines() -> Iterator[object]:
    """All but plain Paddle on the CPU, the reference."""
    return (parameter for parameter in engines() if parameter.id != "paddle-cpu")


@pytest.fixture(params=other_engines())
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    skip_where_absent(chosen)
    return chosen


@contextmanager
def runner(spec: ModelSpec, engine: Engine) -> Iterator[Runner]:
    compiled = compile_model(spec.files)
    opened = Runner(TruncatedPlan(compiled), spec.preprocess, engine)
    try:
        yield opened
    finally:
        opened.close()


def images_of(folder: Path) -> list[UInt8Array]:
    paths = sorted(str(path) for path in folder.glob("*.jpg"))
    return [source.image for source in iter_sources(paths) if source.image is not None]


def assert_same_answers(model_dir: Path, engine: Engine, images: list[UInt8Array]) -> None:
    spec, threshold = load_model_spec(model_dir), 0.5
    with runner(spec, Engine("paddle", Device("cpu"), threads=2)) as reference:
        wanted = [reference.infer([image], InstanceFilter(threshold))[0] for image in images]
    with runner(spec, engine) as candidate:
        found = [candidate.infer([image], InstanceFilter(threshold))[0] for image in images]
    for mine, theirs in zip(found, wanted, strict=True):
        comparison = compare_predictions(Prediction(threshold, theirs), Prediction(threshold, mine))
        assert comparison.same, comparison.violations()
    assert sum(len(answer.scores) for answer in wanted) > 0


def test_the_demo_model(engine: Engine) -> None:
    assert_same_answers(DEMO, engine, images_of(DEMO))


def test_a_batch_of_the_demo_model_gives_the_answers_of_its_images(engine: Engine) -> None:
    images = [image[:240, :320].copy() for image in images_of(DEMO)]
    with runner(load_model_spec(DEMO), engine) as candidate:
        single = [candidate.infer([image], InstanceFilter(0.3))[0] for image in images]
        together = candidate.infer(images, InstanceFilter(0.3))
    for mine, theirs in zip(together, single, strict=True):
        assert compare(Prediction(0.3, theirs), Prediction(0.3, mine), 0.3).same


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
def test_official_models(
    name: str, engine: Engine, zoo_model: Callable[[str], Path], photos_dir: Path
) -> None:
    assert_same_answers(zoo_model(name), engine, images_of(photos_dir))
