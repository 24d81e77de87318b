# SPDX-License-Identifier: Apache-2.0
"""What the clients of a load test send: good, bad, huge, slow and aborted requests."""

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
class Asked:
    """What a good request wants to know; its answer must be the pipeline's for each picture."""

    pictures: tuple[str, ...]
    threshold: float | None = None
    visualize: bool = False
    mask_format: str = "crop_rle"
    encoding: Literal["json", "msgpack"] = "json"
    several: bool = False


@dataclass(frozen=True)
class Question:
    """A request as bytes, how to send it, and which answers are right.

    Attributes:
        statuses: those that are right; 200 only together with `asked`.
        pause_s: between pieces.
        leave_after_s: do not wait for the answer.
        reset: leave without a goodbye.
        unread: take nothing of the answer before leaving.
    """

    kind: Kind
    name: str
    pieces: Sequence[bytes]
    statuses: frozenset[int]
    asked: Asked | None = None
    pause_s: float = 0.0
    leave_after_s: float | None = None
    reset: bool = False
    unread: bool = False


def make_pictures(folder: Path) -> dict[str, bytes]:
    """The demo pictures as files, and a large one."""
    pictures = {file.name: file.read_bytes() for file in sorted(folder.glob("*.jpg"))}
    pictures |= {file.name: file.read_bytes() for file in sorted(folder.glob("*.png"))}
    scene = cv2.imread(str(next(iter(sorted(folder.glob("*.jpg"))))))
    large = cv2.resize(scene, LARGE_WH, interpolation=cv2.INTER_CUBIC)
    pictures["large.jpg"] = cv2.imencode(".jpg", large)[1].tobytes()
    return pictures


def make_questions(pictures: dict[str, bytes], *, max_body_bytes: int) -> list[Question]:
    """One question of every sort; a load test draws from them by kind."""
    small = [name for name in pictures if name != "large.jpg"]
    return [
        *_good(pictures, small),
        *_bad(pictures, small[0]),
        *_huge(pictures, max_body_bytes),
        *_slow(pictures, small),
        *_aborted(pictures, small),
    ]


def body_of(pictures: dict[str, bytes], asked: Asked) -> bytes:
    """The JSON of a good request."""
    texts = [base64.b64encode(pictures[name]).decode() for name in asked.pictures]
    content: dict[str, Any] = {"images": texts} if asked.several else {"image": texts[0]}
    content["visualize"] = asked.visualize
    if asked.threshold is not None:
        content["threshold"] = asked.threshold
    if asked.mask_format != "crop_rle":
        content["maskFormat"] = asked.mask_format
    return json.dumps(content).encode()


def _post(body: bytes, **headers: str) -> bytes:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return request_bytes("POST", ENDPOINT, body, {**_JSON, **names})


def _good(pictures: dict[str, bytes], small: Sequence[str]) -> Iterator[Question]:
    right = frozenset({200})
    for name, visualize, threshold in product(small, (False, True), (None, 0.3)):
        asked = Asked((name,), threshold, visualize)
        yield Question("good", "json", [_post(body_of(pictures, asked))], right, asked)
    for name, mask_format in product(small, MASK_FORMATS[1:]):
        asked = Asked((name,), mask_format=mask_format)
        yield Question("good", mask_format, [_post(body_of(pictures, asked))], right, asked)
    asked = Asked(tuple(small[:3]), several=True)
    yield Question("good", "several", [_post(body_of(pictures, asked))], right, asked)
    asked = Asked((small[0],), visualize=True, encoding="msgpack")
    body = _post(body_of(pictures, asked), Accept="application/msgpack")
    yield Question("good", "msgpack answer", [body], right, asked)
    asked = Asked((small[1],), encoding="msgpack")
    packed = msgpack.packb({"image": pictures[small[1]], "visualize": False})
    both = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    request = request_bytes("POST", ENDPOINT, packed, both)
    yield Question("good", "msgpack", [request], right, asked)
    form, content_type = _form(pictures[small[0]])
    for charset in ("", "; charset=utf-8", '; charset="US-ASCII"'):
        request = request_bytes("POST", ENDPOINT, form, {"Content-Type": content_type + charset})
        yield Question("good", f"form{charset}", [request], right, Asked((small[0],)))
    asked = Asked((small[0],))
    for kind in ("application/x-www-form-urlencoded", "text/plain;charset=UTF-8"):
        request = _post(body_of(pictures, asked), Content_Type=kind)
        yield Question("good", f"JSON as {kind}", [request], right, asked)


def _form(picture: bytes) -> tuple[bytes, str]:
    boundary = "a-boundary-of-the-load-test"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="visualize"\r\n\r\nfalse\r\n',
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
    ]
    body = "".join(parts).encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _bad(pictures: dict[str, bytes], name: str) -> Iterator[Question]:
    picture = pictures[name]
    text = base64.b64encode(picture).decode()

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    bodies: dict[str, Any] = {
        "nothing": {},
        "null": {"image": None},
        "number": {"image": 7},
        "empty picture": {"image": ""},
        "not base64": {"image": "!" * 1000},
        "text, not a picture": {"image": encoded(b"hello" * 500)},
        "head of a picture only": {"image": encoded(picture[:100])},
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
        yield Question("bad", title, [_post(json.dumps(content).encode())], wrong)
    raw = {
        "broken JSON": b'{"image": "',
        "not UTF-8": b'{"image": "\xff\xfe"}',
        "deep JSON": b'{"image": ' + b"[" * 50_000,
        "no body": b"",
        "not a number": b'{"image": "aGk=", "threshold": NaN}',
    }
    for title, body in raw.items():
        yield Question("bad", title, [_post(body)], wrong)
    for title, content in hostile.pictures().items():
        body = json.dumps({"image": encoded(content)}).encode()
        yield Question("bad", title, [_post(body)], frozenset({422}))
    form, content_type = _form(b"-" + b"a" * 1_000_000)
    for charset in hostile.CHARSETS:
        headers = {"Content-Type": f"{content_type}; charset={charset}"}
        request = request_bytes("POST", ENDPOINT, form, headers)
        yield Question("bad", f"form in {charset}", [request], frozenset({415}))
    yield from _trailers()
    yield Question("bad", "content type", [_post(b"x", Content_Type="text/plain")], wrong)
    yield Question("bad", "method", [request_bytes("GET", ENDPOINT)], frozenset({405}))
    yield Question("bad", "path", [request_bytes("POST", "/nowhere")], frozenset({404, 405}))


def _trailers() -> Iterator[Question]:
    """Lines after a chunked body: a few do no harm, many count as a head that is too long."""
    head = request_bytes("POST", ENDPOINT, b"", _JSON)
    head = head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    line = b"X: " + b"a" * 1000 + b"\r\n"
    start = head + b"2\r\n{}\r\n0\r\n"
    yield Question("bad", "trailers", [start + line * 3 + b"\r\n"], frozenset({422}))
    many = [start, *[line * 64] * 64, b"\r\n"]
    yield Question("bad", "many trailers", many, frozenset({400}))


def _huge(pictures: dict[str, bytes], max_body_bytes: int) -> Iterator[Question]:
    asked = Asked(("large.jpg",), visualize=False)
    body = _post(body_of(pictures, asked))
    yield Question("huge", "large picture", [body], frozenset({200}), asked)
    drawn = Asked(("large.jpg",), visualize=True)
    body = _post(body_of(pictures, drawn))
    yield Question("huge", "large picture, drawn", [body], frozenset({200}), drawn)
    bomb = base64.b64encode(hostile.png_bomb(hostile.SIDE)).decode()
    body = _post(json.dumps({"image": bomb}).encode())
    yield Question("huge", "decompression bomb", [body], frozenset({413, 422}))
    block = b"A" * (1 << 20)
    blocks = max_body_bytes // len(block) + 2
    head = request_bytes("POST", ENDPOINT, b"", _JSON, content_length=blocks * len(block))
    too_large = frozenset({413})
    yield Question("huge", "too long a body", [head, *[block] * blocks], too_large)
    head = (
        b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        % ENDPOINT.encode()
    )
    chunk = b"%x\r\n%s\r\n" % (len(block), block)
    chunks = [head, *[chunk] * blocks, b"0\r\n\r\n"]
    yield Question("huge", "too many chunks", chunks, too_large)


def _pieces(request: bytes, count: int) -> list[bytes]:
    size = -(-len(request) // count)
    return [request[start : start + size] for start in range(0, len(request), size)]


def _slow(pictures: dict[str, bytes], small: Sequence[str]) -> Iterator[Question]:
    asked = Asked((small[0],))
    request = _post(body_of(pictures, asked))
    right = frozenset({200})
    yield Question("slow", "body in pieces", _pieces(request, 8), right, asked, pause_s=0.25)
    head, _, body = request.partition(b"\r\n\r\n")
    letters = [*_pieces(head, 10), b"\r\n\r\n" + body]
    yield Question("slow", "head in pieces", letters, right, asked, pause_s=0.1)
    half = request[: len(request) // 2]
    yield Question("slow", "half a body", [half], frozenset({408}))


def _aborted(pictures: dict[str, bytes], small: Sequence[str]) -> Iterator[Question]:
    nothing: frozenset[int] = frozenset()
    for name, after_s, reset in product(small[:2], (0.0, 0.02, 0.1), (False, True)):
        request = _post(body_of(pictures, Asked((name,), visualize=True)))
        title = f"left after {after_s * 1e3:g} ms"
        yield Question("aborted", title, [request], nothing, leave_after_s=after_s, reset=reset)
        half = request[: len(request) // 2]
        yield Question(
            "aborted", "left in the body", [half], nothing, leave_after_s=after_s, reset=reset
        )
    yield Question("aborted", "left in the head", [b"POST /inst"], nothing, leave_after_s=0.01)
    drawn = _post(body_of(pictures, Asked(("large.jpg",), visualize=True)))
    yield Question(
        "aborted", "answer not read", [drawn], nothing, leave_after_s=3.0, reset=True, unread=True
    )
