# SPDX-License-Identifier: Apache-2.0
"""Finds the fastest engine with valid results for a model, and caches the choice."""

from __future__ import annotations
