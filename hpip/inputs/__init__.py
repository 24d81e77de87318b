# SPDX-License-Identifier: Apache-2.0
"""Reads images from paths, URLs, bytes, PDFs and arrays."""

from __future__ import annotations
