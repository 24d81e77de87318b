# SPDX-License-Identifier: Apache-2.0
"""HPIP_DCHECK is in the binary of Debug and sanitizer builds, and in no other."""

from __future__ import annotations

from pathlib import Path

from hpip import _core, ops


def test_only_debug_and_sanitizer_builds_contain_precondition_checks() -> None:
    info = ops.build_info()
    is_checked = info["build_type"] == "Debug" or info["sanitizers"] != ""
    assert (b"HPIP_DCHECK failed" in Path(_core.__file__).read_bytes()) == is_checked
