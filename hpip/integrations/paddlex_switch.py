# SPDX-License-Identifier: Apache-2.0
"""Enables and disables hpip in PaddleX.

The changes to PaddleX are in two modules, one for each structure of its inference code:
`paddlex_engines` (3.5 and later: registries of engines and bindings) and `paddlex_predictors`
(3.0 to 3.4: one registry of predictor classes).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any

from hpip.errors import BackendUnavailableError

# Raise the upper limit after tests/paddlex has passed with a new minor version.
_OLDEST = (3, 0)
_FIRST_UNKNOWN = (3, 8)
_FIRST_WITH_ENGINES = (3, 5)


@dataclass(frozen=True)
class _Installed:
    take_over: bool
    undo: Callable[[], None]


_lock = threading.RLock()
_installed: _Installed | None = None


def enable_paddlex(*, replace_ultra_infer: bool = False) -> None:
    """Make PaddleX use hpip for `use_hpip=True` and `engine="hpip"`.

    Instance-segmentation models run on hpip and return PaddleX's own results. Other models run as
    without `use_hpip`, or faster, instead of raising PaddleX's error that its plug-in is missing.
    Existing pipelines and models do not change. May be called again.

    Args:
        replace_ultra_infer: use hpip for `use_hpip=True` even if PaddleX's own plug-in is
            installed. By default the plug-in then keeps `use_hpip=True`, and hpip runs only for
            `engine="hpip"`.

    Raises:
        BackendUnavailableError: PaddleX is not installed, can't be imported, or has a version that
            hpip does not support; PaddleX has not been changed.
    """
    global _installed
    take_over = replace_ultra_infer or util.find_spec("ultra_infer") is None
    with _lock:
        if _installed is not None:
            if _installed.take_over == take_over:
                return
            disable_paddlex()
        _installed = _Installed(take_over, _install(take_over))


def disable_paddlex() -> None:
    """Undo all changes of `enable_paddlex` to PaddleX.

    Models that were created in the meantime continue to run on hpip. Does nothing if hpip is not
    enabled.
    """
    global _installed
    with _lock:
        if _installed is not None:
            _installed.undo()
            _installed = None


def is_paddlex_enabled() -> bool:
    """Whether hpip is enabled in the PaddleX of this process."""
    return _installed is not None


def _install(take_over: bool) -> Callable[[], None]:
    version = _check_version(_import_paddlex())
    name = "paddlex_engines" if _minor(version) >= _FIRST_WITH_ENGINES else "paddlex_predictors"
    try:
        integration = import_module(f"hpip.integrations.{name}")
        undo: Callable[[], None] = integration.install(take_over=take_over)
    except (ImportError, AttributeError) as error:
        raise BackendUnavailableError(
            "paddlex",
            f"PaddleX {version} lacks functions of the official releases ({error}).",
            "Install an official release of PaddleX 3.0 to 3.7.",
        ) from error
    return undo


def _import_paddlex() -> Any:
    try:
        return import_module("paddlex")
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "paddlex":
            reason = "PaddleX is not installed."
        else:
            reason = f"PaddleX can't be imported: {error}."
        raise BackendUnavailableError(
            "paddlex", reason, "Install it with: pip install 'hpip[paddlex]'"
        ) from error


def _check_version(paddlex: Any) -> str:
    version = str(getattr(paddlex, "__version__", "of unknown version"))
    if not _OLDEST <= _minor(version) < _FIRST_UNKNOWN:
        raise BackendUnavailableError(
            "paddlex",
            f"expected PaddleX 3.0 to 3.7; received PaddleX {version}.",
            "Install a supported version of PaddleX, or a version of hpip that supports this one.",
        )
    return version


def _minor(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
