# SPDX-License-Identifier: Apache-2.0
"""`hpip bench`: hands its flags to `python -m hpip.bench`."""

from __future__ import annotations

import typer


def bench_command(context: typer.Context) -> None:
    """Measure models and backends against each other; see docs/bench.md."""
    # Its flags take lists, as in --models A B C, which this command line has no form for.
    from hpip.bench.cli import main

    main(context.args)
