# SPDX-License-Identifier: Apache-2.0
"""hpip inside other packages; nothing here is imported before it is asked for."""

from __future__ import annotations
