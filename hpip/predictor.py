# SPDX-License-Identifier: Apache-2.0
"""The public names of `hpip.inference.predictor`."""

from __future__ import annotations

from hpip.inference.predictor import Predictor, create_predictor

__all__ = ["Predictor", "create_predictor"]
