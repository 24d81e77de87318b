# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpip.backends.base import SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.common import interpreter
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendUnavailableError
from hpip.integrations.static_program import EngineRun, StaticProgram, TunedRun
from hpip.integrations.static_program_tuning import outputs_differ
from hpip.types import ModelFiles

pytest.importorskip("onnxruntime")

CPU = Device("cpu")


pytestmark = pytest.mark.usefixtures("timed_tuning")


def work_for(cpu_s: float) -> None:
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> StaticProgram:
    """Two inputs, whose names are not in the order of the program, and two outputs."""
    import paddle

    class Small(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, 4, 3, padding=1)

        def forward(self, z_image, a_gain):
            features = paddle.nn.functional.relu(self.conv(z_image)) * a_gain
            return features, features.mean(axis=[2, 3])

    folder = tmp_path_factory.mktemp("static")
    network = paddle.jit.to_static(
        Small(),
        input_spec=[
            paddle.static.InputSpec([None, 3, None, None], "float32", name="z_image"),
            paddle.static.InputSpec([1], "float32", name="a_gain"),
        ],
        full_graph=True,
    )
    network.eval()
    paddle.jit.save(network, str(folder / "inference"))
    files = ModelFiles(folder / "inference.json", folder / "inference.pdiparams")
    return StaticProgram("small", files, CPU, 1)


@pytest.fixture(scope="module")
def plain(program: StaticProgram) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    session = PaddleBackend().open(program.files, SessionOptions(CPU, 1))

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return session.run(dict(zip(["a_gain", "z_image"], inputs, strict=True)))

    return run


@pytest.fixture
def slow_plain(plain: Callable) -> Callable:
    """So slow that every other engine wins."""

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        work_for(1.0)
        return plain(inputs)

    return run


def example(height: int = 16, width: int = 24) -> list[np.ndarray]:
    image = np.random.default_rng(7).random((1, 3, height, width), np.float32)
    return [np.array([2.0], np.float32), image]


def test_a_faster_engine_takes_over_and_is_remembered(
    program: StaticProgram, plain: Callable, slow_plain: Callable, tmp_path: Path
) -> None:
    wanted = plain(example())
    for expects_engine_at_once in (False, True):
        run = TunedRun(program, slow_plain, cache=Cache(tmp_path))
        assert (run._fast is not None) == expects_engine_at_once
        for _ in range(3):
            for right, found in zip(wanted, run(example()), strict=True):
                np.testing.assert_allclose(found, right, atol=1e-5)
        assert run._fast is not None
        assert "plain Paddle" in run.reason
        run.close()


def test_a_child_that_can_not_start_is_not_remembered(
    program: StaticProgram, plain: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        work_for(0.5)
        return plain(inputs)

    with monkeypatch.context() as embedded:
        embedded.setattr(interpreter, "find_interpreter", lambda: "/bin/false")
        run = TunedRun(program, slow, cache=Cache(tmp_path))
        run(example())
        assert run._fast is None
        assert "no child process could be started" in run.reason
    later = TunedRun(program, slow, cache=Cache(tmp_path))
    later(example())
    assert later._fast is not None
    later.close()


def test_what_was_measured_while_weights_changed_is_not_kept(
    program: StaticProgram, slow_plain: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = [tmp_path / path.name for path in (program.files.program, program.files.params)]
    for path in files:
        path.write_bytes((program.files.program.parent / path.name).read_bytes())
    changing = replace(program, files=ModelFiles(*files))
    cache = Cache(tmp_path / "cache")
    run = TunedRun(changing, slow_plain, cache=cache)
    content = bytearray(files[1].read_bytes())
    content[-1] ^= 1
    files[1].write_bytes(content)
    run(example())
    run.close()
    assert "changed during tuning" in caplog.text
    assert not [entry for entry in cache.entries() if entry.title.endswith(", engine")]


def test_an_engine_that_answers_differently_is_not_taken(
    program: StaticProgram, plain: Callable, tmp_path: Path
) -> None:
    def other(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        work_for(0.5)
        features, means = plain(inputs)
        return [features, means + 1]

    run = TunedRun(program, other, cache=Cache(tmp_path))
    first, second = run(example()), run(example())
    np.testing.assert_array_equal(first[1], second[1])
    assert run._fast is None
    assert "output 1 differs" in run.reason


def test_an_engine_that_is_wrong_for_other_sizes_is_dismissed(
    program: StaticProgram, plain: Callable, tmp_path: Path
) -> None:
    def other(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        work_for(0.5)
        features, means = plain(inputs)
        return [features, means + (inputs[1].shape[2] == 32)]

    run = TunedRun(program, other, cache=Cache(tmp_path))
    run(example())
    assert run._fast is not None
    large = run(example(32, 32))
    np.testing.assert_array_equal(large[1], plain(example(32, 32))[1] + 1)
    assert run._fast is None
    assert TunedRun(program, other, cache=Cache(tmp_path))._fast is None


def test_without_a_budget_plain_paddle_runs(
    program: StaticProgram, plain: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPIP_TUNE_BUDGET_S", "0")
    calls = []

    def counted(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        calls.append(inputs)
        return plain(inputs)

    run = TunedRun(program, counted, cache=Cache(tmp_path))
    run(example())
    run(example())
    assert len(calls) == 2
    assert "HPIP_TUNE_BUDGET_S" in run.reason


def test_a_named_engine_runs_or_says_why_not(program: StaticProgram, plain: Callable) -> None:
    run = EngineRun(program, program.engine("onnxruntime"))
    assert outputs_differ(plain(example()), run(example())) == ""
    run.close()
    run.close()
    with pytest.raises(BackendUnavailableError, match="tensorrt"):
        EngineRun(program, program.engine("tensorrt"))


@pytest.mark.parametrize(
    ("found", "difference"),
    [
        ([np.array([1.0, 1000.0]), np.array([1, 2])], ""),
        ([np.array([1.9, 1000.0]), np.array([1, 2])], ""),
        ([np.array([1.0, 1002.0]), np.array([1, 2])], "output 0 differs"),
        ([np.array([np.nan, 1000.0]), np.array([1, 2])], "output 0 differs"),
        ([np.array([1.0, 1000.0]), np.array([1, 3])], "output 1 has other"),
        ([np.array([1.0]), np.array([1, 2])], "output 0 of shape (1,)"),
        ([np.array([1.0, 1000.0])], "1 outputs instead of 2"),
    ],
)
def test_outputs_are_held_against_each_other(found: list[np.ndarray], difference: str) -> None:
    wanted = [np.array([1.0, 1000.0]), np.array([1, 2])]
    assert outputs_differ(wanted, found).startswith(difference)
    assert bool(outputs_differ(wanted, found)) == bool(difference)


def test_values_that_are_not_finite_must_be_the_same() -> None:
    endless = [np.array([np.inf, 1.0])]
    assert outputs_differ(endless, [np.array([np.inf, 1.0])]) == ""
    assert outputs_differ(endless, [np.array([1.0, 1.0])]) != ""
    assert outputs_differ([np.zeros((0, 6))], [np.zeros((0, 6))]) == ""
