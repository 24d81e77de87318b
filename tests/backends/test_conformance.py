# SPDX-License-Identifier: Apache-2.0
"""What every backend owes: the same cases for each engine and device of this machine."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpip.backends.base import Backend, Session, SessionOptions
from hpip.backends.pool import SessionPool
from hpip.backends.registry import backend_named
from hpip.common.cache import Cache
from hpip.common.devices import Device
from hpip.errors import BackendError, BackendUnavailableError, InvalidInputError
from hpip.inference.execution.program_formats import artifact
from hpip.inference.execution.runner import Engine
from hpip.types import ModelFiles
from tests.backends.conftest import engines, skip_where_absent
from tests.graph.programs import paddle_module, run, save_layer

Array = np.ndarray[Any, Any]

# Lengths around vectors and strides, one image and several, square and not.
SHAPES = [(1, 3, 32, 32), (1, 3, 37, 53), (3, 3, 40, 24), (2, 3, 64, 32), (1, 3, 32, 32)]
LARGEST = (4, 3, 160, 160)
# More sizes than an engine caches kernels for.
MANY_SHAPES = [(1, 3, 32 + 4 * (i % 5), 24 + 3 * i) for i in range(14)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """Convolution, normalization, pooling, attention over pixels, and a scaled second input."""
    paddle = paddle_module()
    functional = paddle.nn.functional

    class Net(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.stem = paddle.nn.Conv2D(3, 8, 3, stride=2, padding=1)
            self.norm = paddle.nn.BatchNorm2D(8)
            self.out = paddle.nn.Conv2D(8, 5, 1)

        def forward(self, image: Any, scale_factor: Any) -> Any:
            features = functional.silu(self.norm(self.stem(image)))
            pooled = functional.max_pool2d(features, 2, 2)
            tokens = pooled.flatten(2).transpose([0, 2, 1])
            weights = functional.softmax(tokens @ tokens.transpose([0, 2, 1]) * 0.1)
            mixed = weights @ tokens
            maps = functional.interpolate(self.out(features), scale_factor=2, mode="bilinear")
            count = paddle.cast((mixed.mean(2) > 0).sum(1), "int32")
            return maps * scale_factor.mean(), mixed, count

    paddle.seed(5)
    folder = tmp_path_factory.mktemp("conformance")
    inputs = {
        "image": ([None, 3, None, None], "float32"),
        "scale_factor": ([None, 2], "float32"),
    }
    save_layer(folder, Net(), **inputs)
    return ModelFiles(folder / "inference.json", folder / "inference.pdiparams")


@dataclass(frozen=True)
class Target:
    """An engine on a device, with what engines that are built for a range of shapes need."""

    engine: Engine
    backend: Backend
    build_dir: Path

    def open(self, files: ModelFiles, threads: int = 2, **options: Any) -> Session:
        options.setdefault("settings", self.engine.settings)
        return self.backend.open(
            files,
            SessionOptions(
                self.engine.device,
                threads,
                examples=(feeds((1, 3, 32, 24)), feeds((2, 3, 64, 53)), feeds(LARGEST)),
                build_dir=self.build_dir,
                **options,
            ),
        )


@pytest.fixture(params=engines())
def target(request: pytest.FixtureRequest, exported: ModelFiles) -> Target:
    engine: Engine = request.param
    skip_where_absent(engine)
    return Target(engine, backend_named(engine.backend), exported.program.parent / "engines")


@pytest.fixture
def files(target: Target, exported: ModelFiles) -> ModelFiles:
    return artifact(exported, target.backend.format, cache=Cache(exported.program.parent / "cache"))


@pytest.fixture
def session(target: Target, files: ModelFiles) -> Iterator[Session]:
    opened = target.open(files)
    yield opened
    opened.close()


def feeds(shape: tuple[int, ...], seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 1, shape).astype(np.float32)
    return {"image": image, "scale_factor": rng.random((len(image), 2)).astype(np.float32)}


def reference(exported: ModelFiles, inputs: dict[str, Array]) -> list[Array]:
    return run(exported.program, exported.params, inputs)


def assert_close(found: list[Array], wanted: list[Array]) -> None:
    assert [array.dtype for array in found] == [array.dtype for array in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_answers_are_those_of_plain_paddle_at_every_size(
    session: Session, exported: ModelFiles
) -> None:
    assert set(session.input_names) == {"image", "scale_factor"}
    for seed, shape in enumerate(SHAPES):
        inputs = feeds(shape, seed)
        assert_close(session.run(inputs), reference(exported, inputs))


def test_outputs_belong_to_the_caller(session: Session, exported: ModelFiles) -> None:
    inputs = feeds(SHAPES[0])
    first = session.run(inputs)
    kept = [array.copy() for array in first]
    session.run(feeds(SHAPES[0], seed=1))
    for array, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, copy)
        array[...] = 0
    assert_close(session.run(inputs), kept)


def test_inputs_stay_as_they_are_and_may_be_read_only(session: Session) -> None:
    inputs = feeds(SHAPES[1])
    before = {name: array.copy() for name, array in inputs.items()}
    for array in inputs.values():
        array.flags.writeable = False
    session.run(inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_an_array_of_another_layout_is_refused(session: Session) -> None:
    inputs = feeds(SHAPES[0])
    inputs["image"] = inputs["image"].transpose(0, 1, 3, 2)
    with pytest.raises(InvalidInputError, match="expected a C-contiguous array"):
        session.run(inputs)


def test_missing_and_unknown_inputs_are_refused(session: Session) -> None:
    inputs = feeds(SHAPES[0])
    with pytest.raises(InvalidInputError, match="expected image, scale_factor"):
        session.run({"image": inputs["image"]})
    with pytest.raises(InvalidInputError, match="picture"):
        session.run({**inputs, "picture": inputs["image"]})


def test_a_failed_run_is_an_error_and_the_next_one_works(
    session: Session, exported: ModelFiles
) -> None:
    bad = feeds((1, 4, 32, 32))
    with pytest.raises(BackendError, match=r"failed to run.*\(1, 4, 32, 32\)"):
        session.run(bad)
    inputs = feeds(SHAPES[0])
    assert_close(session.run(inputs), reference(exported, inputs))


def test_a_closed_session_says_so(target: Target, files: ModelFiles) -> None:
    session = target.open(files, threads=1)
    session.close()
    session.close()
    with pytest.raises(BackendError, match="closed"):
        session.run(feeds(SHAPES[0]))


def test_threads_of_a_pool_get_their_own_answers(
    target: Target, files: ModelFiles, exported: ModelFiles
) -> None:
    pool = SessionPool(lambda: target.open(files, threads=1, shares_cpu=True), size=2)
    inputs = [feeds(SHAPES[i % len(SHAPES)], seed=i) for i in range(8)]
    wanted = [reference(exported, given) for given in inputs]
    found: dict[int, list[Array]] = {}

    def work(index: int) -> None:
        with pool.lease() as session:
            found[index] = session.run(inputs[index])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()
    for index, answer in enumerate(wanted):
        assert_close(found[index], answer)


@pytest.mark.parametrize("second", ["cloned", "opened"])
@pytest.mark.parametrize("attempt", range(3))
def test_two_sessions_that_start_together_answer_as_one_does(
    target: Target, files: ModelFiles, session: Session, second: str, attempt: int
) -> None:
    """Two sessions of one process share what the engine keeps for the process."""
    inputs = [feeds(shape, seed) for seed, shape in enumerate(MANY_SHAPES)]
    wanted = [session.run(given) for given in inputs]
    one = target.open(files, threads=1, shares_cpu=True)
    twin = one.clone() if second == "cloned" else target.open(files, threads=1, shares_cpu=True)
    if twin is None:
        one.close()
        pytest.skip(f"{target.backend.name} does not clone sessions")
    start = threading.Barrier(2)

    def work(session: Session, order: list[int]) -> list[tuple[int, list[Array]]]:
        start.wait()
        return [(index, session.run(inputs[index])) for index in order]

    forth = list(range(len(inputs))) * 2
    # The same sizes at the same time, and different ones.
    orders = [forth, forth if attempt == 0 else forth[::-1]]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(work, (one, twin), orders))
    one.close()
    twin.close()
    for index, answer in itertools.chain(*found):
        assert_close(answer, wanted[index])


def test_other_threads_run_while_the_engine_computes(target: Target, session: Session) -> None:
    """The GIL is free: a thread that counts gets far while the network runs."""
    if target.engine.device.kind != "cpu":
        pytest.skip("a GPU is done before a thread has had its turn")
    inputs = feeds(LARGEST)
    session.run(inputs)
    counted, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            counted[0] += 1

    counter = threading.Thread(target=count)
    counter.start()
    before = counted[0]
    session.run(inputs)
    during = counted[0] - before
    stop.set()
    counter.join()
    # Held throughout, the counter would not get one turn.
    assert during > 1000


def test_a_setting_that_nobody_knows_is_refused(target: Target, files: ModelFiles) -> None:
    with pytest.raises(InvalidInputError, match="'no_such_setting'"):
        target.open(files, settings={"no_such_setting": 1})


def test_a_device_that_is_not_here_is_refused(target: Target, files: ModelFiles) -> None:
    with pytest.raises(BackendUnavailableError):
        target.backend.open(files, SessionOptions(Device("gpu", 99), 1))


def test_in_int8_it_is_near_plain_paddle_or_it_says_that_it_has_no_int8(
    target: Target, files: ModelFiles, exported: ModelFiles, tmp_path: Path
) -> None:
    if target.backend.quantizer(target.engine.device) is None:
        with pytest.raises(BackendUnavailableError, match="not int8"):
            target.open(files, precision="int8")
        return
    with pytest.raises(BackendError, match="is not quantized"):
        target.open(files, precision="int8")
    examples = [feeds(shape, seed) for seed, shape in enumerate(SHAPES)]
    program = tmp_path / "int8.onnx"
    program.write_bytes(target.backend.quantize(files, examples))
    session = target.open(ModelFiles(program, files.params), precision="int8")
    for inputs in examples:
        found, wanted = session.run(inputs), reference(exported, inputs)
        assert [array.dtype for array in found] == [array.dtype for array in wanted]
        for mine, right in list(zip(found, wanted, strict=True))[:2]:
            # 8 bits leave a step of 1/255 of the range; a few layers add up some of them.
            error = np.abs(mine - right).max() / np.ptp(right)
            assert 1e-4 < error < 0.05
    session.close()


def test_nothing_to_calibrate_on_is_an_error(target: Target, files: ModelFiles) -> None:
    if target.backend.quantizer(target.engine.device) is None:
        pytest.skip(f"{target.backend.name} has no int8 quantizer")
    with pytest.raises(BackendError, match="failed to quantize"):
        target.backend.quantize(files, [])


def test_a_damaged_program_is_an_error(
    target: Target, files: ModelFiles, tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    bad = tmp_path / files.program.name
    damage(files.program, bad)
    with pytest.raises(BackendError, match=r"failed to (open|build)"):
        target.open(ModelFiles(bad, files.params))


@pytest.fixture(params=["cut short", "not a program"])
def damage(request: pytest.FixtureRequest) -> Callable[[Path, Path], None]:
    def cut_short(whole: Path, bad: Path) -> None:
        bad.write_bytes(whole.read_bytes()[:-40])

    def other(whole: Path, bad: Path) -> None:
        bad.write_bytes(b"\x00not a program")

    return cut_short if request.param == "cut short" else other
