# SPDX-License-Identifier: Apache-2.0
"""What a prediction returns: masks, boxes, drawings and files of an image."""

from __future__ import annotations
