# SPDX-License-Identifier: Apache-2.0
"""Parses flag values that are mappings or lists."""

from __future__ import annotations

import ast
import json
from typing import Any

from hpip.errors import InvalidInputError


def parse_mapping(text: str | None, flag: str) -> dict[str, Any] | None:
    """Parse a mapping written as JSON or as a Python literal (PaddleX accepts only the latter).

    Raises:
        InvalidInputError: the text is neither.
    """
    if text is None:
        return None
    value: Any = None
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise InvalidInputError(
                f"{flag}: expected a mapping as JSON or a Python literal; received {text!r}"
            ) from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"{flag}: expected a mapping; received {text!r}")
    return value


def parse_classes(text: str | None) -> list[int | str] | None:
    """Parse labels and class ids separated by commas."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [int(word) if word.isdigit() else word for word in words]
