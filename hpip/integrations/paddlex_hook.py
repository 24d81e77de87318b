# SPDX-License-Identifier: Apache-2.0
"""Enables hpip when a program imports PaddleX; Python runs a copy of this file at its start.

`python -m hpip.paddlex --always on` writes the copy into site-packages. Because it runs at the
start of every Python program, it imports nothing before PaddleX, and works without hpip: if hpip
has been uninstalled, it only warns.
"""

from __future__ import annotations

import os
import sys


class EnableAfterImport:
    """An import finder that enables hpip after Python's own finders have loaded `paddlex`."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Find `paddlex` as without this finder; enable hpip after it is executed."""
        if name != "paddlex":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def exec_module(module):  # type: ignore[no-untyped-def]
            load(module)
            _enable()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _enable() -> None:
    try:
        from hpip.integrations.paddlex_switch import enable_paddlex

        enable_paddlex()
    except ImportError as error:
        import warnings

        warnings.warn(
            f"PaddleX runs without hpip: {error}. Install hpip again, or remove the files"
            " _hpip_paddlex_hook.py and _hpip_paddlex_hook.pth from site-packages.",
            stacklevel=2,
        )


if os.environ.get("HPIP_PADDLEX") != "off":
    sys.meta_path.insert(0, EnableAfterImport())
