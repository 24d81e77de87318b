# SPDX-License-Identifier: Apache-2.0
"""Turns a program of Paddle 3 into an ONNX model that gives the same answers."""

from __future__ import annotations

from hpip.graph.onnx_export.export import export_onnx

__all__ = ["export_onnx"]
