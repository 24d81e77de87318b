# SPDX-License-Identifier: Apache-2.0
"""Graph compiler: rewrites an exported program so that work is thrown away before it is done."""

from __future__ import annotations
