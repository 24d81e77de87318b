# SPDX-License-Identifier: Apache-2.0
"""Whether an answer is right: it is compared with the pipeline's own result."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import msgpack
import numpy as np

import hpip
from benchmarks.serving.questions import Asked
from benchmarks.serving.raw_http import Reply
from hpip import ops
from hpip.results.result import InstanceSegResult
from hpip.types import AnyArray, UInt8Array

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 0.5
LEAST_MASK_IOU = 0.99
# What the server sends, as PaddleX does.
JPEG_QUALITY = 75
# Mean over pixels and channels, of 255.
DRAWING_TOLERANCE = 1.0
# Outlines fill the holes of a mask.
LEAST_POLYGON_IOU = 0.9
# The first bytes of every answer, up to here, have an id of their own.
_SAME_FROM = b"result"


class WrongAnswerError(Exception):
    """An answer with status 200 that is not the pipeline's."""


class Judge:
    """Knows the right answers, and those that it has found right before by their bytes."""

    def __init__(self, pictures: Mapping[str, bytes], model: Mapping[str, Any]) -> None:
        self._images = {name: _decode(content) for name, content in pictures.items()}
        self._model = model
        self._results: dict[tuple[str, float | None], InstanceSegResult] = {}
        self._seen: dict[Asked, set[bytes]] = {}

    def prepare(self, questions: Iterable[Asked]) -> None:
        """Predict what `check` will need, so that it takes no time from the server later."""
        needed = {(name, asked.threshold) for asked in questions for name in asked.pictures}
        with hpip.create_pipeline(**self._model) as pipeline:
            for name, threshold in sorted(needed - self._results.keys(), key=str):
                (result,) = pipeline.predict(self._images[name], threshold=threshold)
                self._results[name, threshold] = result

    def expected(self, name: str, threshold: float | None) -> InstanceSegResult:
        """The pipeline's result for a picture that was prepared."""
        return self._results[name, threshold]

    def check(self, asked: Asked, reply: Reply) -> None:
        """Compare an answer with the pipeline's result.

        Raises:
            WrongAnswerError: says where they differ.
        """
        _, found, tail = reply.body.partition(_SAME_FROM)
        digest = hashlib.sha256(tail).digest()
        seen = self._seen.setdefault(asked, set())
        if found and digest in seen:
            return
        try:
            self._check_all(asked, reply)
        except (KeyError, TypeError, ValueError, IndexError, cv2.error) as error:
            raise WrongAnswerError(f"malformed: {type(error).__name__}: {error}") from error
        seen.add(digest)

    def _check_all(self, asked: Asked, reply: Reply) -> None:
        packed = asked.encoding == "msgpack"
        answer = msgpack.unpackb(reply.body) if packed else json.loads(reply.body)
        _require(answer["errorCode"] == 0 and answer["errorMsg"] == "Success", "not a success")
        result = answer["result"]
        parts = result["results"] if asked.several else [result]
        _require(len(parts) == len(asked.pictures), f"{len(parts)} results")
        for name, part in zip(asked.pictures, parts, strict=True):
            expected = self.expected(name, asked.threshold)
            _check_instances(part["instances"], expected, asked.mask_format)
            _require(("image" in part) == asked.visualize, "a picture that was not asked for")
            if asked.visualize:
                jpeg = part["image"] if packed else base64.b64decode(part["image"], validate=True)
                _check_drawing(jpeg, expected)


def _decode(content: bytes) -> UInt8Array:
    image: UInt8Array | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise WrongAnswerError("a picture that can't be decoded")
    return image


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise WrongAnswerError(message)


def _check_instances(
    instances: list[dict[str, Any]], expected: InstanceSegResult, mask_format: str
) -> None:
    _require(
        len(instances) == len(expected.rle),
        f"{len(instances)} instances in place of {len(expected.rle)}",
    )
    for i, instance in enumerate(instances):
        _require(instance["categoryId"] == int(expected.class_ids[i]), f"class of instance {i}")
        _require(instance["categoryName"] == expected.labels[i], f"name of instance {i}")
        off = abs(instance["score"] - float(expected.scores[i]))
        _require(off <= SCORE_TOLERANCE, f"score of instance {i} is off by {off:g}")
        off = float(np.abs(np.array(instance["bbox"]) - expected.boxes_xyxy[i]).max())
        _require(off <= BOX_TOLERANCE_PX, f"box of instance {i} is off by {off:g} px")
        if mask_format == "none":
            _require("mask" not in instance, f"instance {i} has a mask")
        else:
            _check_mask(instance["mask"], expected, i, mask_format)


def _check_mask(mask: dict[str, Any], expected: InstanceSegResult, i: int, form: str) -> None:
    least = LEAST_MASK_IOU
    wanted = expected.crop(i) if form == "crop_rle" else expected.mask(i)
    _require(tuple(mask["size"]) == wanted.shape, f"mask {i} is of size {mask['size']}")
    if form == "polygon":
        least = LEAST_POLYGON_IOU
        got = np.zeros(wanted.shape, np.uint8)
        for ring in mask["polygons"]:
            got |= _filled(np.reshape(ring, (-1, 2)), got.shape)
    else:
        got = ops.decode_rle(mask["rleResult"].encode("ascii"), wanted.shape)
    union = np.count_nonzero(got | wanted)
    iou = np.count_nonzero(got & wanted) / union if union else 1.0
    _require(iou >= least, f"mask {i} as {form} has an IoU of {iou:.4f}")


def _filled(ring: AnyArray, hw: tuple[int, ...]) -> UInt8Array:
    """The pixels inside an outline whose sides all go along pixels' sides."""
    inside = np.zeros(hw, np.uint8)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        _require(x0 == x1 or y0 == y1, "an outline is not along pixels' sides")
        if x0 == x1:
            inside[int(min(y0, y1)) : int(max(y0, y1)), int(x0) :] ^= 1
    return inside


def _check_drawing(jpeg: bytes, expected: InstanceSegResult) -> None:
    drawing = _decode(jpeg)
    _require(drawing.shape == expected.image.shape, f"the picture is {drawing.shape}")
    # Through a JPEG too: labels lose much in it.
    _, wanted = cv2.imencode(".jpg", expected.draw(), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    off = float(cv2.absdiff(drawing, _decode(wanted.tobytes())).mean())
    _require(off < DRAWING_TOLERANCE, f"the picture is off by {off:.1f}")
