# SPDX-License-Identifier: Apache-2.0
"""Exit, forks and Ctrl-C while other threads are inside kernels and engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpip.backends.registry import backend_named
from hpip.model.official import find_model
from tests.own_process import run_code

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

# Children end as those of multiprocessing do: at a normal exit, ONNX Runtime 1.32 waits in its
# destructors for threads that only the parent process has.
FORKS = (
    PREDICTOR
    + """
import os
for attempt in range(5):
    time.sleep(attempt * 0.007)
    child = os.fork()
    if not child:
        try:
            os._exit(7 if len(list(predictor.predict(image))) == 1 else 3)
        except hpip.errors.HpipError as error:
            os._exit(7 if "fork" in str(error) else 4)
        except BaseException:
            os._exit(5)
    deadline = time.monotonic() + 60
    done, status = 0, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, 9)
        sys.exit(f"child {{attempt}} hangs")
    assert os.waitstatus_to_exitcode(status) == 7
"""
)

# OpenVINO before its core was kept alive: the next signal crashed the process (with AMX).
CLOSED = (
    PREDICTOR.replace("while True:", "if True:")
    + """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
list(predictor.predict(image))
closer = threading.Thread(target=predictor.close)
closer.start()
closer.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(0)
sys.exit("Ctrl-C was lost")
"""
)


def run(code: str) -> None:
    done = run_code(code)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"


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
def test_forks_while_another_thread_predicts(tiny_model_dir: Path, backend: str) -> None:
    model = model_for(backend, tiny_model_dir)
    run(FORKS.format(model=model, backend=backend, delay=0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_after_another_thread_closed_the_engine(tiny_model_dir: Path, backend: str) -> None:
    model = model_for(backend, tiny_model_dir)
    run(CLOSED.format(model=model, backend=backend, delay=0))
