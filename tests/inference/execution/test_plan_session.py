# SPDX-License-Identifier: Apache-2.0
"""What only a session's caller held is given back while the network runs."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np

from hpip.backends.base import Session, SessionOptions
from hpip.backends.paddle import PaddleBackend
from hpip.common.devices import Device
from hpip.inference.execution.plan_session import PlanSession
from hpip.inference.execution.preprocess import network_inputs
from hpip.model.spec import load_model_spec
from hpip.types import AnyArray, ModelFiles, NativeStep, Segment
from tests.pictures import rectangles


class _Copying(Session):
    """Copies its input, as Paddle does, and looks whether anybody still holds it."""

    def __init__(self, name: str) -> None:
        super().__init__((name,), ("out",))
        self.was_freed: list[bool] = []

    def _run(self, inputs: dict[str, AnyArray]) -> list[AnyArray]:
        (name,) = self.input_names
        given = weakref.ref(inputs[name])
        copy = inputs.pop(name).copy()
        self.was_freed.append(given() is None)
        return [copy]

    def _close(self) -> None:
        pass


def test_a_consumed_array_is_held_by_nobody_else() -> None:
    session = _Copying("x")
    session.consume({"x": np.ones(3, np.float32)})
    kept = np.ones(3, np.float32)
    session.run({"x": kept})
    assert session.was_freed == [True, False]


def test_a_plan_lets_go_of_what_no_later_step_reads() -> None:
    session = _Copying("regions")
    files = ModelFiles(Path("program"), Path("params"))
    gather = NativeStep("gather_rows", {}, ("rows", "indices"), ("regions",))
    plan = PlanSession(
        [gather, Segment("head", files, ("regions",), ("out",))],
        ["out"],
        lambda _segment: session,
        threads=1,
    )
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    (out,) = plan.run({"rows": rows, "indices": np.array([[2], [0]])})
    np.testing.assert_array_equal(out, rows[[2, 0]])
    assert session.was_freed == [True]


def test_plain_paddle_reads_an_input_in_place_and_lets_go_of_it(tiny_model_dir: Path) -> None:
    spec = load_model_spec(tiny_model_dir)
    session = PaddleBackend().open(spec.files, SessionOptions(Device("cpu"), 1))
    red = rectangles(64, 64, red=(8, 8, 24, 24))
    blue = rectangles(64, 64, blue=(16, 8, 40, 32))
    inputs, others = (network_inputs([p], spec.preprocess, threads=1) for p in (red, blue))
    wanted = [session.run(one) for one in (inputs, others)]
    given = weakref.ref(inputs["image"])
    for _ in range(3):
        found = session.consume(inputs)
        assert not inputs
        assert given() is None
        for mine, theirs in zip(found, wanted[0], strict=True):
            np.testing.assert_array_equal(mine, theirs)
        for mine, theirs in zip(session.run(others), wanted[1], strict=True):
            np.testing.assert_array_equal(mine, theirs)
        inputs = network_inputs([red], spec.preprocess, threads=1)
        given = weakref.ref(inputs["image"])
    session.close()
