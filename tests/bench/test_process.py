# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hpip.bench.process import ContenderError, ContenderProcess, start_worker

from .conftest import ROOT, sleeper


def test_replies_come_back_past_what_engines_print() -> None:
    with sleeper({"sleeps_ms": [1]}) as process:
        assert process.ask("output", timeout_s=60)["draw_ms"] == 2
        assert process.ask("run", timeout_s=60)["wall_ms"] >= 1
        told = process.ask("memory", timeout_s=60)
        assert 1e6 < told["rss_bytes"] <= told["peak_rss_bytes"]


def test_a_crash_names_the_signal_and_the_last_words() -> None:
    with (
        sleeper({"sleeps_ms": [1], "die_at": "run"}) as process,
        pytest.raises(ContenderError, match=r"died at 'run' \(signal SIGABRT\): the last words"),
    ):
        process.ask("run", timeout_s=60)


def test_asking_the_dead_fails_too() -> None:
    with sleeper({"sleeps_ms": [1], "die_at": "run"}) as process:
        for _ in range(2):
            with pytest.raises(ContenderError, match="SIGABRT"):
                process.ask("run", timeout_s=60)


def test_a_hang_is_killed_with_its_process() -> None:
    with sleeper({"sleeps_ms": [1], "hang_at": "run"}) as process:
        process.ask("load", timeout_s=60)
        with pytest.raises(ContenderError, match=r"no reply to 'run' within 0\.2 s"):
            process.ask("run", timeout_s=0.2)
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_an_error_in_the_contender_leaves_it_running() -> None:
    with sleeper({"sleeps_ms": []}) as process:
        with pytest.raises(ContenderError, match=r"modulo by zero|division"):
            process.ask("run", timeout_s=60)
        assert process.ask("load", timeout_s=60)["load_ms"] == 1


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContenderError, match="can't be started"):
        ContenderProcess([str(tmp_path / "python"), "-c", ""], ROOT)


def test_an_interpreter_without_paddlex_is_a_refusal() -> None:
    """The contender starts in a bare interpreter, where neither hpip nor PaddleX is."""
    with start_worker("paddlex_contender", sys.executable) as process:
        request = {"backend": "paddlex", "threads": 1, "model_name": "x", "model_dir": "/"}
        with pytest.raises(ContenderError) as caught:
            process.ask("load", timeout_s=60, device="cpu", batch_size=1, **request)
    assert caught.value.refused
    assert "PaddleX can't be imported" in str(caught.value)
