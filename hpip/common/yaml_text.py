# SPDX-License-Identifier: Apache-2.0
"""Reads YAML that strangers may have written, in bounded time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hpip.errors import InvalidInputError

# PyYAML has the C loader only where it was built with libyaml; both are safe loaders.
_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A hundred times the longest list of labels that models come with.
_MOST_CHARACTERS = 4_000_000
_MOST_REASON = 500


def read_yaml(path: Path) -> Any:
    """The document in a file.

    Values may share parts any number of times: show them with `hpip.errors.shorten` only.

    Raises:
        OSError, UnicodeDecodeError: the file can't be read.
        InvalidInputError: it is no regular file, too long, or not valid YAML; the message is for
            the middle of a sentence.
    """
    if path.exists() and not path.is_file():
        raise InvalidInputError("is not a regular file")
    with path.open(encoding="utf-8") as stream:
        text = stream.read(_MOST_CHARACTERS + 1)
    if len(text) > _MOST_CHARACTERS:
        raise InvalidInputError(f"is longer than {_MOST_CHARACTERS} characters")
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """The document in a text; see `read_yaml`."""
    try:
        return yaml.load(text, Loader=_SafeLoader)
    # PyYAML lets through what its constructors raise for dates, numbers, keys and deep nesting.
    except (
        *(yaml.YAMLError, ValueError, TypeError, AttributeError),
        *(ArithmeticError, LookupError, RecursionError),
    ) as error:
        reason = str(error) or type(error).__name__
        raise InvalidInputError(f"is not valid YAML: {reason[:_MOST_REASON]}") from error
