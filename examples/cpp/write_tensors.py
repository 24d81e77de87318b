# SPDX-License-Identifier: Apache-2.0
"""Writes what the C++ example reads: a picture as PPM, and the network's outputs for it.

python write_tensors.py PICTURE OUTPUT_DIR [SCORE_THRESHOLD]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from hpip.backends.base import SessionOptions
from hpip.backends.registry import backend_named
from hpip.common.devices import Device
from hpip.inference.execution.preprocess import network_inputs
from hpip.model.official import find_model
from hpip.model.spec import load_model_spec
from hpip.types import ModelFiles


def main(picture: str, output_dir: str, score_threshold: str = "0.5") -> None:
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    image = cv2.imread(picture)
    cv2.imwrite(str(folder / "picture.ppm"), image)
    demo = find_model("demo")
    inputs = network_inputs([image], load_model_spec(demo).preprocess)
    feeds = {
        "image": inputs["image"],
        "score_threshold": np.array([float(score_threshold)], np.float32),
    }
    files = ModelFiles(demo / "trunk.onnx", demo / "inference.pdiparams")
    session = backend_named("onnxruntime").open(files, SessionOptions(Device("cpu"), 1))
    for name, values in zip(session.output_names, session.run(feeds), strict=True):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(values, np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
