# SPDX-License-Identifier: Apache-2.0
"""Writes the results of a run to benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.kernels.environment import environment


def write_figures(figures: Mapping[str, Any], output: Path | None) -> None:
    """Print the results and the environment, one line per key; write them if `output` is given."""
    rows = {**figures, "environment": environment()}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items()]
    text = "{\n" + ",\n".join(lines) + "\n}"
    print(text)
    if output:
        output.write_text(text + "\n", encoding="utf-8")
