# SPDX-License-Identifier: Apache-2.0
"""A model directory as a frozen record; finding and downloading official models."""

from __future__ import annotations
