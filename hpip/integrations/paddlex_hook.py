# SPDX-License-Identifier: Apache-2.0
"""Enables hpip when PaddleX is imported; a copy of this file lies where Python starts it.

`python -m hpip.paddlex --always on` puts the copy there. It runs at the start of every Python
program, so it imports nothing until PaddleX is imported, and an hpip that is gone stops nobody.
"""

from __future__ import annotations

import os
import sys


class EnableAfterImport:
    """A finder that finds nothing itself: it has `paddlex` found, and acts once it is loaded."""

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        """Find `paddlex` as Python would without this finder."""
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

        warnings.warn(f"PaddleX runs without hpip: {error}", stacklevel=2)


if os.environ.get("HPIP_PADDLEX") != "off":
    sys.meta_path.insert(0, EnableAfterImport())
