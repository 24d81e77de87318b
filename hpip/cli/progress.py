# SPDX-License-Identifier: Apache-2.0
"""The progress bar of the commands that go over many images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def image_progress(
    title: str, console: Console, total: int | None = None
) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar for the block; on anything but a terminal, nothing.

    Yields:
        A function that takes the images that are done, and their total or None while unknown.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done, total: progress.update(task, completed=done, total=total)
