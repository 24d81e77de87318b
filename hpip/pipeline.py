# SPDX-License-Identifier: Apache-2.0
"""The public names of `hpip.inference.pipeline`."""

from __future__ import annotations

from hpip.inference.pipeline import InstanceSegPipeline, create_pipeline

__all__ = ["InstanceSegPipeline", "create_pipeline"]
