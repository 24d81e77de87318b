# SPDX-License-Identifier: Apache-2.0
"""The code of the contenders' processes; PaddleX's runs in an interpreter without hpip."""

from __future__ import annotations
