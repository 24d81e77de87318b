# SPDX-License-Identifier: Apache-2.0
"""Sends malformed requests to a server, which must not return a 5xx, crash, or lose a response.

    python -m benchmarks.serving.fuzz --requests 10000 --output benchmarks/results/serving-fuzz.json

A third of the requests each: valid and invalid requests that schemathesis generates from the
server's OpenAPI document; valid requests with changed bytes; valid requests that contain images
with changed bytes. The exit code is 1 if there was a 5xx, a damaged image without a response, or a
restart of a process of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2

import hpip
from benchmarks.serving import hostile
from benchmarks.serving.figures import write_figures
from benchmarks.serving.raw_http import Connection, LostError, request_bytes
from benchmarks.serving.request_cases import ENDPOINT
from benchmarks.serving.server import RunningServer, hpip_server

DEMO = Path(hpip.__file__).parent / "demo"
FORMATS = (".jpg", ".png", ".bmp", ".tiff", ".webp", ".jp2", ".gif", ".ppm", ".pfm", ".hdr", ".ras")
# Short, because a damaged head can announce a longer body than the request has: then the server
# responds only after its body timeout.
BODY_TIMEOUT_S = 1.0
CLIENTS = 16
# With a damaged head, the server may correctly wait for the rest of the request; with a damaged
# image, it must respond.
REPLY_TIMEOUTS_S = {"changed requests": 10.0, "changed pictures": 120.0}
# Maximum size of a change: enough for whole keys and numbers, but most of a request stays intact.
MAX_CHANGED_BYTES = 16
TOKENS: tuple[bytes, ...] = (
    b"\x00",
    b"\xff",
    b"\r\n",
    b"\r\n\r\n",
    b"-1",
    b"99999999999999999999",
    b"null",
    b"{",
    b"[",
)
TOKENS += (
    b'"',
    b"1e400",
    b"NaN",
    b"\\ud800",
    b"chunked",
    b"%00",
    b"../",
    b"data:,",
    b"http://[::1]/",
)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one to four small changes."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(damaged) + 1)
        size = rng.randint(1, MAX_CHANGED_BYTES)
        action = rng.randrange(6)
        if action == 0:
            damaged[at : at + size] = rng.randbytes(min(size, len(damaged) - at))
        elif action == 1:
            del damaged[at : at + size]
        elif action == 2:
            damaged[at:at] = rng.choice(TOKENS)
        elif action == 3:
            source = rng.randrange(len(damaged) + 1)
            damaged[at:at] = damaged[source : source + size]
        elif action == 4 and at < len(damaged):
            damaged[at] ^= 1 << rng.randrange(8)
        elif action == 5 and rng.random() < 0.3:
            del damaged[at:]
    return bytes(damaged)


def damaged_requests(rng: random.Random) -> Iterator[bytes]:
    """Generate valid requests with changes anywhere from the method to the end of the body."""
    small = _encoded(_small_scene(), ".png")
    form = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n%s\r\n--b--\r\n'
    )
    fields = {"threshold": 0.4, "visualize": True, "maskFormat": "polygon", "logId": "an id"}
    text = base64.b64encode(small).decode()
    several = json.dumps({"images": [text, text], **fields}).encode()
    kinds = [
        ("application/json", json.dumps({"image": text, **fields}).encode()),
        ("application/json", several),
        ("multipart/form-data; boundary=b", form % small),
        *(
            (f"multipart/form-data; boundary=b; charset={charset}", form % small)
            for charset in hostile.CHARSETS
        ),
        ("application/x-www-form-urlencoded", several),
    ]
    requests = [
        request_bytes("POST", ENDPOINT, body, {"Content-Type": kind, "Accept": "*/*"})
        for kind, body in kinds
    ]
    # At the start of the list, because most changes apply to the first requests.
    requests.insert(0, _with_trailers(requests[0]))
    paths = ("/", "/health", "/health/ready", "/metrics", "/openapi.json", "/app.js")
    requests += [request_bytes("GET", path) for path in paths]
    while True:
        request = rng.choice(requests if rng.random() < 0.2 else requests[: len(kinds) + 1])
        # Half of the changes are in the head, although it is much smaller than the body.
        head, gap, body = request.partition(b"\r\n\r\n")
        if not body or rng.random() < 0.5:
            yield mutate(head + gap, rng) + body
        else:
            body = mutate(body, rng)
            length = b"Content-Length: "
            if length not in head:
                yield head + gap + body
                continue
            start = head.index(length) + len(length)
            end = (head + b"\r").index(b"\r", start)
            yield head[:start] + str(len(body)).encode() + head[end:] + gap + body


def _with_trailers(request: bytes) -> bytes:
    """Convert a request to chunked encoding with a trailer."""
    head, gap, body = request.partition(b"\r\n\r\n")
    length = b"Content-Length: %d" % len(body)
    head = head.replace(length, b"Transfer-Encoding: chunked")
    return head + gap + b"%x\r\n%s\r\n0\r\nX-After: %s\r\n\r\n" % (len(body), body, b"a" * 500)


def damaged_images(rng: random.Random) -> Iterator[bytes]:
    """Generate valid requests that contain damaged images."""
    scene = _small_scene()
    images = [_encoded(scene, suffix) for suffix in FORMATS]
    images += hostile.images().values()
    while True:
        image = rng.choice(images)
        # The first bytes determine most of what a decoder does.
        cut = rng.choice((64, 512, len(image)))
        damaged = mutate(image[:cut], rng) + image[cut:]
        content = {
            "image": base64.b64encode(damaged).decode(),
            "visualize": rng.random() < 0.3,
            "maskFormat": rng.choice(("crop_rle", "coco_rle", "polygon", "none")),
        }
        headers = {"Content-Type": "application/json"}
        yield request_bytes("POST", ENDPOINT, json.dumps(content).encode(), headers)


def _small_scene() -> Any:
    scene = cv2.imread(str(DEMO / "scene_0017.jpg"))
    return cv2.resize(scene, (160, 120), interpolation=cv2.INTER_AREA)


def _encoded(image: Any, suffix: str) -> bytes:
    if suffix in (".pfm", ".hdr"):
        image = image.astype("float32")
    return bytes(cv2.imencode(suffix, image)[1].tobytes())


async def send_all(
    url: str, requests: Iterator[bytes], count: int, reply_timeout_s: float
) -> tuple[Counter[str], list[str]]:
    """Send each request on its own connection.

    Returns:
        The number of responses per status, and the requests that got a 5xx. "closed" counts
        connections that the server closed without a response, because the data is not HTTP; "open"
        counts those on which it still waits for the rest of the request.
    """
    statuses: Counter[str] = Counter()
    bad: list[str] = []
    numbered = iter(range(count))

    async def work() -> None:
        for _ in numbered:
            request = next(requests)
            connection = Connection(url, reply_timeout_s)
            outcome = await _outcome(connection, request)
            await connection.close()
            statuses[outcome] += 1
            if outcome.startswith("5"):
                bad.append(f"{outcome}: {request[:300]!r}")

    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    return statuses, bad


async def leave_unread(url: str, count: int) -> None:
    """Request annotated images, and disconnect without reading the response."""
    scene = cv2.imread(str(DEMO / "scene_0017.jpg"))
    image = _encoded(cv2.resize(scene, (3600, 2700)), ".jpg")
    content = {"image": base64.b64encode(image).decode(), "visualize": True}
    headers = {"Content-Type": "application/json"}
    request = request_bytes("POST", ENDPOINT, json.dumps(content).encode(), headers)
    for start in range(0, count, CLIENTS):
        connections = [
            Connection(url, buffer_bytes=4096) for _ in range(start, min(count, start + CLIENTS))
        ]
        await asyncio.gather(*(one.abort([request], 5.0, reset=False) for one in connections))


async def _outcome(connection: Connection, request: bytes) -> str:
    try:
        reply = await connection.exchange([request])
    except LostError as error:
        return "open" if "no response within" in str(error) else "closed"
    return str(reply.status)


def run_schemathesis(url: str, count: int) -> tuple[Counter[str], list[str]]:
    """Send requests that schemathesis generates from the server's OpenAPI document.

    Returns:
        The number of responses per status, and the requests that got a 5xx.
    """
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings

    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    post = [operation for operation in operations if operation.method.upper() == "POST"]
    rest = [operation for operation in operations if operation not in post]
    statuses: Counter[str] = Counter()
    bad: list[str] = []
    # Most requests are for the one operation that has a request body.
    shares = {id(operation): max(1, count // 40) for operation in rest}
    left = max(1, (count - sum(shares.values())) // (2 * len(post)))
    modes = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    for operation in operations:
        for mode in modes if operation in post else modes[:1]:
            examples = left if operation in post else shares[id(operation)]

            @seed(examples)
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def send(case: Any) -> None:
                response = case.call(base_url=url, timeout=120)
                statuses[str(response.status_code)] += 1
                if response.status_code >= 500:
                    bad.append(f"{response.status_code}: {case.as_curl_command()[:300]}")

            send()
    return statuses, bad


def run(flags: Sequence[str], count: int, seed: int, log: Path) -> dict[str, Any]:
    """Start a server, send `count` requests, and return the results."""
    limits = ["--body-timeout-s", str(BODY_TIMEOUT_S)]
    figures: dict[str, Any] = {"requests": count, "seed": seed}
    with hpip_server([*flags, *limits], log) as server:
        processes = server.children()
        sorts: dict[str, Callable[[random.Random], Iterator[bytes]]] = {
            "changed requests": damaged_requests,
            "changed pictures": damaged_images,
        }
        statuses, bad = run_schemathesis(server.url, count // 3)
        figures["schemathesis"] = dict(sorted(statuses.items()))
        left = count - statuses.total()
        for i, (name, make) in enumerate(sorts.items()):
            requests = make(random.Random(seed))
            share = left // 2 if i == 0 else left - left // 2
            timeout_s = REPLY_TIMEOUTS_S[name]
            statuses, found = asyncio.run(send_all(server.url, requests, share, timeout_s))
            figures[name], bad = dict(sorted(statuses.items())), bad + found
        figures["unread answers"] = count // 100
        asyncio.run(leave_unread(server.url, count // 100))
        damaged = figures["changed pictures"]
        figures["unanswered_pictures"] = damaged.get("open", 0) + damaged.get("closed", 0)
        figures["sent"] = sum(sum(figures[name].values()) for name in (*sorts, "schemathesis"))
        figures["processes_kept"] = server.children() == processes
        figures["answers_after"] = _responds(server)
    figures["5xx"] = len(bad)
    figures["examples"] = bad[:20]
    return figures


def _responds(server: RunningServer) -> bool:
    content = {"image": base64.b64encode((DEMO / "coins.png").read_bytes()).decode()}
    request = urllib.request.Request(
        server.url + ENDPOINT,
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return len(json.load(response)["result"]["instances"]) > 0


def main() -> None:
    """Run the test and write the results; exit with 1 if it failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "hpip-fuzz.log")
    args = parser.parse_args()
    figures = run(["--model", "demo", "--device", "cpu"], args.requests, args.seed, args.log)
    write_figures(figures, args.output)
    good = figures["5xx"] == figures["unanswered_pictures"] == 0
    good = good and figures["processes_kept"] and figures["answers_after"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
