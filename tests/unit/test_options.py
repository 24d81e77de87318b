# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.options import (
    check_backend_threads,
    check_count,
    check_hpi_config,
    check_score_threshold,
    resolve_classes,
)

LABELS = ("cat", "dog", "1")


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25)])
def test_a_threshold_is_a_number_from_0_to_1(value: float) -> None:
    assert check_score_threshold(value) == float(value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_other_thresholds_are_errors(value: object) -> None:
    with pytest.raises(InvalidInputError, match="threshold: expected a number from 0 to 1"):
        check_score_threshold(value)


@pytest.mark.parametrize("value", [0, -1, 1.0, "2", True])
def test_other_counts_are_errors(value: object) -> None:
    with pytest.raises(InvalidInputError, match="batch_size: expected a whole number"):
        check_count(value, "batch_size")


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(None, None), ("dog", {1}), (2, {2}), (["cat", 1], {0, 1}), ([], set()), (["1"], {2})],
)
def test_classes_are_labels_or_ids(classes: object, expected: set[int] | None) -> None:
    assert resolve_classes(classes, LABELS) == expected


@pytest.mark.parametrize("classes", ["bird", ["cat", "bird"], 3, -1, [1.5], [True]])
def test_unknown_classes_are_errors(classes: object) -> None:
    with pytest.raises(InvalidInputError, match="classes: expected"):
        resolve_classes(classes, LABELS)


def test_hpi_config_keys_are_paddlex_keys() -> None:
    config = {"auto_config": True, "backend": "paddle", "backend_config": {"cpu_threads": 3}}
    assert check_hpi_config(config) == config
    assert check_hpi_config(None) == {}
    assert check_backend_threads(config) == 3
    assert check_backend_threads({"backend_config": {"cpu_num_threads": 4}}) == 4
    assert check_backend_threads({}) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bakend": "paddle"}, "'bakend'"),
        ("paddle", "expected a mapping"),
        ({"auto_config": False}, "needs a backend"),
    ],
)
def test_a_bad_hpi_config_is_an_error(config: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_hpi_config(config)


def test_an_explicit_backend_is_never_replaced() -> None:
    with pytest.raises(BackendUnavailableError, match="om: ") as error:
        check_hpi_config({"backend": "om"})
    assert error.value.backend == "om"
