# SPDX-License-Identifier: Apache-2.0
"""Stock PaddleX as a contender, in an interpreter that has PaddleX but may lack hpip.

It needs only PaddleX and its dependencies NumPy and pycocotools. Engine settings are passed as
`engine_config`, because PaddleX 3.7.2 silently ignores `pp_option`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

# The model is local, so PaddleX must not check the network for it.
os.environ["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"

import numpy as np

from .channel import RefusalError, RunTimer, memory, serve

_ENGINES = {
    "paddlex": (None, None),
    "paddlex-paddle": ("paddle_static", {"run_mode": "paddle"}),
    "paddlex-onnxruntime": ("onnxruntime", {}),
}
_THREADS_NAMES = {"onnxruntime": "intra_op_num_threads"}


class _Timed:
    """Wraps a part of PaddleX, and records its first entry, last exit and total time."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self.entered_s: float | None = None
        self.left_s = 0.0
        self.inside_s = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return self._part(*args, **kwargs)
        finally:
            self.left_s = time.perf_counter()
            self.inside_s += self.left_s - start
            self.entered_s = start if self.entered_s is None else self.entered_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def reset(self) -> None:
        self.entered_s, self.left_s, self.inside_s = None, 0.0, 0.0


class PaddlexContender:
    """Handles requests with a PaddleX model."""

    def __init__(self) -> None:
        self._model: Any = None
        self._batch_size = 1
        self._threshold: float | None = None
        self._reader: _Timed | None = None
        self._runner: _Timed | None = None
        self._drops: _DroppedBoxes | None = None

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the model."""
        try:
            from paddlex import create_model
        except ImportError as error:
            raise RefusalError(f"PaddleX can't be imported in this interpreter: {error}") from error
        engine, config = _ENGINES[request["backend"]]
        settings = dict(config or {})
        if engine is not None and request["threads"]:
            settings[_THREADS_NAMES.get(engine, "cpu_threads")] = request["threads"]
        elif request["threads"]:
            settings = {"cpu_threads": request["threads"]}
        timer = RunTimer()
        try:
            self._model = create_model(
                request["model_name"],
                model_dir=request["model_dir"],
                device=request["device"],
                **({"engine": engine} if engine else {}),
                engine_config=settings,
            )
        except Exception as error:
            # PaddleX's own error class for this is in a module that moves between versions.
            if "does not support engine" in str(error):
                raise RefusalError(str(error)) from error
            raise
        load_ms = timer.wall_ms()
        self._batch_size = request["batch_size"]
        self._threshold = request["threshold"]
        self._time_parts()
        return {"load_ms": load_ms, "explanation": self._explanation(engine)}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a timed call with the images of a batch, from image files to results."""
        for part in (self._reader, self._runner):
            if part is not None:
                part.reset()
        timer, start = RunTimer(), time.perf_counter()
        self._predict(request["images"], self._threshold)
        end = time.perf_counter()
        wall_ms, cpu_ms = timer.wall_ms(), timer.cpu_ms()
        return {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "stages_ms": self._stages(start, end)}

    def predict(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the instances of one image."""
        (result,) = self._predict(
            [request["image"]],
            self._threshold if request.get("threshold") is None else request["threshold"],
        )
        if any("coordinate" not in box for box in result["boxes"]):
            return _prediction_without_boxes(result)
        belong = self._drops is None or self._drops.in_last_call == 0
        return _prediction_with_boxes(result, masks_belong_to_boxes=belong)

    def output(self, request: dict[str, Any]) -> dict[str, Any]:
        """Measure the time to draw one result and to write it as JSON.

        The time to draw is None if PaddleX can't download the font that it needs.
        """
        (result,) = self._predict([request["image"]], self._threshold)
        timer = RunTimer()
        draw_ms: float | None
        try:
            assert result.img
            draw_ms = timer.wall_ms()
        except Exception:
            draw_ms = None
        timer = RunTimer()
        json.dumps(result.json)
        return {"draw_ms": draw_ms, "encode_ms": timer.wall_ms()}

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """Handlers of all requests that this contender supports."""
        return {
            "load": self.load,
            "run": self.run,
            "predict": self.predict,
            "output": self.output,
            "memory": memory,
        }

    def _predict(self, images: list[str], threshold: float | None) -> list[Any]:
        source = images[0] if len(images) == 1 else list(images)
        return list(self._model.predict(source, batch_size=self._batch_size, threshold=threshold))

    def _time_parts(self) -> None:
        """Time the reader and the engine; a version of PaddleX without these has no stages."""
        predictor: Any = getattr(self._model, "_predictor", None)
        if hasattr(predictor, "pre_ops") and hasattr(predictor, "runner"):
            self._reader = _Timed(predictor.pre_ops[0])
            predictor.pre_ops[0] = self._reader
            self._runner = _Timed(predictor.runner)
            predictor.runner = self._runner
            self._drops = _DroppedBoxes()

    def _stages(self, start: float, end: float) -> dict[str, float]:
        reader, runner = self._reader, self._runner
        if reader is None or runner is None or None in (reader.entered_s, runner.entered_s):
            return {}
        assert runner.entered_s is not None
        between = runner.left_s - runner.entered_s - runner.inside_s
        return {
            "read_ms": (reader.left_s - start) * 1e3,
            "preprocess_ms": (runner.entered_s - reader.left_s + between) * 1e3,
            "wait_ms": 0.0,
            "infer_ms": runner.inside_s * 1e3,
            "postprocess_ms": (end - runner.left_s) * 1e3,
        }

    def _explanation(self, engine: str | None) -> str:
        config = getattr(getattr(self._runner, "_part", None), "_config", None)
        mode = config.get("run_mode") if isinstance(config, dict) else None
        chosen = engine or "default engine"
        return f"runs:    PaddleX {version('paddlex')}, {chosen}" + (f", {mode}" if mode else "")


class _DroppedBoxes:
    """Counts boxes that PaddleX drops without their masks, which misaligns all later pairs."""

    def __init__(self) -> None:
        from paddlex.inference.models.instance_segmentation import processors

        self._restructured_boxes = processors.restructured_boxes
        self.in_last_call = 0
        processors.restructured_boxes = self

    def __call__(self, boxes: Any, *args: Any) -> Any:
        remaining = self._restructured_boxes(boxes, *args)
        self.in_last_call = len(boxes) - len(remaining)
        return remaining


def _prediction_with_boxes(result: Any, *, masks_belong_to_boxes: bool) -> dict[str, Any]:
    boxes = result["boxes"]
    corners = [[float(value) for value in box["coordinate"]] for box in boxes]
    return {
        "boxes": corners,
        "scores": [float(box["score"]) for box in boxes],
        "class_ids": [int(box["cls_id"]) for box in boxes],
        "masks": [
            _encode(np.asarray(mask), (round(y0), round(x0))) if masks_belong_to_boxes else None
            for mask, (x0, y0, _, _) in zip(result["masks"], corners)  # noqa: B905
        ],
        "boxes_from_masks": False,
    }


def _prediction_without_boxes(result: Any) -> dict[str, Any]:
    """Prediction of SOLOv2, which has full-image masks and no boxes; empty masks are skipped."""
    found = [
        (box, np.asarray(mask))
        for box, mask in zip(result["boxes"], result["masks"])  # noqa: B905
        if np.any(mask)
    ]
    return {
        "boxes": [_bounds(mask) for _, mask in found],
        "scores": [float(box["score"]) for box, _ in found],
        "class_ids": [int(box["class_id"]) for box, _ in found],
        "masks": [_encode(mask, (0, 0)) for _, mask in found],
        "boxes_from_masks": True,
    }


def _encode(mask: Any, offset_yx: tuple[int, int]) -> dict[str, Any] | None:
    """RLE of a mask crop, or None for a crop without pixels."""
    from pycocotools import mask as coco_mask

    if mask.size == 0:
        return None
    codes = coco_mask.encode(np.asfortranarray(mask != 0, dtype=np.uint8))
    return {"counts": codes["counts"].decode("ascii"), "hw": mask.shape, "yx": offset_yx}


def _bounds(mask: Any) -> list[float]:
    """Half-open xyxy bounding box of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [float(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]


if __name__ == "__main__":
    serve(PaddlexContender().handlers())
