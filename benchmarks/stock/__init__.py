# SPDX-License-Identifier: Apache-2.0
"""hpip after tuning against stock PaddleX, beside what is promised."""
