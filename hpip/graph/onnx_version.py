# SPDX-License-Identifier: Apache-2.0
"""The exporter's version, where it can be read without importing the `onnx` package."""

from __future__ import annotations

# Part of cache keys: raise it whenever the exporter writes something else than before.
EXPORTER_VERSION = 6
