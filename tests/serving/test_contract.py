# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
import socket
from typing import Any

import cv2
import httpx
import msgpack
import numpy as np
import pytest

from hpip import ops
from tests.pictures import rectangles
from tests.serving.live_server import LiveServer, base64_text, encoded

# Sides are multiples of the tiny model's 64, so that nearest resizing is exact.
RED, BLUE = (16, 8, 64, 40), (64, 64, 120, 100)
PICTURE = rectangles(128, 128, red=RED, blue=BLUE)
PNG = encoded(PICTURE)
TEXT = base64_text(PNG)
ROUTE = "/instance-segmentation"


def _answer(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(ROUTE, json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


def test_answer_has_paddlex_keys_in_its_order(client: httpx.Client) -> None:
    answer = client.post(ROUTE, json={"image": TEXT})
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert list(body) == ["logId", "errorCode", "errorMsg", "result"]
    assert (body["errorCode"], body["errorMsg"]) == (0, "Success")
    assert list(body["result"]) == ["instances", "image"]
    red, blue = body["result"]["instances"]
    assert list(red) == ["bbox", "categoryId", "categoryName", "score", "mask"]
    assert red["bbox"] == list(RED)
    assert (blue["categoryId"], blue["categoryName"]) == (2, "blue")
    assert blue["score"] == pytest.approx(230 / 255, abs=1e-5)
    assert red["mask"]["size"] == [32, 48]
    assert ops.decode_rle(red["mask"]["rleResult"], (32, 48)).all()


def test_image_is_a_jpeg_drawn_only_when_wanted(client: httpx.Client) -> None:
    data = base64.b64decode(_answer(client, image=TEXT)["image"], validate=True)
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert data[:3] == b"\xff\xd8\xff"
    assert drawn.shape == PICTURE.shape
    assert np.abs(drawn.astype(int) - PICTURE).max() > 50
    assert "image" not in _answer(client, image=TEXT, visualize=False)
    assert "image" in _answer(client, image=TEXT, visualize=None)


def test_threshold_null_is_the_pipelines_own(client: httpx.Client) -> None:
    assert len(_answer(client, image=TEXT, threshold=None)["instances"]) == 2
    assert _answer(client, image=TEXT, threshold=0.95)["instances"] == []


def test_unknown_keys_and_data_urls_and_broken_lines_are_taken(client: httpx.Client) -> None:
    expected = _answer(client, image=TEXT, visualize=False)
    lines = base64.encodebytes(PNG).decode()
    assert "\n" in lines[:-1]
    for text in (lines, f"data:image/png;base64,{TEXT}"):
        found = _answer(client, image=text, visualize=False, inferenceParams={"maxLongSide": 640})
        assert found == expected


def test_log_id_comes_back_and_is_made_where_there_is_none(client: httpx.Client) -> None:
    assert client.post(ROUTE, json={"image": TEXT, "logId": "mine"}).json()["logId"] == "mine"
    failed = client.post(ROUTE, json={"image": "####", "logId": "mine"})
    first, second = (client.post(ROUTE, json={}).json()["logId"] for _ in range(2))
    invalid = client.post(ROUTE, json={"image": TEXT, "threshold": "x", "logId": "mine"})
    assert (failed.status_code, failed.json()["logId"]) == (422, "mine")
    assert (invalid.status_code, invalid.json()["logId"]) == (422, "mine")
    assert first != second


def test_mask_formats_describe_the_same_pixels(client: httpx.Client) -> None:
    x0, y0, x1, y1 = BLUE
    whole = _answer(client, image=TEXT, maskFormat="coco_rle")["instances"][1]["mask"]
    mask = ops.decode_rle(whole["rleResult"], (128, 128))
    assert whole["size"] == [128, 128]
    assert mask[y0:y1, x0:x1].all()
    assert mask.sum() == (y1 - y0) * (x1 - x0)
    outline = _answer(client, image=TEXT, maskFormat="polygon")["instances"][1]["mask"]
    ring = np.array(outline["polygons"][0]).reshape(-1, 2)
    assert outline["size"] == [128, 128]
    assert {tuple(corner) for corner in ring} == {(x0, y0), (x0, y1), (x1, y1), (x1, y0)}
    assert "mask" not in _answer(client, image=TEXT, maskFormat="none")["instances"][1]


def test_several_pictures_keep_their_order_and_fail_one_by_one(client: httpx.Client) -> None:
    green = base64_text(encoded(rectangles(64, 64, green=(0, 0, 32, 32))))
    bad = base64_text(b"hello")
    results = _answer(client, images=[green, bad, TEXT], visualize=False)["results"]
    assert [one["categoryName"] for one in results[0]["instances"]] == ["green"]
    assert results[1]["errorCode"] == 422
    assert "images[1]" in results[1]["errorMsg"]
    assert [one["categoryName"] for one in results[2]["instances"]] == ["red", "blue"]


def test_multipart_upload_gives_the_same_answer(client: httpx.Client) -> None:
    expected = _answer(client, image=TEXT, visualize=False, maskFormat="coco_rle")
    options = {"visualize": "false", "maskFormat": "coco_rle"}
    one = client.post(ROUTE, files={"image": ("a.png", PNG, "image/png")}, data=options)
    parts = [("images", ("a.png", PNG)), ("images", ("b.png", PNG))]
    two = client.post(ROUTE, files=parts, data=options)
    assert one.json()["result"] == expected
    assert two.json()["result"] == {"results": [expected, expected]}


def test_messagepack_carries_bytes_both_ways(client: httpx.Client) -> None:
    expected = _answer(client, image=TEXT)
    accept = {"Accept": "application/msgpack"}
    answer = client.post(ROUTE, json={"image": TEXT}, headers=accept)
    body = msgpack.unpackb(answer.content)
    assert answer.headers["content-type"] == "application/msgpack"
    assert body["result"]["instances"] == expected["instances"]
    assert body["result"]["image"] == base64.b64decode(expected["image"])
    packed = msgpack.packb({"images": [PNG, TEXT], "visualize": False})
    kind = {"Content-Type": "application/msgpack"}
    several = client.post(ROUTE, content=packed, headers={**kind, **accept})
    assert [
        one["instances"] == expected["instances"]
        for one in msgpack.unpackb(several.content)["result"]["results"]
    ] == [True, True]


def test_answers_of_a_model_without_boxes(classes_server: LiveServer) -> None:
    # PaddleX 3.7 answers 500 for SOLOv2 (defect B1).
    with classes_server.client() as client:
        result = _answer(client, image=TEXT)
    red = result["instances"][0]
    assert list(red) == ["bbox", "categoryId", "categoryName", "score", "mask"]
    assert red["bbox"] == list(RED)
    assert red["mask"]["size"] == [32, 48]
    assert len(result["instances"]) == 2
    assert "image" in result


def test_picture_that_no_jpeg_holds_is_answered_undrawn(client: httpx.Client) -> None:
    text = base64_text(encoded(np.zeros((2, 65_530, 3), np.uint8)))
    refused = client.post(ROUTE, json={"image": text})
    assert refused.status_code == 422
    assert "visualize to false" in refused.json()["errorMsg"]
    assert _answer(client, image=text, visualize=False)["instances"] == []


@pytest.mark.parametrize(
    ("suffix", "picture"),
    [
        (".jpg", PICTURE),
        (".bmp", PICTURE),
        (".webp", PICTURE),
        (".tiff", PICTURE),
        (".png", PICTURE[:, :, 2]),
        (".png", np.dstack([PICTURE, np.full((128, 128), 7, np.uint8)])),
        (".png", PICTURE.astype(np.uint16) * 257),
        (".png", PICTURE[:1, :1]),
        (".png", PICTURE[20:21]),
        (".png", PICTURE[:, 20:21]),
    ],
    ids=["jpeg", "bmp", "webp", "tiff", "grey", "alpha", "16bit", "1x1", "1xW", "Hx1"],
)
def test_odd_pictures_are_answered(client: httpx.Client, suffix: str, picture: np.ndarray) -> None:
    result = _answer(client, image=base64_text(encoded(picture, suffix)))
    if picture.shape == PICTURE.shape:
        assert len(result["instances"]) == 2


_BAD_BODIES = {
    "no body": (b"", "application/json", 422, "json_invalid"),
    "not JSON": (b"{", "application/json", 422, "json_invalid"),
    "not UTF-8": (b'{"image": "\xff"}', "application/json", 422, "json_invalid"),
    "an array": (b"[]", "application/json", 422, "model_type"),
    "deep": (b"[" * 5_000, "application/json", 422, "json_invalid"),
    "deeper": (b"[" * 100_000, "application/json", 422, "at most 10000"),
    "no picture": (b"{}", "application/json", 422, "exactly one of image and images"),
    "both": (b'{"image": "", "images": [""]}', "application/json", 422, "exactly one"),
    "number": (b'{"image": 5}', "application/json", 422, "string_type"),
    "no list": (b'{"images": []}', "application/json", 422, "too_short"),
    "threshold": (b'{"image": "", "threshold": 2}', "application/json", 422, "less_than_equal"),
    "NaN": (b'{"image": "", "threshold": NaN}', "application/json", 422, "json_invalid"),
    "format": (b'{"image": "", "maskFormat": "x"}', "application/json", 422, "maskFormat"),
    "base64": (b'{"image": "a*b"}', "application/json", 422, "image: expected base64"),
    "umlaut": ('{"image": "äöü="}'.encode(), "application/json", 422, "image: expected base64"),
    "empty": (b'{"image": ""}', "application/json", 422, "image: the file is empty"),
    "text": (b'{"image": "aGVsbG8="}', "application/json", 422, "not an image"),
    "PDF": (b'{"image": "JVBERi0xLjQK"}', "application/json", 422, "not an image"),
    "many": (b'{"images": [%s]}' % (b"1," * 20_000), "application/json", 422, "at most 10000"),
    "msgpack many": (b"\xdc\x03\xe8" + b"\x90" * 1000, "application/msgpack", 422, "at most 100"),
    "kind": (b"<a/>", "text/xml", 415, "Content-Type"),
    "form": (b"x", "multipart/form-data", 422, "not a valid form"),
    "bounds": (b"x", "multipart/form-data; boundary=y", 422, "not a valid form"),
    "no parts": (
        b'--y\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--y--\r\n',
        "multipart/form-data; boundary=y",
        422,
        "exactly one of",
    ),
    "msgpack": (b"\xc1", "application/msgpack", 422, "not valid MessagePack"),
    "msgpack list": (b"\x90", "application/msgpack", 422, "model_type"),
    "msgpack tail": (b"\x80\x80", "application/msgpack", 422, "not valid MessagePack"),
    "msgpack keys": (b"\x81\x01\x02", "application/msgpack", 422, "exactly one"),
}


@pytest.mark.parametrize("name", _BAD_BODIES)
def test_bad_bodies_are_told_what_is_wrong(client: httpx.Client, name: str) -> None:
    body, kind, status, message = _BAD_BODIES[name]
    answer = client.post(ROUTE, content=body, headers={"Content-Type": kind})
    content = answer.json()
    assert answer.status_code == status
    assert list(content) == ["logId", "errorCode", "errorMsg"]
    assert content["errorCode"] == status
    assert message in content["errorMsg"]
    assert "Traceback" not in content["errorMsg"]
    assert "/hpip/" not in content["errorMsg"]


def test_schema_errors_are_a_list_as_paddlex_has_it(client: httpx.Client) -> None:
    answer = client.post(ROUTE, json={"image": TEXT, "threshold": "high"}).json()
    (problem,) = json.loads(answer["errorMsg"])
    assert set(problem) == {"type", "loc", "msg"}
    assert problem["loc"] == ["body", "threshold"]


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:-20], lambda d: d[:60] + b"\0\0\0\0" + d[64:], lambda d: d[:8]],
    ids=["cut", "garbled", "signature"],
)
def test_damaged_pictures_are_client_errors(client: httpx.Client, damage: Any) -> None:
    answer = client.post(ROUTE, json={"image": base64_text(damage(PNG))})
    assert answer.status_code == 422
    assert "truncated or damaged" in answer.json()["errorMsg"]


def test_other_routes_and_methods_answer_in_the_same_form(client: httpx.Client) -> None:
    missing, method = client.get("/no/such"), client.get(ROUTE)
    assert (missing.status_code, missing.json()["errorCode"]) == (404, 404)
    assert (method.status_code, method.json()["errorCode"]) == (405, 405)


def test_not_http_gets_400(server: LiveServer) -> None:
    with socket.create_connection(server.address, timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_health_and_readiness(client: httpx.Client) -> None:
    health = client.get("/health")
    assert health.status_code == 200
    assert list(health.json()) == ["logId", "errorCode", "errorMsg"]
    assert health.json()["errorMsg"] == "Healthy"
    ready = client.get("/health/ready")
    assert ready.status_code == 200
    assert ready.json()["state"] == "ready"
    assert [worker["state"] for worker in ready.json()["workers"]] == ["ready", "ready"]


def test_openapi_describes_the_contract(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    route = document["paths"][ROUTE]["post"]
    properties = route["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"image", "images", "threshold", "visualize", "maskFormat"} <= set(properties)
    assert {"200", "401", "413", "422", "502", "503", "504"} <= set(route["responses"])
    assert client.get("/docs").status_code == 200
