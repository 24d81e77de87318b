# SPDX-License-Identifier: Apache-2.0
"""The machine and the software versions of a benchmark."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hpip import ops
from hpip.common.system import cpu_facts, cpu_model, installed_version

_PACKAGES = (
    *("numpy", "opencv-python-headless", "opencv-contrib-python", "paddlex", "pycocotools"),
    *("rlemasklib", "faster-coco-eval", "paddlepaddle"),
)


def environment() -> dict[str, Any]:
    """CPU, versions, commit and load average, for the JSON."""
    return {
        "date_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_model(cpu_facts()),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": _commit(),
        "hpip": ops.build_info(),
        "packages": {name: installed_version(name) for name in _PACKAGES},
        "opencv": _opencv(),
    }


def offer_font_to_paddlex() -> None:
    """Set a font before PaddleX is imported, which would download one otherwise."""
    try:
        import matplotlib
    except ImportError:
        return
    font = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    os.environ.setdefault("PADDLE_PDX_LOCAL_FONT_FILE_PATH", str(font))


def _commit() -> str:
    """The output of `git describe`, with "-dirty" if files were changed."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _opencv() -> str | None:
    try:
        import cv2
    except ImportError:
        return None
    return f"{cv2.__version__}, IPP {'on' if cv2.ipp.useIPP() else 'off'}"
