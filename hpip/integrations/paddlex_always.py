# SPDX-License-Identifier: Apache-2.0
"""Enables or disables hpip in every program of a Python environment that imports PaddleX."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from hpip.errors import SaveError

_MODULE = "_hpip_paddlex_hook"


def always_on(folder: Path | None = None) -> list[Path]:
    """Enable hpip in every program of this environment that imports PaddleX.

    Args:
        folder: folder in which Python searches for `.pth` files; None for the site-packages of this
            environment.

    Returns:
        The paths of the two files that were written; `always_off` removes them.

    Raises:
        SaveError: the folder can't be written.
    """
    module, start = _files(folder)
    hook = Path(__file__).with_name("paddlex_hook.py").read_text(encoding="utf-8")
    try:
        module.write_text(hook, encoding="utf-8")
        start.write_text(f"import {_MODULE}\n", encoding="utf-8")
    except OSError as error:
        raise SaveError(
            f"{module.parent}: can't be written: {error}. Use an environment that you may modify."
        ) from error
    return [module, start]


def always_off(folder: Path | None = None) -> list[Path]:
    """Remove the files that `always_on` wrote; return their paths.

    Args:
        folder: see `always_on`.

    Raises:
        SaveError: a file can't be removed.
    """
    removed = []
    for path in reversed(_files(folder)):
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SaveError(
                f"{path}: can't be removed: {error}. Remove it as a user with write permission."
            ) from error
        removed.append(path)
    return removed


def _files(folder: Path | None) -> tuple[Path, Path]:
    folder = folder or Path(sysconfig.get_path("purelib"))
    return folder / f"{_MODULE}.py", folder / f"{_MODULE}.pth"
