# SPDX-License-Identifier: Apache-2.0
"""Validates responses against the pipeline's own results."""

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
from benchmarks.serving.raw_http import Reply
from benchmarks.serving.request_cases import ValidRequest
from hpip import ops
from hpip.results.result import InstanceSegResult
from hpip.types import AnyArray, UInt8Array

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 0.5
LEAST_MASK_IOU = 0.99
# The server's, and PaddleX's.
JPEG_QUALITY = 75
# Mean difference of the annotated images over pixels and channels, on a scale of 255.
DRAWING_TOLERANCE = 1.0
# Polygons do not have the holes of a mask.
LEAST_POLYGON_IOU = 0.9
# Before this, every response contains its own id.
_SAME_FROM = b"result"


class WrongResponseError(Exception):
    """A response whose status or content is wrong."""


class ResponseValidator:
    """Compares responses with the pipeline's results; caches the digests of correct ones."""

    def __init__(self, images: Mapping[str, bytes], model: Mapping[str, Any]) -> None:
        self._images = {name: _decode(content) for name, content in images.items()}
        self._model = model
        self._results: dict[tuple[str, float | None], InstanceSegResult] = {}
        self._seen: dict[ValidRequest, set[bytes]] = {}

    def prepare(self, requests: Iterable[ValidRequest]) -> None:
        """Predict the results that `check` needs, so that it is fast during the load."""
        needed = {(name, request.threshold) for request in requests for name in request.images}
        with hpip.create_pipeline(**self._model) as pipeline:
            for name, threshold in sorted(needed - self._results.keys(), key=str):
                (result,) = pipeline.predict(self._images[name], threshold=threshold)
                self._results[name, threshold] = result

    def expected(self, name: str, threshold: float | None) -> InstanceSegResult:
        """The pipeline's result for an image that was prepared."""
        return self._results[name, threshold]

    def check(self, request: ValidRequest, reply: Reply) -> None:
        """Compare a response with the pipeline's result.

        Raises:
            WrongResponseError: they differ; the message says where.
        """
        _, found, tail = reply.body.partition(_SAME_FROM)
        digest = hashlib.sha256(tail).digest()
        seen = self._seen.setdefault(request, set())
        if found and digest in seen:
            return
        try:
            self._check_all(request, reply)
        except (KeyError, TypeError, ValueError, IndexError, cv2.error) as error:
            raise WrongResponseError(f"malformed: {type(error).__name__}: {error}") from error
        seen.add(digest)

    def _check_all(self, request: ValidRequest, reply: Reply) -> None:
        packed = request.encoding == "msgpack"
        content = msgpack.unpackb(reply.body) if packed else json.loads(reply.body)
        _require(content["errorCode"] == 0 and content["errorMsg"] == "Success", "not a success")
        result = content["result"]
        parts = result["results"] if request.several else [result]
        _require(len(parts) == len(request.images), f"{len(parts)} results")
        for name, part in zip(request.images, parts, strict=True):
            expected = self.expected(name, request.threshold)
            _check_instances(part["instances"], expected, request.mask_format)
            _require(
                ("image" in part) == request.visualize,
                "an annotated image that was not requested, or none",
            )
            if request.visualize:
                jpeg = part["image"] if packed else base64.b64decode(part["image"], validate=True)
                _check_drawing(jpeg, expected)


def _decode(content: bytes) -> UInt8Array:
    image: UInt8Array | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise WrongResponseError("the image can't be decoded")
    return image


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise WrongResponseError(message)


def _check_instances(
    instances: list[dict[str, Any]], expected: InstanceSegResult, mask_format: str
) -> None:
    _require(
        len(instances) == len(expected.rle),
        f"expected {len(expected.rle)} instances; received {len(instances)}",
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
    """The pixels inside a polygon whose sides all lie between pixels."""
    inside = np.zeros(hw, np.uint8)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        _require(x0 == x1 or y0 == y1, "a side of a polygon does not lie between pixels")
        if x0 == x1:
            inside[int(min(y0, y1)) : int(max(y0, y1)), int(x0) :] ^= 1
    return inside


def _check_drawing(jpeg: bytes, expected: InstanceSegResult) -> None:
    drawing = _decode(jpeg)
    _require(drawing.shape == expected.image.shape, f"the annotated image is {drawing.shape}")
    # The expected image is compressed too, because JPEG changes the labels a lot.
    _, wanted = cv2.imencode(".jpg", expected.draw(), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    off = float(cv2.absdiff(drawing, _decode(wanted.tobytes())).mean())
    _require(off < DRAWING_TOLERANCE, f"the annotated image differs by {off:.1f}")
