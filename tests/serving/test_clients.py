# SPDX-License-Identifier: Apache-2.0
"""The example clients of docs/clients against a live server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import hpip
from benchmarks.serving.server import RunningServer
from hpip.common.files import encode_image
from hpip.results.result import InstanceSegResult

CLIENTS = Path(__file__).resolve().parents[2] / "docs" / "clients"
COINS = Path(hpip.__file__).parent / "demo" / "coins.png"
# Where Debian puts it.
GSON = Path("/usr/share/java/gson.jar")
BUILD_TIMEOUT_S = 300


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def build(command: list[str], without_library: str | None = None) -> None:
    """Compile a client; where a library is missing, which the message tells, skip its tests."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    said = done.stdout + done.stderr
    if done.returncode and without_library and without_library in said:
        pytest.skip(f"a library of the client is not installed: {said.splitlines()[0]}")
    assert done.returncode == 0, said


def python(_: Path) -> list[str]:
    return [sys.executable, str(CLIENTS / "python" / "client.py")]


def nodejs(_: Path) -> list[str]:
    need("node")
    return ["node", str(CLIENTS / "nodejs" / "client.mjs")]


def java(folder: Path) -> list[str]:
    need("java", "javac")
    if not GSON.is_file():
        pytest.skip(f"Gson is not installed: {GSON}")
    build(["javac", "-cp", str(GSON), "-d", str(folder), str(CLIENTS / "java" / "Client.java")])
    return ["java", "-cp", f"{GSON}:{folder}", "Client"]


def go(folder: Path) -> list[str]:
    need("go")
    build(["go", "build", "-o", str(folder / "client"), str(CLIENTS / "go" / "client.go")])
    return [str(folder / "client")]


def csharp(folder: Path) -> list[str]:
    need("mcs", "mono")
    libraries = ["-r:System.Net.Http", "-r:System.Runtime.Serialization"]
    source = CLIENTS / "csharp" / "Client.cs"
    build(["mcs", *libraries, f"-out:{folder / 'Client.exe'}", str(source)], "CS0006")
    return ["mono", str(folder / "Client.exe")]


def php(_: Path) -> list[str]:
    need("php")
    return ["php", str(CLIENTS / "php" / "client.php")]


def cpp(folder: Path) -> list[str]:
    need("g++")
    source = CLIENTS / "cpp" / "client.cc"
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    build(
        ["g++", *strict, str(source), "-lcurl", "-o", str(folder / "client")],
        "No such file or directory",
    )
    return [str(folder / "client")]


@pytest.fixture(scope="module", params=[python, nodejs, java, go, csharp, php, cpp])
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs one of the clients, built before."""
    prepare: Callable[[Path], list[str]] = request.param
    command = prepare(tmp_path_factory.mktemp(prepare.__name__))

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def expected() -> InstanceSegResult:
    with hpip.create_pipeline(model="demo", device="cpu") as pipeline:
        (result,) = pipeline.predict(str(COINS))
        return result


def test_it_prints_the_instances_and_saves_the_drawing(
    client: Callable[..., subprocess.CompletedProcess[str]],
    demo_server: RunningServer,
    expected: InstanceSegResult,
    tmp_path: Path,
) -> None:
    drawing = tmp_path / "drawing.jpg"
    done = client(demo_server.url, COINS, drawing)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected.rle) > 0
    for line, label, score, box in zip(
        lines, expected.labels, expected.scores, expected.boxes_xyxy, strict=True
    ):
        name, shown_score, shown_box = line.split(" ", 2)
        assert name == label
        assert float(shown_score) == pytest.approx(score, abs=0.002)
        sides = [float(side) for side in shown_box.strip("[]").split(", ")]
        assert sides == pytest.approx(box.tolist(), abs=0.6)
    # The quality of the server's drawings; its engine may round a score's last digit otherwise.
    wanted = encode_image(expected.draw(), ".jpg", jpeg_quality=75)
    wanted_bgr = cv2.imdecode(np.frombuffer(wanted, np.uint8), cv2.IMREAD_COLOR)
    picture = cv2.imread(str(drawing))
    assert picture.shape == expected.image.shape
    assert cv2.absdiff(picture, wanted_bgr).mean() < 1


def test_a_failure_is_said_in_the_server_s_words(
    client: Callable[..., subprocess.CompletedProcess[str]],
    demo_server: RunningServer,
    tmp_path: Path,
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    done = client(demo_server.url, text, tmp_path / "drawing.jpg")
    assert done.returncode == 1
    assert "422: image" in done.stderr
    assert not (tmp_path / "drawing.jpg").exists()


def test_a_server_that_is_not_there_is_a_failure(
    client: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = client("http://127.0.0.1:9", COINS, tmp_path / "drawing.jpg")
    assert done.returncode != 0
    assert done.stderr.strip()
