# SPDX-License-Identifier: Apache-2.0
"""Logging of the package: silent unless the application or `HPIP_LOG` enables it."""

from __future__ import annotations

import logging
import os

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def set_up_logging(level: str | None = None) -> None:
    """Send the `hpip` logger's messages of `level` and above to stderr.

    Without a level, the environment variable `HPIP_LOG` (debug, info, warning, error) sets it; if
    the variable is unset, nothing changes and the application's logging configuration applies. A
    second call replaces the level and adds no second handler.

    Raises:
        ValueError: the level is unknown.
    """
    name = (level or os.environ.get("HPIP_LOG", "")).strip().upper()
    if not name:
        return
    if name not in LEVELS:
        raise ValueError(f"HPIP_LOG: expected one of {', '.join(LEVELS)}, received {name!r}")
    logger = logging.getLogger("hpip")
    logger.setLevel(name)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Distinguishes the handler of hpip from those of the application."""
