# SPDX-License-Identifier: Apache-2.0
"""Keeps objects that must never be destroyed."""

from __future__ import annotations

import ctypes


def keep_alive(owner: object) -> None:
    """Never destroy an object, nor what it refers to, not even when the interpreter ends.

    A list that a module holds would be destroyed then.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner))
