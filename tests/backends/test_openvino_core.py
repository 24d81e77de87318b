# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("openvino")

# A failure in a child must not run the other tests twice.
FORK = """
import os
from hpip.backends.openvino_core import core
from hpip.backends.registry import backend_named
from hpip.errors import BackendError
assert core() is core()
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
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
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
