# SPDX-License-Identifier: Apache-2.0
"""Runs a plan on an engine: preprocessing, sessions, postprocessing."""

from __future__ import annotations
