# SPDX-License-Identifier: Apache-2.0
"""Which of a dataset's categories each of a model's classes is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hpip.errors import DatasetError

_NAMES_SHOWN = 20


@dataclass(frozen=True)
class CategoryMapping:
    """The classes that model and dataset share.

    Attributes:
        matched_by: "name", or "position" where no name was shared.
        category_ids: the dataset's category id by the model's class id.
        labels_without_category: the model's other labels; what it finds of them is left out.
        categories_without_label: the dataset's other categories; the model can't find them, and
            their instances count as missed.
    """

    matched_by: Literal["name", "position"]
    category_ids: Mapping[int, int]
    labels_without_category: tuple[str, ...]
    categories_without_label: tuple[str, ...]


def map_categories(labels: Sequence[str], categories: Mapping[int, str]) -> CategoryMapping:
    """Match a model's labels with a dataset's categories.

    By name, where upper case, spaces and punctuation don't matter. Only if no name is shared and
    both are equally many, by position: the first label is the category with the lowest id.

    Args:
        labels: the model's, by class id.
        categories: the dataset's names by id, in any order.

    Raises:
        DatasetError: neither rule applies, or a label fits two categories equally well.
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
        "categories: expected names that are also labels of the model, or as many as the model has"
        f" labels; received {len(names)} in the dataset ({_list(names)}) and {len(labels)} in the"
        f" model ({_list(labels)}). Rename one side, or evaluate the model on its own dataset."
    )


def _find(label: str, categories: Mapping[int, str]) -> int | None:
    exact = [category_id for category_id, name in categories.items() if name == label]
    key = _key(label)
    close = exact or [category_id for category_id, name in categories.items() if _key(name) == key]
    if len(close) > 1:
        raise DatasetError(
            f"categories: expected one that is named {label!r}, received {len(close)}, with the"
            f" ids {', '.join(map(str, sorted(close)))}. Rename or merge them."
        )
    return close[0] if close else None


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum()) or name


def _list(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_NAMES_SHOWN])
    return shown + ", ..." if len(names) > _NAMES_SHOWN else shown or "none"
