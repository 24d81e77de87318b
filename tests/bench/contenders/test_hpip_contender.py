# SPDX-License-Identifier: Apache-2.0
"""The contender that shows what an engine gains without the cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="the engine of this contender")
pytest.importorskip("onnx", reason="writes its program")

import hpip
from hpip.bench.contender import PLAIN, UNCUT_ONNXRUNTIME, Workload, contenders
from hpip.bench.contenders.channel import RefusalError
from hpip.bench.contenders.hpip_contender import HpipContender
from hpip.bench.predictions import ContenderPrediction
from hpip.results.comparison import compare

DEMO = Path(hpip.__file__).parent / "demo"
PICTURE = str(min(DEMO.glob("*.jpg")))
THRESHOLD = 0.5


def request(backend: str, model_dir: Path) -> dict[str, Any]:
    return {
        "backend": backend,
        "model_dir": str(model_dir),
        "device": "cpu",
        "precision": "fp32",
        "threads": 2,
        "batch_size": 1,
        "threshold": THRESHOLD,
    }


def predict(backend: str, model_dir: Path) -> tuple[ContenderPrediction, str]:
    contender = HpipContender()
    explanation = contender.load(request(backend, model_dir))["explanation"]
    return ContenderPrediction(contender.predict({"image": PICTURE})), explanation


@pytest.mark.slow
def test_it_runs_the_export_on_onnxruntime(zoo_model: Callable[[str], Path]) -> None:
    model_dir = zoo_model("Mask-RT-DETR-S")
    found, explanation = predict(UNCUT_ONNXRUNTIME, model_dir)
    assert "original graph" in explanation
    assert "onnxruntime, 2 threads" in explanation
    wanted, _ = predict(PLAIN, model_dir)
    assert len(wanted.scores) > 0
    comparison = compare(wanted, found, THRESHOLD)
    assert comparison.same, comparison.violations()


def test_an_export_that_onnx_has_no_operators_for_is_refused() -> None:
    with pytest.raises(RefusalError, match="unsupported operators: multiclass_nms3"):
        HpipContender().load(request(UNCUT_ONNXRUNTIME, DEMO))


def test_it_knows_one_precision() -> None:
    backends = [UNCUT_ONNXRUNTIME, "auto"]
    made = contenders(Workload("demo", threads=1), backends, ["cpu"], ["fp32", "bf16"])
    assert [one.label for one in made] == [UNCUT_ONNXRUNTIME, "auto", "auto bf16"]
