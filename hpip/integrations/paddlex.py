# SPDX-License-Identifier: Apache-2.0
"""Importing this module once makes PaddleX's `use_hpip=True` run on hpip.

The same as `hpip.enable_paddlex()`; see docs/from-paddlex.md.
"""

from __future__ import annotations

from hpip.integrations.paddlex_switch import disable_paddlex, enable_paddlex, is_paddlex_enabled

__all__ = ["disable_paddlex", "enable_paddlex", "is_paddlex_enabled"]

enable_paddlex()
