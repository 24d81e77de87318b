# SPDX-License-Identifier: Apache-2.0
"""Enables hpip in PaddleX on import: `use_hpip=True` then runs on hpip.

Same as `hpip.enable_paddlex()`; see docs/from-paddlex.md.
"""

from __future__ import annotations

from hpip.integrations.paddlex_switch import disable_paddlex, enable_paddlex, is_paddlex_enabled

__all__ = ["disable_paddlex", "enable_paddlex", "is_paddlex_enabled"]

enable_paddlex()
