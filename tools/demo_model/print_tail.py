# SPDX-License-Identifier: Apache-2.0
"""Prints the operators of a model from NMS to the outputs, or the difference of two models."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterator
from pathlib import Path

# The positions of constants and shape operators differ between traces, and are not relevant here.
SKIPPED = {"p", "1.full", "1.full_int_array", "1.shape64", "0.combine"}
SHOWN = {"interp_method", "align_corners", "name"}


def tail(document: dict) -> list[str]:
    """Return one line per operator: its name and relevant attributes, indented by its depth."""
    block = document["program"]["regions"][0]["blocks"][0]
    names = [operation["#"] for operation in block["ops"]]
    return list(_lines(block["ops"][names.index("1.multiclass_nms3") :], 0))


def _lines(operations: list[dict], depth: int) -> Iterator[str]:
    for operation in operations:
        if operation["#"] in SKIPPED:
            continue
        attributes = {a["N"]: a["AT"].get("D") for a in operation.get("A", [])}
        kept = {k: v for k, v in attributes.items() if k in SHOWN}
        yield "  " * depth + operation["#"] + (f" {kept}" if kept else "")
        for region in operation.get("regions", []):
            for block in region["blocks"]:
                yield "  " * depth + "block"
                yield from _lines(block["ops"], depth + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, nargs="+", help="one or two inference.json")
    args = parser.parse_args()
    tails = [tail(json.loads(path.read_text())) for path in args.programs]
    lines = tails[0] if len(tails) == 1 else difflib.ndiff(*tails[:2])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
