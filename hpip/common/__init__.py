# SPDX-License-Identifier: Apache-2.0
"""Utilities without knowledge of models: caches, files, locks, devices, timing."""

from __future__ import annotations
