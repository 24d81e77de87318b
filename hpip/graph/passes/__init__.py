# SPDX-License-Identifier: Apache-2.0
"""Passes: each rewrites one thing in a program and leaves what it does not match alone."""

from __future__ import annotations
