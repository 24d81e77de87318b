# SPDX-License-Identifier: Apache-2.0
"""Encodes predictions as response bodies."""

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
from hpip.serving.wire import Encoding, MaskFormat, ResponseOptions

# Pillow's default, which PaddleX uses for its annotated image. At 95, OpenCV's default, a 1080p
# photo has twice the size and takes a quarter longer.
_JPEG_QUALITY = 75
_MAX_JPEG_PX = 65_500  # libjpeg's limit; the format's is 65 535

MEDIA_TYPES: dict[Encoding, str] = {
    "json": "application/json",
    "msgpack": "application/msgpack",
}


def render_instances(result: InstanceSegResult, mask_format: MaskFormat) -> list[dict[str, Any]]:
    """Convert a result to PaddleX's list of instances.

    Args:
        result: of one image.
        mask_format: "crop_rle" is the RLE of the crop that the box covers after rounding (half to
            even), "coco_rle" that of the whole image, "polygon" is the outlines.
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
    """Draw the instances on the image, and encode it as JPEG.

    Raises:
        InvalidInputError: the image has more rows or columns than JPEG supports.
    """
    height, width = result.image_hw
    if max(height, width) > _MAX_JPEG_PX:
        raise InvalidInputError(
            f"image: {width} x {height} pixels are too many for an annotated JPEG (at most"
            f" {_MAX_JPEG_PX} per side). Set visualize to false to get the instances alone."
        )
    return encode_image(result.draw(), ".jpg", jpeg_quality=_JPEG_QUALITY)


def encode_result(instances: list[dict[str, Any]], jpeg: bytes | None, encoding: Encoding) -> bytes:
    """Encode the `result` of one image; the JPEG becomes base64 in JSON, bytes in MessagePack."""
    content: dict[str, Any] = {"instances": instances}
    if encoding == "msgpack":
        if jpeg is not None:
            content["image"] = jpeg
        return bytes(msgpack.packb(content))
    if jpeg is not None:
        content["image"] = pybase64.b64encode_as_string(jpeg)
    return orjson.dumps(content)


def encode_failure(status: int, message: str, encoding: Encoding) -> bytes:
    """Encode the entry of a failed image in a list of results."""
    content = {"errorCode": status, "errorMsg": message}
    return orjson.dumps(content) if encoding == "json" else bytes(msgpack.packb(content))


def encode_success(
    log_id: str, parts: Sequence[bytes], options: ResponseOptions, *, several: bool
) -> bytes:
    """Encode a response body around results that are already encoded.

    Args:
        log_id: the request's id.
        parts: the outputs of `encode_result` and `encode_failure`, one per image.
        options: contains the encoding of the parts.
        several: the request had a list of images, so that `result` is {"results": [...]}.
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
