# SPDX-License-Identifier: Apache-2.0
"""`python -m hpip.paddlex ...` runs `paddlex ...` with hpip enabled.

The flags are PaddleX's, except for two: `--always on` enables hpip for every program of this
environment that imports PaddleX, and `--always off` undoes that.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

from hpip.cli.values import parse_mapping
from hpip.errors import HpipError, InvalidInputError
from hpip.integrations.paddlex_always import always_off, always_on
from hpip.integrations.paddlex_switch import enable_paddlex

_CONFIG_FLAG = "--hpi_config"


def main(arguments: Sequence[str]) -> None:
    """Run PaddleX's command line in this process.

    Raises:
        HpipError: a flag is invalid, or hpip can't be enabled in this PaddleX.
        SystemExit: with PaddleX's exit code.
    """
    if arguments[:1] == ["--always"]:
        _switch_always(arguments[1:])
        return
    sys.argv = ["paddlex", *_with_python_literals(arguments)]
    enable_paddlex()
    runpy.run_module("paddlex", run_name="__main__")


def _switch_always(arguments: Sequence[str]) -> None:
    if list(arguments) not in (["on"], ["off"]):
        raise InvalidInputError(
            "--always: expected on or off, and no other argument; received"
            f" {' '.join(arguments) or 'nothing'}"
        )
    switched_on = arguments[0] == "on"
    files = always_on() if switched_on else always_off()
    for path in files:
        print(f"{'wrote' if switched_on else 'removed'} {path}")
    if not files:
        print("nothing to remove: hpip was not enabled for this environment")


def _with_python_literals(arguments: Sequence[str]) -> list[str]:
    """Convert a JSON `--hpi_config` to a Python literal, which is all that PaddleX accepts."""
    given = list(arguments)
    for i, word in enumerate(given):
        flag, equals, value = word.partition("=")
        if flag != _CONFIG_FLAG:
            continue
        if equals:
            given[i] = f"{flag}={parse_mapping(value, flag)!r}"
        elif i + 1 < len(given):
            given[i + 1] = repr(parse_mapping(given[i + 1], flag))
    return given


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HpipError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
