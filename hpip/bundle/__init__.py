# SPDX-License-Identifier: Apache-2.0
"""Writes a prepared model into one file that runs without Paddle; see docs/bundles.md."""

from __future__ import annotations
