# SPDX-License-Identifier: Apache-2.0
"""PaddleX's pipeline in an environment of its own, timed call by call.

Run by path in that environment, with a pipeline file and a picture: every line on stdin is answered
with the seconds that one `predict` took. Nothing of hpip is imported.
"""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Answer lines until stdin ends."""
    import cv2
    from paddlex import create_pipeline

    answers, sys.stdout = sys.stdout, sys.stderr
    pipeline = create_pipeline(pipeline=sys.argv[1], device="cpu")
    image = cv2.imread(sys.argv[2])
    list(pipeline.predict(image))
    print("ready", file=answers, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        list(pipeline.predict(image))
        print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    main()
