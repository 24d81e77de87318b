# SPDX-License-Identifier: Apache-2.0
"""Runs the original and the truncated graph, and compares their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpip.graph.passes.add_score_threshold import SCORE_THRESHOLD
from hpip.graph.passes.base import Pass, Sequential
from hpip.graph.program import Program
from hpip.types import MaskSource

from .heads import feeds
from .mask_oracle import finish
from .programs import run

Array = np.ndarray[Any, Any]


def rewrite(folder: Path, passes: Sequence[Pass]) -> tuple[Program, MaskSource]:
    """Apply passes to an exported model and write `truncated.json`; a second run must not match."""
    program = Program.read(folder / "inference.json")
    result = Sequential(passes)(program)
    assert result.masks is not None, [step.reason for _, step in result.steps]
    program.write(folder / "truncated.json")
    before = program.to_json()
    again = Sequential(passes)(Program.read(folder / "truncated.json"))
    assert not again.modified
    unchanged = again.program.to_json() == before
    assert unchanged
    return program, result.masks


def run_truncated(
    folder: Path, source: MaskSource, inputs: dict[str, Array], threshold: float | None = None
) -> tuple[Array, Array]:
    """Rows and masks of the truncated graph, post-processed by the oracle."""
    program = Program.read(folder / "truncated.json")
    fed = dict(inputs)
    if threshold is not None:
        fed[SCORE_THRESHOLD] = np.array([threshold], np.float32)
    names = [op.attribute("name") for op in program.outputs]
    values = run(folder / "truncated.json", folder / "inference.pdiparams", fed)
    outputs = dict(zip(names, values, strict=True))
    return finish(source, outputs, inputs["im_shape"][0], inputs["scale_factor"][0])


def run_original(folder: Path, inputs: dict[str, Array]) -> tuple[Array, Array]:
    """Rows and masks of the original graph; without boxes, they are zeros."""
    values = run(folder / "inference.json", folder / "inference.pdiparams", inputs)
    if len(values) == 3:
        return values[0], values[2]
    rows = np.zeros((len(values[2]), 6), np.float32)
    rows[:, 0], rows[:, 1] = values[1], values[2]
    return rows, values[3]


def assert_same(folder: Path, source: MaskSource, thresholds: Sequence[float] = ()) -> None:
    """Compare on several sizes and images; at each threshold, with it as an input."""
    for seed, size in enumerate([(48, 40), (33, 61), (32, 32)]):
        inputs = feeds(size, seed)
        rows, masks = run_original(folder, inputs)
        for threshold in thresholds or [None]:
            found_rows, found_masks = run_truncated(folder, source, inputs, threshold)
            limit = -1.0 if threshold is None else threshold
            wanted, found = rows[:, 1] > limit, found_rows[:, 1] > limit
            np.testing.assert_allclose(found_rows[found], rows[wanted], rtol=1e-6, atol=1e-5)
            # Only a pixel that float rounding decides may differ.
            different = found_masks[found] != masks[wanted]
            assert different.mean() < 1e-3 if different.size else True
