# SPDX-License-Identifier: Apache-2.0
"""Graph passes: each rewrites one pattern, and leaves programs without it unchanged."""

from __future__ import annotations
