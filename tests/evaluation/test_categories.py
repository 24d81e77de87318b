# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from hpip.errors import DatasetError
from hpip.evaluation.categories import map_categories


def test_classes_are_matched_by_name_before_position() -> None:
    mapping = map_categories(["tv set", "Person", "sofa"], {9: "person", 4: "TV_set", 2: "cat"})
    assert mapping.matched_by == "name"
    assert mapping.category_ids == {0: 4, 1: 9}
    assert mapping.labels_without_category == ("sofa",)
    assert mapping.categories_without_label == ("cat",)


def test_an_exact_name_wins_over_a_close_one() -> None:
    assert map_categories(["Car"], {1: "car", 2: "Car"}).category_ids == {0: 2}


def test_without_a_shared_name_classes_are_matched_by_position() -> None:
    mapping = map_categories(["red", "green"], {7: "rouge", 3: "vert"})
    assert mapping.matched_by == "position"
    assert mapping.category_ids == {0: 3, 1: 7}


def test_categories_that_do_not_fit_are_both_listed() -> None:
    with pytest.raises(DatasetError, match=r"rouge.*red, green"):
        map_categories(["red", "green"], {7: "rouge"})
    with pytest.raises(DatasetError, match=r"named 'car'.*1, 2"):
        map_categories(["car"], {1: "Car", 2: "CAR"})
