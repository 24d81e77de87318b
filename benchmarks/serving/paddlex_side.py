# SPDX-License-Identifier: Apache-2.0
"""Times PaddleX's pipeline in its own environment: the child process of `latency`.

The arguments are a pipeline file and an image. For every line on stdin, the script runs `predict`
once and prints the seconds. It imports nothing of hpip.
"""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Run `predict` for every line on stdin."""
    import cv2
    from paddlex import create_pipeline

    output, sys.stdout = sys.stdout, sys.stderr
    pipeline = create_pipeline(pipeline=sys.argv[1], device="cpu")
    image = cv2.imread(sys.argv[2])
    list(pipeline.predict(image))
    print("ready", file=output, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        list(pipeline.predict(image))
        print(time.perf_counter() - start, file=output, flush=True)


if __name__ == "__main__":
    main()
