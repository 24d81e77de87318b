# SPDX-License-Identifier: Apache-2.0
"""Engines that run a network; each is imported in its own file, when it is used."""

from __future__ import annotations
