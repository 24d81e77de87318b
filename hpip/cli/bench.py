# SPDX-License-Identifier: Apache-2.0
"""`hpip bench`: passes its flags to `python -m hpip.bench`."""

from __future__ import annotations

import typer


def bench_command(context: typer.Context) -> None:
    """Compare latency, memory and accuracy of engines; see docs/bench.md."""
    # argparse parses these flags: some take lists (--models A B C), which Typer does not support.
    from hpip.bench.cli import main

    main(context.args)
