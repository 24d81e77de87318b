# SPDX-License-Identifier: Apache-2.0
"""Batch safety is one decision: the same for an exported program and for the program in memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hpip.graph.batching import (
    is_batch_safe,
    norm_uses_batch_statistics,
    slice_takes_first_image,
)
from hpip.graph.interface import read_interface
from hpip.graph.program import Program

from .heads import coefficient_masks


@pytest.mark.parametrize(
    ("use_global_stats", "trainable_statistics", "is_test", "expected"),
    [
        (False, False, True, False),
        (False, True, True, True),
        (False, False, False, True),
        (True, True, True, False),
        (True, False, False, False),
        (None, None, True, False),
        (None, None, None, True),
    ],
)
def test_which_flags_make_a_batch_norm_use_batch_statistics(
    use_global_stats: bool | None,
    trainable_statistics: bool | None,
    is_test: bool | None,
    expected: bool,
) -> None:
    found = norm_uses_batch_statistics(use_global_stats, trainable_statistics, is_test)
    assert found is expected


@pytest.mark.parametrize(
    ("shape", "bounds", "expected"),
    [
        ((-1, 2), ([0], [0], [1], [0]), True),
        ((-1, 256, 20, 20), ([0], [0], [1], [0]), True),
        ((-1,), ([0], [0], [1], [0]), False),
        ((1, 2), ([0], [0], [1], [0]), False),
        ((-1, 2), ([1], [0], [1], [1]), False),
        ((-1, 2), ([0], [1], [2], [0]), False),
        ((-1, 2), ([0], [0], [1], []), False),
        ((-1, 2), ([0], None, [1], [0]), False),
    ],
    ids=[
        "size of the first image",
        "features of the first image",
        "a count",
        "fixed batch",
        "a column",
        "second row",
        "axis kept",
        "start computed at run time",
    ],
)
def test_which_slices_take_the_first_image(
    shape: tuple[int, ...], bounds: tuple[list[int] | None, ...], expected: bool
) -> None:
    assert slice_takes_first_image(shape, *bounds) is expected


def test_an_exported_model_and_its_program_get_the_same_answer(tmp_path: Path) -> None:
    folder = coefficient_masks(tmp_path)
    assert_same_decision(folder / "inference.json")


@pytest.mark.slow
def test_every_official_model_and_its_program_get_the_same_answer(
    zoo_source_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "inference.json"
    for packed in sorted(zoo_source_dir.glob("*/inference.json.gz")):
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        assert_same_decision(path)


def assert_same_decision(path: Path) -> None:
    interface = read_interface(path)
    safe = not (interface.reads_first_image_only or interface.uses_batch_statistics)
    assert safe == is_batch_safe(Program.read(path))
