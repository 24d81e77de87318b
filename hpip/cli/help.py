# SPDX-License-Identifier: Apache-2.0
"""How `hpip --help` is arranged: commands in panels, PaddleX's flags in a group of their own."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup, TyperOption

RUN, UNDERSTAND, PREPARE, MEASURE = "Run", "Understand", "Prepare", "Measure"
_ORDER = (
    *("predict", "serve"),
    *("explain", "inspect", "doctor"),
    *("export", "tune", "compile", "cache"),
    *("bench", "eval"),
)
_PADDLEX_PANEL = "PaddleX's flags (without a command)"
_OWN_FLAGS = ("help_paddlex", "version", "debug")


class HpipGroup(TyperGroup):
    """The `hpip` command: `--help` lists the commands, `--help-paddlex` lists PaddleX's flags."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for flag in self._paddlex_flags():
            flag.hidden = True
            flag.rich_help_panel = _PADDLEX_PANEL

    def list_commands(self, _context: object) -> list[str]:
        """Names of the commands, in the order in which the help shows them."""
        return sorted(self.commands, key=_ORDER.index)

    def show_paddlex_flags(self) -> None:
        """Let the help list PaddleX's flags."""
        for flag in self._paddlex_flags():
            flag.hidden = False

    def _paddlex_flags(self) -> list[TyperOption]:
        return [
            parameter
            for parameter in self.params
            if isinstance(parameter, TyperOption) and parameter.name not in _OWN_FLAGS
        ]
