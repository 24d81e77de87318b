# SPDX-License-Identifier: Apache-2.0
"""The requests of the load test: valid, invalid, huge, slow and aborted ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeAlias

import cv2
import msgpack

from benchmarks.serving import hostile
from benchmarks.serving.raw_http import request_bytes

Kind: TypeAlias = Literal["good", "bad", "huge", "slow", "aborted"]
ENDPOINT = "/instance-segmentation"
MASK_FORMATS = ("crop_rle", "coco_rle", "polygon", "none")
LARGE_WH = (3600, 2700)
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class ValidRequest:
    """A valid request; its response must match the pipeline's result for each image."""

    images: tuple[str, ...]
    threshold: float | None = None
    visualize: bool = False
    mask_format: str = "crop_rle"
    encoding: Literal["json", "msgpack"] = "json"
    several: bool = False


@dataclass(frozen=True)
class RequestCase:
    """A request as bytes, how to send it, and the expected responses.

    Attributes:
        kind: "good" is a valid request, "bad" an invalid one.
        name: the case in reports of errors.
        pieces: the bytes of the request, in the pieces in which they are sent.
        statuses: expected statuses; 200 only together with `valid`.
        valid: the content of a valid request.
        pause_s: time between the pieces.
        leave_after_s: disconnect after this time instead of waiting for the response.
        reset: disconnect with a TCP reset.
        unread: do not read any of the response before disconnecting.
    """

    kind: Kind
    name: str
    pieces: Sequence[bytes]
    statuses: frozenset[int]
    valid: ValidRequest | None = None
    pause_s: float = 0.0
    leave_after_s: float | None = None
    reset: bool = False
    unread: bool = False


def make_images(folder: Path) -> dict[str, bytes]:
    """The files of the demo images, and a large image."""
    images = {file.name: file.read_bytes() for file in sorted(folder.glob("*.jpg"))}
    images |= {file.name: file.read_bytes() for file in sorted(folder.glob("*.png"))}
    scene = cv2.imread(str(next(iter(sorted(folder.glob("*.jpg"))))))
    large = cv2.resize(scene, LARGE_WH, interpolation=cv2.INTER_CUBIC)
    images["large.jpg"] = cv2.imencode(".jpg", large)[1].tobytes()
    return images


def make_request_cases(images: dict[str, bytes], *, max_body_bytes: int) -> list[RequestCase]:
    """All cases; the load test selects from them by kind."""
    small = [name for name in images if name != "large.jpg"]
    return [
        *_good(images, small),
        *_bad(images, small[0]),
        *_huge(images, max_body_bytes),
        *_slow(images, small),
        *_aborted(images, small),
    ]


def body_of(images: dict[str, bytes], valid: ValidRequest) -> bytes:
    """The JSON body of a valid request."""
    texts = [base64.b64encode(images[name]).decode() for name in valid.images]
    content: dict[str, Any] = {"images": texts} if valid.several else {"image": texts[0]}
    content["visualize"] = valid.visualize
    if valid.threshold is not None:
        content["threshold"] = valid.threshold
    if valid.mask_format != "crop_rle":
        content["maskFormat"] = valid.mask_format
    return json.dumps(content).encode()


def _post(body: bytes, **headers: str) -> bytes:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return request_bytes("POST", ENDPOINT, body, {**_JSON, **names})


def _good(images: dict[str, bytes], small: Sequence[str]) -> Iterator[RequestCase]:
    right = frozenset({200})
    for name, visualize, threshold in product(small, (False, True), (None, 0.3)):
        valid = ValidRequest((name,), threshold, visualize)
        yield RequestCase("good", "json", [_post(body_of(images, valid))], right, valid)
    for name, mask_format in product(small, MASK_FORMATS[1:]):
        valid = ValidRequest((name,), mask_format=mask_format)
        yield RequestCase("good", mask_format, [_post(body_of(images, valid))], right, valid)
    valid = ValidRequest(tuple(small[:3]), several=True)
    yield RequestCase("good", "several", [_post(body_of(images, valid))], right, valid)
    valid = ValidRequest((small[0],), visualize=True, encoding="msgpack")
    body = _post(body_of(images, valid), Accept="application/msgpack")
    yield RequestCase("good", "msgpack response", [body], right, valid)
    valid = ValidRequest((small[1],), encoding="msgpack")
    packed = msgpack.packb({"image": images[small[1]], "visualize": False})
    both = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    request = request_bytes("POST", ENDPOINT, packed, both)
    yield RequestCase("good", "msgpack", [request], right, valid)
    form, content_type = _form(images[small[0]])
    for charset in ("", "; charset=utf-8", '; charset="US-ASCII"'):
        request = request_bytes("POST", ENDPOINT, form, {"Content-Type": content_type + charset})
        yield RequestCase("good", f"form{charset}", [request], right, ValidRequest((small[0],)))
    valid = ValidRequest((small[0],))
    for kind in ("application/x-www-form-urlencoded", "text/plain;charset=UTF-8"):
        request = _post(body_of(images, valid), Content_Type=kind)
        yield RequestCase("good", f"JSON as {kind}", [request], right, valid)


def _form(image: bytes) -> tuple[bytes, str]:
    boundary = "a-boundary-of-the-load-test"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="visualize"\r\n\r\nfalse\r\n',
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
    ]
    body = "".join(parts).encode() + image + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _bad(images: dict[str, bytes], name: str) -> Iterator[RequestCase]:
    image = images[name]
    text = base64.b64encode(image).decode()

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    bodies: dict[str, Any] = {
        "nothing": {},
        "null": {"image": None},
        "number": {"image": 7},
        "empty image": {"image": ""},
        "not base64": {"image": "!" * 1000},
        "text, not an image": {"image": encoded(b"hello" * 500)},
        "head of an image only": {"image": encoded(image[:100])},
        "threshold out of range": {"image": text, "threshold": 7},
        "threshold of a wrong type": {"image": text, "threshold": "high"},
        "unknown mask format": {"image": text, "maskFormat": "bitmap"},
        "no images": {"images": []},
        "too many images": {"images": [text[:40]] * 2000},
        "URL": {"image": "http://127.0.0.1:1/a.jpg"},
        "array": [text],
    }
    wrong = frozenset({400, 403, 413, 415, 422})
    for title, content in bodies.items():
        yield RequestCase("bad", title, [_post(json.dumps(content).encode())], wrong)
    raw = {
        "broken JSON": b'{"image": "',
        "not UTF-8": b'{"image": "\xff\xfe"}',
        "deep JSON": b'{"image": ' + b"[" * 50_000,
        "no body": b"",
        "not a number": b'{"image": "aGk=", "threshold": NaN}',
    }
    for title, body in raw.items():
        yield RequestCase("bad", title, [_post(body)], wrong)
    for title, content in hostile.images().items():
        body = json.dumps({"image": encoded(content)}).encode()
        yield RequestCase("bad", title, [_post(body)], frozenset({422}))
    form, content_type = _form(b"-" + b"a" * 1_000_000)
    for charset in hostile.CHARSETS:
        headers = {"Content-Type": f"{content_type}; charset={charset}"}
        request = request_bytes("POST", ENDPOINT, form, headers)
        yield RequestCase("bad", f"form in {charset}", [request], frozenset({415}))
    yield from _trailers()
    yield RequestCase("bad", "content type", [_post(b"x", Content_Type="text/plain")], wrong)
    yield RequestCase("bad", "method", [request_bytes("GET", ENDPOINT)], frozenset({405}))
    yield RequestCase("bad", "path", [request_bytes("POST", "/nowhere")], frozenset({404, 405}))


def _trailers() -> Iterator[RequestCase]:
    """Trailers after a chunked body: short ones are ignored, long ones count as too long a head."""
    head = request_bytes("POST", ENDPOINT, b"", _JSON)
    head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    line = b"X: " + b"a" * 1000 + b"\r\n"
    start = head + b"2\r\n{}\r\n0\r\n"
    yield RequestCase("bad", "trailers", [start + line * 3 + b"\r\n"], frozenset({422}))
    many = [start, *[line * 64] * 64, b"\r\n"]
    yield RequestCase("bad", "many trailers", many, frozenset({400}))


def _huge(images: dict[str, bytes], max_body_bytes: int) -> Iterator[RequestCase]:
    valid = ValidRequest(("large.jpg",), visualize=False)
    body = _post(body_of(images, valid))
    yield RequestCase("huge", "large image", [body], frozenset({200}), valid)
    drawn = ValidRequest(("large.jpg",), visualize=True)
    body = _post(body_of(images, drawn))
    yield RequestCase("huge", "large image, annotated", [body], frozenset({200}), drawn)
    bomb = base64.b64encode(hostile.png_bomb(hostile.SIDE)).decode()
    body = _post(json.dumps({"image": bomb}).encode())
    yield RequestCase("huge", "decompression bomb", [body], frozenset({413, 422}))
    block = b"A" * (1 << 20)
    blocks = max_body_bytes // len(block) + 2
    head = request_bytes("POST", ENDPOINT, b"", _JSON, content_length=blocks * len(block))
    too_large = frozenset({413})
    yield RequestCase("huge", "body too long", [head, *[block] * blocks], too_large)
    head = (
        b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        % ENDPOINT.encode()
    )
    chunk = b"%x\r\n%s\r\n" % (len(block), block)
    chunks = [head, *[chunk] * blocks, b"0\r\n\r\n"]
    yield RequestCase("huge", "too many chunks", chunks, too_large)


def _pieces(request: bytes, count: int) -> list[bytes]:
    size = -(-len(request) // count)
    return [request[start : start + size] for start in range(0, len(request), size)]


def _slow(images: dict[str, bytes], small: Sequence[str]) -> Iterator[RequestCase]:
    valid = ValidRequest((small[0],))
    request = _post(body_of(images, valid))
    right = frozenset({200})
    yield RequestCase("slow", "body in pieces", _pieces(request, 8), right, valid, pause_s=0.25)
    head, _, body = request.partition(b"\r\n\r\n")
    letters = [*_pieces(head, 10), b"\r\n\r\n" + body]
    yield RequestCase("slow", "head in pieces", letters, right, valid, pause_s=0.1)
    half = request[: len(request) // 2]
    yield RequestCase("slow", "half a body", [half], frozenset({408}))


def _aborted(images: dict[str, bytes], small: Sequence[str]) -> Iterator[RequestCase]:
    nothing: frozenset[int] = frozenset()
    for name, after_s, reset in product(small[:2], (0.0, 0.02, 0.1), (False, True)):
        request = _post(body_of(images, ValidRequest((name,), visualize=True)))
        title = f"left after {after_s * 1e3:g} ms"
        yield RequestCase("aborted", title, [request], nothing, leave_after_s=after_s, reset=reset)
        half = request[: len(request) // 2]
        yield RequestCase(
            "aborted", "left in the body", [half], nothing, leave_after_s=after_s, reset=reset
        )
    yield RequestCase("aborted", "left in the head", [b"POST /inst"], nothing, leave_after_s=0.01)
    drawn = _post(body_of(images, ValidRequest(("large.jpg",), visualize=True)))
    yield RequestCase(
        "aborted", "response not read", [drawn], nothing, leave_after_s=3.0, reset=True, unread=True
    )
