# SPDX-License-Identifier: Apache-2.0
"""From bytes to pixels: files, URLs, PDFs. `hpip.sources` is the face of it."""

from __future__ import annotations
