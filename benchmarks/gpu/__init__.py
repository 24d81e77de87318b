# SPDX-License-Identifier: Apache-2.0
"""Runs the backends' tests and benchmarks on a machine with a GPU; see benchmarks/README.md."""

from __future__ import annotations
