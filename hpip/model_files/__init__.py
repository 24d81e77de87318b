# SPDX-License-Identifier: Apache-2.0
"""Finding, fetching and reading a model's files. `hpip.model` is the face of it."""

from __future__ import annotations
