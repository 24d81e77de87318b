# SPDX-License-Identifier: Apache-2.0
"""A report as people read it: terminal, Markdown, CSV, one HTML file, plots."""

from __future__ import annotations
