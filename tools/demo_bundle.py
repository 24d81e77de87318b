# SPDX-License-Identifier: Apache-2.0
"""Writes the embedded demo model's bundle into `hpip/demo`, beside the exported model.

    python tools/demo_bundle.py

The two share weights and configuration. Run it after a change of the model, of the graph compiler
or of the ONNX exporter; `tests/bundle/test_export.py` fails until then.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

from hpip import export_model

DEMO = Path(__file__).parents[1] / "hpip" / "demo"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = export_model(DEMO, Path(folder) / "demo.hpip")
        with zipfile.ZipFile(report.path) as archive:
            for name in archive.namelist():
                if not name.startswith("inference."):  # those are shared
                    archive.extract(name, DEMO)
                    sys.stdout.write(f"{DEMO / name}\n")


if __name__ == "__main__":
    main()
