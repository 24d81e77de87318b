# SPDX-License-Identifier: Apache-2.0
"""Latency tables: `python -m hpip.bench`, described in docs/bench.md."""

from __future__ import annotations
