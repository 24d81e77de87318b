# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of latency, memory and accuracy: `hpip bench`, described in docs/bench.md."""

from __future__ import annotations
