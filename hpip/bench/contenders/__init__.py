# SPDX-License-Identifier: Apache-2.0
"""What runs in a contender's own process; `paddlex` without hpip, in another interpreter."""

from __future__ import annotations
