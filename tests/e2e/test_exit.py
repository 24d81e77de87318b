# SPDX-License-Identifier: Apache-2.0
"""The end of a process, and forks, while other threads are inside kernels and engines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpip.backends.registry import backend_named
from hpip.model.official import find_model

KERNELS = """
import threading, time
import numpy as np
from hpip import ops
image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
mask = np.ascontiguousarray(image[:, :, 0] > 99, np.uint8)
def run():
    while True:
        ops.resize(image, (200, 300))
        ops.decode_rle(ops.encode_rle(mask), mask.shape)
for _ in range(4):
    threading.Thread(target=run, daemon=True).start()
time.sleep({delay})
"""

PREDICTOR = """
import threading, time, sys
import numpy as np
import hpip
image = np.zeros((64, 64, 3), np.uint8)
predictor = hpip.create_predictor(model_dir={model!r}, device="cpu", hpi_config=
                                  dict(backend={backend!r}))
started = threading.Event()
def run():
    while True:
        list(predictor.predict([image] * 5))
        started.set()
threading.Thread(target=run, daemon=True).start()
started.wait()
time.sleep({delay})
"""

FORK = (
    PREDICTOR
    + """
import os
child = os.fork()
if not child:
    try:
        results = list(predictor.predict(image))
        os._exit(0 if len(results) == 1 else 3)
    except hpip.errors.HpipError as error:
        os._exit(0)
    except BaseException:
        os._exit(4)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child hangs")
"""
)


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("attempt", range(6))
def test_a_process_ends_while_threads_are_in_kernels(attempt: int) -> None:
    run(KERNELS.format(delay=0.1 + attempt * 0.013))


BACKENDS = ["paddle", "paddle_onednn", "onnxruntime", "openvino"]


def model_for(backend: str, tiny_model_dir: Path) -> str:
    probe = backend_named(backend).probe()
    if probe.version is None:
        pytest.skip(f"{backend}: {probe.reason}")
    # The tiny model has an operator that has no counterpart in ONNX.
    return str(tiny_model_dir if backend == "paddle" else find_model("demo", None))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_ends_while_a_thread_predicts(tiny_model_dir: Path, backend: str) -> None:
    model = model_for(backend, tiny_model_dir)
    for attempt in range(3):
        run(PREDICTOR.format(model=model, backend=backend, delay=attempt * 0.013))


def test_exit_handlers_may_still_predict(tiny_model_dir: Path) -> None:
    code = PREDICTOR.format(model=str(tiny_model_dir), backend="paddle", delay=0)
    run(
        "import atexit\natexit.register(lambda: print(len(list(predictor.predict(image)))))\n"
        + code
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fork_while_another_thread_predicts(tiny_model_dir: Path, backend: str) -> None:
    model = model_for(backend, tiny_model_dir)
    for attempt in range(3):
        run(FORK.format(model=model, backend=backend, delay=attempt * 0.01))
