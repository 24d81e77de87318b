# SPDX-License-Identifier: Apache-2.0
"""Matches a model's labels with a dataset's categories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hpip.errors import DatasetError

_NAMES_SHOWN = 20


@dataclass(frozen=True)
class CategoryMapping:
    """How a model's labels correspond to a dataset's categories.

    Attributes:
        matched_by: "name", or "position" if the two share no name.
        category_ids: category id of the dataset for each class id of the model that has one.
        labels_without_category: labels that the dataset lacks; their detections are ignored.
        categories_without_label: categories that the model lacks; their instances count as
            missed.
    """

    matched_by: Literal["name", "position"]
    category_ids: Mapping[int, int]
    labels_without_category: tuple[str, ...]
    categories_without_label: tuple[str, ...]


def map_categories(labels: Sequence[str], categories: Mapping[int, str]) -> CategoryMapping:
    """Match a model's labels with a dataset's categories.

    They are matched by name; case, spaces and punctuation are ignored. If the two share no name
    but have the same length, they are matched by position: the first label corresponds to the
    category with the lowest id.

    Args:
        labels: of the model, indexed by class id.
        categories: names of the dataset by category id, in any order.

    Raises:
        DatasetError: neither rule applies, or a label matches two categories.
    """
    by_name = {
        class_id: category_id
        for class_id, label in enumerate(labels)
        if (category_id := _find(label, categories)) is not None
    }
    if by_name:
        taken = set(by_name.values())
        return CategoryMapping(
            matched_by="name",
            category_ids=by_name,
            labels_without_category=tuple(
                label for class_id, label in enumerate(labels) if class_id not in by_name
            ),
            categories_without_label=tuple(
                name for category_id, name in sorted(categories.items()) if category_id not in taken
            ),
        )
    if len(labels) == len(categories):
        return CategoryMapping("position", dict(enumerate(sorted(categories))), (), ())
    names = [name for _, name in sorted(categories.items())]
    raise DatasetError(
        "categories: expected at least one name that is a label of the model, or as many categories"
        f" as labels; received {len(names)} categories ({_list(names)}) and {len(labels)} labels"
        f" ({_list(labels)}). Rename one side, or evaluate the model on its own dataset."
    )


def _find(label: str, categories: Mapping[int, str]) -> int | None:
    exact = [category_id for category_id, name in categories.items() if name == label]
    key = _key(label)
    close = exact or [category_id for category_id, name in categories.items() if _key(name) == key]
    if len(close) > 1:
        raise DatasetError(
            f"categories: expected one category named {label!r}, received {len(close)}, with the"
            f" ids {', '.join(map(str, sorted(close)))}. Rename or merge them."
        )
    return close[0] if close else None


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum()) or name


def _list(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_NAMES_SHOWN])
    return shown + ", ..." if len(names) > _NAMES_SHOWN else shown or "none"
