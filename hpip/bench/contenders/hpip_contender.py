# SPDX-License-Identifier: Apache-2.0
"""hpip as a contender: with its own choice of engine, a given engine, or plain Paddle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hpip.bench.contender import UNCUT_ONNXRUNTIME
from hpip.bench.contenders.channel import RefusalError, RunTimer, memory, serve
from hpip.bench.contenders.load import run_load
from hpip.common.devices import parse_devices
from hpip.errors import BackendUnavailableError, GraphRewriteError
from hpip.inference.execution.plan import OriginalPlan
from hpip.inference.execution.postprocess import InstanceFilter
from hpip.inference.execution.runner import Engine
from hpip.inference.predictor import Predictor, create_predictor
from hpip.inference.tuning.choose import Choice
from hpip.model.spec import load_model_spec
from hpip.results.result import InstanceSegResult

_STAGES = ("read_ms", "preprocess_ms", "wait_ms", "infer_ms", "postprocess_ms")


class HpipContender:
    """Handles requests with a predictor."""

    def __init__(self) -> None:
        self._predictor: Predictor | None = None

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the model."""
        timer = RunTimer()
        try:
            is_original = request["backend"] == UNCUT_ONNXRUNTIME
            self._predictor = (
                _original_graph(request) if is_original else create_predictor(**_arguments(request))
            )
        except (BackendUnavailableError, GraphRewriteError) as error:
            raise RefusalError(str(error)) from error
        return {
            "load_ms": timer.wall_ms(),
            "explanation": self._predictor.explain(),
        }

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a timed call with the images of a batch, from image files to results."""
        timer = RunTimer()
        results = self._predict(request["images"])
        wall_ms, cpu_ms = timer.wall_ms(), timer.cpu_ms()
        stages = {
            stage: sum(getattr(result.stage_times, stage) for result in results)
            for stage in _STAGES
        }
        return {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "stages_ms": stages}

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the instances of one image."""
        (result,) = self._predict([request["image"]], request.get("threshold"))
        return {
            "boxes": result.boxes_xyxy.tolist(),
            "scores": result.scores.tolist(),
            "class_ids": result.class_ids.tolist(),
            "masks": [
                {"counts": mask.counts.decode("ascii"), "hw": mask.crop_hw, "yx": mask.offset_yx}
                for mask in result.rle
            ],
            "boxes_from_masks": result.full_image_masks,
        }

    def output(self, request: dict[str, Any]) -> dict[str, Any]:
        """Measure the time to draw one result and to write it as JSON.

        The time to draw is None if the libraries for it are not installed.
        """
        (result,) = self._predict([request["image"]])
        timer = RunTimer()
        draw_ms: float | None
        try:
            result.draw()
            draw_ms = timer.wall_ms()
        except BackendUnavailableError:
            draw_ms = None
        timer = RunTimer()
        json.dumps(result.json)
        return {"draw_ms": draw_ms, "encode_ms": timer.wall_ms()}

    def load_test(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a load test; see `hpip.bench.contenders.load`."""

        def call(image: str) -> None:
            self._predict([image])

        return run_load(call, request)

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Handlers of all requests that this contender supports."""
        return {
            "load": self.load,
            "run": self.run,
            "predict": self.predict,
            "output": self.output,
            "load_test": self.load_test,
            "memory": memory,
        }

    def _predict(
        self, images: Sequence[str], threshold: float | None = None
    ) -> list[InstanceSegResult]:
        assert self._predictor is not None
        # predict() raises the failure of a single image, but only logs those in a list.
        if len(images) == 1:
            return list(self._predictor.predict(images[0], threshold))
        results = list(self._predictor.predict(list(images), threshold))
        if len(results) != len(images):
            raise RuntimeError(f"expected {len(images)} results; received {len(results)}")
        return results


def _original_graph(request: dict[str, Any]) -> Predictor:
    """The original graph on ONNX Runtime, without validation by hpip."""
    spec = load_model_spec(Path(request["model_dir"]))
    (device,) = parse_devices(request["device"])
    threshold, threads = request["threshold"], request["threads"]
    engine = Engine("onnxruntime", device, threads)
    return Predictor(
        spec,
        device,
        use_hpip=True,
        threads=threads,
        batch_size=request["batch_size"],
        instance_filter=InstanceFilter(spec.score_threshold if threshold is None else threshold),
        choice=Choice(
            OriginalPlan(spec), engine, None, "the benchmark requested the original graph"
        ),
    )


def _arguments(request: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `create_predictor`."""
    backend = request["backend"]
    arguments: dict[str, Any] = {
        "model_dir": request["model_dir"],
        "device": request["device"],
        "threads": request["threads"],
        "batch_size": request["batch_size"],
        "threshold": request["threshold"],
        "use_hpip": backend != "paddle",
        "precision": request["precision"],
    }
    if backend not in ("auto", "paddle"):
        arguments["hpi_config"] = {"backend": backend.removeprefix("cut-")}
    return arguments


if __name__ == "__main__":
    serve(HpipContender().handlers())
