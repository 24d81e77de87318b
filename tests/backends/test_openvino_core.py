# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.own_process import run_code

pytest.importorskip("openvino")

FORK = """
import os
from hpip.backends.openvino_core import core
from hpip.backends.registry import backend_named
from hpip.errors import BackendError
assert core() is core()
# Not os.wait: OpenVINO starts a process of its own, which may end first.
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
probe = backend_named("openvino").probe()
assert (probe.version, probe.broken) == (None, False)
assert "forked" in probe.reason
try:
    core()
except BackendError as error:
    os._exit(0 if "Create the predictor after the fork" in str(error) else 1)
os._exit(2)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_process_has_one_core_and_its_children_have_none() -> None:
    done = run_code(FORK)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_installation_that_can_not_be_loaded_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libopenvino.so: no such file')")
    done = run_code(
        f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from pathlib import Path
from hpip.backends.base import SessionOptions
from hpip.backends.registry import backend_named
from hpip.common.devices import Device
from hpip.errors import BackendUnavailableError
from hpip.types import ModelFiles
files = ModelFiles(Path("a"), Path("b"))
try:
    backend_named("openvino").open(files, SessionOptions(Device("cpu"), 1))
except BackendUnavailableError as error:
    assert "can't be loaded: libopenvino.so" in str(error), error
    sys.exit(0)
sys.exit(1)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
