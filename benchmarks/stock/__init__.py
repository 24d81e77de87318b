# SPDX-License-Identifier: Apache-2.0
"""Compares the tuned hpip with stock PaddleX, and with hpip's performance goals."""
