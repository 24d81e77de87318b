# SPDX-License-Identifier: Apache-2.0
"""From inputs to results: predictor and pipeline."""

from __future__ import annotations
