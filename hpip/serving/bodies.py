# SPDX-License-Identifier: Apache-2.0
"""Reads and parses request bodies (JSON, multipart forms and MessagePack) within limits."""

from __future__ import annotations

import asyncio
import binascii
import codecs
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import orjson
import pybase64
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from hpip.serving.forms import parse_form
from hpip.serving.problems import RequestError
from hpip.serving.schemas import MAX_LOG_ID_LENGTH, SegmentRequest

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_DATA_URL = re.compile(r"data:[^,]{0,100};base64,", re.IGNORECASE)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MAX_PROBLEMS = 20
# Maximum number of values in a body. A body of brackets becomes objects a hundred times its size.
_MAX_VALUES = 10_000
_MAX_CONTAINERS = 100
_MSGPACK_KINDS = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")
# Content types of JSON from clients that do not set one: curl -d, and strings in axios and fetch.
_UNNAMED_JSON_KINDS = ("application/x-www-form-urlencoded", "text/plain")


@dataclass(frozen=True)
class ParsedRequest:
    """A valid request.

    Attributes:
        images: encoded images as bytes, or URLs as str, in order.
        several: the request had the list `images`; otherwise it had `image`.
        fields: all other fields.
    """

    images: list[bytes | str]
    several: bool
    fields: SegmentRequest


class BodyBudget:
    """Limits the memory for request and response bodies; for one event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self._free_bytes = limit_bytes

    def take(self, size_bytes: int) -> None:
        """Reserve bytes.

        Raises:
            RequestError: 503, if other requests use the budget.
        """
        if size_bytes > self._free_bytes:
            raise RequestError(
                503, "The server's memory for requests and responses is full. Try again later.", 1
            )
        self._free_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Release reserved bytes."""
        self._free_bytes += size_bytes


class BodyReader:
    """Reads a request's body. As a context manager, it reserves the body's memory in the budget.

    Args:
        request: the request.
        budget: shared by all requests.
        limit_bytes: maximum size of the body.
        timeout_s: maximum time until the last byte.
    """

    def __init__(
        self, request: Request, budget: BodyBudget, limit_bytes: int, timeout_s: float
    ) -> None:
        self._request = request
        self._budget = budget
        self._limit_bytes = limit_bytes
        self._timeout_s = timeout_s
        self._held_bytes = 0

    def __enter__(self) -> BodyReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self._held_bytes)

    async def read(self) -> bytes:
        """Read the whole body.

        Raises:
            RequestError: 408 for a timeout, 413 for a large body, 415 for a compressed one, 499 if
                the client disconnected, 503 if the budget is used up.
        """
        if self._request.headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(
                415, "Content-Encoding: expected none; send the body without compression."
            )
        announced = self._request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._limit_bytes:
            raise self._too_large()
        try:
            return await asyncio.wait_for(self._collect(), self._timeout_s)
        except asyncio.TimeoutError:
            raise RequestError(
                408, f"The body did not arrive within {self._timeout_s:g} s."
            ) from None
        except ClientDisconnect:
            raise RequestError(499, "The client closed the connection.") from None

    async def _collect(self) -> bytes:
        chunks = []
        async for chunk in self._request.stream():
            if self._held_bytes + len(chunk) > self._limit_bytes:
                raise self._too_large()
            self._budget.take(len(chunk))
            self._held_bytes += len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    def _too_large(self) -> RequestError:
        return RequestError(
            413, f"The body is too large: expected at most {self._limit_bytes} bytes."
        )


async def parse_body(body: bytes, headers: Headers, max_images: int) -> ParsedRequest:
    """Parse and validate a body.

    Args:
        body: JSON, a multipart form or MessagePack.
        headers: the request's; a body without a Content-Type is parsed as JSON.
        max_images: maximum number of images per request.

    Raises:
        RequestError: 415 for another content type, 422 for an invalid body.
    """
    # In a thread: clients determine how long parsing takes, and must not block other requests.
    parsed = await asyncio.to_thread(_parse, body, headers.get("content-type", ""), max_images)
    if len(parsed.images) > max_images:
        raise RequestError(
            422, f"images: expected at most {max_images}, received {len(parsed.images)}."
        )
    return parsed


def _parse(body: bytes, content_type: str, max_images: int) -> ParsedRequest:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _check(_content_of_form(body, content_type, max_images))
    if kind in _MSGPACK_KINDS:
        return _parse_msgpack(body)
    if kind in ("", "application/json") or kind.endswith("+json"):
        return _parse_json(body)
    if kind in _UNNAMED_JSON_KINDS and _begins_json_object(body):
        return _parse_json(body)
    raise RequestError(
        415,
        "Content-Type: expected application/json, multipart/form-data or application/msgpack,"
        f" received {kind[:100]!r}.",
    )


def _begins_json_object(body: bytes) -> bool:
    # In UTF-16 and UTF-32, the bracket has zero bytes next to it.
    return body[:64].lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"{")


def _parse_json(body: bytes) -> ParsedRequest:
    try:
        body = _as_utf8(body)
        # Base64 contains none of these characters. `bytes.count` takes five times as long.
        characters = np.frombuffer(body, np.uint8)
        if sum(np.count_nonzero(characters == ord(sign)) for sign in ",[{") > _MAX_VALUES:
            raise RequestError(422, f"The body: expected at most {_MAX_VALUES} values.")
        content = orjson.loads(body)
    except (orjson.JSONDecodeError, UnicodeError) as error:
        raise _schema_error([{"type": "json_invalid", "loc": (), "msg": str(error)}]) from None
    return _check(content)


def _as_utf8(body: bytes) -> bytes:
    """Convert JSON from any Unicode encoding to UTF-8 without a byte-order mark."""
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    if encoding == "utf-8-sig":
        return body[len(codecs.BOM_UTF8) :]
    return body.decode(encoding).encode("utf-8")


def _parse_msgpack(body: bytes) -> ParsedRequest:
    """Parse a map with the keys of the JSON body; an image may be bytes, base64 or a URL."""
    containers = itertools.count()

    def check_count(container: Any) -> Any:
        if next(containers) > _MAX_CONTAINERS:
            raise ValueError(f"expected at most {_MAX_CONTAINERS} arrays and maps")
        return container

    try:
        content = msgpack.unpackb(
            body,
            strict_map_key=False,
            max_array_len=_MAX_VALUES,
            max_map_len=_MAX_CONTAINERS,
            list_hook=check_count,
            object_hook=check_count,
        )
    except (
        ValueError,
        TypeError,  # a map or an array as the key of a map
        OverflowError,  # a timestamp out of range
        msgpack.UnpackException,
        RecursionError,
    ) as error:
        raise RequestError(
            422, f"The body is not valid MessagePack: {error or type(error).__name__}"
        ) from None
    return _check(content)


def _content_of_form(body: bytes, content_type: str, max_images: int) -> dict[str, Any]:
    """Parse a form with a part `image` or parts `images`, each a file or a text field."""
    content: dict[str, Any] = {}
    # Room for one image too many, which gets its own error message, and for the other fields.
    for key, value in parse_form(body, content_type, max_parts=max_images + 16):
        if key == "images":
            content.setdefault(key, []).append(value)
        else:
            content[key] = value
    return content


def _check(content: Any) -> ParsedRequest:
    """Validate a body's content; its images are base64, URLs or bytes."""
    log_id = content.get("logId") if isinstance(content, dict) else None
    try:
        fields = SegmentRequest.model_validate(_with_texts(content))
        several = fields.images is not None
        given = content["images"] if several else [content["image"]]
        images = [
            item if isinstance(item, bytes) else _image_from_text(item, _name(index, several))
            for index, item in enumerate(given)
        ]
    except ValidationError as error:
        problem = _schema_error(error.errors(include_url=False, include_input=False))
        problem.log_id = _own_log_id(log_id)
        raise problem from None
    except RequestError as error:
        error.log_id = _own_log_id(log_id)
        raise
    return ParsedRequest(images, several, fields)


def _with_texts(content: Any) -> Any:
    """Replace images as bytes, which are not in the JSON schema, by empty strings."""
    if not isinstance(content, dict):
        return content
    content = dict(content)
    if isinstance(content.get("image"), bytes):
        content["image"] = ""
    if isinstance(content.get("images"), list):
        content["images"] = ["" if isinstance(item, bytes) else item for item in content["images"]]
    return content


def _own_log_id(log_id: object) -> str | None:
    """Return the log id of an invalid request, or None if the id itself is invalid."""
    if isinstance(log_id, str) and 0 < len(log_id) <= MAX_LOG_ID_LENGTH and log_id.isprintable():
        return log_id
    return None


def _schema_error(errors: Iterable[Mapping[str, Any]]) -> RequestError:
    """Format schema errors as PaddleX does: a JSON list of `type`, `loc` and `msg`."""
    problems = [
        {"type": one["type"], "loc": ["body", *one["loc"]], "msg": one["msg"]} for one in errors
    ]
    return RequestError(422, json.dumps(problems[:_MAX_PROBLEMS], ensure_ascii=False))


def _name(index: int, several: bool) -> str:
    return f"images[{index}]" if several else "image"


def _image_from_text(text: str, name: str) -> bytes | str:
    """Decode base64; return a URL as it is."""
    if _URL.match(text):
        return text
    prefix = _DATA_URL.match(text)
    if prefix:
        text = text[prefix.end() :]
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        # MIME encoders add line breaks; others use the URL-safe alphabet or omit the padding.
        plain = text.encode("ascii").translate(_URL_SAFE, b" \t\r\n").rstrip(b"=")
        return pybase64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(
            422, f"{name}: expected base64 or a URL, received {len(text)} characters: {error}."
        ) from None


Receive = Callable[[], Awaitable[Any]]


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client closes the connection; the body must have been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
