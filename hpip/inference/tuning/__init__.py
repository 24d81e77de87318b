# SPDX-License-Identifier: Apache-2.0
"""Measures which engine runs a model fastest with the right answer, and remembers it."""

from __future__ import annotations
