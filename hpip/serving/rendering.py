# SPDX-License-Identifier: Apache-2.0
"""From a prediction to the bytes of an answer, and the envelope around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack
import orjson
import pybase64

import hpip.ops as ops
from hpip.common.files import encode_image
from hpip.errors import InvalidInputError
from hpip.results.result import InstanceSegResult
from hpip.serving.wire import AnswerOptions, Encoding, MaskFormat

# Pillow's default, with which PaddleX sends its drawing. At 95, OpenCV's default, a 1080p photo has
# twice the bytes and takes a quarter longer.
_JPEG_QUALITY = 75
_MOST_JPEG_PX = 65_500  # libjpeg's own limit is this, not the format's 65 535

MEDIA_TYPES: dict[Encoding, str] = {
    "json": "application/json",
    "msgpack": "application/msgpack",
}


def render_instances(result: InstanceSegResult, mask_format: MaskFormat) -> list[dict[str, Any]]:
    """PaddleX's list of instances, for every family of models.

    A mask is the run-length code of the crop that its box, rounded half to even, covers.
    """
    polygons = result.polygons() if mask_format == "polygon" else None
    rows = zip(
        result.boxes_xyxy.tolist(),
        result.class_ids.tolist(),
        result.labels,
        result.scores.tolist(),
        strict=True,
    )
    instances = []
    for i, (box, class_id, label, score) in enumerate(rows):
        instance: dict[str, Any] = {
            "bbox": box,
            "categoryId": class_id,
            "categoryName": label,
            "score": score,
        }
        if mask_format == "crop_rle":
            rle = result.rle[i]
            instance["mask"] = {"rleResult": rle.counts.decode("ascii"), "size": list(rle.crop_hw)}
        elif mask_format == "coco_rle":
            rle = result.rle[i]
            counts = ops.merge_rle(rle.counts, rle.crop_hw, rle.offset_yx, result.image_hw)
            instance["mask"] = {
                "rleResult": counts.decode("ascii"),
                "size": list(result.image_hw),
            }
        elif polygons is not None:
            rings = [ring.tolist() for ring in polygons[i]]
            instance["mask"] = {"polygons": rings, "size": list(result.image_hw)}
        instances.append(instance)
    return instances


def draw_jpeg(result: InstanceSegResult) -> bytes:
    """The picture with the instances drawn on it.

    Raises:
        InvalidInputError: the picture has more rows or columns than a JPEG can hold.
    """
    height, width = result.image_hw
    if max(height, width) > _MOST_JPEG_PX:
        raise InvalidInputError(
            f"image: a JPEG holds no {width} x {height} pixels, so it can't be drawn; ask with"
            " visualize false for the instances alone."
        )
    return encode_image(result.draw(), ".jpg", jpeg_quality=_JPEG_QUALITY)


def encode_result(instances: list[dict[str, Any]], jpeg: bytes | None, encoding: Encoding) -> bytes:
    """One picture's `result`. JSON carries the drawing in base64, MessagePack its bytes."""
    content: dict[str, Any] = {"instances": instances}
    if encoding == "msgpack":
        if jpeg is not None:
            content["image"] = jpeg
        return bytes(msgpack.packb(content))
    if jpeg is not None:
        content["image"] = pybase64.b64encode_as_string(jpeg)
    return orjson.dumps(content)


def encode_failure(status: int, message: str, encoding: Encoding) -> bytes:
    """What stands for a failed picture among several."""
    content = {"errorCode": status, "errorMsg": message}
    return orjson.dumps(content) if encoding == "json" else bytes(msgpack.packb(content))


def encode_success(
    log_id: str, parts: Sequence[bytes], options: AnswerOptions, *, several: bool
) -> bytes:
    """The answer around results that are encoded already.

    Args:
        log_id: the request's id.
        parts: what `encode_result` and `encode_failure` made, one per picture.
        options: the encoding that the parts are in.
        several: the request gave a list: `result` is {"results": [...]}.
    """
    if options.encoding == "json":
        fragments = [orjson.Fragment(part) for part in parts]
        result = {"results": fragments} if several else fragments[0]
        return orjson.dumps(
            {"logId": log_id, "errorCode": 0, "errorMsg": "Success", "result": result}
        )
    packer = msgpack.Packer()
    head = packer.pack_map_header(4)
    for value in ("logId", log_id, "errorCode", 0, "errorMsg", "Success", "result"):
        head += packer.pack(value)
    if several:
        head += packer.pack_map_header(1) + packer.pack("results")
        head += packer.pack_array_header(len(parts))
    return bytes(head + b"".join(parts))
