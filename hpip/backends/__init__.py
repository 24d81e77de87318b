# SPDX-License-Identifier: Apache-2.0
"""Inference engines; each is imported in its own module, on first use."""

from __future__ import annotations
