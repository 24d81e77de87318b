# SPDX-License-Identifier: Apache-2.0
"""Graph compiler: rewrites exported programs so that engines compute only what results need."""

from __future__ import annotations
