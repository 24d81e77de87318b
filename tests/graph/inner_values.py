# SPDX-License-Identifier: Apache-2.0
"""Runs a program on plain Paddle up to any of its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpip.graph.builder import replace_outputs
from hpip.graph.liveness import remove_dead_code
from hpip.graph.program import INPUT, Program

from .programs import run

Array = np.ndarray[Any, Any]


def fetch_values(
    program: Program,
    values: Iterable[int],
    inputs: Mapping[str, Array],
    parameters: Path,
    folder: Path,
) -> dict[int, Array]:
    """Arrays of these values of the main block; the program is written to `folder`."""
    found, fetched = {}, {}
    for value in dict.fromkeys(values):
        maker = program.maker(value)
        assert maker is not None
        if maker.name == INPUT:
            found[value] = inputs[maker.attribute("name")]
        else:
            fetched[f"value_{value}"] = value
    pruned = program.copy()
    replace_outputs(pruned, fetched)
    remove_dead_code(pruned)
    pruned.write(folder / "inner_values.json")
    arrays = run(folder / "inner_values.json", parameters, inputs)
    return found | dict(zip(fetched.values(), arrays, strict=True))
