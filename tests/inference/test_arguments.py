# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from hpip.errors import BackendUnavailableError, InvalidInputError
from hpip.inference.arguments import (
    check_count,
    check_engine_options,
    check_precision,
    check_score_threshold,
    resolve_classes,
)
from hpip.inference.tuning.candidates import EngineOptions

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
    assert check_engine_options(config) == EngineOptions("paddle", threads=3)
    assert check_engine_options(None) == EngineOptions()
    assert check_engine_options({"auto_config": True, "backend": None}) == EngineOptions()
    threads_only = {"backend_config": {"cpu_num_threads": 4}}
    assert check_engine_options(threads_only) == EngineOptions(threads=4)
    assert not check_engine_options({"auto_paddle2onnx": False}).may_convert


@pytest.mark.parametrize(
    ("mode", "backend", "precision"),
    [
        ("paddle", "paddle", "fp32"),
        ("mkldnn", "paddle_onednn", "fp32"),
        ("mkldnn_bf16", "paddle_onednn", "bf16"),
        ("trt_fp16", "paddle_tensorrt", "fp16"),
    ],
)
def test_paddles_run_modes_name_backends(mode: str, backend: str, precision: str) -> None:
    config = {"backend": "paddle", "backend_config": {"run_mode": mode, "delete_pass": ["a"]}}
    found = check_engine_options(config)
    assert (found.backend, found.precision) == (backend, precision)
    assert found.settings == {"delete_pass": ["a"]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [("auto", "fp32"), ("FP16", "fp16"), ("bf16", "bf16"), ("int8", "int8"), ("fp32", "fp32")],
)
def test_precisions(value: str, expected: str) -> None:
    assert check_precision(value) == expected
    assert check_engine_options(None, value).precision == expected


@pytest.mark.parametrize("value", ["half", "", None, 16, ["fp16"]])
def test_other_precisions_are_errors(value: object) -> None:
    with pytest.raises(InvalidInputError, match="precision: expected one of auto, fp32"):
        check_precision(value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bakend": "paddle"}, "'bakend'"),
        ("paddle", "expected a mapping"),
        ({"auto_config": False}, "needs a backend"),
        ({"backend_config": {"hint": "latency"}}, "need a backend; received hint"),
        ({"backend": "paddle", "backend_config": 3}, "backend_config: expected a mapping"),
        ({"backend": "paddle", "backend_config": {"run_mode": "fast"}}, "run_mode: expected"),
        ({"backend_config": {"cpu_threads": 0}}, "cpu_threads: expected a whole number"),
    ],
)
def test_a_bad_hpi_config_is_an_error(config: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        check_engine_options(config)


def test_an_unknown_backend_is_never_replaced() -> None:
    with pytest.raises(BackendUnavailableError, match="om: ") as error:
        check_engine_options({"backend": "om"})
    assert error.value.backend == "om"
