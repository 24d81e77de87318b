# SPDX-License-Identifier: Apache-2.0
"""The API's types: they validate requests, and describe requests and responses in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpip.serving.wire import MaskFormat

MAX_LOG_ID_LENGTH = 128

LogId = Annotated[str, Field(min_length=1, max_length=MAX_LOG_ID_LENGTH)]


class SegmentRequest(BaseModel):
    """Body of a request. Unknown keys are ignored, as in PaddleX."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["images"]}]}
    )

    image: str | None = Field(
        None, description="The image in base64, or its URL if the server allows URLs."
    )
    images: list[str] | None = Field(
        None, min_length=1, description="Several images, instead of `image`."
    )
    logId: LogId | None = Field(None, description="Request id for the response and the log.")  # noqa: N815
    threshold: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Score threshold; null: the pipeline's."
    )
    visualize: bool | None = Field(
        None, description="Whether to return the annotated image; null: the server's default."
    )
    maskFormat: MaskFormat = Field(  # noqa: N815
        "crop_rle",
        description=(
            "crop_rle: COCO RLE of the box's crop; coco_rle: COCO RLE of the whole image;"
            " polygon: outlines; none: no masks."
        ),
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> SegmentRequest:
        if (self.image is None) == (self.images is None):
            raise ValueError("expected exactly one of image and images")
        return self


class Mask(BaseModel):
    """The mask of an instance: `polygons` for the mask format polygon, else `rleResult`."""

    rleResult: str | None = Field(None, description="COCO's compressed RLE counts.")  # noqa: N815
    polygons: list[list[float]] | None = Field(
        None, description="x0, y0, x1, y1, ... of each connected part, in pixels of the image."
    )
    size: Annotated[list[int], Field(min_length=2, max_length=2, description="Height, width.")]


class Instance(BaseModel):
    """One object in an image."""

    bbox: Annotated[list[float], Field(min_length=4, max_length=4, description="x0, y0, x1, y1.")]
    categoryId: int  # noqa: N815
    categoryName: str  # noqa: N815
    score: float
    mask: Mask | None = None


class PictureResult(BaseModel):
    """The instances of one image."""

    instances: list[Instance]
    image: str | None = Field(None, description="The annotated image, a JPEG in base64.")


class PictureFailure(BaseModel):
    """The error of one image in a request with several."""

    errorCode: int  # noqa: N815
    errorMsg: str  # noqa: N815


class SeveralResults(BaseModel):
    """One entry per image, in the request's order."""

    results: list[PictureResult | PictureFailure]


class Failure(BaseModel):
    """Body of every error response."""

    logId: str  # noqa: N815
    errorCode: int = Field(description="The HTTP status.")  # noqa: N815
    errorMsg: str  # noqa: N815


class SegmentAnswer(BaseModel):
    """Body of a successful response."""

    logId: str  # noqa: N815
    errorCode: int = 0  # noqa: N815
    errorMsg: str = "Success"  # noqa: N815
    result: PictureResult | SeveralResults


def request_body_docs() -> dict[str, Any]:
    """Return OpenAPI's `requestBody` for all accepted content types."""
    schema = SegmentRequest.model_json_schema()
    options = {
        key: value for key, value in schema["properties"].items() if key not in ("image", "images")
    }
    file = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "properties": {"image": file, "images": {"type": "array", "items": file}, **options},
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": schema},
            "multipart/form-data": {"schema": form},
            "application/msgpack": {"schema": {"type": "string", "format": "binary"}},
        },
    }
