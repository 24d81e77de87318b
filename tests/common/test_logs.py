# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpip.common.logs import set_up_logging


def _stderr(level: str | None, code: str) -> str:
    env = {name: value for name, value in os.environ.items() if name != "HPIP_LOG"}
    env |= {"HPIP_LOG": level} if level else {}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stderr


CODE = "import hpip, logging; logging.getLogger('hpip.x').info('hello')"


def test_hpip_log_turns_messages_on() -> None:
    assert "INFO hpip.x: hello" in _stderr("info", CODE)
    assert "hello" not in _stderr("error", CODE)
    assert "hello" not in _stderr(None, CODE)


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="HPIP_LOG: expected one of DEBUG"):
        set_up_logging("loud")
