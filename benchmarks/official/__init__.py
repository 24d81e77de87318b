# SPDX-License-Identifier: Apache-2.0
"""Checks and measures official trained models: graphs, engines, PaddleX and mask AP."""
