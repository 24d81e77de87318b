# SPDX-License-Identifier: Apache-2.0
"""The `hpip` command."""

from __future__ import annotations

from hpip.cli.app import main

__all__ = ["main"]
