# SPDX-License-Identifier: Apache-2.0
"""Checks that every given source file has an SPDX licence line in its first two lines."""

from __future__ import annotations

import sys
from pathlib import Path

LINE = "SPDX-License-Identifier: Apache-2.0"


def main(names: list[str]) -> int:
    bad = []
    for name in names:
        text = Path(name).read_text(encoding="utf-8")
        if text.strip() and LINE not in "\n".join(text.splitlines()[:2]):
            bad.append(name)
    for name in bad:
        print(f"{name}: expected {LINE!r} in the first two lines")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
