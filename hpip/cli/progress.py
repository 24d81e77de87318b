# SPDX-License-Identifier: Apache-2.0
"""The progress bar of the commands that process many images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def image_progress(
    title: str, console: Console, total: int | None = None
) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar during the block, if the console is a terminal.

    Yields:
        A function that takes the number of finished images, and their total or None if unknown.
    """
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)
