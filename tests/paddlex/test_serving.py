# SPDX-License-Identifier: Apache-2.0
"""PaddleX's own serving application on hpip."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from hpip import ops
from tests.paddlex.conftest import DEMO, child_environment, pipeline_config
from tests.pictures import rectangles

START_SECONDS = 300


@contextmanager
def served(pipeline_file: Path, *options: str) -> Iterator[str]:
    """Address of `paddlex --serve` in a process of its own, once it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hpip.paddlex", "--serve", "--device", "cpu"]
    command += ["--pipeline", str(pipeline_file), "--host", "127.0.0.1", "--port", str(port)]
    log = pipeline_file.with_suffix(".log")
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, *options],
            env=child_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield _wait_for(f"http://127.0.0.1:{port}", server, log)
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return address
    raise AssertionError(f"not healthy after {START_SECONDS} s: {log.read_text()}")


def post(address: str, **body: Any) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/instance-segmentation",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


@pytest.fixture(autouse=True)
def _needs_serving_extra(_imported: ModuleType) -> None:
    from paddlex.utils.deps import is_serving_plugin_available

    if not is_serving_plugin_available():
        pytest.skip("PaddleX's extra `serving` is not installed")


def test_serving_answers_what_the_pipeline_answers(
    demo_pipeline_file: Path, paddlex: ModuleType
) -> None:
    config = yaml.safe_load(demo_pipeline_file.read_text(encoding="utf-8"))
    pipeline = paddlex.create_pipeline(config=config, device="cpu")
    picture = DEMO / "scene_0013.jpg"
    (expected,) = pipeline.predict(str(picture))
    with served(demo_pipeline_file, "--use_hpip") as address:
        answer = post(address, image=base64.b64encode(picture.read_bytes()).decode())
        without_picture = post(
            address,
            image=base64.b64encode(picture.read_bytes()).decode(),
            threshold=0.85,
            visualize=False,
        )
    assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
    instances = answer["result"]["instances"]
    assert len(instances) == len(expected["boxes"]) > 0
    for instance, box, mask in zip(instances, expected["boxes"], expected["masks"], strict=True):
        assert instance["categoryId"] == box["cls_id"]
        assert abs(instance["score"] - box["score"]) <= 1e-3
        np.testing.assert_allclose(instance["bbox"], box["coordinate"], atol=0.5)
        assert instance["mask"]["size"] == list(mask.shape)
        found = ops.decode_rle(instance["mask"]["rleResult"].encode(), mask.shape)
        assert np.mean(found != (mask != 0)) < 0.01
    drawing = cv2.imdecode(
        np.frombuffer(base64.b64decode(answer["result"]["image"]), np.uint8), cv2.IMREAD_COLOR
    )
    assert drawing.shape == expected["input_img"].shape
    if _takes_visualize():
        assert "image" not in without_picture["result"]
    assert len(without_picture["result"]["instances"]) == sum(
        box["score"] > 0.85 for box in expected["boxes"]
    )


def _takes_visualize() -> bool:
    """PaddleX 3.0 draws every answer."""
    from paddlex.inference.serving.schemas.instance_segmentation import InferRequest

    return "visualize" in InferRequest.model_fields


def test_serving_answers_for_a_model_without_boxes(tmp_path: Path, boxless_model_dir: Path) -> None:
    # PaddleX 3.7 answers 500 for SOLOv2: its results have neither cls_id nor coordinate.
    path = tmp_path / "boxless.yaml"
    path.write_text(yaml.safe_dump(pipeline_config("SOLOv2", boxless_model_dir)), encoding="utf-8")
    picture = rectangles(64, 128, red=(8, 8, 40, 32), blue=(60, 20, 100, 60))
    encoded = base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()
    with served(path, "--use_hpip") as address:
        answer = post(address, image=encoded)
    red, blue = answer["result"]["instances"]
    assert (red["bbox"], blue["bbox"]) == ([8, 8, 40, 32], [60, 20, 100, 60])
    assert red["mask"]["size"] == [64, 128]
    mask = ops.decode_rle(red["mask"]["rleResult"].encode(), (64, 128))
    assert (mask.sum(), mask[8:32, 8:40].all()) == (24 * 32, True)
