# SPDX-License-Identifier: Apache-2.0
"""Everything that there is to run on a machine with a GPU: see benchmarks/README.md."""

from __future__ import annotations
