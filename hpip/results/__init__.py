# SPDX-License-Identifier: Apache-2.0
"""Results of predictions: masks, boxes, drawings, files, and the comparison of two results."""

from __future__ import annotations
