# SPDX-License-Identifier: Apache-2.0
"""PaddleX in its own benchmark mode and interpreter: the child process of paddlex_agreement."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path
from typing import Any

OUTPUT = tempfile.mkdtemp(prefix="paddlex-benchmark-")
os.environ |= {
    "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
    "PADDLE_PDX_INFER_BENCHMARK": "True",
    "PADDLE_PDX_INFER_BENCHMARK_WARMUP": "0",
    "PADDLE_PDX_INFER_BENCHMARK_ITERS": "1",
    "PADDLE_PDX_INFER_BENCHMARK_OUTPUT_DIR": OUTPUT,
}

from contenders.channel import serve  # noqa: E402
from paddlex import create_model  # noqa: E402


class OwnBenchmark:
    """Handles requests with a PaddleX model."""

    model: Any = None

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load the model."""
        self.model = create_model(
            request["model_name"],
            model_dir=request["model_dir"],
            device="cpu",
            engine="paddle_static",
            engine_config={"run_mode": "paddle", "cpu_threads": request["threads"]},
        )
        return {}

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run one iteration; return the milliseconds of each stage, by PaddleX's names."""
        list(self.model.predict(request["image"], batch_size=1))
        with (Path(OUTPUT) / "summary.csv").open(encoding="utf-8") as stream:
            return {
                row["Type"]: float(row["Avg Time Per Iter (ms)"]) for row in csv.DictReader(stream)
            }


own = OwnBenchmark()
serve({"load": own.load, "run": own.run})
