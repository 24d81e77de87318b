# SPDX-License-Identifier: Apache-2.0
"""Exports programs of Paddle 3 to ONNX."""

from __future__ import annotations

from hpip.graph.onnx_export.export import export_onnx

__all__ = ["export_onnx"]
