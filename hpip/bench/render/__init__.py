# SPDX-License-Identifier: Apache-2.0
"""Renders reports: terminal, Markdown, CSV, HTML and plots."""

from __future__ import annotations
