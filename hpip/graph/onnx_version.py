# SPDX-License-Identifier: Apache-2.0
"""Version of the ONNX exporter, in a module that does not import the `onnx` package."""

from __future__ import annotations

# Part of cache keys: increase it whenever the output of the exporter changes.
EXPORTER_VERSION = 6
