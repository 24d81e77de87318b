# SPDX-License-Identifier: Apache-2.0
"""From paths, URLs, bytes, PDFs and arrays to images."""

from __future__ import annotations
