# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

# The scripts of tools/ are not a package.
sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
