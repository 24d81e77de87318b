# SPDX-License-Identifier: Apache-2.0
"""Official trained models: their graphs, the gate, PaddleX and mask AP, in one report."""
