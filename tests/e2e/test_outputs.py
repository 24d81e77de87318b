# SPDX-License-Identifier: Apache-2.0
"""What one result's files and lines do to the others: names, folders, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import hpip
from hpip.common.file_names import TakenStems
from hpip.errors import SaveError
from tests.pictures import rectangles

PICTURE = rectangles(128, 128, red=(16, 16, 64, 64))


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hpip", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        errors="surrogateescape",
        env={**os.environ, **environment},
    )


def write(path: Path, picture: Any = PICTURE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "left/a.png", "left/b.png", "right/a.png"):
        write(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="module")
def pipeline(tiny_model_dir: Path) -> Iterator[hpip.InstanceSegPipeline]:
    with hpip.create_pipeline(model_dir=tiny_model_dir, device="cpu") as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that answers every path with one picture."""
    data = cv2.imencode(".png", PICTURE)[1].tobytes()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("a%00b.png", False),
        ("a" * 300 + ".png", False),
        ("a%0ab.png", True),
        ("%ff%fe.png", True),
        ("..", True),
        ("%2e%2e%2f..", True),
    ],
    ids=["null", "long", "line break", "not UTF-8", "dots", "escaped dots"],
)
def test_names_of_urls(
    tiny_model_dir: Path, served: str, folder: Path, out: Path, name: str, saved: bool
) -> None:
    done = run(
        *("predict", "--model_dir", tiny_model_dir, "--device", "cpu", "--save_path", out),
        *("--input", served + name, "--input", folder / "a.png"),
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode, len(files(out))) == ((0, 2) if saved else (1, 1)), done.stderr
    assert "a_res.json" in files(out)
    assert done.stderr.count("failed: ") == (0 if saved else 1)


def test_a_name_that_has_no_room_for_more(tiny_model_dir: Path, folder: Path, out: Path) -> None:
    long = write(folder / ("n" * 247 + ".png"))
    done = run("predict", "--model_dir", tiny_model_dir, "--input", folder, "--save_path", out)
    assert done.returncode == 1
    assert len(files(out)) == 4
    assert done.stderr.count(long.name) == 1
    assert "File name too long" in done.stderr


def test_what_is_in_the_way_and_what_does_not_fit(
    tiny_model_dir: Path, folder: Path, out: Path
) -> None:
    # A PNG by content that is too wide for the JPEG that its suffix asks for.
    write(folder / "wide.jpg", np.zeros((4, 70_000, 3), np.uint8))
    (out / "a_res.json").mkdir(parents=True)
    (out / "right").write_text("no folder")
    done = run("predict", "--model_dir", tiny_model_dir, "--input", folder, "--save_path", out)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert files(out / "left") == ["a_res.json", "b_res.json"]
    assert "2 images, 2 instances" in done.stderr
    assert "3 failed" in done.stderr
    assert "70000x4 pixels as .jpg" in done.stderr


@pytest.mark.parametrize("style", ["predict", "paddlex"])
def test_odd_names_on_odd_consoles(
    tiny_model_dir: Path, tmp_path: Path, out: Path, style: str
) -> None:
    inputs = tmp_path / "in"
    for name in ("硬币.png", "odd\udcff.png", "line\nbreak.png", "bell\a.png"):
        write(inputs / name)
    (inputs / "bad\nname.png").write_bytes(b"")
    config = tmp_path / "my.yaml"
    config.write_text(f"Pipeline: {{model: {tiny_model_dir}/, device: cpu}}\n")
    model = (
        ("predict", "--model_dir", tiny_model_dir) if style == "predict" else ("--pipeline", config)
    )
    done = run(*model, "--input", inputs, "--save_path", out, PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(files(out)) == 4
    assert done.stdout.isascii()
    assert len(done.stdout.splitlines()) == 4
    assert "\\u786c" in done.stdout
    assert "bad\\nname.png" in done.stderr


def test_results_print_on_any_console(
    pipeline: hpip.InstanceSegPipeline, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for result in pipeline.predict([write(tmp_path / "odd\udcff.png")]):
        result.print()
        result.print(json_format=True)
    assert "\\udcff" in capsys.readouterr().out


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from hpip.common.files import write_atomically
from hpip.errors import SaveError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path({str(tmp_path / "big.json")!r}), bytes(2000))
except SaveError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "big.json" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_subfolders_are_kept(tiny_model_dir: Path, folder: Path, out: Path) -> None:
    command = ("predict", "--model_dir", tiny_model_dir, "--input", folder, "--save_path", out)
    assert run(*command).returncode == 0
    kept = ["a_res.json", "left/a_res.json", "left/b_res.json", "right/a_res.json"]
    assert files(out) == kept
    # Again, into a folder that the input holds: results are no inputs, and keep their names.
    assert run(*command[:-1], folder / "out").returncode == 0
    assert run(*command[:-1], folder / "out").returncode == 0
    assert files(folder / "out") == kept


def test_flat_folders_number_what_collides(tiny_model_dir: Path, folder: Path, out: Path) -> None:
    command = ("predict", "--model_dir", tiny_model_dir, "--input", folder, "--save_path", out)
    assert run(*command, "--flat").returncode == 0
    names = ["a_2_res.json", "a_3_res.json", "a_res.json", "b_res.json"]
    assert files(out) == names
    origins = [json.loads((out / name).read_text())["input_path"] for name in names]
    assert [Path(path).relative_to(folder).parts[0] for path in origins] == [
        *("left", "right", "a.png", "left")
    ]
    assert (out / "a_3_res.png").is_file()


def test_paddlex_flags_save_flat(tiny_model_dir: Path, folder: Path, out: Path) -> None:
    config = folder.parent / "my.yaml"
    config.write_text(f"Pipeline: {{model: {tiny_model_dir}/, device: cpu}}\n")
    assert run("--pipeline", config, "--input", folder, "--save_path", out).returncode == 0
    assert files(out) == ["a_2_res.json", "a_3_res.json", "a_res.json", "b_res.json"]


@pytest.mark.parametrize("kind", ["arrays", "bytes", "PIL images"])
def test_nameless_images_one_by_one(
    pipeline: hpip.InstanceSegPipeline, out: Path, kind: str
) -> None:
    for _ in range(3):
        frame: Any = PICTURE
        if kind == "bytes":
            frame = cv2.imencode(".png", PICTURE)[1].tobytes()
        elif kind == "PIL images":
            frame = Image.fromarray(PICTURE)
        for result in pipeline.predict(frame):
            result.save_to_img(f"{out}/")
            result.save_to_json(f"{out}/")
            result.save_all(out)
    assert len(files(out)) == 3
    names = [path.name for path in sorted(out.glob("*.png"))]
    assert [name.replace("_res.png", "_res.json") for name in names] == files(out)


def test_nameless_images_of_several_processes(out: Path) -> None:
    code = f"""
import os
import numpy as np
from hpip.common.file_names import unique_stem
for _ in range(2):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    open(os.path.join({str(out)!r}, unique_stem("array_0")), "x").close()
"""
    out.mkdir()
    for _ in range(2):
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    assert len(list(out.iterdir())) == 2 * (1 * 2 + 2 * 2)


def test_equal_stems_one_by_one(
    pipeline: hpip.InstanceSegPipeline, folder: Path, out: Path
) -> None:
    for _ in range(2):
        for name in ("left/a.png", "right/a.png", "a.png"):
            for result in pipeline.predict(str(folder / name)):
                result.save_all(out)
    assert files(out) == ["a_2_res.json", "a_3_res.json", "a_res.json"]
    assert json.loads((out / "a_2_res.json").read_text())["input_path"].endswith("right/a.png")
    for result in pipeline.predict(str(folder)):
        result.save_all(out / "kept" / result.subfolder)
    assert len(files(out / "kept")) == 4
    assert "kept/right/a_res.json" in files(out)


def test_stems_are_taken_once(tmp_path: Path) -> None:
    stems = TakenStems()
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda i: stems.take(tmp_path, "a", f"owner {i}"), range(40)))
    assert len(set(taken)) == 40
    assert stems.take(tmp_path, "a", "owner 7") == taken[7]
    assert stems.take(tmp_path, "A", "another") == "A_41"
    assert stems.take(tmp_path / "other", "a", "another") == "a"
    assert stems.take(tmp_path, "a_2", "one more") == "a_2_2"


def test_a_reused_buffer_is_drawn_as_it_was(
    pipeline: hpip.InstanceSegPipeline, tiny_model_dir: Path
) -> None:
    buffer = np.zeros((128, 128, 3), np.uint8)

    def frames() -> Iterator[Any]:
        for color in ("red", "green", "blue"):
            buffer[:] = rectangles(128, 128, **{color: (16, 16, 64, 64)})
            yield buffer

    with hpip.create_pipeline(model_dir=tiny_model_dir, batch_size=3, workers=2) as several:
        for one in (pipeline, several):
            results = list(one.predict(frames()))
            assert [result.labels for result in results] == [["red"], ["green"], ["blue"]]
            assert all((result.image[20, 20] > 0).any() for result in results)
            assert not np.array_equal(results[0].image, results[1].image)


def test_refusals_are_errors_of_the_library(
    pipeline: hpip.InstanceSegPipeline, folder: Path
) -> None:
    (result,) = pipeline.predict(str(folder / "a.png"))
    for stem in ("nul\0", "n" * 300, "odd\ud800"):
        with pytest.raises(SaveError, match="can't write"):
            result.save_all(folder, stem=stem)
