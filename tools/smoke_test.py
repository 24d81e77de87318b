# SPDX-License-Identifier: Apache-2.0
"""Checks an installed wheel: its kernels, its data files and its command line; needs no engine.

python tools/smoke_test.py    from any folder; a checkout there is not imported
"""

from __future__ import annotations

import subprocess
import sysconfig
from importlib import metadata, resources
from pathlib import Path

import numpy as np

import hpip
from hpip import ops


def main() -> None:
    version = metadata.version("hpip")
    assert hpip.__version__ == version, f"expected {version}, received {hpip.__version__}"

    image = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    assert np.array_equal(ops.resize(image, (12, 16)), image)
    assert ops.resize(image, (6, 8)).shape == (6, 8, 3)

    mask = np.zeros((9, 7), np.uint8)
    mask[2:5, 1:6] = 1
    rle = ops.encode_rle(mask)
    assert np.array_equal(ops.decode_rle(rle, mask.shape), mask)
    assert ops.rle_area(rle) == 15
    assert ops.rle_to_bbox(rle, mask.shape) == (1, 2, 5, 3)

    for name in ("configs/models/default.yaml", "demo/inference.pdiparams", "py.typed"):
        assert resources.files("hpip").joinpath(name).is_file(), f"the wheel lacks hpip/{name}"
    subprocess.run([Path(sysconfig.get_path("scripts")) / "hpip", "--version"], check=True)

    info = ops.build_info()
    print(f"{hpip.__file__}: {info['compiler']}, pybind11 {info['pybind11']}, {info['isa']}")


if __name__ == "__main__":
    main()
