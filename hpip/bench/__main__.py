# SPDX-License-Identifier: Apache-2.0
"""`python -m hpip.bench`: the same as `hpip bench`."""

from __future__ import annotations

from hpip.bench.cli import main

main()
