# SPDX-License-Identifier: Apache-2.0
"""Predictors and pipelines: from inputs to results."""

from __future__ import annotations
