# SPDX-License-Identifier: Apache-2.0
"""Compares hpip's measurement of PaddleX with PaddleX's own.

    python -m benchmarks.paddlex_agreement --paddlex-python VENV/bin/python --model demo --calls 40

It interleaves the calls of two processes in random order: the contender `paddlex-paddle` of `hpip
bench`, and PaddleX in its own benchmark mode (PADDLE_PDX_INFER_BENCHMARK). Both get the same image
and the same number of threads.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from hpip.bench import process
from hpip.bench.process import ContenderProcess, start_worker
from hpip.bench.stats import median_interval, paired_ratio
from hpip.bench.subject import find_subjects
from hpip.model.official import demo_images

_TIMEOUT_S = 1800.0
# PaddleX's name of each stage, and ours; PaddleX counts reading as preprocessing.
_PARTS = {
    "End-to-End": ("read_ms", "preprocess_ms", "infer_ms", "postprocess_ms"),
    "Preprocessing": ("read_ms", "preprocess_ms"),
    "Inference": ("infer_ms",),
}


def own_process(python: str) -> ContenderProcess:
    """Start PaddleX in its own benchmark mode."""
    package = Path(process.__file__).parent
    script = Path(__file__).with_name("paddlex_own.py").resolve()
    code = f"import sys, runpy; sys.path.append({str(package)!r}); runpy.run_path({str(script)!r})"
    return ContenderProcess([python, "-c", code], Path("/"))


def main() -> None:
    """Measure both, and print the ratios with their confidence intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paddlex-python", required=True)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--image", default=demo_images()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, default=40)
    options = parser.parse_args()
    (subject,) = find_subjects([options.model])
    image = str(Path(options.image).resolve())
    scratch = Path(tempfile.mkdtemp())
    name, folder = subject.paddlex_folder(scratch)
    request = {"model_name": name, "model_dir": str(folder), "threads": options.threads}
    settings = {"backend": "paddlex-paddle", "device": "cpu", "batch_size": 1, "threshold": None}
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    chance = random.Random(0)
    with (
        start_worker("paddlex_contender", options.paddlex_python) as contender,
        own_process(options.paddlex_python) as own,
    ):
        contender.ask("load", timeout_s=_TIMEOUT_S, **request, **settings)
        own.ask("load", timeout_s=_TIMEOUT_S, **request)
        for number in range(options.calls + 2):
            calls = {}
            for one in chance.sample((contender, own), 2):
                # Wait until the threads of the other process stop spinning.
                time.sleep(0.2)
                calls[one] = one.ask("run", timeout_s=_TIMEOUT_S, images=[image], image=image)
            if number >= 2:
                ours.append(calls[contender]["stages_ms"])
                theirs.append(calls[own])
    for part, stages in _PARTS.items():
        a = [sum(call[stage] for stage in stages) for call in ours]
        b = [call[part] for call in theirs]
        ratio = paired_ratio(b, a)
        verdict = "agree" if ratio.low <= 1 <= ratio.high else "differ"
        print(
            f"{part}: hpip bench {median_interval(a).median:.1f} ms, PaddleX's own"
            f" {median_interval(b).median:.1f} ms, ratio {ratio.median:.3f}"
            f" ({ratio.low:.3f} to {ratio.high:.3f}), n = {len(a)}: {verdict};"
            f" the fastest of each: {min(a):.1f} and {min(b):.1f} ms"
        )


if __name__ == "__main__":
    main()
