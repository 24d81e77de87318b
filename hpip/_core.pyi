# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

__version__: str

def build_info() -> dict[str, str]: ...
