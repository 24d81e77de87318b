# SPDX-License-Identifier: Apache-2.0
"""What every part may use: caches, files, locks, devices, times; knows nothing of models."""

from __future__ import annotations
