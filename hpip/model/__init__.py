# SPDX-License-Identifier: Apache-2.0
"""Model directories: lookup, download, and their metadata as a frozen dataclass."""

from __future__ import annotations
